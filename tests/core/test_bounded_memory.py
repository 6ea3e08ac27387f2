"""Memory is bounded by what lives: after any amount of work that is over, there is no more than after a little."""

from __future__ import annotations

from collections.abc import Sized
from dataclasses import fields
from typing import Any

import pytest

from coordinator_service.core import commands
from coordinator_service.core.limits import Limits
from coordinator_service.core.specs import Policy
from coordinator_service.core.state import Index, Tables
from tests.core.conftest import OpenNamespace
from tests.core.driver import Namespace, caller, seconds, task

LIMITS = Limits(
    run_retention_ms=1000,
    agent_retention_ms=1000,
    request_window_ms=1000,
    evicted_retention_ms=5000,
    state_retention_ms=1000,
    state_history_ms=1000,
    roles_max=2,
)
KEYS = 5


def cycle(namespace: Namespace, number: int) -> None:
    """Something of everything, under names that nobody used before, and all of it over at the end."""
    name = f"agent-{number}"
    session = namespace.open(name, "work", f"capability-{number}")
    other = namespace.open(f"other-{number}", "nothing")
    namespace.submit(task("t", locks=()), task("u", "t"), task("v", capability=f"capability-{number}"), run_id=name)
    namespace.complete("t", name)
    namespace.complete("u", name)
    namespace.complete("v", name)
    namespace.submit(task("never", capability="nobody has it"), run_id=f"{name}-cancelled")
    namespace.do(commands.CancelRun(run_id=f"{name}-cancelled"))
    token = namespace.hold(session, f"lock-{number}", holder="somebody")
    namespace.acquire(other, f"lock-{number}", holder="somebody else", wait_timeout_ns=10**12)
    namespace.release(session, token)
    for key in range(KEYS):
        namespace.update(f"state/{key}", number, caller("p", f"{name}-{key}", digest=b"d"))
    namespace.update(f"gone/{number}", number, writer="p")
    namespace.update(f"cleared/{number}/a", number, writer="p")
    namespace.do(commands.DeleteState(keys=(f"gone/{number}",), writer="p"))
    namespace.do(commands.DeleteState(prefix=f"cleared/{number}", writer="p"))
    draft = commands.EventDraft(name="n", event_id=name)
    namespace.do(commands.Publish(drafts=(draft,)), caller("p", f"{name}-publish", digest=b"d"))
    namespace.end(session)
    namespace.end(other)
    namespace.advance(1.5)


def sizes(namespace: Namespace) -> dict[str, int]:
    """How much there is of everything, in tables and index."""
    found: dict[str, int] = {}
    for part in (namespace.state, namespace.state.index):
        for each in fields(Tables if part is namespace.state else Index):
            content: Any = getattr(part, each.name)
            if isinstance(content, Sized) and not isinstance(content, str | bytes):
                found[each.name] = len(content)
            if isinstance(content, dict):
                found[f"within {each.name}"] = sum(_size(row) for row in content.values())
    return found


def _size(row: Any) -> int:
    if isinstance(row, Sized) and not isinstance(row, str | bytes):
        return len(row)
    held = [getattr(row, name) for name in getattr(type(row), "__dataclass_fields__", ())]
    return sum(len(each) for each in held if isinstance(each, Sized) and not isinstance(each, str | bytes))


@pytest.mark.parametrize("cycles", [40])
def test_what_is_over_leaves_nothing_behind(open_namespace: OpenNamespace, cycles: int) -> None:
    """D8: runs, agents, roles, locks, waiters, requests, deadlines, what is remembered of keys that are gone, and every
    index are as large after many rounds of work as after a few."""
    namespace = open_namespace(LIMITS)
    policy = Policy(name="default", conflict_window_ns=seconds(1))
    namespace.do(commands.ChangePolicies(policies=(policy,)))
    for number in range(10):
        cycle(namespace, number)
    before = sizes(namespace)
    for number in range(10, 10 + cycles):
        cycle(namespace, number)
    after = sizes(namespace)
    grown = {name: (before[name], size) for name, size in after.items() if size > before[name] + 3}
    assert grown == {}
