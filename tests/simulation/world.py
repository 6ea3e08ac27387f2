"""The world of one seed: a disk, a clock that is off, a coordinator that dies and comes back, a network that loses."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Coroutine
from random import Random
from typing import Any

from coordinator_service.core.apply import apply
from coordinator_service.core.commands import Acquire, Caller, Command
from coordinator_service.core.events import Event
from coordinator_service.core.invariants import InvariantBroken
from coordinator_service.core.limits import Limits
from coordinator_service.core.rejections import LimitReached, Rejection, Unavailable
from coordinator_service.core.state import NamespaceState
from coordinator_service.log.base import StoredBatch
from coordinator_service.log.codec import decode_event, split
from coordinator_service.log.memory import MemoryPlace, MemoryRecord
from coordinator_service.namespaces import ShellLimits
from coordinator_service.ports import Outcome
from coordinator_service.sequencer import SequencerLimits
from coordinator_service.sessions import SessionLimits
from coordinator_service.snapshots import SnapshotLimits
from tests.simulation.clock import NS, VirtualClock
from tests.simulation.compare import require_same
from tests.simulation.coordinator import NAMESPACE, Call, Coordinator, Lost
from tests.simulation.faults import Faults
from tests.simulation.ledger import Ledger

CHAOS_SECONDS = (6.0, 12.0, 12.0, 40.0)
"""How long chaos lasts: short worlds are many, long ones grow old."""
GIVE_UP_SECONDS = 20.0
"""How long a caller repeats a request that nobody answers; well within the request window."""
WINDOW_MS = 90_000
ANSWER_SECONDS_MAX = 60.0
"""Longer than any wait for a lock: by then every call that reached a coordinator was answered."""


class World:
    """Everything of one seed, in one process."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.loop = asyncio.get_running_loop()
        self.random = self.random_of("world")
        self.faults = Faults(self.random_of("faults"))
        self.clock = VirtualClock(self.loop, wall_off_ns=self.random.choice((0, 0, -3600, 3600, 5)) * NS)
        log_ids = self.random_of("log_id")
        self.place = MemoryPlace(mint_log_id=lambda: f"{log_ids.getrandbits(64):016x}")
        self.limits, self.shell = _limits(self.random)
        self.session_limits = SessionLimits(lease_ms_min=500, outbox_bytes_max=self.random.choice((3000, 1 << 20)))
        self.ledger = Ledger()
        self.coordinator: Coordinator | None = None
        self.decisions = 0
        self.crashes = 0
        self.batch_epochs: list[tuple[int, int]] = []
        self.broken: asyncio.Future[None] = self.loop.create_future()
        self.notes: list[str] = []
        self._encoded: list[bytes] = []
        self._decoded: list[Event] = []
        self._batches_decoded = 0
        self._tasks: dict[asyncio.Task[Any], None] = {}
        self._stores: list[Coordinator] = []
        self._request_count = 0

    def random_of(self, name: str) -> Random:
        """A source of chance of its own, so that one actor's choices do not shift another's."""
        return Random(f"{self.seed}/{name}")

    @property
    def calm(self) -> bool:
        """Whether nothing goes wrong any more, and nobody begins anything new."""
        return self.faults.calm

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
        task.add_done_callback(lambda done: self._tasks.pop(done, None))
        return task

    # The coordinator's lives.

    def start(self) -> None:
        """A new process over the disk."""
        self.coordinator = Coordinator(self)
        self._stores.append(self.coordinator)
        self.note(f"coordinator {len(self._stores)} starts")

    def crashed(self, coordinator: Coordinator) -> None:
        """A coordinator has died; another will be started after a while."""
        self.crashes += 1
        self.coordinator = None
        self.spawn(self._replace(coordinator), "restart")

    async def _replace(self, dead: Coordinator) -> None:
        zombie = self.random.random() < 0.2
        if zombie:
            dead.sever()
        else:
            await dead.bury()
        if self.random.random() < 0.3:
            await asyncio.sleep(self.random.uniform(0, 12))
        else:
            await asyncio.sleep(self.faults.delay(0.5))
        self.start()
        if zombie:
            await asyncio.sleep(self.faults.delay(1.0))
            await dead.bury()

    def record(self) -> MemoryRecord | None:
        """What the disk holds."""
        return self.place.records.get(NAMESPACE)

    def durable_end(self) -> int:
        """The last sequence on the disk."""
        record = self.record()
        return 0 if record is None else record.last_sequence

    def lives(self) -> list[Coordinator]:
        """Every coordinator there was."""
        return self._stores

    def durable_events(self) -> list[Event]:
        """Everything on the disk. Nothing is ever trimmed here, so what was decoded stays."""
        for stored in self._new_batches():
            for encoded in split(stored.batch.events):
                self._encoded.append(encoded)
                self._decoded.append(decode_event(encoded))
        return self._decoded

    def durable_encoded(self) -> list[bytes]:
        """The same as bytes."""
        self.durable_events()
        return self._encoded

    def _new_batches(self) -> list[StoredBatch]:
        record = self.record()
        new = [] if record is None else record.batches[self._batches_decoded :]
        self._batches_decoded += len(new)
        return new

    def digest(self) -> str:
        """Names the bytes of the log: equal for equal seeds."""
        record = self.record()
        return "" if record is None else hashlib.sha256(record.hash + record.log_id.encode()).hexdigest()

    def check_recovered(self, state: NamespaceState, events: list[Event]) -> None:
        """Invariant 7: what an owner recovered, perhaps from a snapshot, is what the whole log folds to."""
        folded = NamespaceState(NAMESPACE)
        for event in [*self.durable_events(), *events]:
            apply(folded, event)
        require_same(state.tables(), folded.tables(), f"recovered at {state.sequence}, and what the log folds to")

    # The network.

    def caller(self, principal: str, method: str, command: Command, *, session_id: int = 0, attempt: int = 0) -> Caller:
        """A caller with a request_id of its own."""
        self._request_count += 1
        return Caller(
            principal=principal,
            session_id=session_id,
            attempt_token=attempt,
            method=method,
            request_id=f"request-{self._request_count}",
            digest=hashlib.sha256(repr(command).encode()).digest(),
        )

    async def ask(self, command: Command, caller: Caller) -> Outcome:
        """One try. Raises Lost when nothing was heard; a refusal is an outcome."""
        faults = self.faults
        coordinator = self.coordinator
        if coordinator is None or faults.strikes("command_lost"):
            await asyncio.sleep(faults.delay(0.5))
            raise Lost
        try:
            port = await coordinator.port()
        except Rejection as refusal:
            return refusal
        if coordinator.dead:
            raise Lost
        if faults.strikes("command_late"):
            await asyncio.sleep(faults.delay(3.0))
            if coordinator.dead:
                raise Lost
        impatient = faults.strikes("impatient")
        if impatient and not caller.session_id and isinstance(command, Acquire):
            return await self._call_and_leave(coordinator, command, caller)
        call = coordinator.submit(port, command, caller)
        if caller.request_id and faults.strikes("command_twice"):
            coordinator.submit(port, command, caller)
        outcome = await self._wait(call, impatient=impatient)
        if faults.strikes("reply_lost"):
            raise Lost
        return outcome

    async def _wait(self, call: Call, *, impatient: bool) -> Outcome:
        try:
            async with asyncio.timeout(self.faults.delay(2.0) if impatient else ANSWER_SECONDS_MAX):
                return await asyncio.shield(call.answered)
        except TimeoutError:
            if not impatient:
                raise InvariantBroken(f"8: nobody answered {call.command}") from None
            raise Lost from None

    async def _call_and_leave(self, coordinator: Coordinator, command: Command, caller: Caller) -> Outcome:
        """As a unary call that its client cancels: the request is withdrawn (L6)."""
        port = await coordinator.port()
        try:
            async with asyncio.timeout(self.faults.delay(2.0)):
                answer = await port.call(command, caller)
        except TimeoutError:
            raise Lost from None
        except Rejection as refusal:
            if coordinator.dead:
                raise Lost from None
            return refusal
        if coordinator.dead:
            raise Lost
        coordinator.heard_elsewhere(answer, type(command).__name__)
        return answer

    async def persist(self, command: Command, caller: Caller) -> Outcome | None:
        """Asks under one request_id until somebody answers; None when it was given up, and nobody knows."""
        until = self.loop.time() + GIVE_UP_SECONDS
        while True:
            try:
                outcome = await self.ask(command, caller)
            except Lost:
                pass
            else:
                if not isinstance(outcome, Unavailable | LimitReached):
                    self.ledger.note(caller, command, outcome)
                    return outcome
            if self.loop.time() > until:
                return None
            await asyncio.sleep(self.faults.delay(1.0) + 0.01)


def _limits(random: Random) -> tuple[Limits, ShellLimits]:
    limits = Limits(
        agents_running_max=random.choice((2, 5, 1000)),
        run_timeout_ms=random.choice((10_000, 30_000)),
        ageing_step_ms=random.choice((10, 500, 10_000)),
        reserve_after_ms=random.choice((100, 2_000, 10_000)),
        request_window_ms=WINDOW_MS,
        run_retention_ms=random.choice((1_000, 20_000, 3_600_000)),
        agent_retention_ms=random.choice((1_000, 20_000, 3_600_000)),
        reattach_grace_ms=random.choice((500, 4_000)),
        reattach_hold_ms=random.choice((200, 2_000)),
    )
    shell = ShellLimits(
        tail_bytes_max=random.choice((500, 20_000, 1 << 25)),
        sequencer=SequencerLimits(
            inbox_commands_max=random.choice((4, 65_536, 65_536)),
            turn_commands_max=random.choice((1, 3, 256)),
            batch_bytes_max=random.choice((300, 3_000, 1 << 22)),
        ),
        snapshots=SnapshotLimits(snapshot_events=random.choice((20, 150, 50_000))),
    )
    return limits, shell
