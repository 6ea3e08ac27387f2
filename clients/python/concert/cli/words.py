"""Times and sizes, as people say and write them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import typer

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)?")


def seconds_from(text: str) -> float:
    """A duration: a number of seconds, or with units, for example 90, 1.5s, 2m, 1h30m. Raises ValueError."""
    parts = list(_DURATION.finditer(text.strip()))
    whole = "".join(part[0] for part in parts) == text.strip()
    units = [part[2] or "" for part in parts]
    if not parts or not whole or (len(parts) > 1 and "" in units) or len(set(units)) < len(units):
        raise ValueError(f"{text!r} is no duration: write seconds, or for example 90s, 2m, 1h30m")
    return sum(float(part[1]) * _UNITS[part[2] or "s"] for part in parts)


def duration(text: str | float) -> float:
    """As seconds_from, for options."""
    try:
        return seconds_from(str(text))
    except ValueError as fault:
        raise typer.BadParameter(str(fault)) from None


def moment(text: str) -> datetime:
    """A time, for options: RFC 3339, or how long ago, for example 5m."""
    try:
        return datetime.now(UTC) - timedelta(seconds=seconds_from(text))
    except (ValueError, OverflowError):
        pass
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is no time: write for example 2026-11-22T17:00:00Z, or 5m for five minutes ago"
        ) from None
    return read.astimezone(UTC)


def time_of(timestamp: Any) -> datetime:
    """A protobuf Timestamp."""
    read: datetime = timestamp.ToDatetime(tzinfo=UTC)
    return read


def clock(timestamp: Any) -> str:
    """The time of day, here, to the millisecond."""
    return time_of(timestamp).astimezone().strftime("%H:%M:%S.%f")[:-3]


def day_and_clock(timestamp: Any) -> str:
    """Day and time, here."""
    return time_of(timestamp).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def since(timestamp: Any) -> float:
    """How long ago that is, in seconds; a clock that differs from the coordinator's never makes it negative."""
    return max(0.0, (datetime.now(UTC) - time_of(timestamp)).total_seconds())


def between(first: Any, last: Any) -> float:
    """From one Timestamp to another, in seconds."""
    return max(0.0, (time_of(last) - time_of(first)).total_seconds())


def span(seconds: float) -> str:
    """A duration in a few characters: 0.35s, 12s, 3m20s, 2h05m, 5d03h."""
    if seconds < 10:
        return f"{seconds:.2f}s" if seconds < 1 else f"{seconds:.1f}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02}s"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02}m"
    return f"{whole // 86400}d{whole % 86400 // 3600:02}h"


def age(timestamp: Any) -> str:
    """How long ago, in a few characters."""
    seconds = since(timestamp)
    return span(seconds) if seconds >= 1 else f"{round(seconds * 1000)}ms"
