"""Explain: why something is as it is, and what it waits for (X1).

Here is the present, a reading of the state. The past, the chain of causes, is in the log, and is read from there by
whoever serves the answer: `about` is the event that it begins with. Nothing may wait without an explanation: for each
task, lock request, run and agent that waits, everything that stands in its way is named.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Final

from coordinator_service.core import capacity, locks
from coordinator_service.core.answers import Explained, FromLog
from coordinator_service.core.explanations import BlockerView, ExplanationView, TaskRefView, WaitingView, WaitKind
from coordinator_service.core.lock_waits import NAMED_MAX, LockWaits, in_words, listed
from coordinator_service.core.rejections import NotFound
from coordinator_service.core.state import AgentRow, AttemptRow, NamespaceState, RunRow, TaskRow, WaiterRow
from coordinator_service.core.task_waits import TaskWaits
from coordinator_service.core.values import TaskStatus

if TYPE_CHECKING:
    from coordinator_service.core.commands import Explain
    from coordinator_service.core.deciding import Deciding

WAITING_MAX: Final = 100
"""Waiting things that one explanation tells of."""
_QUEUED_LOOKED_AT_MAX: Final = 20
"""Entries of each pool and gate that are looked at for work that an idle agent could have."""
_WORK_NAMED_MAX: Final = 5


def explain(d: Deciding, command: Explain) -> Explained | FromLog:
    """Explains a run, a task, a lock, an agent, or what a sequence stands for. Raises NotFound."""
    present = Present.of(d.state, d.now_ns)
    if command.resource:
        return present.lock(command.resource)
    if command.agent_id:
        return present.agent(command.agent_id)
    if command.sequence:
        return present.sequence(command)
    evicted = d.state.evicted.get(command.run_id)
    if evicted is not None and command.run_id not in d.state.runs:
        return FromLog(
            command=command,
            first_sequence=evicted.first_sequence,
            last_sequence=evicted.last_sequence,
            sequence=d.state.sequence,
        )
    return present.run_or_task(command.run_id, command.task_id)


@dataclass(slots=True)
class Present:
    """A state at a time, for whoever asks what waits in it."""

    state: NamespaceState
    now_ns: int
    locks: LockWaits
    tasks: TaskWaits

    @classmethod
    def of(cls, state: NamespaceState, now_ns: int) -> Present:
        """The present of a state."""
        lock_waits = LockWaits(state, now_ns)
        return cls(state, now_ns, lock_waits, TaskWaits(state, now_ns, lock_waits))

    # Runs and tasks.

    def run_or_task(self, run_id: str, task_id: str) -> Explained:
        """A run, or a task of it. Raises NotFound."""
        run = self.state.runs.get(run_id)
        if run is None:
            raise NotFound("run", run_id)
        if not task_id:
            return self._run(run)
        task = run.tasks.get(task_id)
        if task is None:
            raise NotFound("task", f"{run_id}/{task_id}")
        return self._task(run, task)

    def _run(self, run: RunRow) -> Explained:
        subject = f"run {run.run_id}"
        if run.status.over:
            failed = [each for each in run.tasks.values() if each.status is TaskStatus.FAILED]
            why = f": failed {listed(failed, _outcome)}" if failed else ""
            return self._explained(subject, f"{subject} is {run.status.name}{why}", [], 0, run.completed_sequence)
        unfinished = [task for task in run.tasks.values() if not task.status.over]
        unfinished.sort(key=lambda task: task.status is TaskStatus.PENDING)  # those that could go on come first
        waiting = [self._run_waits(run, unfinished)]
        waiting += [replace(self.tasks.of(run, each), candidates=()) for each in unfinished[: WAITING_MAX - 1]]
        stopping = f", being stopped ({run.cancel_reason})" if run.cancel_reason else ""
        summary = (
            f"{subject} is {run.status.name}{stopping}: {len(unfinished)} of {len(run.tasks)} tasks are not over, "
            f"{run.running} of them running"
        )
        return self._explained(subject, summary, waiting, 1 + len(unfinished), run.sequence)

    def _run_waits(self, run: RunRow, unfinished: list[TaskRow]) -> WaitingView:
        refs = tuple(TaskRefView(run_id=run.run_id, task_id=each.spec.task_id) for each in unfinished[:NAMED_MAX])
        left = listed(unfinished, lambda task: f"{task.spec.task_id} ({task.status.name})")
        blockers = []
        if unfinished:
            blockers.append(
                BlockerView(kind=WaitKind.TASKS, text=f"waits for {left}", tasks=refs, until_ns=run.deadline_ns)
            )
        if run.open:
            more = "it is open: tasks may be added to it until its submitter says which are the last"
            blockers.append(BlockerView(kind=WaitKind.OPEN, text=more, until_ns=run.deadline_ns))
        return WaitingView(
            text=f"run {run.run_id}: {in_words(blockers)}",
            blockers=tuple(blockers),
            run_id=run.run_id,
            since_ns=run.began_at_ns,
        )

    def _task(self, run: RunRow, task: TaskRow) -> Explained:
        subject = f"task {run.run_id}/{task.spec.task_id}"
        if task.status.over:
            at = f" at attempt {task.attempts}" if task.attempts > 1 else ""
            why = "" if task.status is TaskStatus.SUCCEEDED or task.error is None else f": {task.error}"
            return self._explained(subject, f"{subject} {task.status.name}{at}{why}", [], 0, task.over_sequence)
        waits = self.tasks.of(run, task)
        summary = f"{subject} is {task.status.name}: {in_words(list(waits.blockers))}"
        return self._explained(subject, summary, [waits], 1, task.attempt_token or task.sequence)

    # Locks.

    def lock(self, resource: str) -> Explained:
        """A lock that is held or waited for. Raises NotFound."""
        row = self.state.locks.get(resource)
        line = self.locks.line(resource)
        claimed = self.locks.claimed_by(resource)
        if row is None and not line and not claimed:
            raise NotFound("lock", resource)
        waiting = [self.locks.of_request(each) for each in line[:WAITING_MAX]]
        for each in claimed[: WAITING_MAX - len(waiting)]:
            run = self.state.runs[each.run_id]
            waiting.append(replace(self.tasks.of(run, run.tasks[each.task_id]), candidates=()))
        total = len(line) + len(claimed)
        if row is None:
            held = "is held by nobody"
            about = line[0].request_sequence if line else 0
        else:
            grants = [locks.as_grant(self.state.grants[token]) for token in row.holders.values()]
            held = f"is held {row.mode.name.lower()} by {listed(grants, self.locks.holder_of)}"
            about = grants[-1].fencing_token
        subject = f"lock {resource}"
        return self._explained(subject, f"{subject} {held}; {total} wait for it", waiting, total, about)

    # Agents.

    def agent(self, agent_id: str) -> Explained:
        """An agent and its requests. Raises NotFound."""
        agent = self.state.agents.get(agent_id)
        if agent is None:
            raise NotFound("agent", agent_id)
        subject = f"agent {agent_id}"
        own = self._agent_waits(agent)
        requests = self._requests_of(agent)
        waiting = [*own, *(self.locks.of_request(each) for each in requests[: WAITING_MAX - len(own)])]
        tasks = [self.state.attempts[token] for token in agent.attempts]
        has = f"executes {listed(tasks, _of_attempt)}" if tasks else "executes nothing"
        why = f"; {in_words([blocker for each in own for blocker in each.blockers])}" if own else ""
        summary = f"{subject} is {agent.status.name} and {has}: {len(tasks)} of {agent.spec.slots} slots{why}"
        return self._explained(subject, summary, waiting, len(own) + len(requests), agent.attached_sequence)

    def _requests_of(self, agent: AgentRow) -> list[WaiterRow]:
        sequences = [*agent.waiters]
        for token in agent.attempts:
            sequences.extend(self.state.attempts[token].waiters)
        return [self.state.waiters[sequence] for sequence in sorted(sequences)]

    def _agent_waits(self, agent: AgentRow) -> list[WaitingView]:
        """What the agent itself waits for: its stream, its last tasks, or work."""
        blocker = None
        if not agent.session_id:
            return []
        if not agent.attached:
            blocker = BlockerView(
                kind=WaitKind.DETACHED,
                text="it has lost its stream and is given nothing until it comes back or its lease ends",
                agents=(agent.spec.agent_id,),
                sequence=agent.session_id,
            )
        elif agent.draining and agent.attempts:
            attempts = [self.state.attempts[token] for token in islice(agent.attempts, NAMED_MAX)]
            blocker = BlockerView(
                kind=WaitKind.TASKS,
                text=f"it drains: it leaves after {listed(attempts, _of_attempt)}",
                tasks=tuple(TaskRefView(run_id=each.run_id, task_id=each.task_id) for each in attempts),
            )
        elif agent.spec.capabilities and capacity.takes_tasks(agent):
            blocker = self._work(agent)
        if blocker is None:
            return []
        return [
            WaitingView(
                text=f"agent {agent.spec.agent_id}: {blocker.text}",
                blockers=(blocker,),
                agent_id=agent.spec.agent_id,
                since_ns=agent.registered_at_ns,
            )
        ]

    def _work(self, agent: AgentRow) -> BlockerView:
        found = self._ready_for(agent)
        if not found:
            return BlockerView(kind=WaitKind.WORK, text="no task that it could take is ready")
        first = f"{found[0][0].run_id}/{found[0][1].spec.task_id}"
        why = in_words(self.tasks.blockers(*found[0]))
        return BlockerView(
            kind=WaitKind.WORK,
            text=f"tasks that it could take wait for something else: {first}: {why}",
            tasks=tuple(TaskRefView(run_id=run.run_id, task_id=task.spec.task_id) for run, task in found),
        )

    def _ready_for(self, agent: AgentRow) -> list[tuple[RunRow, TaskRow]]:
        """Some of the ready tasks that an agent could take and that something else keeps."""
        pools = capacity.pools_of(agent.spec)
        heaps = [self.state.index.pools[name].ready for name in pools if name in self.state.index.pools]
        found = []
        for heap in (*heaps, *self.state.index.parked.values()):
            for entry in heap[:_QUEUED_LOOKED_AT_MAX]:
                if not capacity.is_queued(self.state, *entry):
                    continue
                run = self.state.runs[entry[1]]
                task = run.tasks[entry[2]]
                if capacity.pool_name(task.spec.target) in pools:
                    found.append((run, task))
                    if len(found) == _WORK_NAMED_MAX:
                        return found
        return found

    # Sequences.

    def sequence(self, command: Explain) -> Explained:
        """What a sequence stands for, if it still stands: an attempt, a request, a lock, a session, a task, a run."""
        number, state = command.sequence, self.state
        waiter = state.waiters.get(number)
        if waiter is not None:
            waits = self.locks.of_request(waiter)
            return self._explained(f"event {number}", f"request {number} waits: {waits.text}", [waits], 1, number)
        attempt, grant = state.attempts.get(number), state.grants.get(number)
        found: Explained | None = None
        if attempt is not None:
            found = self.run_or_task(attempt.run_id, attempt.task_id)
        elif grant is not None:
            found = self.lock(grant.resource)
        elif (agent := state.agent_of_session(number)) is not None:
            found = self.agent(agent.spec.agent_id)
        elif command.run_id in state.runs:
            run = state.runs[command.run_id]
            if number == run.sequence or command.task_id in run.tasks:
                found = self.run_or_task(command.run_id, command.task_id)
        if found is None:
            return self._explained(f"event {number}", "", [], 0, number)
        return Explained(explanation=replace(found.explanation, subject=f"event {number}"), about=number)

    def _explained(self, subject: str, summary: str, waiting: list[WaitingView], total: int, about: int) -> Explained:
        return Explained(
            explanation=ExplanationView(
                subject=subject,
                summary=summary,
                waiting=tuple(waiting),
                waiting_total=total,
                sequence=self.state.sequence,
            ),
            about=about,
        )


def _of_attempt(attempt: AttemptRow) -> str:
    return f"{attempt.run_id}/{attempt.task_id}"


def _outcome(task: TaskRow) -> str:
    """How a task ended, and why."""
    if task.status is TaskStatus.SUCCEEDED or task.error is None:
        return f"{task.spec.task_id} ({task.status.name})"
    return f"{task.spec.task_id} ({task.status.name}, {task.error})"
