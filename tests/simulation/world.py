"""The world of one seed: a disk, a clock that is off, a coordinator that dies and comes back, a network that loses."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from random import Random
from typing import Any

from coordinator_service.core.commands import COORDINATOR, ChangePolicies, Command
from coordinator_service.core.limits import Limits
from coordinator_service.core.rejections import LimitReached, Rejection, Unavailable
from coordinator_service.local_namespace import LocalNamespace, ShellLimits
from coordinator_service.log.memory import MemoryPlace, MemoryRecord
from coordinator_service.ports import NamespacePort, Outcome
from coordinator_service.rpc.dispatch import Operation
from coordinator_service.sequencer import SequencerLimits
from coordinator_service.sessions import SessionLimits
from coordinator_service.snapshots import SnapshotLimits
from tests.simulation import network
from tests.simulation.clock import NS, VirtualClock
from tests.simulation.cluster import Cluster
from tests.simulation.coordinator import NAMESPACE, Coordinator, Lost
from tests.simulation.durable import Durable
from tests.simulation.faults import Faults
from tests.simulation.ledger import Ledger
from tests.simulation.loop import VirtualLoop
from tests.simulation.swarm import Swarm
from tests.simulation.wire import Asked, Heard

GIVE_UP_SECONDS = 20.0
"""How long a caller repeats a request that nobody answers; less where the request window is short."""


class World:
    """Everything of one seed, in one process."""

    def __init__(self, seed: int, swarm: Swarm, notes: list[str]) -> None:
        self.seed = seed
        self.swarm = swarm
        self.notes = notes
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        self.loop = loop
        self.random = self.random_of("world")
        self.faults = Faults(self.random_of("faults"), swarm.troubles)
        self.clock = VirtualClock(self.loop, wall_off_ns=self.random.choice((0, 0, -3600, 3600, 5)) * NS)
        log_ids = self.random_of("log_id")
        self.place = MemoryPlace(mint_log_id=lambda: f"{log_ids.getrandbits(64):016x}", shared=swarm.replicas > 0)
        self.durable = Durable(NAMESPACE)
        self.limits, self.shell = _limits(self.random, swarm)
        self.session_limits = SessionLimits(outbox_bytes_max=self.random.choice((3000, 1 << 20)))
        self.ledger = Ledger()
        self._coordinator: Coordinator | None = None
        self.decisions = 0
        self.crashes = 0
        self.broken: asyncio.Future[None] = self.loop.create_future()
        self.lives: list[Coordinator] = []
        self.editions = 0
        """How often the policies were edited."""
        self.loses = False
        """Whether the store loses what it acknowledged: for a while whoever asks may be told of less than before."""
        self.spoiled: set[int] = set()
        """Snapshots that are not what was written."""
        self._tasks: dict[asyncio.Task[Any], None] = {}
        self._requests = 0
        self._network = self.random_of("network")
        self.cluster = Cluster(self, swarm.replicas) if swarm.replicas else None

    def random_of(self, name: str) -> Random:
        """A source of chance of its own, so that one actor's choices do not shift another's."""
        return Random(f"{self.seed}/{name}")

    @property
    def calm(self) -> bool:
        """Whether nothing goes wrong any more, and nobody begins anything new."""
        return self.faults.calm

    def knows(self, feature: str) -> bool:
        """Whether anybody does that in this world."""
        return feature in self.swarm.features

    def note(self, what: str) -> None:
        """For whoever reads what happened."""
        self.notes.append(f"{self.loop.time():10.4f} {what}")

    def fail(self, broken: BaseException) -> None:
        """Something that must hold does not."""
        if not self.broken.done():
            self.note(f"broken: {broken!r}")
            self.broken.set_exception(broken)

    def spawn(self, actor: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Lets an actor act. One that raises has found something that must not be."""

        async def watched() -> None:
            try:
                await actor
            except Exception as broken:
                broken.add_note(f"in {name}")
                self.fail(broken)

        task = self.loop.create_task(watched(), name=name)
        self._tasks[task] = None

        def done(_: asyncio.Task[None]) -> None:
            self._tasks.pop(task, None)
            actor.close()  # it may have been cancelled before it began

        task.add_done_callback(done)
        return task

    # The coordinator's lives.

    def start(self, name: str = "") -> None:
        """A new process over the disk, sometimes with other limits than the one before; of replicas, one of a name, or
        all of them."""
        if self.cluster is not None and not name:
            for each in self.cluster.replicas:
                self.start(each)
            return
        limits = self.limits
        if self.lives and "limits_change" in self.swarm.troubles:
            limits = replace(limits, agents_running_max=self.random.choice((1, 3, 1000)))
        if self.cluster is not None:
            self.lives.append(self.cluster.start(name, limits))
        else:
            self._coordinator = Coordinator(self, limits)
            self.lives.append(self._coordinator)
        self.note(f"coordinator {len(self.lives)} starts{name and f' as {name}'}")

    def anybody(self) -> Coordinator | None:
        """Whom somebody asks: the coordinator, or any replica."""
        return self._coordinator if self.cluster is None else self.cluster.anybody()

    def here(self) -> Sequence[Coordinator]:
        """All that are there."""
        if self.cluster is not None:
            return self.cluster.here()
        return [] if self._coordinator is None else [self._coordinator]

    async def owner(self) -> LocalNamespace:
        """The namespace where it is owned. Raises Rejection, Lost."""
        if self.cluster is None:
            found: NamespacePort | None = await self.port()
        else:
            found = self.cluster.owner()
        if not isinstance(found, LocalNamespace):
            raise Lost
        return found

    def crashed(self, coordinator: Coordinator) -> None:
        """A coordinator has died; another will be started after a while."""
        self.crashes += 1
        if self.cluster is None:
            self._coordinator = None
        elif self.cluster.replicas.get(coordinator.name) is coordinator:
            self.cluster.replicas[coordinator.name] = None
        self.spawn(self._replace(coordinator), "restart")

    async def _replace(self, dead: Coordinator) -> None:
        zombie = self.cluster is None and "zombie" in self.swarm.troubles and self.random.random() < 0.5
        if zombie:
            self.note("it goes on as a zombie")
            dead.sever()
        else:
            await dead.bury()
        if self.random.random() < 0.2:
            await asyncio.sleep(self.random.uniform(0, 12))
        else:
            await asyncio.sleep(self.faults.delay(0.5))
        self.start(dead.name)
        if zombie:
            await asyncio.sleep(self.faults.delay(1.0))
            await dead.bury()

    def record(self) -> MemoryRecord | None:
        """What the disk holds."""
        return self.place.records.get(NAMESPACE)

    def digest(self) -> str:
        """Names the bytes of the log: equal for equal seeds."""
        record = self.record()
        return "" if record is None else hashlib.sha256(record.hash + record.log_id.encode()).hexdigest()

    async def port(self) -> NamespacePort:
        """The namespace, of whichever coordinator runs. Raises Rejection, Lost."""
        coordinator = self.anybody()
        if coordinator is None:
            raise Lost
        return await coordinator.port()

    # The network.

    def asks(
        self, operation: Operation, request: Any, principal: str, *, session_id: int = 0, malformed: bool = False
    ) -> Asked:
        """A request with an id of its own, where it may have one."""
        request_id = ""
        if operation.names_request:
            self._requests += 1
            request_id = f"request-{self._requests}"
            request.request_id = request_id
        token = request.attempt_token if operation.in_attempt else 0
        return Asked(operation, request.SerializeToString(), principal, session_id, request_id, token, malformed)

    async def ask(self, asked: Asked) -> Heard:
        """One try. Raises Lost when nothing was heard; a refusal is heard."""
        return await network.ask(self, asked, self._network)

    async def persist(self, asked: Asked) -> Heard | None:
        """Asks until somebody answers; None when it was given up, and nobody knows."""
        give_up = min(GIVE_UP_SECONDS, self.limits.request_window_ms / 2000)
        until = self.loop.time() + give_up
        while True:
            try:
                heard = await self.ask(asked)
            except Lost:
                pass
            else:
                if not isinstance(heard.outcome, Unavailable | LimitReached):
                    return heard
            if self.loop.time() > until:
                return None
            await asyncio.sleep(self.faults.delay(1.0) + 0.01)

    async def tell(self, policies: ChangePolicies) -> None:
        """What the coordinator reads in its policy file, until it stands."""
        while True:
            outcome = await self._say(policies)
            if outcome is not None and not isinstance(outcome, Rejection):
                return
            await asyncio.sleep(0.125)

    async def _say(self, command: Command) -> Outcome | None:
        try:
            port = await self.port()
        except (Lost, Rejection):
            return None
        said: asyncio.Future[Outcome] = self.loop.create_future()
        port.submit(command, COORDINATOR, lambda outcome: said.done() or said.set_result(outcome))
        try:
            async with asyncio.timeout(5):
                return await said
        except TimeoutError:
            return None


