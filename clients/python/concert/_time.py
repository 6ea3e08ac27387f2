"""Durations as callers write them (seconds, or a timedelta) and as the contract carries them."""

from __future__ import annotations

from datetime import timedelta
from typing import TypeAlias

from google.protobuf import duration_pb2

Seconds: TypeAlias = float | timedelta


def seconds_of(time: Seconds) -> float:
    """As a number of seconds."""
    return time.total_seconds() if isinstance(time, timedelta) else float(time)


def to_duration(time: Seconds) -> duration_pb2.Duration:
    """As the contract carries it."""
    duration = duration_pb2.Duration()
    duration.FromNanoseconds(round(seconds_of(time) * 1e9))
    return duration


def from_duration(duration: duration_pb2.Duration) -> float:
    """As a number of seconds."""
    return duration.seconds + duration.nanos / 1e9
