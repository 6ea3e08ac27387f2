"""What must hold of every log, whatever the scenario: judged from its events alone."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from clients.conformance.matching import Mismatch, matches

_OUTCOMES = ("AGENT_COMPLETED", "AGENT_FAILED")


def judge_log(events: list[dict[str, Any]]) -> None:
    """Raises Mismatch: sequences have a gap, an attempt two outcomes, a lock two holders."""
    _gapless(events)
    _one_outcome(events)
    _exclusive(events)


def judge_order(expected: Sequence[dict[str, Any]], events: list[dict[str, Any]]) -> None:
    """Raises Mismatch unless those events are there, in that order, others between them."""
    rest = iter(events)
    for number, pattern in enumerate(expected, 1):
        if not any(matches(pattern, event) for event in rest):
            raise Mismatch(f"the log has no event {number} of those expected: {pattern}")


def judge_absence(never: Sequence[dict[str, Any]], events: list[dict[str, Any]]) -> None:
    """Raises Mismatch if one of those is there."""
    for pattern in never:
        found = next((event for event in events if matches(pattern, event)), None)
        if found is not None:
            raise Mismatch(f"the log has what must not be: {found}")


def judge_executions(notices: list[dict[str, Any]]) -> None:
    """Raises Mismatch if a handler was called twice for an attempt token by one process."""
    seen: set[tuple[Any, ...]] = set()
    for notice in notices:
        if notice["notice"] == "executing":
            key = (notice["process"], notice["attempt_token"])
            if key in seen:
                raise Mismatch(f"attempt {notice['attempt_token']} was executed twice")
            seen.add(key)


def _gapless(events: list[dict[str, Any]]) -> None:
    for before, after in itertools.pairwise(events):
        if after["sequence"] != before["sequence"] + 1:
            raise Mismatch(f"sequence {before['sequence']} is followed by {after['sequence']}")


def _one_outcome(events: list[dict[str, Any]]) -> None:
    over: set[int] = set()
    for event in events:
        if event["type"] in _OUTCOMES:
            token = event[event["type"].lower()]["attempt_token"]
            if token in over:
                raise Mismatch(f"attempt {token} has two outcomes")
            over.add(token)


def _exclusive(events: list[dict[str, Any]]) -> None:
    held: dict[str, dict[int, str]] = {}
    for event in events:
        if event["type"] == "RESOURCE_ACQUIRED":
            acquired = event["resource_acquired"]
            grants = held.setdefault(acquired["resource"], {})
            if acquired.get("existing_token", 0) in grants:
                continue
            mode = acquired.get("mode", "EXCLUSIVE")
            if grants and (mode != "SHARED" or "EXCLUSIVE" in grants.values()):
                raise Mismatch(f"{acquired['resource']} is granted at {event['sequence']} while it is held: {grants}")
            grants[event["sequence"]] = mode
        elif event["type"] == "RESOURCE_RELEASED":
            released = event["resource_released"]
            if not released.get("remaining", 0):
                held.get(released["resource"], {}).pop(released["fencing_token"], None)
