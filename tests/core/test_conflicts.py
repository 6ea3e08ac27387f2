"""When two writers meet on shared state."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator_service.core import commands, conflicts, reasons, trails
from coordinator_service.core.commands import Caller
from coordinator_service.core.events import ConflictDetected, ConflictResolved, CoordinationRequired, EventType
from coordinator_service.core.rejections import StateConflict
from coordinator_service.core.specs import Policy
from coordinator_service.core.values import ConflictStrategy, MergeStrategy, path_covers
from tests.core.driver import Namespace, caller, changing, seconds, task, updating

APPEND, REPLACE = MergeStrategy.APPEND, MergeStrategy.REPLACE


@pytest.mark.parametrize(
    ("theirs", "mine", "meet"),
    [("a", "a", True), ("a", "a/b", True), ("a/b", "a", True), ("a/b", "a/c", False), ("a", "ab", False)],
)
def test_paths_that_overlap_conflict(namespace: Namespace, theirs: str, mine: str, meet: bool) -> None:
    """S3: with a base_revision: any overlapping path changed after it; one a prefix of the other."""
    base = namespace.update("other", 0)
    namespace.update(theirs, 1, writer="them")
    command = updating(mine, 2, base=base, writer="me")
    if meet:
        rejection = namespace.refuse_on_record(StateConflict, command)
        assert (rejection.keys[0].key, rejection.keys[0].their_key) == (mine, theirs)
    else:
        namespace.do(command)


def test_with_a_base_ones_own_change_counts_as_well(namespace: Namespace) -> None:
    """S3: whoever did it."""
    base = namespace.update("k", 1, writer="me")
    namespace.update("k", 2, writer="me")
    namespace.refuse_on_record(StateConflict, updating("k", 3, base=base, writer="me"))


def test_a_base_that_is_current_passes_however_recent_the_change(namespace: Namespace) -> None:
    """S3, S8: who has seen the other's change may build on it: the revision to retry with is in the conflict."""
    namespace.update("k", 1, writer="them")
    rejection = namespace.refuse_on_record(StateConflict, updating("k", 2, base=0, writer="me"))
    assert namespace.last(ConflictDetected).base_revision == 0
    assert namespace.of_type(EventType.CONFLICT_DETECTED)[0].reason == reasons.CHANGED_SINCE_BASE
    namespace.update("k", 2, base=rejection.current_revision, writer="me")
    assert namespace.value("k") == 2


def test_appends_never_conflict_with_appends(namespace: Namespace) -> None:
    """S3: but with anything else they do."""
    base = namespace.update("k", ["first"], writer="them")
    namespace.update("k", "theirs", strategy=APPEND, writer="them")
    namespace.update("k", "mine", strategy=APPEND, base=base, writer="me")
    assert namespace.value("k") == ["first", "theirs", "mine"]
    namespace.refuse_on_record(StateConflict, updating("k", [], base=base, writer="me"))
    namespace.update("k", ["anew"], strategy=REPLACE, writer="me", base=namespace.state.sequence)
    namespace.refuse_on_record(StateConflict, updating("k", "more", strategy=APPEND, base=base, writer="them"))


def test_replacing_under_a_prefix_meets_what_it_would_take_away(namespace: Namespace) -> None:
    """S3, S2: clearing a prefix writes every path under it."""
    base = namespace.update("site/a", 1, writer="me")
    namespace.update("site/b", 2, writer="them")
    change = changing(("site/a", 3), strategy=REPLACE, prefix="site", base=base)
    namespace.refuse_on_record(StateConflict, commands.UpdateState(change=change, writer="me"))
    assert namespace.value("site/b") == 2


def test_what_was_cleared_under_a_prefix_was_changed(namespace: Namespace) -> None:
    """S3: a key that somebody deleted is a key that somebody changed; so is any path under the prefix."""
    base = namespace.update("site/a", 1, writer="them")
    change = changing(strategy=REPLACE, prefix="site")
    namespace.do(commands.UpdateState(change=change, writer="them"))
    for key in ("site/a", "site/never-there", "site"):
        namespace.refuse_on_record(StateConflict, updating(key, 2, base=base, writer="me"))


def test_steps_one_after_another_never_conflict(namespace: Namespace) -> None:
    """S4: inside an attempt the base is its token, so a pipeline on one key never conflicts."""
    namespace.open("a", "work")
    namespace.submit(task("first"), task("second", "first"))
    namespace.complete("first", changes=(changing(("k", 1)),))
    namespace.complete("second", changes=(changing(("k", 2)),))
    assert namespace.value("k") == 2


