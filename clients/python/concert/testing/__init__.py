"""Testing your own coordination: a real coordinator inside the test, agents that follow a script, time that the test
lets pass, and assertions that show a timeline when they fail.

    async def test_content_waits_for_infrastructure(concert_kit):
        await concert_kit.agent("infrastructure", sleep(2))
        await concert_kit.agent("content", sleep(1))
        run = await concert_kit.run(task("infrastructure"), task("content", depends_on=["infrastructure"]))
        history = await concert_kit.finish(run)
        history.assert_order("infrastructure", "content")

The coordinator comes from the package `coordinator_service`; the fixtures need pytest-asyncio. docs/testing.md teaches
all of it.
"""

from concert.testing._agents import Require, ScriptedAgent, Step, fail, give, hang, hold, require, sleep, stage, write
from concert.testing._coordinator import TestCoordinator, coordinator
from concert.testing._history import History, HistoryError, read_history
from concert.testing._kit import Kit, NotSettled, kit, task
from concert.testing._record import AttemptSpan, ConflictRecord, LockSpan, TaskSpan
from concert.testing._time import VirtualTime

__all__ = [
    "AttemptSpan",
    "ConflictRecord",
    "History",
    "HistoryError",
    "Kit",
    "LockSpan",
    "NotSettled",
    "Require",
    "ScriptedAgent",
    "Step",
    "TaskSpan",
    "TestCoordinator",
    "VirtualTime",
    "coordinator",
    "fail",
    "give",
    "hang",
    "hold",
    "kit",
    "read_history",
    "require",
    "sleep",
    "stage",
    "task",
    "write",
]
