"""A namespace without a shell: commands in, decisions out, a clock that stands until it is moved.

Every decision is checked as it is made: the invariants hold, sequences and times follow each other, and a state that
was restored from the tables decides the same. `verify` folds the whole log again and compares (invariant 7).
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from coordinator_service.core import answers, commands, deadlines, reasons, specs
from coordinator_service.core.apply import apply
from coordinator_service.core.commands import COORDINATOR, Caller
from coordinator_service.core.decide import Decision, decide
from coordinator_service.core.events import Event, EventType, ResourceAcquired
from coordinator_service.core.fold import restored
from coordinator_service.core.invariants import check_invariants
from coordinator_service.core.limits import Limits
from coordinator_service.core.rejections import Rejection
from coordinator_service.core.specs import AgentSpec, Capability, LockRequest, RunSpec, TaskSpec
from coordinator_service.core.state import AgentRow, NamespaceState, RunRow, Tables, TaskRow
from coordinator_service.core.values import NS_PER_SECOND, LockMode, MergeStrategy

START_NS = 1_800_000_000 * NS_PER_SECOND
LEASE_NS = 15 * NS_PER_SECOND
REASONS = {value for name, value in vars(reasons).items() if name.isupper()}

R = TypeVar("R", bound=Rejection)
P = TypeVar("P")


def encoded(tables: Tables) -> bytes:
    """Tables as a snapshot holds them."""
    return msgspec.msgpack.encode(tables)


def copied(tables: Tables) -> Tables:
    """Tables as they come back from a snapshot, sharing nothing."""
    return msgspec.msgpack.decode(encoded(tables), type=Tables)


def seconds(count: float) -> int:
    """In nanoseconds."""
    return int(count * NS_PER_SECOND)


class Namespace:
    """Drives decide() by hand."""

    def __init__(self, limits: Limits | None = None, *, restore_every: int = 1) -> None:
        self.limits = limits or Limits()
        self.state = NamespaceState("test")
        self.now_ns = START_NS
        self.events: list[Event] = []
        self.answer: answers.Answer | Rejection | None = None
        self._restore_every = restore_every
        self._decisions = 0
        self._twin = restored("test", Tables())
        self._epoch = 0
        self.start_owner()

    # Deciding.

    def decide(self, command: commands.Command, caller: Caller = COORDINATOR) -> Decision:
        """One decision, checked from all sides."""
        self._restore_twin()
        before = self.state.sequence
        decision = decide(self.state, command, caller, self.now_ns)
        again = decide(self._twin, command, caller, self.now_ns)
        assert again.events == decision.events, "a restored state decided otherwise"
        assert _same_answer(again.answer, decision.answer), "a restored state answered otherwise"
        for number, event in enumerate(decision.events, before + 1):
            assert event.sequence == number
            assert event.cause < event.sequence
            assert event.reason in REASONS, event
            assert not self.events or event.time_ns >= self.events[-1].time_ns
            self.events.append(event)
        assert self.state.sequence == before + len(decision.events)
        check_invariants(self.state)
        return decision

    def do(self, command: commands.Command, caller: Caller = COORDINATOR) -> Any:
        """The answer to a command that is not refused."""
        answer = self.decide(command, caller).answer
        if isinstance(answer, Rejection):
            raise answer
        return answer

    def refuse(self, kind: type[R], command: commands.Command, caller: Caller = COORDINATOR) -> R:
        """The rejection of a command, of which nothing else may come."""
        before = encoded(self.state.tables())
        decision = self.decide(command, caller)
        assert type(decision.answer) is kind, decision.answer
        assert decision.events == []
        assert encoded(self.state.tables()) == before, "a refusal left something behind"
        return decision.answer

    def refuse_on_record(self, kind: type[R], command: commands.Command, caller: Caller = COORDINATOR) -> R:
        """The rejection of a command that is itself a fact in the log (D1)."""
        decision = self.decide(command, caller)
        assert type(decision.answer) is kind, decision.answer
        assert decision.events != []
        return decision.answer

    def tick(self) -> None:
        """Whatever is due now is decided."""
        while (due_ns := deadlines.next_deadline_ns(self.state)) is not None and due_ns <= self.now_ns:
            self.do(commands.Tick())

    def advance(self, count: float) -> None:
        """Moves the clock by seconds, deciding each deadline at its time."""
        until_ns = self.now_ns + seconds(count)
        while (due_ns := deadlines.next_deadline_ns(self.state)) is not None and due_ns <= until_ns:
            self.now_ns = max(self.now_ns, due_ns)
            self.do(commands.Tick())
        self.now_ns = until_ns

    def start_owner(self, limits: Limits | None = None) -> None:
        """Another owner takes over."""
        self._epoch += 1
        self.limits = limits or self.limits
        self.do(commands.StartOwner(epoch=self._epoch, replica_id=f"replica-{self._epoch}", limits=self.limits))

    # The commands that tests need most.

    def open(
        self,
        agent_id: str = "",
        *capabilities: str,
        slots: int = 1,
        name: str = "",
        depends_on: tuple[specs.Dependency, ...] = (),
        after: tuple[specs.Dependency, ...] = (),
        principal: str = "",
    ) -> Caller:
        """A session; the caller that speaks in it."""
        spec = AgentSpec(
            agent_id=agent_id,
            agent_name=name,
            capabilities=tuple(Capability(name=capability) for capability in capabilities),
            depends_on=depends_on,
            after=after,
            slots=slots,
        )
        opened = self.do(commands.OpenSession(spec=spec, lease_ns=LEASE_NS), Caller(principal=principal))
        return Caller(principal=principal, session_id=opened.session_id)

    def end(self, session: Caller, reason: str = reasons.LEASE_EXPIRED) -> None:
        """A session is over."""
        self.do(commands.EndSession(session_id=session.session_id, reason=reason))

    def detach(self, session: Caller) -> None:
        """A session loses the stream it has."""
        agent = self.state.agent_of_session(session.session_id)
        attached_sequence = 0 if agent is None else agent.attached_sequence
        self.do(commands.DetachSession(session_id=session.session_id, attached_sequence=attached_sequence))

    def resume(self, session: Caller, *tokens: int) -> answers.SessionOpened:
        """A session comes back."""
        command = commands.ResumeSession(session_id=session.session_id, attempt_tokens=tokens)
        answer: answers.SessionOpened = self.do(command, session)
        return answer

    def submit(self, *tasks: TaskSpec, run_id: str = "run", **fields: Any) -> str:
        """A run of these tasks; its id."""
        spec = RunSpec(run_id=run_id, tasks=tasks, **fields)
        accepted: answers.RunAccepted = self.do(commands.SubmitRun(spec=spec))
        return accepted.run_id

    def submit_one(self, task_id: str, run_id: str = "run") -> str:
        """A run of one plain task."""
        return self.submit(task(task_id), run_id=run_id)

    def complete(self, task_id: str, run_id: str = "run", **fields: Any) -> Any:
        """The agent of a running task reports that it succeeded."""
        token = self.token(task_id, run_id)
        return self.do(commands.CompleteTask(attempt_token=token, **fields), self.reporter(token))

    def fail(self, task_id: str, run_id: str = "run", *, error_type: str = "Broken", **fields: Any) -> Any:
        """The agent of a running task reports that it failed."""
        token = self.token(task_id, run_id)
        error = specs.TaskError(error_type=error_type)
        return self.do(commands.FailTask(attempt_token=token, error=error, **fields), self.reporter(token))

    def acquire(
        self, caller: Caller, *resources: str, mode: LockMode = LockMode.EXCLUSIVE, **fields: Any
    ) -> answers.Acquired | answers.Waiting:
        """Asks for locks."""
        requests = tuple(LockRequest(resource=resource, mode=mode, **fields) for resource in resources)
        answer: answers.Acquired | answers.Waiting = self.do(commands.Acquire(requests=requests), caller)
        return answer

    def hold(self, caller: Caller, *resources: str, mode: LockMode = LockMode.EXCLUSIVE, **fields: Any) -> int:
        """Asks for locks that are free; the first one's fencing token."""
        answer = self.acquire(caller, *resources, mode=mode, **fields)
        assert isinstance(answer, answers.Acquired)
        return answer.grants[0].fencing_token

    def release(self, caller: Caller, *tokens: int) -> None:
        """Gives locks back."""
        self.do(commands.Release(fencing_tokens=tokens), caller)

    def update(
        self,
        key: str,
        value: Any,
        caller: Caller = COORDINATOR,
        *,
        strategy: MergeStrategy = MergeStrategy.MERGE,
        writer: str = "",
        base: int | None = None,
    ) -> int:
        """Changes one key; the revision."""
        done: answers.Done = self.do(updating(key, value, strategy=strategy, writer=writer, base=base), caller)
        return done.sequence

    # Looking.

    def run(self, run_id: str = "run") -> RunRow:
        """A run."""
        return self.state.runs[run_id]

    def task(self, task_id: str, run_id: str = "run") -> TaskRow:
        """A task."""
        return self.state.runs[run_id].tasks[task_id]

    def agent(self, agent_id: str) -> AgentRow:
        """An agent."""
        return self.state.agents[agent_id]

    def token(self, task_id: str, run_id: str = "run") -> int:
        """The live attempt of a task."""
        token = self.task(task_id, run_id).attempt_token
        assert token in self.state.attempts, f"{task_id} is not running"
        return token

    def reporter(self, token: int) -> Caller:
        """Who may report of an attempt."""
        attempt = self.state.attempts[token]
        principal = self.state.agents[attempt.agent_id].principal
        return Caller(session_id=attempt.session_id, principal=principal)

    def inside(self, task_id: str, run_id: str = "run") -> Caller:
        """Who speaks inside the attempt of a task."""
        token = self.token(task_id, run_id)
        return Caller(session_id=self.state.attempts[token].session_id, attempt_token=token)

    def statuses(self, run_id: str = "run") -> dict[str, str]:
        """The tasks of a run and where they stand."""
        return {task_id: task.status.name for task_id, task in self.run(run_id).tasks.items()}

    def holders(self, resource: str) -> list[str]:
        """Who holds a lock."""
        row = self.state.locks.get(resource)
        return [] if row is None else list(row.holders)

    def value(self, key: str) -> Any:
        """What a key of shared state holds."""
        return self.state.entries[key].value

    def of_type(self, *types: EventType) -> list[Event]:
        """All events of these types."""
        return [event for event in self.events if event.type in types]

    def last(self, kind: type[P]) -> P:
        """The payload of the last event of a kind."""
        return next(event.payload for event in reversed(self.events) if isinstance(event.payload, kind))

    # Checking.

    def verify(self) -> None:
        """Invariants 2 and 7: tokens rise; a second fold and a restored copy equal the live state, byte for byte."""
        tokens = [event.sequence for event in self.events if _is_new_grant(event)]
        assert tokens == sorted(set(tokens))
        folded = NamespaceState("test")
        for event in self.events:
            apply(folded, event)
        live = self.state.tables()
        assert folded.tables() == live
        assert encoded(folded.tables()) == encoded(live)
        assert restored("test", copied(live)).tables() == live
        assert encoded(copied(live)) == encoded(live)

    def _restore_twin(self) -> None:
        """Another state, restored from the tables, that has to decide like the live one."""
        if self._decisions % self._restore_every == 0:
            self._twin = restored("test", copied(self.state.tables()))
            due_ns = deadlines.next_deadline_ns(self.state)
            if due_ns is None or due_ns > self.now_ns:
                assert decide(self._twin, commands.Tick(), COORDINATOR, self.now_ns).events == []
        self._decisions += 1


