"""The last thing that befalls some worlds with replicas, when everything before has been reckoned: the store loses what
it had acknowledged, as when a replica of it that lagged is promoted.

Whoever was told lives: the loss has to be found out, nobody may serve the log, and once an operator accepts that, it
has to go on as another one, past everything that anybody was told of.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from concert.v1.event_service_pb2 import PublishRequest
from concert.v1.lock_service_pb2 import AcquireRequest

from coordinator_service.accept_loss import SEQUENCE_STEP, Accepted, accept_loss
from coordinator_service.core.answers import Acquired, Published
from coordinator_service.core.commands import Caller, GetState, ResumeSession
from coordinator_service.core.invariants import InvariantBroken
from coordinator_service.core.rejections import (
    CursorCompacted,
    LogMismatch,
    LogTailLost,
    NotFound,
    Rejection,
    SessionOver,
    Unavailable,
)
from coordinator_service.log.codec import decode_event, split
from coordinator_service.log.memory import MemoryRecord
from coordinator_service.log.verify import verify
from coordinator_service.ports import NamespacePort
from coordinator_service.rpc.operations.events import PUBLISH
from coordinator_service.rpc.operations.locks import ACQUIRE
from coordinator_service.snapshots import recover
from coordinator_service.subscriptions import Selector, Subscription
from tests.judging.compare import require_same
from tests.simulation.coordinator import NAMESPACE, Lost
from tests.simulation.replica import Replica
from tests.simulation.shared_store import Connection, SharedStore
from tests.simulation.world import World

NOTICED_SECONDS_MAX = 60.0
SERVED_SECONDS_MAX = 60.0
TROUBLES = ("nothing", "nothing", "owner stands still", "owner is cut off", "owner leaves", "replicas are parted")


class Lagging:
    """A replica of the store, that has what the store had when it was made."""

    def __init__(self, record: MemoryRecord) -> None:
        self._record = record
        self._kept = replace(
            record,
            batches=list(record.batches),
            snapshots=list(record.snapshots),
            cursors=dict(record.cursors),
        )

    @property
    def last_sequence(self) -> int:
        """Where its log ends."""
        return self._kept.last_sequence

    @property
    def epoch(self) -> int:
        """The last one that it knows to be claimed."""
        return self._kept.epoch

    def promote(self) -> None:
        """From now on this is the store."""
        record, kept = self._record, self._kept
        record.epoch, record.nonce, record.holder = kept.epoch, kept.nonce, kept.holder
        record.base_sequence, record.base_hash = kept.base_sequence, kept.base_hash
        record.batches, record.snapshots = list(kept.batches), list(kept.snapshots)
        record.cursors.clear()
        record.cursors.update(kept.cursors)


@dataclass(slots=True)
class _Told:
    """What somebody was told after the lagging replica had its last word."""

    sequence: int
    principal: str
    lock: int = 0


class _Reader:
    """One who follows the log at one replica, and remembers what that said."""

    def __init__(self, world: World, at: Replica, after: int, log_id: str) -> None:
        self._world = world
        self._at = at
        self._after = after
        self._log_id = log_id
        self.seen: list[bytes] = []
        self.bookmark = after
        self.ended: Rejection | None = None
        self.task = world.spawn(self._act(), f"a reader at {at.name}")

    async def _act(self) -> None:
        try:
            subscription = Subscription(await self._at.port(), Selector(), self._after, self._log_id)
            async for delivery in subscription.deliveries(bookmark_seconds=4.0):
                self.seen += split(delivery.frames)
                self.bookmark = delivery.last_sequence
        except Rejection as refusal:
            self.ended = refusal
        except Lost:
            self.ended = Unavailable("its replica is gone")


class LostTail:
    """One loss, from before it to after its end."""

    def __init__(self, world: World) -> None:
        assert world.cluster is not None
        record = world.record()
        assert record is not None
        self.world = world
        self.cluster = world.cluster
        self.record = record
        self.random: Random = world.random_of("lost_tail")
        self._told: list[_Told] = []
        self._log_id = record.log_id
        self._writes = 0

    async def play(self) -> None:
        """Raises InvariantBroken."""
        world, random = self.world, self.random
        world.loses = True
        await self._make_subscription()
        readers = [
            _Reader(world, each, world.durable.end, self._log_id) for each in self.cluster.here() if not each.leaving
        ]
        for _ in range(random.randrange(3)):
            await self._write()
        self._told.clear()
        lagging = Lagging(self.record)
        for _ in range(random.randint(1, 4)):
            await self._write()
        lost = self.record.last_sequence - lagging.last_sequence
        if not self._told or not lost:
            world.note("nothing was acknowledged that could be lost")
            return
        trouble = random.choice(TROUBLES)
        in_flight = [world.spawn(self._write(), "in flight") for _ in range(random.randrange(3))]
        before = random.random() < 0.5
        if before:
            await self._befall(trouble)
        await asyncio.sleep(world.faults.delay(0.01))
        world.note(f"the store loses {self.record.last_sequence - lagging.last_sequence} events; {trouble}")
        world.durable.revert(lagging.last_sequence, lagging.epoch)
        lagging.promote()
        if not before:
            await self._befall(trouble)
        self.cluster.wires.calm = False
        await asyncio.sleep(random.random() * 2 * self.cluster.lease_ms / 1000)
        self.cluster.come_to_rest()
        await self._noticed()
        for task in in_flight:
            await task
        accepted = await self._accept()
        await self._goes_on(accepted, readers)

    # What is asked.

    async def _write(self) -> None:
        """Publishes, or takes a lock, until somebody says what became of it."""
        self._writes += 1
        principal = f"teller-{self._writes}"
        request: Any
        if self.random.random() < 0.3:
            request, operation = AcquireRequest(), ACQUIRE
            each = request.requests.add(resource=f"told-{self._writes}", mode=1)
            each.lease.FromMilliseconds(300_000)
        else:
            request, operation = PublishRequest(), PUBLISH
            request.events.add().custom.name = principal
        heard = await self.world.persist(self.world.asks(operation, request, principal))
        outcome = None if heard is None else heard.outcome
        if isinstance(outcome, Published):
            self._told.append(_Told(outcome.sequences[-1], principal))
        elif isinstance(outcome, Acquired):
            token = outcome.grants[0].fencing_token
            self._told.append(_Told(token, principal, lock=token))

    async def _anywhere(self, ask: Callable[[NamespacePort], Awaitable[Any]]) -> Any:
        """What somebody answers. Raises Rejection other than Unavailable."""
        until = self.world.loop.time() + SERVED_SECONDS_MAX
        while self.world.loop.time() < until:
            with suppress(Unavailable, Lost, TimeoutError):
                async with asyncio.timeout(10):
                    return await ask(await self.world.port())
            await asyncio.sleep(0.1)
        raise InvariantBroken("8: nobody serves")

    async def _make_subscription(self) -> None:
        end = self.world.durable.end
        await self._anywhere(lambda port: port.create_subscription("kept", end, self._log_id, "make kept"))

    # What befalls them.

    async def _befall(self, trouble: str) -> None:
        owner = next((each for each in self.cluster.here() if each.owner_here() is not None), None)
        if owner is None or trouble == "nothing":
            return
        if trouble == "owner stands still":
            owner.pause()
        elif trouble == "owner is cut off":
            owner.connection.cut = True
        elif trouble == "owner leaves" and not owner.leaving:
            self.world.spawn(self.cluster._leave_and_return(owner, 1.0), "leave")
        elif trouble == "replicas are parted":
            await self.cluster.part(self.random)

    # What has to come of it.

    async def _noticed(self) -> None:
        """6: whoever was told and lives finds out, at the latest when somebody asks, and then nobody serves."""
        until = self.world.loop.time() + NOTICED_SECONDS_MAX
        while self.world.loop.time() < until:
            answers = [await self._ask(each) for each in self.cluster.here()]
            if answers and all(isinstance(each, LogTailLost) for each in answers):
                self.world.note("the loss is noticed everywhere")
                return
            await asyncio.sleep(0.25)
        raise InvariantBroken(f"6: the log lost what was acknowledged, and what is asked is answered {answers}")

    async def _ask(self, replica: Replica) -> object:
        try:
            async with asyncio.timeout(10):
                port = await replica.port()
                return await port.call(GetState(keys=("site",)), Caller())
        except (Rejection, Lost, TimeoutError) as refusal:
            return refusal

    def _operator(self) -> SharedStore:
        """The store, as another process reaches it."""
        world = self.world
        connection = Connection(self.random, world.faults, 0)
        return SharedStore(world.place, self.random, world.faults, world.durable, connection)

    async def _accept(self) -> Accepted:
        world = self.world
        kept_until = self.record.last_sequence
        accepted = await accept_loss(self._operator(), NAMESPACE, mint_log_id=world.place.mint_log_id)
        if accepted is None:
            raise InvariantBroken("6: nobody is told what was lost")
        highest = max(each.sequence for each in self._told)
        fits = accepted.kept_until == kept_until and accepted.begins_after >= accepted.kept_until + SEQUENCE_STEP
        if not fits or accepted.begins_after < highest or accepted.new_log_id == self._log_id:
            raise InvariantBroken(f"D2: {accepted} after {highest} was told")
        world.durable.rebase(accepted.begins_after)
        world.note(f"the loss is accepted: {accepted}")
        return accepted

    async def _goes_on(self, accepted: Accepted, readers: list[_Reader]) -> None:
        world = self.world
        await self._anywhere(lambda port: port.call(GetState(keys=("site",)), Caller()))
        for reader in readers:
            await asyncio.wait([reader.task], timeout=SERVED_SECONDS_MAX)
            self._check_reader(reader)
        await self._everywhere(lambda replica, port: self._check_port(replica, port, accepted))
        self._told.clear()
        for _ in range(3):
            await self._write()
        if not self._told or any(each.sequence <= accepted.begins_after for each in self._told):
            raise InvariantBroken(f"D2: {self._told} were told by log {accepted.new_log_id}")
        await self._acknowledge(accepted)
        await self._hand_over()
        log = await self._operator().open(NAMESPACE)
        await verify(log)
        recovered = (await recover(log)).state
        folded = world.durable.folded()
        if recovered.sequence == folded.sequence:  # no lease ran out meanwhile
            require_same(recovered.tables(), folded.tables(), "the new log, and what was left of the old")

    def _check_reader(self, reader: _Reader) -> None:
        """E2, E4: it is told that its log is over, and what it saw before was durable once."""
        if reader.ended is None:
            raise InvariantBroken("E4: a reader was not told that its log has lost its tail")
        unknown = [decode_event(each).sequence for each in reader.seen if each not in self.world.durable.ever]
        if unknown:
            raise InvariantBroken(f"D4: a reader was told of {unknown[:5]}, which never were")

    async def _check_port(self, replica: Replica, port: NamespacePort, accepted: Accepted) -> None:
        """E4, L8, A4: nobody goes on with what is lost, wherever they ask."""
        await port.call(GetState(keys=("site",)), Caller())
        if port.log_id != accepted.new_log_id:
            raise InvariantBroken(f"E4: replica {replica.name} serves log {port.log_id}")
        for told in self._told:
            try:
                await port.follow(told.sequence, accepted.old_log_id)
            except (LogMismatch, CursorCompacted):
                continue
            raise InvariantBroken(f"E4: a cursor of log {accepted.old_log_id} goes on at {told.sequence}")
        lost = [each.lock for each in self._told if each.lock > accepted.kept_until]
        if any(await port.keep_alive(tuple(lost))):
            raise InvariantBroken(f"L8: one of the locks {lost} is lost and is kept alive")
        with suppress(SessionOver):
            session = max(each.sequence for each in self._told)
            await port.call(ResumeSession(session_id=session), Caller())
            raise InvariantBroken(f"A4: a session {session} that never was is resumed")

    async def _everywhere(self, check: Callable[[Replica, NamespacePort], Awaitable[None]]) -> None:
        """At every replica, once the namespace has come to rest."""
        for replica in self.cluster.here():
            until = self.world.loop.time() + SERVED_SECONDS_MAX
            while True:
                try:
                    await check(replica, await replica.port())
                    break
                except (Unavailable, Lost):
                    if self.world.loop.time() > until:
                        raise InvariantBroken(f"8: replica {replica.name} does not serve the new log") from None
                    await asyncio.sleep(0.1)

    async def _acknowledge(self, accepted: Accepted) -> None:
        """E5: a named subscription says that its log is over, until it is set anew."""

        async def acknowledge(port: NamespacePort, log_id: str, sequence: int, *, reset: bool) -> Any:
            return await port.acknowledge("kept", log_id, sequence, reset=reset)

        try:
            await self._anywhere(lambda port: acknowledge(port, accepted.old_log_id, accepted.kept_until, reset=False))
            raise InvariantBroken("E5: a cursor of a log that is over moves on")
        except LogMismatch:
            pass
        except NotFound:
            return  # what made it is lost, too
        begin = accepted.begins_after
        moved = await self._anywhere(lambda port: acknowledge(port, accepted.new_log_id, begin, reset=True))
        if (moved.log_id, moved.sequence) != (accepted.new_log_id, begin):
            raise InvariantBroken(f"E5: a cursor was set to {begin} and is at {moved}")

    async def _hand_over(self) -> None:
        """Whoever takes over next has folded the new log, not what it had of the old one (invariant 7)."""
        owner = next((each for each in self.cluster.here() if each.owner_here() is not None), None)
        if owner is not None and not owner.leaving and len(self.cluster.here()) > 1:
            await owner.close()
            self.cluster.replicas[owner.name] = None
        await self._write()
