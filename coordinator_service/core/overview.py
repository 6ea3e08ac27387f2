"""The overview: what a person is shown of a namespace: its runs, agents, locks and keys, and what waits, and why.

Of everything a bounded part, that which matters first, with how many there are in all. Read in small steps, as the
monitor is.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any, Final, TypeVar

from coordinator_service.core import lock_queues, monitor, runs
from coordinator_service.core.explain import Present
from coordinator_service.core.figures import HealthWindowView, OrchestrationMetricsView
from coordinator_service.core.lock_waits import in_words
from coordinator_service.core.metrics import Metrics
from coordinator_service.core.specs import CircuitView, TaskCounts
from coordinator_service.core.state import AgentRow, EntryRow, NamespaceState, RunRow, TaskRow, WaiterRow
from coordinator_service.core.values import (
    AgentStatus,
    CircuitStatus,
    LockMode,
    RunStatus,
    TaskStatus,
    value,
)

T = TypeVar("T")
Steps = Generator[None, None, T]
"""A reading in small steps: whoever reads lets others have their turn after each."""

LOOKED_AT_PER_STEP: Final = 200
LOOKED_AT_MAX: Final = 20_000
"""Of a kind that are looked at for those that are shown: where there are more, the rest is counted only."""
NAMED_MAX: Final = 5
"""Attempts of an agent, holders and waiters of a lock that are named."""
QUEUE_TOLD_MAX: Final = 100
"""A lock request in a longer queue is told how long that is, not who stands before it."""
TASKS_LOOKED_AT_MAX: Final = 2_000
"""Tasks of a run that are looked at for some that wait."""


@value
class RunLine:
    """A run in a line."""

    run_id: str
    name: str
    status: RunStatus
    cancelling: bool
    open: bool
    generation: int
    counts: TaskCounts
    began_at_ns: int
    finished_at_ns: int
    sequence: int


@value
class AttemptLine:
    """What an agent executes."""

    run_id: str
    task_id: str
    since_ns: int
    deadline_ns: int
    fraction: float
    message: str
    cancelling: bool


@value
class AgentLine:
    """An agent: its load, what it executes, and circuits that are not closed."""

    agent_id: str
    agent_name: str
    status: AgentStatus
    slots: int
    running: int
    attempts: tuple[AttemptLine, ...]
    capabilities: tuple[str, ...]
    circuits: tuple[CircuitView, ...]
    since_ns: int
    locks: int


@value
class Party:
    """Who holds a lock or waits for it: a task, an agent outside tasks, or a name."""

    holder: str
    since_ns: int
    mode: LockMode
    sequence: int
    """The fencing token of a holder, the request of a waiter; 0 for a task that declares the lock."""
    run_id: str = ""
    task_id: str = ""
    agent_id: str = ""
    detached: bool = False


@value
class LockLine:
    """A lock that is held or waited for."""

    resource: str
    mode: LockMode | None
    holders: tuple[Party, ...]
    holders_total: int
    waiters: tuple[Party, ...]
    waiters_total: int


@value
class WaitLine:
    """Something that waits, and why."""

    text: str
    since_ns: int
    run_id: str = ""
    task_id: str = ""
    request_sequence: int = 0
    holder: str = ""
    resource: str = ""
    kinds: tuple[int, ...] = ()


@value
class RoleLine:
    """What was counted of an agent name since the log began."""

    agent_name: str
    executions: int
    successes: int
    failures: int
    waiting_ns: int
    executing_ns: int
    executing_p50_ns: int
    executing_p99_ns: int
    last_seen_ns: int


@value
class KeyLine:
    """A key of shared state."""

    key: str
    value: Any
    revision: int
    writer: str
    updated_at_ns: int


@value
class Some:
    """Some of what there is."""

    shown: tuple[Any, ...]
    total: int


@value
class Overview:
    """A namespace at a glance."""

    health: HealthWindowView
    orchestrations: OrchestrationMetricsView
    runs: Some
    agents: Some
    locks: Some
    waits: tuple[WaitLine, ...]
    roles: tuple[RoleLine, ...]
    state_keys: int


def overview(metrics: Metrics, state: NamespaceState, now_ns: int, lines_max: int) -> Steps[Overview]:
    """At most `lines_max` of each."""
    found_runs = yield from run_lines(metrics, state, "", lines_max)
    found_agents = yield from agent_lines(state, "", lines_max)
    found_locks = yield from lock_lines(state, "", lines_max)
    waits = yield from wait_lines(metrics, state, now_ns, lines_max)
    return Overview(
        health=monitor.health(metrics, now_ns)[1],
        orchestrations=monitor.orchestrations(metrics, state),
        runs=found_runs,
        agents=found_agents,
        locks=found_locks,
        waits=waits,
        roles=tuple(_role(*each) for each in itertools.islice(reversed(metrics.agents.items()), lines_max)),
        state_keys=len(state.entries),
    )


# Runs.


def run_lines(metrics: Metrics, state: NamespaceState, match: str, lines_max: int) -> Steps[Some]:
    """Active ones first, then the newest."""
    active = (state.runs[each] for each in reversed(metrics.runs_active) if each in state.runs)
    over = (run for run in reversed(state.runs.values()) if run.status.over)
    wanted = match.casefold()
    found = yield from _looked_at(itertools.chain(active, over), lambda run: _run_matches(run, wanted), lines_max)
    return Some(shown=tuple(map(run_line, found)), total=len(state.runs))


def _run_matches(run: RunRow, wanted: str) -> bool:
    return not wanted or wanted in run.run_id.casefold() or wanted in run.spec.name.casefold()


def run_line(run: RunRow) -> RunLine:
    """A run in a line."""
    return RunLine(
        run_id=run.run_id,
        name=run.spec.name,
        status=run.status,
        cancelling=bool(run.cancel_reason) and not run.status.over,
        open=run.open,
        generation=run.generation,
        counts=runs.counts(run),
        began_at_ns=run.began_at_ns,
        finished_at_ns=run.finished_at_ns,
        sequence=run.sequence,
    )


# Agents.


def agent_lines(state: NamespaceState, match: str, lines_max: int) -> Steps[Some]:
    """Those that are connected first, the busiest of them before the others."""
    wanted = match.casefold()
    connected = (state.agents[each] for each in state.index.sessions.values())
    found = yield from _smallest((agent for agent in connected if _agent_matches(agent, wanted)), _by_load, lines_max)
    if len(found) < lines_max:
        gone = (each for each in reversed(state.agents.values()) if not each.session_id)
        left = lines_max - len(found)
        found += yield from _looked_at(gone, lambda agent: _agent_matches(agent, wanted), left)
    lines = tuple(_agent_line(state, agent) for agent in found)
    return Some(shown=lines, total=len(state.agents))


def _agent_matches(agent: AgentRow, wanted: str) -> bool:
    return not wanted or wanted in agent.spec.agent_id.casefold() or wanted in agent.spec.agent_name.casefold()


def _by_load(agent: AgentRow) -> tuple[bool, int, str]:
    well = agent.attached and all(each.status is CircuitStatus.CLOSED for each in agent.circuits.values())
    return well, -len(agent.attempts), agent.spec.agent_id


def _agent_line(state: NamespaceState, agent: AgentRow) -> AgentLine:
    named = itertools.islice(agent.attempts, NAMED_MAX)
    return AgentLine(
        agent_id=agent.spec.agent_id,
        agent_name=agent.spec.agent_name,
        status=agent.status,
        slots=agent.spec.slots,
        running=len(agent.attempts),
        attempts=tuple(_attempt_line(state, token) for token in named),
        capabilities=tuple(each.name for each in agent.spec.capabilities[:NAMED_MAX]),
        circuits=tuple(
            CircuitView(
                capability=capability,
                status=row.status,
                failures=row.failures,
                until_ns=row.until_ns,
                trial_token=row.trial_token,
            )
            for capability, row in itertools.islice(agent.circuits.items(), NAMED_MAX)
            if row.status is not CircuitStatus.CLOSED or row.failures
        ),
        since_ns=agent.registered_at_ns if agent.session_id else agent.disconnected_at_ns,
        locks=len(agent.grants),
    )


def _attempt_line(state: NamespaceState, token: int) -> AttemptLine:
    attempt = state.attempts[token]
    progress = state.task(attempt.run_id, attempt.task_id).progress
    return AttemptLine(
        run_id=attempt.run_id,
        task_id=attempt.task_id,
        since_ns=attempt.assigned_at_ns,
        deadline_ns=attempt.deadline_ns,
        fraction=0.0 if progress is None else progress.fraction,
        message="" if progress is None else progress.message[:200],
        cancelling=bool(attempt.fenced_at_ns),
    )


# Locks.


def lock_lines(state: NamespaceState, match: str, lines_max: int) -> Steps[Some]:
    """The longest queues first, then what is held."""
    wanted = match.casefold()
    contended = {**dict.fromkeys(state.index.lock_queues), **dict.fromkeys(state.index.claims)}
    names = itertools.chain(contended, (name for name in state.locks if name not in contended))
    found = yield from _smallest(
        (name for name in names if wanted in name.casefold()),
        lambda name: (-_queued(state, name) - _claimed(state, name), name),
        lines_max,
    )
    total = len(state.locks) + sum(name not in state.locks for name in contended)
    return Some(shown=tuple(lock_line(state, name) for name in found), total=total)


def _queued(state: NamespaceState, resource: str) -> int:
    queue = state.index.lock_queues.get(resource)
    return 0 if queue is None else len(queue.exclusive) + len(queue.shared) + len(queue.aside)


def _claimed(state: NamespaceState, resource: str) -> int:
    return sum(len(queue.every) for queue in state.index.claims.get(resource, {}).values())


def lock_line(state: NamespaceState, resource: str) -> LockLine:
    """A lock, with those who hold it and those whose turn comes first."""
    row = state.locks.get(resource)
    tokens = [] if row is None else list(itertools.islice(row.holders.values(), NAMED_MAX))
    queue = state.index.lock_queues.get(resource)
    places = [] if queue is None else itertools.islice(lock_queues.in_order(queue), NAMED_MAX)
    waiters = [_waiting_party(state, state.waiters[sequence], resource) for _, sequence in places]
    if queue is not None and len(waiters) < NAMED_MAX:
        aside = itertools.islice(queue.aside, NAMED_MAX - len(waiters))
        waiters += [_waiting_party(state, state.waiters[sequence], resource) for sequence in aside]
    waiters += itertools.islice(_claiming_parties(state, resource), NAMED_MAX)
    return LockLine(
        resource=resource,
        mode=None if row is None else row.mode,
        holders=tuple(_holding_party(state, token) for token in tokens),
        holders_total=0 if row is None else len(row.holders),
        waiters=tuple(waiters),
        waiters_total=_queued(state, resource) + _claimed(state, resource),
    )


def _holding_party(state: NamespaceState, token: int) -> Party:
    grant = state.grants[token]
    run_id, task_id, agent_id = _who(state, grant.session_id, grant.attempt_token)
    return Party(
        holder=grant.holder,
        since_ns=grant.granted_at_ns,
        mode=grant.mode,
        sequence=token,
        run_id=run_id,
        task_id=task_id,
        agent_id=agent_id,
    )


def _waiting_party(state: NamespaceState, waiter: WaiterRow, resource: str) -> Party:
    run_id, task_id, agent_id = _who(state, waiter.session_id, waiter.attempt_token)
    return Party(
        holder=waiter.holder,
        since_ns=waiter.since_ns,
        mode=next(each.mode for each in waiter.requests if each.resource == resource),
        sequence=waiter.request_sequence,
        run_id=run_id,
        task_id=task_id,
        agent_id=agent_id,
        detached=not waiter.attached,
    )


def _claiming_parties(state: NamespaceState, resource: str) -> Iterator[Party]:
    """Ready tasks that declare the lock (R7)."""
    for kind, queue in state.index.claims.get(resource, {}).items():
        for _, run_id, task_id in itertools.islice(queue.every, NAMED_MAX):
            since_ns = state.task(run_id, task_id).ready_at_ns
            yield Party(holder="", since_ns=since_ns, mode=kind[0], sequence=0, run_id=run_id, task_id=task_id)


def _who(state: NamespaceState, session_id: int, attempt_token: int) -> tuple[str, str, str]:
    attempt = state.attempts.get(attempt_token) if attempt_token else None
    if attempt is not None:
        return attempt.run_id, attempt.task_id, attempt.agent_id
    agent = state.agent_of_session(session_id) if session_id else None
    return "", "", "" if agent is None else agent.spec.agent_id


# Waiting.


def wait_lines(metrics: Metrics, state: NamespaceState, now_ns: int, lines_max: int) -> Steps[tuple[WaitLine, ...]]:
    """Tasks that are ready or back off, and lock requests: those that wait longest first."""
    present = Present.of(state, now_ns)
    waiting = yield from _smallest(_waiting_tasks(metrics, state), lambda each: each[1].ready_at_ns, lines_max)
    lines: list[WaitLine] = []
    for run, task in waiting:
        yield
        lines.append(task_wait(present, run, task))
    for waiter in itertools.islice(state.waiters.values(), lines_max):
        yield
        lines.append(_request_wait(present, waiter))
    lines.sort(key=lambda line: line.since_ns)
    return tuple(lines[:lines_max])


def task_wait(present: Present, run: RunRow, task: TaskRow) -> WaitLine:
    """Why a task that is ready, or backs off, is not executed."""
    blockers = present.tasks.blockers(run, task)
    return WaitLine(
        text=in_words(blockers) or "its turn comes with the next decision",
        since_ns=task.ready_at_ns if task.status is TaskStatus.READY else task.finished_at_ns or task.ready_at_ns,
        run_id=run.run_id,
        task_id=task.spec.task_id,
        kinds=tuple(int(each.kind) for each in blockers[:NAMED_MAX]),
    )


def _waiting_tasks(metrics: Metrics, state: NamespaceState) -> Iterator[tuple[RunRow, TaskRow]]:
    for run_id in metrics.runs_active:
        run = state.runs.get(run_id)
        if run is None or not run.count(TaskStatus.READY, TaskStatus.BACKING_OFF):
            continue
        for task in itertools.islice(run.tasks.values(), TASKS_LOOKED_AT_MAX):
            if task.status in (TaskStatus.READY, TaskStatus.BACKING_OFF):
                yield run, task


def _request_wait(present: Present, waiter: WaiterRow) -> WaitLine:
    state = present.state
    queued = max(_queued(state, each.resource) for each in waiter.requests)
    if queued <= QUEUE_TOLD_MAX:
        told = present.locks.of_request(waiter)
        text, kinds = in_words(list(told.blockers)), tuple(int(each.kind) for each in told.blockers[:NAMED_MAX])
    else:
        text, kinds = f"one of {queued} that wait for it", ()
    run_id, task_id, agent_id = _who(state, waiter.session_id, waiter.attempt_token)
    return WaitLine(
        text=text,
        since_ns=waiter.since_ns,
        run_id=run_id,
        task_id=task_id,
        request_sequence=waiter.request_sequence,
        holder=agent_id or waiter.holder,
        resource=waiter.requests[0].resource,
        kinds=kinds,
    )


# Roles and keys.


def _role(name: str, counts: Any) -> RoleLine:
    return RoleLine(
        agent_name=name,
        executions=counts.executions,
        successes=counts.successes,
        failures=counts.failures,
        waiting_ns=counts.waiting.sum_ns,
        executing_ns=counts.executing.sum_ns,
        executing_p50_ns=counts.executing.quantile_ns(0.5) or 0,
        executing_p99_ns=counts.executing.quantile_ns(0.99) or 0,
        last_seen_ns=counts.last_ns,
    )


def key_lines(state: NamespaceState, match: str, lines_max: int) -> Steps[Some]:
    """The keys that changed last."""
    wanted = match.casefold()
    entries = ((key, entry) for key, entry in reversed(state.entries.items()) if wanted in key.casefold())
    found: list[tuple[str, EntryRow]] = yield from _smallest(
        entries, lambda each: (-each[1].revision, each[0]), lines_max
    )
    lines = tuple(
        KeyLine(
            key=key,
            value=entry.value,
            revision=entry.revision,
            writer=entry.writer,
            updated_at_ns=entry.updated_at_ns,
        )
        for key, entry in found
    )
    return Some(shown=lines, total=len(state.entries))


# Steps.


def _smallest(found: Iterable[T], key: Callable[[T], Any], count_max: int) -> Steps[list[T]]:
    """The first so many in an order, looking at a few in each step."""
    first: list[T] = []
    rest = itertools.islice(found, LOOKED_AT_MAX)
    while some := list(itertools.islice(rest, LOOKED_AT_PER_STEP)):
        first = heapq.nsmallest(count_max, itertools.chain(first, some), key=key)
        yield
    return first


def _looked_at(found: Iterable[T], wanted: Callable[[T], bool], count_max: int) -> Steps[list[T]]:
    """The first so many that are wanted, as they come."""
    first: list[T] = []
    for number, each in enumerate(itertools.islice(found, LOOKED_AT_MAX)):
        if number % LOOKED_AT_PER_STEP == LOOKED_AT_PER_STEP - 1:
            yield
        if wanted(each):
            first.append(each)
            if len(first) == count_max:
                break
    return first