def test_parallel_steps_on_one_path_conflict(namespace: Namespace) -> None:
    """S4: two parallel steps that write the same path do."""
    namespace.open("a", "work", slots=2)
    namespace.submit(task("one"), task("two"))
    namespace.complete("one", changes=(changing(("k", 1)),))
    token = namespace.token("two")
    command = commands.CompleteTask(attempt_token=token, changes=(changing(("k", 2)),))
    rejection = namespace.refuse_on_record(StateConflict, command, namespace.reporter(token))
    assert rejection.keys[0].their_writer == "task/run/one"
    assert namespace.last(ConflictDetected).base_revision == token


def test_a_tasks_own_changes_do_not_count(namespace: Namespace) -> None:
    """S4: the writer is the task, so it may write a key again, and a retry of it too."""
    namespace.open("a", "work")
    namespace.submit(task("t"))
    inside = namespace.inside("t")
    namespace.update("k", 1, inside)
    namespace.update("k", 2, inside)
    assert namespace.state.entries["k"].writer == "task/run/t"
    namespace.fail("t")
    namespace.advance(1)
    namespace.update("k", 3, namespace.inside("t"))


def test_an_attempt_may_name_the_base_it_read(namespace: Namespace) -> None:
    """S4: reads return their revision; clients send it after a conflict."""
    namespace.open("a", "work")
    namespace.submit(task("t"))
    inside = namespace.inside("t")
    namespace.update("k", "theirs", writer="them")
    rejection = namespace.refuse_on_record(StateConflict, updating("k", "mine"), inside)
    namespace.update("k", "mine", inside, base=rejection.current_revision)


def test_a_blind_write_meets_a_recent_change_by_another(namespace: Namespace) -> None:
    """S5: younger than the policy's window (60 s), whoever is blind."""
    namespace.update("k", 1, writer="them")
    namespace.now_ns += seconds(59.9)
    rejection = namespace.refuse_on_record(StateConflict, updating("k", 2, writer="me"))
    assert namespace.of_type(EventType.CONFLICT_DETECTED)[0].reason == reasons.CHANGED_IN_WINDOW
    assert rejection.keys[0].their_writer == "them"
    namespace.now_ns += seconds(0.1)
    namespace.update("k", 2, writer="me")


def test_the_window_is_the_policys(namespace: Namespace) -> None:
    """S5, R17: outside an attempt that of the session's agent name."""
    namespace.do(
        commands.ChangePolicies(
            policies=(Policy(name="default"), Policy(name="hasty", conflict_window_ns=seconds(1))),
        )
    )
    session = namespace.open("h", name="hasty")
    namespace.update("k", 1, writer="them")
    namespace.now_ns += seconds(2)
    namespace.refuse_on_record(StateConflict, updating("k", 2, writer="me"))
    namespace.update("k", 2, session)


def test_who_the_writer_is(namespace: Namespace) -> None:
    """S5: the session's agent_id, else the writer given, else the principal, else every call is another."""
    session = namespace.open("agent-1", name="agents")
    namespace.update("one", 1, session, writer="ignored")
    namespace.update("two", 1, caller(principal="alice"), writer="named")
    namespace.update("three", 1, caller(principal="alice"))
    revision = namespace.update("four", 1)
    writers = [namespace.state.entries[key].writer for key in ("one", "two", "three", "four")]
    assert writers == ["agent-1", "named", "alice", f"request/{revision}"]
    namespace.refuse_on_record(StateConflict, updating("four", 2))
    namespace.update("three", 2, caller(principal="alice"))


def test_a_third_writers_change_is_not_hidden_by_ones_own(namespace: Namespace) -> None:
    """S5: the latest change by somebody else counts, also when one's own came after it."""
    namespace.update("k", 1, writer="them")
    namespace.update("k", 2, writer="me", base=namespace.state.sequence)
    assert namespace.refuse_on_record(StateConflict, updating("k", 3, writer="me")).keys[0].their_writer == "them"


