"""Trails: who changed a state path, when, and how, for as long as a conflict may ask (S3, S5, S7).

Each path that was written remembers a few changes of itself, and of everything at and under it. What is there keeps
its trail. What is gone keeps it for the retention, for the longest conflict window of a policy if that is longer, and
while an attempt lives that began before it went; then it is forgotten, by event time, and who builds on a revision from
before that has to read again (D8).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

from coordinator_service.core.events import Event, StateUpdated
from coordinator_service.core.state import Change, NamespaceState, PathRow, Trail
from coordinator_service.core.values import NS_PER_MS, path_parts

# Looking.


def latest_overlapping(state: NamespaceState, path: str, *, appends: bool, besides: str | None) -> Change | None:
    """The latest change of an overlapping path by somebody besides a writer; for an append, appends left out."""
    latest: Change | None = None
    for part in path_parts(path):
        row = state.paths.get(part)
        if row is None:
            continue
        trail = row.under if part == path else row.own
        change = _latest(trail, appends=appends, besides=besides)
        if change is not None and (latest is None or change.revision > latest.revision):
            latest = change
    return latest


def overlapping_above(state: NamespaceState, path: str, *, appends: bool, besides: str | None) -> Iterator[Change]:
    """Earlier changes of overlapping paths, of a higher priority than what came after them, by others than a writer;
    and the latest of each path, which may outrank the latest of all."""
    for part in path_parts(path):
        row = state.paths.get(part)
        if row is None:
            continue
        trail = row.under if part == path else row.own
        latest = _latest(trail, appends=appends, besides=besides)
        if latest is not None:
            yield latest
        for change in trail.hard_above if appends else trail.above:
            if change.writer != besides:
                yield change


def _latest(trail: Trail, *, appends: bool, besides: str | None) -> Change | None:
    newest, other = (trail.hard, trail.hard_other) if appends else (trail.latest, trail.latest_other)
    if newest is not None and besides is not None and newest.writer == besides:
        return other
    return newest


def is_live(state: NamespaceState, path: str) -> bool:
    """Whether there is a key at or under a path."""
    if path in state.entries:
        return True
    below = f"{path}/"
    following = next(state.index.keys.starting_at(below), None)
    return following is not None and following.startswith(below)


# Remembering.


def note(state: NamespaceState, event: Event, path: str, payload: StateUpdated, *, hard: bool) -> None:
    """Remembers who changed a path, for it and for everything above it. hard: it was no append."""
    change = Change(
        revision=event.sequence,
        time_ns=event.time_ns,
        writer=payload.writer,
        key=path,
        traceparent=event.traceparent,
        priority=payload.priority,
    )
    for part in path_parts(path):
        row = state.paths.get(part)
        if row is None:
            row = state.paths[part] = PathRow()
        _note(row.under, change, hard=hard)
        if part == path:
            _note(row.own, change, hard=hard)


def note_gone(state: NamespaceState, event: Event, path: str, payload: StateUpdated) -> None:
    """Remembers who deleted a key or cleared a path, and that this is to be forgotten one day."""
    note(state, event, path, payload, hard=True)
    gone = state.index.gone
    gone.pop(path, None)
    gone[path] = (event.time_ns, event.sequence)
    state.forget_at(event.time_ns + _retention_ns(state))


def _note(trail: Trail, change: Change, *, hard: bool) -> None:
    latest = trail.latest
    if latest is not None:
        if latest.writer != change.writer:
            trail.latest_other = latest
        if trail.above or latest.priority > change.priority:
            trail.above = _outranking(trail.above, latest, change)
    trail.latest = change
    if hard:
        latest = trail.hard
        if latest is not None:
            if latest.writer != change.writer:
                trail.hard_other = latest
            if trail.hard_above or latest.priority > change.priority:
                trail.hard_above = _outranking(trail.hard_above, latest, change)
        trail.hard = change


def _outranking(above: tuple[Change, ...], latest: Change, change: Change) -> tuple[Change, ...]:
    return tuple(each for each in (*above, latest) if each.priority > change.priority)


# Forgetting.


def forget_old(state: NamespaceState) -> None:
    """D8: the trails of what is gone go after their retention, by event time and the policies in force."""
    gone = state.index.gone
    state.index.gone_held = False
    if not gone:
        return
    retention_ns = _retention_ns(state)
    while gone:
        path = next(iter(gone))
        time_ns, revision = gone[path]
        if time_ns + retention_ns > state.time_ns:
            state.forget_at(time_ns + retention_ns)
            return
        oldest_attempt = next(iter(state.attempts), revision)
        if revision > oldest_attempt:
            state.index.gone_held = True
            return
        del gone[path]
        _forget(state, path, revision, time_ns)


def _forget(state: NamespaceState, path: str, revision: int, time_ns: int) -> None:
    """Drops the trail of a path, and of those above it, as far up as nothing is there and nothing happened since."""
    for part in reversed(path_parts(path)):
        row = state.paths.get(part)
        if row is None:
            continue
        latest = row.under.latest
        assert latest is not None
        if (latest.time_ns, latest.revision) > (time_ns, revision) or is_live(state, part):
            return
        state.forgotten_revision = max(state.forgotten_revision, latest.revision)
        del state.paths[part]


def rebuild(state: NamespaceState) -> None:
    """Notes what the tables remember of paths where nothing is."""
    found = []
    for path, row in state.paths.items():
        if row.under.latest is not None and not is_live(state, path):
            found.append((row.under.latest.time_ns, row.under.latest.revision, path))
    state.index.gone = OrderedDict((path, (time_ns, revision)) for time_ns, revision, path in sorted(found))


def _retention_ns(state: NamespaceState) -> int:
    """At least as long as any conflict window: a blind write must find what it meets."""
    longest_window_ns = max(policy.conflict_window_ns or 0 for policy in state.policies.values())
    return max(state.limits.state_retention_ms * NS_PER_MS, longest_window_ns)