def updating(
    key: str,
    value: Any,
    *,
    strategy: MergeStrategy = MergeStrategy.MERGE,
    writer: str = "",
    base: int | None = None,
    prefix: str = "",
) -> commands.UpdateState:
    """A command that changes one key."""
    return commands.UpdateState(
        change=changing((key, value), strategy=strategy, base=base, prefix=prefix), writer=writer
    )


def changing(
    *updates: tuple[str, Any],
    strategy: MergeStrategy = MergeStrategy.MERGE,
    base: int | None = None,
    prefix: str = "",
) -> specs.StateChange:
    """Updates made together."""
    given = tuple(specs.StateUpdate(key=key, value=value) for key, value in updates)
    return specs.StateChange(updates=given, strategy=strategy, base_revision=base, prefix=prefix)


def task(
    task_id: str,
    *depends_on: str,
    capability: str = "work",
    after: tuple[str, ...] = (),
    target: specs.TaskTarget | None = None,
    **fields: Any,
) -> TaskSpec:
    """A task that depends on others by id."""
    return TaskSpec(
        task_id=task_id,
        target=target or specs.TaskTarget(capability=capability),
        depends_on=tuple(specs.Dependency(task_id=each) for each in depends_on),
        after=tuple(specs.Dependency(task_id=each) for each in after),
        **fields,
    )


def asking(
    *resources: str, mode: LockMode = LockMode.EXCLUSIVE, wait_seconds: float | None = None, **fields: Any
) -> commands.Acquire:
    """A command that asks for locks."""
    wait_ns = None if wait_seconds is None else seconds(wait_seconds)
    return commands.Acquire(
        requests=tuple(
            LockRequest(resource=resource, mode=mode, wait_timeout_ns=wait_ns, **fields) for resource in resources
        )
    )


def caller(principal: str = "", request_id: str = "", method: str = "Call", digest: bytes = b"") -> Caller:
    """Somebody who calls without a session."""
    return Caller(principal=principal, request_id=request_id, method=method, digest=digest)


def _is_new_grant(event: Event) -> bool:
    return isinstance(event.payload, ResourceAcquired) and not event.payload.existing_token


def _same_answer(one: object, other: object) -> bool:
    if isinstance(one, Rejection) and isinstance(other, Rejection):
        return type(one) is type(other) and vars(one) == vars(other)
    return one == other