def _limits(random: Random, swarm: Swarm) -> tuple[Limits, ShellLimits]:
    # A window that is made longer reaches back no further than what is remembered.
    retention_ms_min = 2_000 if "policies_change" in swarm.troubles else 0
    limits = Limits(
        agents_running_max=random.choice((2, 5, 1000)),
        run_timeout_ms=random.choice((10_000, 30_000)),
        ageing_step_ms=random.choice((10, 500, 10_000)),
        request_window_ms=random.choice((5_000, 20_000, 90_000)),
        run_retention_ms=random.choice((1_000, 20_000, 3_600_000)),
        agent_retention_ms=random.choice((1_000, 20_000, 3_600_000)),
        reattach_grace_ms=random.choice((500, 4_000)),
        reattach_hold_ms=random.choice((250, 2_000)),
        reserve_after_ms=random.choice((0, 500, 5_000)),
        state_retention_ms=random.choice((retention_ms_min, 2_000, 3_600_000)),
        state_history_ms=random.choice((0, 2_000, 600_000)),
        state_history_values_max=random.choice((1, 10, 4096)),
    )
    shell = ShellLimits(
        tail_bytes_max=random.choice((500, 20_000, 1 << 25)),
        sequencer=SequencerLimits(
            inbox_commands_max=random.choice((4, 65_536, 65_536)),
            turn_commands_max=random.choice((1, 3, 256)),
            batch_bytes_max=random.choice((300, 3_000, 1 << 22)),
        ),
        snapshots=SnapshotLimits(snapshot_events=random.choice((10, 40, 150, 50_000))),
    )
    return limits, shell
