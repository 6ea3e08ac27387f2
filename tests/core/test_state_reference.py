"""Shared state against a reference that keeps everything and searches through all of it.

The reference knows no trails, no windows kept in order, nothing forgotten: each change ever made is a row, and each
revision a whole copy. What the namespace decides from what it remembers must be what the reference finds by reading.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import pairwise
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from coordinator_service.core import commands
from coordinator_service.core.answers import Done, PastFromLog, StateRead
from coordinator_service.core.commands import COORDINATOR, Caller
from coordinator_service.core.events import EventType
from coordinator_service.core.limits import Limits
from coordinator_service.core.past_fold import PastFold
from coordinator_service.core.rejections import CursorCompacted, InvalidField, NotFound, StateConflict
from coordinator_service.core.values import MergeStrategy
from tests.core.driver import Namespace, changing, seconds, task

APPEND, MERGE, REPLACE = MergeStrategy.APPEND, MergeStrategy.MERGE, MergeStrategy.REPLACE
WINDOW_NS = seconds(60)
RETENTION_SECONDS = 200

PATHS = st.sampled_from(["a", "a/x", "a/x/1", "a/y", "ab", "b"])
VALUES: st.SearchStrategy[Any] = st.sampled_from(
    [None, 1.0, "t", [1.0], [2.0, "u"], {"k": 1.0}, {"k": {"l": [1.0]}, "m": 2.0}]
)
WRITERS = st.sampled_from(["one", "two"])
BASES = st.sampled_from(["blind", "blind", "now", "older", "older", "nothing"])


def merge(old: Any, new: Any) -> Any:
    """S2 word for word: maps deeply, lists concatenated, anything else replaced."""
    if isinstance(old, dict) and isinstance(new, dict):
        return {
            key: merge(old[key], new[key]) if key in old and key in new else {**old, **new}[key] for key in old | new
        }
    return old + new if isinstance(old, list) and isinstance(new, list) else new


def overlap(one: str, other: str) -> bool:
    """Whether one path is a prefix of the other, by segments."""
    first, second = one.split("/"), other.split("/")
    return all(left == right for left, right in zip(first, second, strict=False))


@dataclass(frozen=True)
class Wrote:
    """A path that a change wrote."""

    revision: int
    time_ns: int
    writer: str
    path: str
    appends: bool


@dataclass
class Reference:
    """Everything that ever happened."""

    wrote: list[Wrote] = field(default_factory=list)
    versions: dict[int, dict[str, Any]] = field(default_factory=lambda: {0: {}})

    @property
    def now(self) -> dict[str, Any]:
        """What is there."""
        return self.versions[max(self.versions)]

    def at(self, revision: int) -> dict[str, Any]:
        """What was there."""
        return self.versions[max(each for each in self.versions if each <= revision)]

    def met(self, paths: list[tuple[str, bool]], base: int | None, writer: str | None, now_ns: int) -> set[Wrote]:
        """Changes that a write of paths meets. writer: whose own changes do not count."""
        return {
            each
            for each in self.wrote
            for path, appends in paths
            if overlap(each.path, path)
            and not (appends and each.appends)
            and each.writer != writer
            and (each.time_ns > now_ns - WINDOW_NS if base is None else each.revision > base)
        }

    def change(
        self,
        revision: int,
        time_ns: int,
        writer: str,
        updates: list[tuple[str, Any]],
        strategy: MergeStrategy = REPLACE,
        prefix: str = "",
        deletes: tuple[str, ...] = (),
    ) -> None:
        """Makes a change."""
        now = dict(self.now)
        gone = list(deletes)
        if prefix:
            given = {key for key, _ in updates}
            gone += [key for key in now if key not in given and overlap(key, prefix) and len(key) >= len(prefix)]
            self.wrote.append(Wrote(revision, time_ns, writer, prefix, False))
        for key in gone:
            del now[key]
            self.wrote.append(Wrote(revision, time_ns, writer, key, False))
        for key, value in updates:
            now[key] = self.joined(now, key, value, strategy)
            self.wrote.append(Wrote(revision, time_ns, writer, key, strategy is APPEND))
        self.versions[revision] = now

    @staticmethod
    def joined(now: dict[str, Any], key: str, value: Any, strategy: MergeStrategy) -> Any:
        if strategy is APPEND:
            return [*now.get(key, []), *(value if isinstance(value, list) else [value])]
        return merge(now[key], value) if strategy is MERGE and key in now else value


class SharedState(RuleBasedStateMachine):
    """Writers with and without bases, inside and outside of attempts, deletions, and time that passes."""

    @initialize(history=st.sampled_from([3, 20, 4096]), history_seconds=st.sampled_from([50, 600]))
    def begin(self, history: int, history_seconds: int) -> None:
        limits = Limits(
            state_retention_ms=RETENTION_SECONDS * 1000,
            state_history_values_max=history,
            state_history_ms=history_seconds * 1000,
        )
        self.namespace = Namespace(limits, restore_every=3)
        self.reference = Reference()
        self.session = self.namespace.open("agent", "work", slots=3)
        self.runs = 0

    # Who writes, on what base.

    def _base(self, base: str, back: int) -> int | None:
        sequence = self.namespace.state.sequence
        return {"blind": None, "now": sequence, "older": max(1, sequence - back), "nothing": 0}[base]

    def _write(
        self,
        command: commands.UpdateState | commands.DeleteState,
        caller: Caller,
        writer: str,
        paths: list[tuple[str, bool]],
        change: dict[str, Any],
        *,
        retry: bool = False,
    ) -> None:
        """Does it on both sides, and compares. retry: a refusal is answered with what it handed over."""
        state = self.namespace.state
        given = command.change.base_revision if isinstance(command, commands.UpdateState) else command.base_revision
        base = caller.attempt_token if given is None and caller.attempt_token else given
        besides = writer if given is None or caller.attempt_token else None
        forgotten = state.forgotten_revision
        met = self.reference.met(paths, base, besides, self.namespace.now_ns)
        answer = self.namespace.decide(command, caller).answer
        if isinstance(answer, NotFound | InvalidField):
            assert self._impossible(change), answer
        elif isinstance(answer, CursorCompacted):
            assert given
            assert given < forgotten
        elif isinstance(answer, StateConflict):
            assert answer.current_revision == self.namespace.state.sequence - 2  # the conflict's own
            assert met
            assert {each.their_revision for each in answer.keys} <= {each.revision for each in met}
            if retry:
                again = answer.current_revision
                if isinstance(command, commands.UpdateState):
                    command = replace(command, change=replace(command.change, base_revision=again))
                else:
                    command = replace(command, base_revision=again)
                done = self.namespace.do(command, caller)
                self.reference.change(done.sequence, self.namespace.now_ns, writer, **change)
        else:
            assert isinstance(answer, Done)
            assert all(given == 0 and each.revision <= forgotten for each in met), "a lost update"
            there = {key for key in self.reference.now if any(overlap(key, path) for path, _ in paths)}
            assert not met or not there or any(appends for _, appends in paths), "who relies on nothing found something"
            self.reference.change(answer.sequence, self.namespace.now_ns, writer, **change)

    def _impossible(self, change: dict[str, Any]) -> bool:
        now = self.reference.now
        if any(key not in now for key in change.get("deletes", ())):
            return True
        if not change["updates"] and change.get("prefix"):
            return not any(overlap(key, change["prefix"]) and len(key) >= len(change["prefix"]) for key in now)
        appends = change.get("strategy") is APPEND
        return appends and any(not isinstance(now.get(key, []), list) for key, _ in change["updates"])

    @rule(
        updates=st.lists(st.tuples(PATHS, VALUES), min_size=1, max_size=2, unique_by=lambda each: each[0]),
        strategy=st.sampled_from(MergeStrategy),
        prefix=st.sampled_from(["", "", "", "a", "a/x"]),
        writer=WRITERS,
        base=BASES,
        back=st.integers(1, 30),
        retry=st.booleans(),
    )
    def update(
        self,
        updates: list[tuple[str, Any]],
        strategy: MergeStrategy,
        prefix: str,
        writer: str,
        base: str,
        back: int,
        retry: bool,
    ) -> None:
        prefix = prefix if strategy is REPLACE else ""
        given = changing(*updates, strategy=strategy, prefix=prefix, base=self._base(base, back))
        paths = [(key, strategy is APPEND) for key, _ in updates] + ([(prefix, False)] if prefix else [])
        change = {"updates": updates, "strategy": strategy, "prefix": prefix}
        self._write(commands.UpdateState(change=given, writer=writer), COORDINATOR, writer, paths, change, retry=retry)

    @rule(
        keys=st.lists(PATHS, min_size=1, max_size=2, unique=True),
        by_prefix=st.booleans(),
        writer=WRITERS,
        base=BASES,
        back=st.integers(1, 30),
    )
    def delete(self, keys: list[str], by_prefix: bool, writer: str, base: str, back: int) -> None:
        prefix = keys[0] if by_prefix else ""
        deletes = () if by_prefix else tuple(keys)
        revision = self._base(base, back)
        command = commands.DeleteState(keys=deletes, prefix=prefix, base_revision=revision, writer=writer)
        paths = [(path, False) for path in ((prefix,) if by_prefix else deletes)]
        self._write(command, COORDINATOR, writer, paths, {"updates": [], "prefix": prefix, "deletes": deletes})

    # Attempts.

    @precondition(lambda self: len(self.namespace.state.attempts) < 3)
    @rule()
    def start(self) -> None:
        self.runs += 1
        spec = task("t", max_execution_time_ns=seconds(100_000))
        self.namespace.submit(spec, run_id=f"run-{self.runs}", timeout_ns=seconds(100_000))

    @precondition(lambda self: self.namespace.state.attempts)
    @rule(
        which=st.integers(0, 2), updates=st.lists(st.tuples(PATHS, VALUES), min_size=1, max_size=1), based=st.booleans()
    )
    def update_inside(self, which: int, updates: list[tuple[str, Any]], based: bool) -> None:
        attempts = list(self.namespace.state.attempts.values())
        attempt = attempts[which % len(attempts)]
        base = self.namespace.state.sequence if based else None
        command = commands.UpdateState(change=changing(*updates, base=base))
        caller = Caller(session_id=attempt.session_id, attempt_token=attempt.token)
        writer = f"task/{attempt.run_id}/{attempt.task_id}"
        paths = [(key, False) for key, _ in updates]
        self._write(command, caller, writer, paths, {"updates": updates, "strategy": MERGE})

    @precondition(lambda self: self.namespace.state.attempts)
    @rule(which=st.integers(0, 2))
    def complete(self, which: int) -> None:
        attempts = list(self.namespace.state.attempts.values())
        self.namespace.complete("t", attempts[which % len(attempts)].run_id)

    # Time.

    @rule(count=st.sampled_from([0.1, 30, 59.9, 60, 100, 250]))
    def wait(self, count: float) -> None:
        self.namespace.now_ns += seconds(count)
        self.namespace.do(commands.Publish(drafts=(commands.EventDraft(name="tick"),)))

    # What must hold.

    @rule(back=st.integers(0, 60), prefix=st.sampled_from(["", "a", "a/x", "b"]), by_keys=st.booleans())
    def look_back(self, back: int, prefix: str, by_keys: bool) -> None:
        """S1: any revision is told as it was, from memory or from the events."""
        revision = max(1, self.namespace.state.sequence - back)
        then = self.reference.at(revision)
        if by_keys:
            asked = commands.GetState(keys=("a", "a/x", "b", "never"), revision=revision)
            expected = {key: then[key] for key in asked.keys if key in then}
        else:
            asked = commands.GetState(prefix=prefix, revision=revision, count_max=2)
            expected = {
                key: then[key] for key in then if not prefix or (overlap(key, prefix) and len(key) >= len(prefix))
            }
        found: dict[str, Any] = {}
        while True:
            read = self.namespace.do(asked)
            if isinstance(read, PastFromLog):
                assert revision < self.namespace.state.past_from
                fold = PastFold("test")
                fold.take(self.namespace.events[:revision])
                read = fold.answer(read.command)
            assert isinstance(read, StateRead)
            assert read.sequence == revision
            found |= {entry.key: entry.value for entry in read.entries}
            if not read.next_key:
                break
            asked = commands.GetState(prefix=prefix, revision=revision, count_max=2, after_key=read.next_key)
        assert found == expected
        assert list(found) == sorted(found)

    @invariant()
    def what_is_there_is_what_was_written(self) -> None:
        """S1, S2."""
        if hasattr(self, "reference"):
            state = self.namespace.state
            assert {key: entry.value for key, entry in state.entries.items()} == self.reference.now
            assert state.past_values <= state.limits.state_history_values_max

    @invariant()
    def what_is_gone_is_forgotten(self) -> None:
        """D8: paths of keys that are gone stay for the retention, and while an attempt lives that began before."""
        if not hasattr(self, "reference"):
            return
        state = self.namespace.state
        oldest_attempt = min(state.attempts, default=state.sequence + 1)
        for path, row in state.paths.items():
            live = any(overlap(key, path) and len(key) >= len(path) for key in state.entries)
            latest = row.under.latest
            assert latest is not None
            recent = latest.time_ns + seconds(RETENTION_SECONDS) > state.time_ns
            assert live or recent or latest.revision > oldest_attempt, path

    def teardown(self) -> None:
        if hasattr(self, "reference"):
            self.namespace.verify()
            revisions = [event.sequence for event in self.namespace.of_type(EventType.STATE_UPDATED)]
            assert all(one < other for one, other in pairwise(revisions))


SharedState.TestCase.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True
)


class TestSharedState(SharedState.TestCase):  # type: ignore[misc, name-defined]
    """S1, S2, S3, S4, S5, D8: what is remembered decides as the whole history would, and tells every revision."""


@pytest.mark.parametrize("seed", range(6))
def test_long_walks(seed: int) -> None:
    """S1, S2, S3, S4, S5, D8: the same over histories longer than a search comes to, drawn by a seed."""
    chance = Random(seed)
    walk = SharedState()
    walk.begin(chance.choice([3, 20, 4096]), chance.choice([50, 600]))
    paths = ["a", "a/x", "a/x/1", "a/y", "ab", "b"]
    values: list[Any] = [None, 1.0, "t", [1.0], [2.0, "u"], {"k": 1.0}, {"k": {"l": [1.0]}, "m": 2.0}]

    def updates(count: int) -> list[tuple[str, Any]]:
        return [(key, chance.choice(values)) for key in chance.sample(paths, count)]

    def base() -> tuple[str, str, int]:
        return (
            chance.choice(["one", "two"]),
            chance.choice(["blind", "now", "now", "older", "nothing"]),
            chance.randint(1, 120),
        )

    def running() -> bool:
        return bool(walk.namespace.state.attempts)

    def change() -> None:
        strategy, prefix = chance.choice(list(MergeStrategy)), chance.choice(["", "", "a"])
        walk.update(updates(chance.randint(1, 2)), strategy, prefix, *base(), chance.random() < 0.3)

    def work() -> None:
        if running() and chance.random() < 0.6:
            walk.update_inside(chance.randint(0, 2), updates(1), chance.random() < 0.5)
        elif running() and chance.random() < 0.6:
            walk.complete(chance.randint(0, 2))
        elif len(walk.namespace.state.attempts) < 3:
            walk.start()

    acts: list[tuple[int, Callable[[], None]]] = [
        (10, change),
        (6, lambda: walk.delete(chance.sample(paths, 1), chance.random() < 0.3, *base())),
        (7, work),
        (4, lambda: walk.wait(chance.choice([0.1, 30, 59.9, 60, 100, 250]))),
        (4, lambda: walk.look_back(chance.randint(0, 200), chance.choice(["", "a", "b"]), chance.random() < 0.4)),
    ]
    weights, chosen = zip(*acts, strict=True)
    for act in chance.choices(chosen, weights, k=700):
        act()
        walk.what_is_there_is_what_was_written()
        walk.what_is_gone_is_forgotten()
    assert walk.namespace.of_type(EventType.CONFLICT_DETECTED)
    assert walk.namespace.state.forgotten_revision
    walk.teardown()
