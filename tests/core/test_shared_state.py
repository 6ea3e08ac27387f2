"""Keys, values, and how updates join them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator_service.core import commands, past_state, reasons
from coordinator_service.core.answers import PastFromLog
from coordinator_service.core.events import EventType, StateUpdated
from coordinator_service.core.limits import Limits
from coordinator_service.core.past_fold import PastFold
from coordinator_service.core.rejections import (
    CursorCompacted,
    CursorInFuture,
    InvalidField,
    LimitReached,
    NotFound,
    StateConflict,
)
from coordinator_service.core.shared_state import merged
from coordinator_service.core.values import MergeStrategy, path_covers, path_parts
from tests.core.conftest import OpenNamespace
from tests.core.driver import Namespace, changing, copied, seconds, updating

APPEND, MERGE, REPLACE = MergeStrategy.APPEND, MergeStrategy.MERGE, MergeStrategy.REPLACE

JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=6,
)


def test_the_revision_is_the_sequence_of_the_event(namespace: Namespace) -> None:
    """S1: one number line."""
    revision = namespace.update("site/title", "Blog", writer="me")
    [event] = namespace.of_type(EventType.STATE_UPDATED)
    entry = namespace.state.entries["site/title"]
    assert revision == event.sequence == entry.revision
    assert (entry.value, entry.writer, entry.updated_at_ns) == ("Blog", "me", namespace.now_ns)


def test_an_update_of_many_keys_is_atomic(namespace: Namespace) -> None:
    """S1: all keys change, with one revision, or none does."""
    namespace.do(commands.UpdateState(change=changing(("a", 1), ("b", 2))))
    assert namespace.state.entries["a"].revision == namespace.state.entries["b"].revision
    bad = commands.UpdateState(change=changing(("c", 3), ("a", 4), strategy=APPEND))
    assert namespace.refuse(InvalidField, bad).violations[0][0] == "change.updates[1]"
    assert "c" not in namespace.state.entries


@pytest.mark.parametrize(
    ("old", "new", "result"),
    [
        ({"a": {"x": 1}, "b": [1]}, {"a": {"y": 2}, "b": [2]}, {"a": {"x": 1, "y": 2}, "b": [1, 2]}),
        ([1], [2], [1, 2]),
        ("old", "new", "new"),
        ({"a": 1}, "scalar", "scalar"),
        ([1], {"a": 1}, {"a": 1}),
        ({"a": 1}, None, None),
    ],
)
def test_merge(namespace: Namespace, old: Any, new: Any, result: Any) -> None:
    """S2: maps deeply, lists concatenated, scalars replaced."""
    namespace.update("k", old, writer="me")
    namespace.update("k", new, writer="me")
    assert namespace.value("k") == result


@given(JSON, JSON)
def test_merge_changes_neither_side(old: Any, new: Any) -> None:
    """S2, D1: values are shared between events and state, so joining makes new ones."""
    before = repr((old, new))
    result = merged(old, new)
    assert repr((old, new)) == before
    if isinstance(old, dict) and isinstance(new, dict):
        assert set(result) == set(old) | set(new)


def test_replace_takes_the_given_values(namespace: Namespace) -> None:
    """S2: REPLACE: given keys take the given values."""
    namespace.update("k", {"a": 1}, writer="me")
    namespace.update("k", {"b": 2}, strategy=REPLACE, writer="me")
    assert namespace.value("k") == {"b": 2}


def test_replace_with_a_prefix_clears_what_is_under_it(namespace: Namespace) -> None:
    """S2: with a prefix, other keys under it go, by whole segments."""
    for key in ("site", "site/a", "site/b/c", "site-map", "sites/x"):
        namespace.update(key, 1, writer="me")
    change = changing(("site/a", 2), ("site/new", 3), strategy=REPLACE, prefix="site")
    namespace.do(commands.UpdateState(change=change, writer="me"))
    assert {key: entry.value for key, entry in namespace.state.entries.items()} == {
        "site/a": 2,
        "site-map": 1,
        "sites/x": 1,
        "site/new": 3,
    }
    assert namespace.last(StateUpdated).new_state_size == 4


def test_a_replaced_prefix_may_end_up_empty(namespace: Namespace) -> None:
    """S1, S2: that is how keys are deleted."""
    namespace.update("site/a", 1, writer="me")
    namespace.do(commands.UpdateState(change=changing(strategy=REPLACE, prefix="site"), writer="me"))
    assert namespace.state.entries == {}
    assert namespace.last(StateUpdated).new_state_size == 0


def test_append_to_a_list_or_to_nothing(namespace: Namespace) -> None:
    """S2: a list adds its items, anything else is one item."""
    namespace.update("k", "first", strategy=APPEND)
    namespace.update("k", ["second", "third"], strategy=APPEND)
    assert namespace.value("k") == ["first", "second", "third"]


def test_append_to_anything_else_is_refused(namespace: Namespace) -> None:
    """S2: else INVALID_ARGUMENT, and nothing happened."""
    namespace.update("k", {"a": 1})
    namespace.refuse(InvalidField, updating("k", 2, strategy=APPEND))


def test_changes_of_one_report_see_each_other(namespace: Namespace) -> None:
    """S2: an append after the prefix it is under was cleared starts anew."""
    namespace.open("a", "work")
    namespace.submit_one("t")
    namespace.update("site/a", "scalar", namespace.inside("t"))
    cleared = changing(strategy=REPLACE, prefix="site")
    namespace.complete("t", changes=(cleared, changing(("site/a", 1), strategy=APPEND)))
    assert namespace.value("site/a") == [1]


def test_more_keys_than_the_limit_are_refused(open_namespace: OpenNamespace) -> None:
    """S1: the number of keys is bounded; changing one that exists is no new key."""
    namespace = open_namespace(Limits(state_keys_max=1))
    namespace.update("a", 1, writer="me")
    namespace.update("a", 2, writer="me")
    assert namespace.refuse(LimitReached, updating("b", 1)).subject == "state_keys_max"


def test_the_event_carries_what_was_asked_for(namespace: Namespace) -> None:
    """S9: STATE_UPDATED carries the updates, merge_strategy and new_state_size."""
    namespace.update("a", 1)
    namespace.update("b", [2], strategy=APPEND, writer="me")
    payload = namespace.last(StateUpdated)
    assert [(update.key, update.value) for update in payload.updates] == [("b", [2])]
    assert (payload.merge_strategy, payload.new_state_size, payload.writer) == (APPEND, 2, "me")
    assert namespace.events[-1].reason == reasons.UPDATED


def test_the_platforms_own_writes_are_in_no_conflict(namespace: Namespace) -> None:
    """S9: results of two tasks of one name meet without one; the later stands."""
    namespace.open("a", "work", slots=2, name="crew")
    namespace.submit_one("one")
    namespace.submit_one("two", run_id="other")
    namespace.complete("one", result_is_json=True, result_json={"by": "one"})
    namespace.complete("two", "other", result_is_json=True, result_json={"by": "two"})
    assert namespace.value("crew_result") == {"by": "two"}
    namespace.update("crew_result", "mine", writer="me")
    assert namespace.of_type(EventType.CONFLICT_DETECTED) == []


def test_reading_by_key_and_by_prefix(namespace: Namespace) -> None:
    """S1: keys in order, by whole segments, page by page, each with its revision."""
    for key in ("b/2", "a", "b", "b/1", "b-side", "c"):
        namespace.update(key, key.upper(), writer="me")
    read = namespace.do(commands.GetState(prefix="b"))
    assert [(entry.key, entry.value) for entry in read.entries] == [("b", "B"), ("b/1", "B/1"), ("b/2", "B/2")]
    assert read.sequence == namespace.state.sequence
    chosen = namespace.do(commands.GetState(keys=("c", "a", "missing")))
    assert [entry.key for entry in chosen.entries] == ["a", "c"]
    keys, after = [], ""
    while True:
        page = namespace.do(commands.GetState(after_key=after, count_max=2))
        keys += [entry.key for entry in page.entries]
        if not (after := page.next_key):
            break
    assert keys == sorted(namespace.state.entries)


@given(st.lists(st.sampled_from(["a", "b", "ab"]), min_size=1, max_size=4), st.lists(st.sampled_from(["a", "b"])))
def test_paths_overlap_by_whole_segments(segments: list[str], others: list[str]) -> None:
    """S3: "a" covers "a/b" and not "ab"."""
    path, other = "/".join(segments), "/".join(others)
    assert path_parts(path) == tuple("/".join(segments[:end]) for end in range(1, len(segments) + 1))
    assert path_covers(other, path) == (segments[: len(others)] == others)


def delete(*keys: str, prefix: str = "", base: int | None = None) -> commands.DeleteState:
    """A command that deletes."""
    return commands.DeleteState(keys=keys, prefix=prefix, base_revision=base, writer="me")


def test_keys_are_deleted_all_or_none(namespace: Namespace) -> None:
    """S1: those named go, with one revision, and nothing under them does; one that is not there refuses all."""
    for key in ("a", "a/b", "c"):
        namespace.update(key, 1, writer="me")
    missing = namespace.refuse(NotFound, delete("a", "never"))
    assert (missing.kind, missing.name) == ("key", "never")
    revision = namespace.do(delete("a", "c")).sequence
    assert list(namespace.state.entries) == ["a/b"]
    payload = namespace.last(StateUpdated)
    assert (namespace.events[-1].sequence, payload.deletes, payload.new_state_size) == (revision, ("a", "c"), 1)
    namespace.refuse(NotFound, delete("a"))


def test_everything_under_a_path_is_deleted(namespace: Namespace) -> None:
    """S1: at and under it, by whole segments; where nothing is, that is said."""
    for key in ("a", "a/b", "a-b"):
        namespace.update(key, 1, writer="me")
    namespace.do(delete(prefix="a"))
    assert list(namespace.state.entries) == ["a-b"]
    assert namespace.refuse(NotFound, delete(prefix="a")).name == "a"


def test_a_change_sets_and_deletes_together(namespace: Namespace) -> None:
    """S1: one event, one revision; what is deleted by a change of a report may be set by the next."""
    namespace.update("old", 1, writer="me")
    change = replace(changing(("new", 1)), deletes=("old",))
    namespace.do(commands.UpdateState(change=change, writer="me"))
    assert list(namespace.state.entries) == ["new"]
    namespace.open("a", "work")
    namespace.submit_one("t")
    changes = (replace(changing(), deletes=("new",)), changing(("new", 2), strategy=APPEND))
    namespace.complete("t", changes=changes)
    assert namespace.value("new") == [2]


def test_a_base_from_the_future_is_refused_by_its_name(namespace: Namespace) -> None:
    """Bad input, S3: nobody can have read a revision that there is not yet."""
    future = namespace.state.sequence + 1
    refusal = namespace.refuse(CursorInFuture, updating("k", 1, base=future))
    assert refusal.violations[0][0] == "change.base_revision"
    namespace.update("k", 1, writer="me")
    future = namespace.state.sequence + 1
    assert namespace.refuse(CursorInFuture, delete("k", base=future)).violations[0][0] == "base_revision"
    namespace.open("a", "work")
    namespace.submit_one("t")
    token = namespace.token("t")
    late = changing(("k", 2), base=namespace.state.sequence + 1)
    report = commands.CompleteTask(attempt_token=token, changes=(changing(("l", 1)), late))
    refusal = namespace.refuse(CursorInFuture, report, namespace.reporter(token))
    assert refusal.violations[0][0] == "state_changes[1].base_revision"


def test_a_base_from_before_what_is_remembered_is_refused(open_namespace: OpenNamespace) -> None:
    """S3, D8: what was deleted is remembered for the retention; after it a base from before has to be read again, and
    one of 0 relies on nothing."""
    namespace = open_namespace(Limits(state_retention_ms=100_000))
    base = namespace.update("k", 1, writer="them")
    gone = namespace.do(delete("k", base=base)).sequence
    namespace.now_ns += seconds(99.9)
    namespace.refuse_on_record(StateConflict, updating("k", 2, base=base))
    namespace.now_ns += seconds(0.1)
    namespace.update("other", 1, writer="me")
    refusal = namespace.refuse(CursorCompacted, updating("k", 2, base=base))
    assert refusal.oldest_sequence == gone
    assert "k" not in namespace.state.paths
    namespace.update("k", 2, base=0)
    namespace.refuse_on_record(StateConflict, updating("k", 3, base=0))


def test_a_conflict_window_outlasts_the_retention(open_namespace: OpenNamespace) -> None:
    """S5, D8: what a blind write may still meet is not forgotten."""
    namespace = open_namespace(Limits(state_retention_ms=1000))
    namespace.update("k", 1, writer="them")
    namespace.do(commands.DeleteState(keys=("k",), writer="them"))
    namespace.now_ns += seconds(59)
    namespace.update("other", 1, writer="me")
    namespace.refuse_on_record(StateConflict, updating("k", 2, writer="me"))


def test_a_read_of_the_past_is_told_as_it_was(namespace: Namespace) -> None:
    """S1: values, revisions and writers as they stood; the revision is the base to build on."""
    first = namespace.update("a/x", {"n": 1}, writer="one")
    second = namespace.update("a/x", {"n": 2}, writer="two", base=first)
    namespace.do(delete("a/x", base=second))
    namespace.update("a/y", 1, writer="one")
    [entry] = namespace.do(commands.GetState(prefix="a", revision=first)).entries
    assert (entry.key, entry.value, entry.revision, entry.writer) == ("a/x", {"n": 1}, first, "one")
    read = namespace.do(commands.GetState(keys=("a/x", "a/y"), revision=second))
    assert ([each.value for each in read.entries], read.sequence) == ([{"n": 2}], second)
    assert namespace.do(commands.GetState(prefix="a", revision=second + 1)).entries == ()
    future = namespace.state.sequence + 1
    refusal = namespace.refuse(CursorInFuture, commands.GetState(keys=("a/x",), revision=future))
    assert refusal.violations[0][0] == "revision"


def test_what_memory_keeps_of_the_past_is_bounded(open_namespace: OpenNamespace) -> None:
    """S1, D8: by number, by age and by size; what is beyond is told from the log, what did not change since is not."""
    namespace = open_namespace(Limits(state_history_values_max=2, state_history_ms=50_000))
    quiet = namespace.update("quiet", 1, writer="me")
    revisions = [namespace.update("k", number, writer="me") for number in range(4)]

    def told(key: str, revision: int) -> bool:
        """Whether memory answers."""
        return not isinstance(namespace.do(commands.GetState(keys=(key,), revision=revision)), PastFromLog)

    assert [told("k", revision) for revision in revisions] == [False, True, True, True]
    assert told("quiet", quiet)
    large = namespace.update("k", "x" * past_state.VALUE_BYTES_MAX, writer="me")
    after = namespace.update("k", 1, writer="me")
    assert [told("k", large), told("quiet", large), told("k", after)] == [False, True, True]
    namespace.now_ns += seconds(50)
    namespace.update("other", 1, writer="me")
    assert namespace.state.past_from == after
    assert [told("k", large), told("k", after), told("quiet", quiet)] == [False, True, True]


def test_the_past_is_folded_from_a_snapshot_as_from_the_beginning(namespace: Namespace) -> None:
    """S1, D8: tables and the events after them tell the same as all events."""
    for number in range(10):
        namespace.update(f"k/{number % 3}", number, writer="me")
    tables, cut = copied(namespace.state.tables()), len(namespace.events)
    namespace.do(delete(prefix="k/1"))
    namespace.update("k/2", [1], writer="me")
    asked = commands.GetState(prefix="k", revision=namespace.state.sequence)
    folds = PastFold("test"), PastFold("test", tables)
    folds[0].take(namespace.events)
    folds[1].take(namespace.events[cut:])
    assert folds[0].answer(asked) == folds[1].answer(asked) == namespace.do(asked)


@pytest.mark.parametrize(
    ("value", "small"),
    [
        (None, True),
        ("x" * 4000, True),
        ("x" * 5000, False),
        ([0.0] * 60, True),
        ([0.0] * 64, False),
        ({"k" * 4000: 1.0}, False),
        ([["x" * 100] * 20] * 2, False),
    ],
)
def test_large_values_of_the_past_are_not_kept(value: Any, small: bool) -> None:
    """S1: about 4 KiB, counted without walking through what is larger."""
    assert past_state.is_small(value) is small


def test_what_changes_made_of_their_keys(open_namespace: OpenNamespace) -> None:
    """S1: a watcher is told the value at its revision while memory knows it, also when the key changed since."""
    namespace = open_namespace(Limits(state_history_values_max=2))
    revisions = [namespace.update("k", [number], strategy=APPEND, writer="me") for number in range(4)]
    wanted = tuple(("k", revision) for revision in revisions)
    values = namespace.do(commands.GetChangedValues(wanted=(*wanted, ("never", 1)))).values
    found = [None if each is None else each.value for each in values]
    assert found == [None, [0, 1], [0, 1, 2], [0, 1, 2, 3], None]
