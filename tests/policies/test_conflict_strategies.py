"""S7's strategies besides timestamp_based: who wins, who is told what, and what is remembered to decide it."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from coordinator_service.core import commands, reasons
from coordinator_service.core.answers import Done, recalled
from coordinator_service.core.commands import Caller
from coordinator_service.core.events import (
    ConflictDetected,
    ConflictResolved,
    CoordinationRequired,
    EventType,
    StateUpdated,
)
from coordinator_service.core.rejections import StateConflict
from coordinator_service.core.specs import Policy
from coordinator_service.core.values import ConflictStrategy, MergeStrategy
from tests.core.driver import Namespace, caller, changing, task

BY_PRIORITY, LAST_WINS = ConflictStrategy.PRIORITY_BASED, ConflictStrategy.LAST_WRITER_WINS
TOLD = (EventType.CONFLICT_DETECTED, EventType.COORDINATION_REQUIRED, EventType.CONFLICT_RESOLVED)


@pytest.fixture
def ranked(namespace: Namespace) -> Namespace:
    """A namespace where priority decides."""
    return governed(namespace, BY_PRIORITY)


def governed(namespace: Namespace, strategy: ConflictStrategy) -> Namespace:
    """A namespace where a strategy decides."""
    namespace.do(commands.ChangePolicies(policies=(Policy(name="default", conflict_strategy=strategy),)))
    return namespace


def write(
    writer: str,
    value: float,
    priority: int = 0,
    *,
    key: str = "k",
    base: int | None = None,
    strategy: MergeStrategy = MergeStrategy.MERGE,
) -> commands.UpdateState:
    """A write outside of any task."""
    return commands.UpdateState(
        change=changing((key, value), base=base, strategy=strategy), writer=writer, priority=priority
    )


@pytest.mark.parametrize(
    ("theirs", "mine", "winner", "reason"),
    [
        (2, 7, "me", reasons.HIGHER_PRIORITY_WINS),
        (7, 2, "them", reasons.HIGHER_PRIORITY_WINS),
        (5, 5, "them", reasons.FIRST_WRITER_WINS),
        (0, 0, "them", reasons.FIRST_WRITER_WINS),
    ],
)
def test_the_higher_priority_wins_whichever_came_first(
    ranked: Namespace, theirs: int, mine: int, winner: str, reason: str
) -> None:
    """S7: priority_based; a tie goes to the first; the outcome is recorded, the loser told, nothing silent."""
    ranked.do(write("them", 1, theirs))
    command = write("me", 2, mine)
    if winner == "me":
        ranked.do(command)
    else:
        ranked.refuse_on_record(StateConflict, command)
    loser, action = ("them", "review_state_update") if winner == "me" else ("me", "retry_state_update")
    detected, required, resolved = ranked.of_type(*TOLD)
    assert isinstance(detected.payload, ConflictDetected)
    assert detected.payload.priority == mine
    assert [(each.their_priority, each.current, each.attempted) for each in detected.payload.keys] == [(theirs, 1, 2)]
    assert required.payload == CoordinationRequired(
        action=action, target=loser, winner=winner, conflict_sequence=detected.sequence
    )
    assert resolved.payload == ConflictResolved(
        conflict_sequence=detected.sequence, winner=winner, loser=loser, strategy=BY_PRIORITY
    )
    assert {required.reason, resolved.reason} == {reason}
    assert ranked.value("k") == (2 if winner == "me" else 1)


def test_outside_a_task_priority_is_the_requests_by_default_0(ranked: Namespace) -> None:
    """S7: STATE_UPDATED says with which priority it was written."""
    ranked.do(write("them", 1, 4))
    assert ranked.last(StateUpdated).priority == 4
    ranked.do(write("them", 2))
    assert ranked.last(StateUpdated).priority == 0


def test_inside_a_task_priority_is_the_tasks_unaged(ranked: Namespace) -> None:
    """S7, R5: however long the task waited, and whatever the request says."""
    ranked.submit(task("slow", priority=3), task("fast", priority=4))
    ranked.advance(200)
    ranked.open("a", "work", slots=2)
    ranked.complete("fast", changes=(changing(("k", "fast")),))
    token = ranked.token("slow")
    inside = Caller(session_id=ranked.state.attempts[token].session_id, attempt_token=token)
    ranked.refuse_on_record(StateConflict, write("", 2, 9), inside)
    assert ranked.last(ConflictDetected).priority == 3
    assert ranked.value("k") == "fast"


def test_a_task_that_wins_is_complete(ranked: Namespace) -> None:
    """S7, R9: its completion, the conflict it won and its changes are one decision."""
    ranked.open("a", "work", slots=2)
    ranked.submit(task("low", priority=1), task("high", priority=8))
    ranked.complete("low", changes=(changing(("k", "low")),))
    token = ranked.token("high")
    before = len(ranked.events)
    command = commands.CompleteTask(attempt_token=token, changes=(changing(("k", "high")),))
    answer = ranked.do(command, ranked.reporter(token))
    kinds = [event.type for event in ranked.events[before:]]
    assert kinds[:5] == [*TOLD, EventType.STATE_UPDATED, EventType.AGENT_COMPLETED]
    assert ranked.events[before + 3].sequence == answer.sequence
    assert ranked.statuses() == {"low": "SUCCEEDED", "high": "SUCCEEDED"}
    assert ranked.last(ConflictResolved).loser == "task/run/low"


def test_who_wins_is_given_the_revision_also_when_asking_again(ranked: Namespace) -> None:
    """S7, D5: the answer names the STATE_UPDATED, not the conflict; a repetition is told the same, once written."""
    ranked.do(write("them", 1, 2))
    before = len(ranked.events)
    done = ranked.do(write("me", 2, 7), caller("me", request_id="r"))
    decision = ranked.events[before:]
    assert [event.type for event in decision] == [*TOLD, EventType.STATE_UPDATED]
    assert done.sequence == decision[-1].sequence
    assert recalled(decision) == Done(sequence=done.sequence, replayed=True)
    lost = ranked.refuse_on_record(StateConflict, write("other", 3), caller("other", request_id="s"))
    again = recalled(ranked.events[-3:])
    assert isinstance(again, StateConflict)
    assert again.current_revision == lost.current_revision


def test_a_higher_priority_is_not_hidden_behind_a_lower_one(ranked: Namespace) -> None:
    """S7: who wrote on top of the higher priority, having seen it, does not open the way for those who have not."""
    base = ranked.state.sequence
    high = ranked.do(write("high", 1, 9)).sequence
    ranked.do(write("low", 2, 0, base=high))
    ranked.refuse_on_record(StateConflict, write("middle", 3, 5, base=base))
    assert ranked.last(ConflictResolved).winner == "high"
    ranked.do(write("middle", 3, 5, base=high))
    assert ranked.value("k") == 3


def test_all_keys_have_to_win(ranked: Namespace) -> None:
    """S7, S1: an update of many keys is atomic; one that loses on one key loses."""
    ranked.do(write("low", 1, 1, key="a"))
    ranked.do(write("high", 1, 8, key="b"))
    change = changing(("a", 2), ("b", 2))
    command = commands.UpdateState(change=change, writer="me", priority=5)
    ranked.refuse_on_record(StateConflict, command)
    assert (ranked.value("a"), ranked.value("b")) == (1, 1)
    ranked.do(replace(command, priority=9))
    assert (ranked.value("a"), ranked.value("b")) == (2, 2)
    told = [event.payload for event in ranked.of_type(EventType.COORDINATION_REQUIRED)][1:]
    assert [each.target for each in told if isinstance(each, CoordinationRequired)] == ["low", "high"]


def test_the_last_writer_wins_whatever_its_priority(namespace: Namespace) -> None:
    """S7: last_writer_wins; the conflict is recorded and whoever is overwritten is told."""
    governed(namespace, LAST_WINS)
    namespace.do(write("them", 1, 9))
    namespace.do(write("me", 2))
    assert namespace.value("k") == 2
    assert [event.reason for event in namespace.of_type(*TOLD)[1:]] == [reasons.LAST_WRITER_WINS] * 2
    assert namespace.last(ConflictResolved) == ConflictResolved(
        conflict_sequence=namespace.of_type(EventType.CONFLICT_DETECTED)[0].sequence,
        winner="me",
        loser="them",
        strategy=LAST_WINS,
    )


def test_no_conflict_is_nobodys_victory(ranked: Namespace) -> None:
    """S7, S5: a window that is over, or a base that is current, leaves nothing to resolve."""
    revision = ranked.do(write("them", 1, 9)).sequence
    ranked.do(write("me", 2, base=revision))
    ranked.advance(61)
    ranked.do(write("other", 3))
    assert ranked.of_type(*TOLD) == []


def test_the_later_writers_policy_decides(namespace: Namespace) -> None:
    """R17: for a conflict the strategy of the writer that comes later."""
    policies = (Policy(name="default"), Policy(name="last", conflict_strategy=LAST_WINS))
    namespace.do(commands.ChangePolicies(policies=policies))
    session = namespace.open("a", "work", name="last")
    namespace.do(write("them", 1))
    namespace.do(write("", 2), session)
    assert namespace.value("k") == 2
    namespace.refuse_on_record(StateConflict, write("them", 3))


def test_rivals_are_those_of_a_plain_search(ranked: Namespace) -> None:
    """S7, S3: what a path remembers finds the highest priority since a base, as reading all of the history would."""
    chance = random.Random(7)
    history: list[tuple[int, str, int]] = []
    for _ in range(400):
        key = chance.choice("ab") + chance.choice(["", "/x"])
        writer, priority = chance.choice("uvw"), chance.randrange(4)
        base = chance.choice([0, *(revision for revision, *_ in history[-12:])])
        after = [entry for entry in history if entry[0] > base and _overlap(entry[1], key)]
        highest = max((entry[2] for entry in after), default=-1)
        command = write(writer, 1, priority, key=key, base=base)
        if priority > highest:
            done = ranked.do(command)
            history.append((done.sequence, key, priority))
        else:
            ranked.refuse_on_record(StateConflict, command)
    assert len(history) > 20
    longest = max(len(row.under.above) for row in ranked.state.paths.values())
    assert 0 < longest <= 9


def _overlap(one: str, other: str) -> bool:
    return one == other or one.startswith(f"{other}/") or other.startswith(f"{one}/")


def test_appends_are_above_nothing_but_what_they_meet(ranked: Namespace) -> None:
    """S7, S3: appends never conflict with appends, also when one has a higher priority."""
    ranked.do(write("them", 1, 9, strategy=MergeStrategy.APPEND))
    ranked.do(write("me", 2, 0, strategy=MergeStrategy.APPEND))
    assert ranked.value("k") == [1, 2]
    assert ranked.of_type(*TOLD) == []
    ranked.refuse_on_record(StateConflict, write("other", 3, 9, strategy=MergeStrategy.REPLACE))