def test_a_conflict_is_told_in_full(namespace: Namespace) -> None:
    """S7: CONFLICT_DETECTED, then COORDINATION_REQUIRED to the loser, then CONFLICT_RESOLVED; first writer wins."""
    trace = "00-11111111111111111111111111111111-2222222222222222-01"
    theirs = namespace.do(updating("k", {"by": "them"}, writer="them"), Caller(traceparent=trace)).sequence
    written_at_ns = namespace.now_ns
    namespace.now_ns += 1
    namespace.refuse_on_record(StateConflict, updating("k", {"by": "me"}, writer="me"))
    detected, required, resolved = namespace.events[-3:]
    assert (detected.cause, required.cause, resolved.cause) == (theirs, detected.sequence, detected.sequence)
    conflict = namespace.last(ConflictDetected)
    assert (conflict.conflict_type, conflict.writer) == ("concurrent_modification", "me")
    assert conflict.strategy is ConflictStrategy.TIMESTAMP_BASED
    [key] = conflict.keys
    assert (key.their_writer, key.their_revision, key.their_timestamp_ns) == ("them", theirs, written_at_ns)
    assert (key.attempted, key.current) == ({"by": "me"}, {"by": "them"})
    assert key.their_traceparent == trace
    required_payload, resolved_payload = namespace.last(CoordinationRequired), namespace.last(ConflictResolved)
    assert (required_payload.action, required_payload.target) == ("retry_state_update", "me")
    assert (required_payload.winner, required_payload.conflict_sequence) == ("them", detected.sequence)
    assert (resolved_payload.winner, resolved_payload.loser) == ("them", "me")
    assert required.reason == reasons.FIRST_WRITER_WINS
    assert namespace.value("k") == {"by": "them"}


def test_the_loser_is_handed_what_it_needs_to_retry(namespace: Namespace) -> None:
    """S8: the current value, the last writer, that write's traceparent, and the revision to build on."""
    trace = "00-11111111111111111111111111111111-2222222222222222-01"
    namespace.do(updating("a", 1, writer="one"), Caller(traceparent=trace))
    namespace.update("b", 2, writer="two")
    command = commands.UpdateState(change=changing(("a", 3), ("b", 4)), writer="me")
    rejection = namespace.refuse_on_record(StateConflict, command)
    assert [(key.current, key.their_writer) for key in rejection.keys] == [(1, "one"), (2, "two")]
    assert rejection.keys[0].their_traceparent == trace
    detected = namespace.of_type(EventType.CONFLICT_DETECTED)[0].sequence
    assert rejection.conflict_sequence == rejection.current_revision == detected
    again = commands.UpdateState(change=changing(("a", 3), ("b", 4), base=rejection.current_revision), writer="me")
    namespace.do(again)


def test_large_values_are_named_by_size_and_digest(namespace: Namespace) -> None:
    """S7, S8: values over 64 KiB are left out, on either side."""
    large, small = "x" * conflicts.VALUE_BYTES_MAX, "small"
    namespace.update("k", large, writer="them")
    key = namespace.refuse_on_record(StateConflict, updating("k", small, writer="me")).keys[0]
    assert (key.current, key.attempted) == (None, small)
    size, _, digest = key.current_digest.partition(":")
    assert (int(size), len(digest)) == (len(large) + 2, 64)


def test_a_conflict_of_many_keys_fits_into_an_event(namespace: Namespace) -> None:
    """S7: values together stay below what one event may hold, and a hundred keys are named at most."""
    value = "x" * 60_000
    keys = [f"k{number:03}" for number in range(150)]
    namespace.do(commands.UpdateState(change=changing(*((key, value) for key in keys)), writer="them"))
    command = commands.UpdateState(change=changing(*((key, 1) for key in keys)), writer="me")
    rejection = namespace.refuse_on_record(StateConflict, command)
    assert len(rejection.keys) == conflicts.KEYS_NAMED_MAX
    in_full = sum(key.current is not None for key in rejection.keys)
    assert in_full == conflicts.VALUES_BYTES_MAX // 60_002
    assert all(key.current_digest for key in rejection.keys if key.current is None)


PATHS = st.sampled_from(["a", "a/b", "a/b/c", "a/c", "b", "ab"])
WRITES = st.tuples(PATHS, st.sampled_from(["one", "two", "three"]), st.booleans())


@given(st.lists(WRITES, max_size=8), PATHS, st.booleans(), st.none() | st.sampled_from(["one", "two"]))
def test_the_trail_of_a_path_tells_what_the_whole_history_would(
    writes: list[tuple[str, str, bool]], path: str, appends: bool, besides: str | None
) -> None:
    """S3: what is kept of each path is enough to find the latest change of an overlapping one by somebody else."""
    namespace = Namespace()
    history = []
    for key, writer, append in writes:
        strategy = APPEND if append else REPLACE
        value = namespace.state.entries.get(key)
        if append and value is not None and not isinstance(value.value, list):
            continue
        base = namespace.state.sequence
        revision = namespace.update(key, [1], strategy=strategy, writer=writer, base=base)
        history.append((revision, key, writer, append))
    expected = [
        revision
        for revision, key, writer, append in history
        if (path_covers(key, path) or path_covers(path, key)) and writer != besides and not (appends and append)
    ]
    found = trails.latest_overlapping(namespace.state, path, appends=appends, besides=besides)
    assert (found.revision if found else 0) == max(expected, default=0)
