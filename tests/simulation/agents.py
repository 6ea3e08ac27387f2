"""Scripted agents: strangers with a session, who do as told, or not, and lose their stream, their nerve, their life."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from concert.v1 import session_service_pb2 as pb

from coordinator_service.core.commands import Caller, OpenSession, ResumeSession
from coordinator_service.core.invariants import InvariantBroken
from coordinator_service.core.rejections import AlreadyExists, LimitReached, Rejection, SessionOver, Unavailable
from coordinator_service.core.values import NS_PER_SECOND
from coordinator_service.rpc.dispatch import Operation, read_agent_spec
from coordinator_service.rpc.operations.agents import GOODBYE, UPDATE_AGENT
from coordinator_service.sequencer import Sequencer
from coordinator_service.sessions import SessionHub, SessionStream
from tests.simulation.attempts import Attempts
from tests.simulation.choices import ROLES, Choices
from tests.simulation.coordinator import Coordinator, Lost, check_frame

if TYPE_CHECKING:
    from tests.simulation.world import World

_TROUBLES = ("lose", "lose", "overlap", "silent", "goodbye", "restart", "paused")


class ScriptedAgent:
    """An agent instance."""

    def __init__(self, world: World, number: int) -> None:
        self.world = world
        self.random = world.random_of(f"agent/{number}")
        self.choices = Choices(self.random, world.swarm)
        self.agent_id = f"agent-{number}"
        self.principal = f"owner of {self.agent_id}"
        self.role = ROLES[number % len(ROLES)]
        self.lease_seconds = self.random.choice((2.0, 5.0))
        self.session_id = 0
        self.connected = asyncio.Event()
        self.attempts = Attempts(self)
        self._takeover = False
        self._silent = False
        self._reads = False
        self._lingering: tuple[Coordinator, SessionHub, SessionStream] | None = None
        self._hellos = 0
        self._hello: tuple[OpenSession, Caller] | None = None
        """One that nobody answered yet."""

    async def act(self) -> None:
        """Until the end of the world."""
        while True:
            try:
                await self._connect_and_serve()
            except (Lost, Unavailable, LimitReached):
                await asyncio.sleep(self.world.faults.delay(1.0) + 0.01)

    # The stream.

    async def _connect_and_serve(self) -> None:
        coordinator = self.world.anybody()
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
            self.attempts.abandon()
            self.session_id = opened.session_id
        for token in opened.stale:
            self.attempts.drop(token)
        self._takeover = self._silent = False
        self._reads = True
        self.connected.set()
        heart = self.world.spawn(self._beat(coordinator, stream), f"heart of {self.agent_id}")
        detach_soon = True
        try:
            detach_soon = await self._serve(coordinator, stream)
        finally:
            self.connected.clear()
            heart.cancel()
            if detach_soon:
                coordinator.call(hub.detach, stream)
            else:
                self._lingering = (coordinator, hub, stream)

    async def _connect(self, coordinator: Coordinator, hub: SessionHub) -> SessionStream | None:
        command: OpenSession | ResumeSession
        if self.session_id and not self._takeover:
            command = ResumeSession(session_id=self.session_id, attempt_tokens=self.attempts.tokens())
            caller = Caller(principal=self.principal, method="Hello")
        else:
            command, caller = self._opening()
        lingering, self._lingering = self._lingering, None
        if lingering is not None:
            # The old stream is found to be lost at about the time when the new one is opened.
            steps = self.random.randrange(4)
            self.world.spawn(_detach_after(steps, *lingering), "detach")
        gives_up = self.world.faults.strikes("impatient")
        try:
            async with asyncio.timeout(self.world.faults.delay(0.5) if gives_up else 30):
                stream = await coordinator.within(hub.connect(command, caller))
                self._hello = None
                return stream
        except TimeoutError:
            raise Lost from None
        except SessionOver:
            self.attempts.abandon()
            self.session_id = 0
            self._hello = None
        except AlreadyExists:
            self._takeover = True
            self._hello = None
            await asyncio.sleep(self.world.faults.delay(1.0) + 0.01)
        return None

    def _opening(self) -> tuple[OpenSession, Caller]:
        """What opens a session: the same Hello again, most of the time, while nobody has answered it (D5)."""
        if self._hello is None or self._hello[0].takeover != self._takeover or self.random.random() < 0.2:
            spec = read_agent_spec(self.choices.agent(self.agent_id, self.role), "agent")
            lease_ns = round(self.lease_seconds * NS_PER_SECOND)
            self._hellos += 1
            named = {"request_id": f"hello-{self.agent_id}-{self._hellos}", "digest": b"hello"}
            caller = Caller(principal=self.principal, method="Hello", **(named if self.random.random() < 0.7 else {}))
            self._hello = OpenSession(spec=spec, lease_ns=lease_ns, takeover=self._takeover), caller
        return self._hello

    async def _serve(self, coordinator: Coordinator, stream: SessionStream) -> bool:
        """Until something happens to the stream. Returns whether it is to be detached at once."""
        trouble = self.random.choice(_TROUBLES)
        lasts = self.random.expovariate(1 / 4.0)
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
        if self.choices.sometimes("updates_of_agents", 0.3):
            trouble = "update"
        self.world.note(f"{self.agent_id} ({self.session_id}): {trouble}")
        self._reads = False
        if trouble == "overlap":
            return False
        if trouble == "silent":
            self._silent = True
            await asyncio.sleep(self.random.uniform(0, 2 * self.lease_seconds))
        elif trouble == "paused":
            await self._pause()
        elif trouble == "goodbye":
            await self._say(GOODBYE, pb.Goodbye())
            await asyncio.sleep(self.world.faults.delay(3.0))
        elif trouble == "restart":
            self.attempts.die()
            self._takeover = True
        elif trouble == "update":
            await self._say(UPDATE_AGENT, pb.UpdateAgent(agent=self.choices.agent(self.agent_id, self.role)))
        else:
            coordinator.call(stream.close, Unavailable("the network broke"))
            await asyncio.sleep(self.world.faults.delay(1.5 * self.lease_seconds))
        return True

    async def _pause(self) -> None:
        """The process stands still, attempts and all, perhaps until its session is long over; then it goes on as if
        nothing had happened."""
        self._silent = True
        self.attempts.running.clear()
        await asyncio.sleep(self.random.uniform(0, 2.5 * self.lease_seconds))
        self.attempts.running.set()

    def _hear(self, coordinator: Coordinator, stream: SessionStream, message: pb.CoordinatorMessage) -> None:
        kind = message.WhichOneof("message")
        if kind == "task":
            check_frame(coordinator, stream, message.task.attempt_token)
            self.attempts.begin(message.task)
        elif kind == "cancel":
            self.attempts.stop(message.cancel.attempt_token, stale=message.cancel.reason == "STALE")

    async def _beat(self, coordinator: Coordinator, stream: SessionStream) -> None:
        beats = 0
        unseen: set[int] = set()
        pauses = coordinator.pauses
        while stream.closed is None and not self._silent:
            try:
                port = await coordinator.port()
            except (Lost, Rejection):
                return
            coordinator.renew_session(port, self.session_id, self.lease_seconds)
            if coordinator.pauses != pauses:
                pauses = coordinator.pauses
                unseen.clear()
            sequencer = coordinator.decides(port)
            if beats and self._reads and stream.closed is None and not coordinator.dead and sequencer is not None:
                self._check_served(sequencer, unseen)
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
            if self.attempts.knows(token):
                continue
            if token in unseen:
                raise InvariantBroken(f"A5: {self.agent_id} is connected, and was not told of attempt {token}")
            unseen.add(token)

    async def _say(self, operation: Operation, request: Any) -> None:
        """Once; it does not matter whether it is heard."""
        try:
            await self.world.ask(self.world.asks(operation, request, self.principal, session_id=self.session_id))
        except Lost:
            pass


async def _detach_after(steps: int, coordinator: Coordinator, hub: SessionHub, stream: SessionStream) -> None:
    for _ in range(steps):
        await asyncio.sleep(0)
    coordinator.call(hub.detach, stream)
