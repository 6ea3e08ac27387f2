"""`python -m tests.chaos.sabotage FAULT ...`: a coordinator with a fault put in on purpose, for chaos to find."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from coordinator_service import __main__ as coordinator
from coordinator_service.cluster.ownership import ClusterOwnership
from coordinator_service.log import redis as redis_log
from coordinator_service.log import redis_scripts
from coordinator_service.log.redis import RedisLog
from coordinator_service.log.redis_scripts import Script
from coordinator_service.sequencer import Sequencer


def the_fence_is_left_out() -> None:
    """The script appends whatever it is given, whoever owns the log, and wherever that ends."""
    fence = "if has[1] ~= ARGV[1] or has[2] ~= ARGV[2] then return {'FENCED', has[1] or '0'} end"
    gap = "if has[3] ~= ARGV[3] then return {'GAP', has[3]} end"
    body = redis_scripts.APPEND.body
    assert fence in body
    assert gap in body
    redis_log.APPEND = Script(body.replace(fence, "").replace(gap, ""))  # type: ignore[misc]


def a_paused_owner_reads_without_looking() -> None:
    """Whoever stood still for longer than its lease answers reads as if nothing had happened."""
    ClusterOwnership.stands = lambda self: True  # type: ignore[method-assign]

    async def confirm(self: Any, epoch: int) -> None:
        """It takes its word for it."""

    RedisLog.confirm = confirm  # type: ignore[method-assign]


def answers_before_the_commit() -> None:
    """Whoever asks for something is answered at once instead of with the batch that covers it."""

    def answer(self: Any, respond: Any, outcome: Any) -> None:
        respond(outcome)

    Sequencer._answer = answer  # type: ignore[method-assign]


FAULTS: dict[str, Callable[[], None]] = {
    each.__name__: each
    for each in (the_fence_is_left_out, a_paused_owner_reads_without_looking, answers_before_the_commit)
}


def program(fault: str) -> tuple[str, ...]:
    """Starts a coordinator that has it."""
    return ("-m", "tests.chaos.sabotage", fault)


def main() -> None:
    """As the coordinator, but for the fault."""
    FAULTS[sys.argv.pop(1)]()
    coordinator.main()


if __name__ == "__main__":
    main()
