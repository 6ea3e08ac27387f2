"""Scripted agents: strangers with a session, who do as told, or not, and lose their stream, their nerve, their life."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from concert.v1 import session_service_pb2 as pb

from coordinator_service.core import reasons
from coordinator_service.core.answers import Acquired
from coordinator_service.core.commands import (
    Acquire,
    AddTasks,
    Caller,
    Command,
    CompleteTask,
    EndSession,
    FailTask,
    OpenSession,
    ProgressTask,
    Publish,
    ResumeSession,
    StartTask,
    UpdateAgent,
    UpdateState,
)
from coordinator_service.core.invariants import InvariantBroken
from coordinator_service.core.rejections import (
    AlreadyExists,
    LimitReached,
    PermissionDenied,
    Rejection,
    SessionOver,
    StaleAttempt,
    StateConflict,
    Unavailable,
)
from coordinator_service.core.specs import AgentSpec, Capability, Dependency, Progress, TaskError
from coordinator_service.core.values import NS_PER_SECOND
from coordinator_service.ports import Outcome
from coordinator_service.sequencer import Sequencer
from coordinator_service.sessions import SessionHub, SessionStream
from tests.simulation import choices
from tests.simulation.coordinator import Coordinator, Lost, check_frame

if TYPE_CHECKING:
    from tests.simulation.world import World

_GONE = (StaleAttempt, PermissionDenied, SessionOver)
_TROUBLES = ("lose", "lose", "overlap", "silent", "goodbye", "restart", "update", "update")


class ScriptedAgent:
    """An agent instance."""

    def __init__(self, world: World, number: int) -> None:
        self.world = world
        self.random = world.random_of(f"agent/{number}")
        self.agent_id = f"agent-{number}"
        self.principal = f"owner of {self.agent_id}"
        self.role = choices.ROLES[number % len(choices.ROLES)]
        self.lease_seconds = self.random.choice((2.0, 5.0))
        self.session_id = 0
        self._takeover = False
        self._silent = False
        self._reads = False
        self._connected = asyncio.Event()
        self._executions: dict[int, asyncio.Task[None]] = {}
        self._stop_told: set[int] = set()
        self._seen: set[int] = set()
        self._lingering: tuple[SessionHub, SessionStream] | None = None

    async def act(self) -> None:
        """Until the end of the world."""
        while True:
            try:
                await self._connect_and_serve()
            except (Lost, Unavailable, LimitReached):
                await asyncio.sleep(self.world.faults.delay(1.0) + 0.01)

    # The stream.

    async def _connect_and_serve(self) -> None:
        coordinator = self.world.coordinator
        if coordinator is None:
            raise Lost
        hub = await coordinator.hub()
        stream = await self._connect(coordinator, hub)
        if stream is None:
            return
        opened = stream.opened
        assert opened is not None
        check_frame(coordinator, stream, opened.attached_sequence)
        if opened.session_id != self.session_id:
            self._abandon()
            self.session_id = opened.session_id
        for token in opened.stale:
            self._drop(token)
        self._takeover = self._silent = False
        self._reads = True
        self._connected.set()
        heart = self.world.spawn(self._beat(coordinator, stream), f"heart of {self.agent_id}")
        detach_soon = True
        try:
            detach_soon = await self._serve(coordinator, stream)
        finally:
            self._connected.clear()
            heart.cancel()
            if detach_soon:
                hub.detach(stream)
            else:
                self._lingering = (hub, stream)

    async def _connect(self, coordinator: Coordinator, hub: SessionHub) -> SessionStream | None:
        command: OpenSession | ResumeSession
        if self.session_id and not self._takeover:
            command = ResumeSession(session_id=self.session_id, attempt_tokens=tuple(self._executions))
        else:
            command = OpenSession(
                spec=self._spec(), lease_ns=round(self.lease_seconds * NS_PER_SECOND), takeover=self._takeover
            )
        lingering, self._lingering = self._lingering, None
        if lingering is not None:
            # The old stream is found to be lost at about the time when the new one is opened.
            steps = self.random.randrange(4)
            self.world.spawn(_detach_after(steps, *lingering), "detach")
        try:
            async with asyncio.timeout(self.world.faults.delay(0.5) if self._gives_up() else 30):
                return await hub.connect(command, Caller(principal=self.principal, method="Hello"))
        except TimeoutError:
            raise Lost from None
        except SessionOver:
            self._abandon()
            self.session_id = 0
        except AlreadyExists:
            self._takeover = True
            await asyncio.sleep(self.world.faults.delay(1.0) + 0.01)
        return None

    def _gives_up(self) -> bool:
        return self.world.faults.strikes("impatient")

    async def _serve(self, coordinator: Coordinator, stream: SessionStream) -> bool:
        """Until something happens to the stream. Returns whether it is to be detached at once."""
        trouble = self.random.choice(_TROUBLES)
        lasts = self.random.expovariate(1 / 8.0)
        try:
            while True:
                async with asyncio.timeout(None if self.world.calm else lasts):
                    frame = await stream.next_frame()
                for message in pb.ConnectResponse.FromString(frame).messages:
                    self._hear(coordinator, stream, message)
        except TimeoutError:
            return self.world.calm or await self._get_into(trouble, coordinator, stream)
        except Rejection:
            await asyncio.sleep(self.world.faults.delay(0.5))
            return True

    async def _get_into(self, trouble: str, coordinator: Coordinator, stream: SessionStream) -> bool:
        self.world.note(f"{self.agent_id} ({self.session_id}): {trouble}")
        self._reads = False
        if trouble == "overlap":
            return False
        if trouble == "silent":
            self._silent = True
            await asyncio.sleep(self.random.uniform(0, 2 * self.lease_seconds))
        elif trouble == "goodbye":
            await self._say(EndSession(session_id=self.session_id, reason=reasons.GOODBYE), "Goodbye")
            await asyncio.sleep(self.world.faults.delay(3.0))
        elif trouble == "restart":
            self._abandon()
            self._seen.clear()
            self._takeover = True
        elif trouble == "update":
            await self._say(UpdateAgent(spec=self._spec()), "UpdateAgent")
        else:
            stream.close(Unavailable("the network broke"))
            await asyncio.sleep(self.world.faults.delay(1.5 * self.lease_seconds))
        return True

    def _hear(self, coordinator: Coordinator, stream: SessionStream, message: pb.CoordinatorMessage) -> None:
        kind = message.WhichOneof("message")
        if kind == "task":
            token = message.task.attempt_token
            check_frame(coordinator, stream, token)
            if token not in self._seen:
                self._seen.add(token)
                self.world.ledger.execute(token)
                self._executions[token] = self.world.spawn(self._execute(message.task), f"attempt {token}")
        elif kind == "cancel":
            if message.cancel.reason == "STALE":
                self._drop(message.cancel.attempt_token)
            else:
                self._stop_told.add(message.cancel.attempt_token)

    async def _beat(self, coordinator: Coordinator, stream: SessionStream) -> None:
        beats = 0
        unseen: set[int] = set()
        while stream.closed is None and not self._silent:
            try:
                port = await coordinator.port()
            except (Lost, Rejection):
                return
            port.renew_session(self.session_id)
            if beats and self._reads and stream.closed is None and not coordinator.dead:
                self._check_served(port.sequencer, unseen)
            beats += 1
            await asyncio.sleep(self.lease_seconds / 3)

    def _check_served(self, sequencer: Sequencer, unseen: set[int]) -> None:
        """Whoever is connected counts as attached (D6), and is told of all that it was given (A5)."""
        row = sequencer.state.agents.get(self.agent_id)
        if row is None or row.session_id != self.session_id:
            return
        if not row.attached:
            raise InvariantBroken(f"D6: {self.agent_id} is connected, and counts as detached")
        if sequencer.busy:
            return
        # What was durable at one beat has reached its agent by the next, unless something is still on its way.
        for token in row.attempts:
            if token in self._seen or token in self._stop_told:
                continue
            if token in unseen:
                raise InvariantBroken(f"A5: {self.agent_id} is connected, and was not told of attempt {token}")
            unseen.add(token)

    def _spec(self) -> AgentSpec:
        count = self.random.randint(1, 2)
        return AgentSpec(
            agent_id=self.agent_id,
            agent_name=self.role,
            capabilities=tuple(Capability(name=name) for name in self.random.sample(choices.CAPABILITIES, count)),
            after=(Dependency(agent_name=choices.ROLES[0]),) if self.role == choices.ROLES[1] else (),
            slots=self.random.randint(1, 3),
        )

    # Attempts.

    def _abandon(self) -> None:
        for token in list(self._executions):
            self._drop(token)

    def _drop(self, token: int) -> None:
        execution = self._executions.pop(token, None)
        if execution is not None:
            execution.cancel()

    async def _execute(self, task: pb.AgentTask) -> None:
        token = task.attempt_token
        try:
            outcome = await self._report(StartTask(attempt_token=token), "TaskStarted")
            while not isinstance(outcome, _GONE) and self._goes_on(token):
                outcome = await self._work(task)
                await asyncio.sleep(self.world.faults.delay(0.3 if self.world.calm else 3.0))
            if not isinstance(outcome, _GONE):
                await self._finish(token)
        finally:
            self._executions.pop(token, None)

    def _goes_on(self, token: int) -> bool:
        return not self.world.calm and token not in self._stop_told and self.random.random() < 0.5

    async def _work(self, task: pb.AgentTask) -> Outcome | None:
        token = task.attempt_token
        kind = self.random.choice(("wait", "progress", "lock", "state", "publish", "tasks"))
        if kind == "progress":
            progress = ProgressTask(attempt_token=token, progress=Progress(fraction=0.5))
            return await self._report(progress, "TaskProgress")
        if kind == "lock":
            acquire = Acquire(requests=choices.lock_requests(self.random, with_holder=False))
            outcome = await self._report(acquire, "Acquire", attempt=token)
            assert not isinstance(outcome, Acquired) or all(
                grant.holder == f"attempt/{token}" for grant in outcome.grants
            )
            return outcome
        if kind == "state":
            change = choices.state_change(self.random, f"attempt {token}", base=None)
            return await self._report(UpdateState(change=change), "UpdateState", attempt=token)
        if kind == "tasks" and self.random.random() < 0.2:
            add = AddTasks(run_id=task.run_id, tasks=choices.added_tasks(self.random, task.task_id))
            return await self._report(add, "AddTasks", attempt=token)
        if kind == "publish":
            drafts = choices.drafts(self.random, f"{self.agent_id}/{token}/{self.random.getrandbits(32)}")
            return await self._report(Publish(drafts=drafts), "Publish", attempt=token)
        return None

    async def _finish(self, token: int) -> None:
        cancelled = token in self._stop_told
        fate = self.random.random()
        if cancelled and fate < 0.7:
            error = TaskError(error_type="CANCELLED")
            await self._report(FailTask(attempt_token=token, error=error, cancelled=True), "TaskFailed")
        elif fate < (0.0 if self.world.calm else 0.25):
            error = TaskError(error_type="SIMULATED", message="as the dice fell")
            failed = FailTask(attempt_token=token, error=error, retryable=self.random.random() < 0.7)
            await self._report(failed, "TaskFailed")
        else:
            await self._complete(token)

    async def _complete(self, token: int) -> None:
        count = self.random.choice((0, 0, 1, 2))
        changes = tuple(choices.state_change(self.random, f"result of {token}", base=None) for _ in range(count))
        while True:
            json = self.random.random() < 0.5
            completed = CompleteTask(
                attempt_token=token,
                result=choices.PAYLOAD if json else None,
                result_is_json=json,
                result_json={"of": float(token)} if json else None,
                changes=changes,
            )
            outcome = await self._report(completed, "TaskCompleted")
            if not isinstance(outcome, StateConflict):
                return
            changes = ()  # what it would have written is dropped; the work is done

    # Commands.

    async def _report(self, command: Command, method: str, *, attempt: int = 0) -> Outcome:
        """Until it is answered, over as many streams as it takes."""
        caller = self.world.caller(self.principal, method, command, session_id=self.session_id, attempt=attempt)
        while True:
            await self._connected.wait()
            try:
                outcome = await self.world.ask(command, caller)
            except Lost:
                pass
            else:
                if not isinstance(outcome, Unavailable | LimitReached):
                    self.world.ledger.note(caller, command, outcome)
                    return outcome
            await asyncio.sleep(self.world.faults.delay(0.5) + 0.01)

    async def _say(self, command: Command, method: str) -> None:
        """Once; it does not matter whether it is heard."""
        try:
            caller = self.world.caller(self.principal, method, command, session_id=self.session_id)
            await self.world.ask(command, caller)
        except Lost:
            pass


async def _detach_after(steps: int, hub: SessionHub, stream: SessionStream) -> None:
    for _ in range(steps):
        await asyncio.sleep(0)
    hub.detach(stream)
