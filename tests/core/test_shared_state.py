"""Keys, values, and how updates join them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator_service.core import commands, reasons
from coordinator_service.core.events import EventType, StateUpdated
from coordinator_service.core.limits import Limits
from coordinator_service.core.rejections import InvalidField, LimitReached
from coordinator_service.core.shared_state import merged
from coordinator_service.core.values import MergeStrategy, path_covers, path_parts
from tests.core.conftest import OpenNamespace
from tests.core.driver import Namespace, changing, updating

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
    assert namespace.refuse(InvalidField, bad).violations[0][0] == "changes[0].updates[1]"
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
