"""Clients under load: they publish, lock, share state, submit runs and follow the log until they are told to stop, and
write down what they were told (told.py)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import concert
from concert import errors

from tests.chaos.told import Batch, Told, View, Watched, Written, as_names, now, unique
from tests.judging.linearizability import UNKNOWN, Call
from tests.judging.models import Acquire, Delete, Exchange, Free, Read, Write

PATIENT_SECONDS = 60.0
"""How long most go on trying: far longer than anything here is away."""
IMPATIENT_SECONDS = 0.6
PAUSE_SECONDS = 0.04
KEYS = ("state/one", "state/two", "state/three")
RESOURCES = ("door", "gate")
LOCK_LEASE_SECONDS = 3.0
LOCK_WAIT_SECONDS = 6.0
SESSION_LEASE_SECONDS = 5.0
MARKER = "the end"
END_KEY = "state/end"
"""Written last."""


def is_unknown(error: errors.ConcertError) -> bool:
    """Whether a call that ended so may have taken effect."""
    known = isinstance(error, errors.LockTimeout)
    lost = isinstance(error, (errors.Unavailable, errors.DeadlineExceeded, errors.Cancelled, errors.SessionOver))
    return not known and (lost or not error.reason)  # without a reason it is the transport's


class Client:
    """One who does something again and again."""

    def __init__(
        self, name: str, addresses: Sequence[str], random: Random, told: Told, *, patient: bool = True
    ) -> None:
        self.name = name
        self.random = random
        self.told = told
        self.patient = patient
        self.count = 0
        self._addresses = random.sample(list(addresses), len(addresses))

    async def act(self, over: asyncio.Event) -> None:
        """Until it is over. What was begun is ended."""
        async with self.connected() as client:
            while not over.is_set():
                self.count += 1
                await self.once(client)
                await asyncio.sleep(self.random.expovariate(1 / PAUSE_SECONDS))

    async def once(self, client: Any) -> None:
        """Does it."""
        raise NotImplementedError

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Any]:
        """What it asks through."""
        seconds = PATIENT_SECONDS if self.patient else IMPATIENT_SECONDS
        async with concert.connect(
            self._addresses, writer="clients", call_seconds=seconds, retry_seconds=seconds
        ) as client:
            yield client


class InSession(Client):
    """Over one stream, in a session; and another where that is over."""

    async def act(self, over: asyncio.Event) -> None:
        """See Client."""
        async with self.connected() as client:
            while not over.is_set():
                try:
                    async with client.session(lease=SESSION_LEASE_SECONDS) as session:
                        while not over.is_set() and session.over is None:
                            self.count += 1
                            await self.once(session)
                            await asyncio.sleep(self.random.expovariate(1 / PAUSE_SECONDS))
                except errors.ConcertError as error:
                    if not is_unknown(error):
                        raise


class Publisher(Client):
    """Publishes events that nobody else does, some of them named by an event_id too."""

    async def once(self, client: Any) -> None:
        """A few at once."""
        many = self.random.choice((1, 1, 3, 20))
        named = self.random.random() < 0.5
        names = [unique(self.name, self.count, i) for i in range(many)]
        drafts = [concert.draft(name, {"by": self.name}, event_id=name if named else "") for name in names]
        batch = Batch(as_names(drafts))
        self.told.batches.append(batch)
        try:
            batch.sequences = tuple(await client.publish_many(drafts))
        except errors.ConcertError as error:
            if not is_unknown(error):
                raise


class SessionPublisher(InSession, Publisher):
    """Publishes over a stream that is resumed."""


class Writer(Client):
    """Reads and changes keys: blindly, or on what it has read."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._seen: dict[str, Any] = {}

    async def once(self, client: Any) -> None:
        """One call."""
        key = self.random.choice(KEYS)
        value = unique(self.name, self.count)
        calls, begun = self.told.keys[key], now()
        kind = self.random.choice(("read", "read", "write", "exchange", "exchange", "delete"))
        seen = self._seen.pop(key, None) if kind == "exchange" else None
        asked: Read | Write | Exchange | Delete
        try:
            if kind == "delete" and self.random.random() < 0.2:
                asked = Delete()
                await client.state.delete(key)
            elif kind == "write":
                asked = Write(value)
                revision = await client.state.update({key: value}, strategy="replace")
                self.told.written.append(Written(key, value, revision))
            elif seen is not None:
                asked = Exchange(seen.value, value)
                base = seen.revision
                revision = await client.state.update({key: value}, strategy="replace", base_revision=base)
                self.told.written.append(Written(key, value, revision, base=base))
            else:
                asked = Read(None)
                entry = self._seen[key] = await client.state.get(key)
                asked = Read(None if entry is None else entry.value)
        except errors.StateConflictError:
            if not isinstance(asked, Exchange):
                raise
            asked = Exchange(asked.expected, asked.value, done=False)
        except errors.NotFound:
            asked = Delete(found=False)
        except errors.ConcertError as error:
            if not is_unknown(error):
                raise
            if not isinstance(asked, Read):
                self.told.called(calls, asked, begun, self.name, known=False)
            return
        self.told.called(calls, asked, begun, self.name)


class Locker(Client):
    """Takes locks for the body of a scope, and relies on them."""

    async def once(self, client: Any) -> None:
        """One lock, or both."""
        shared = self.random.random() < 0.3
        resources = RESOURCES if self.random.random() < 0.2 else (self.random.choice(RESOURCES),)
        scope = client.lock(
            *resources,
            mode="shared" if shared else "exclusive",
            wait=LOCK_WAIT_SECONDS,
            **({} if isinstance(self, InSession) else {"lease": LOCK_LEASE_SECONDS}),
        )
        begun, leaving = now(), 0.0
        held: dict[str, int] = {}
        try:
            async with scope as lock:
                held = lock.fencing_tokens
                for resource, token in held.items():
                    self.told.called(self.told.locks[resource], Acquire(token, shared), begun, self.name)
                try:
                    await self._rely(client, lock)
                finally:
                    leaving = now()
        except errors.ConcertError as error:
            if not is_unknown(error) and not isinstance(error, (errors.LockTimeout, errors.LockLost)):
                raise
        for resource, token in held.items():  # whether the release was heard the scope does not say
            freed = Call(Free(token), leaving, UNKNOWN, self.name)
            self.told.locks[resource].append(freed)

    async def _rely(self, client: Any, lock: Any) -> None:
        """Writes under the lock, and keeps it for a while: sometimes for longer than a lease."""
        resource, token = next(iter(lock.fencing_tokens.items()))
        key, value = f"locked/{resource}", unique(self.name, self.count)
        try:
            revision = await client.state.update({key: value}, strategy="replace", fences=[lock])
            self.told.written.append(Written(key, value, revision, lock=(resource, token)))
        except errors.ConcertError as error:
            if not is_unknown(error) and not isinstance(error, (errors.StaleFence, errors.StateConflictError)):
                raise
        long = self.random.random() < 0.05
        await asyncio.sleep(1.3 * LOCK_LEASE_SECONDS if long else self.random.uniform(0.0, 0.15))


class SessionLocker(InSession, Locker):
    """Its locks stand as long as its session."""


class BareLocker(Client):
    """Takes a lock that nobody keeps alive, and gives it back before its lease ends."""

    async def once(self, client: Any) -> None:
        """One lock."""
        resource, calls = RESOURCES[0], self.told.locks[RESOURCES[0]]
        begun = now()
        try:
            lock = await client.locks.acquire(resource, lease=LOCK_LEASE_SECONDS, wait=LOCK_WAIT_SECONDS)
        except errors.ConcertError as error:
            if not is_unknown(error) and not isinstance(error, errors.LockTimeout):
                raise
            return
        self.told.called(calls, Acquire(lock.fencing_token), begun, self.name)
        await asyncio.sleep(self.random.uniform(0.0, 0.1))
        # It was granted some time after it was asked for, and its lease began then.
        leaving, certain_until = now(), begun + LOCK_LEASE_SECONDS
        try:
            await client.locks.release(lock.fencing_token)
        except errors.ConcertError as error:
            if not is_unknown(error) and not isinstance(error, errors.NotHolder):
                raise
            self.told.called(calls, Free(lock.fencing_token), min(leaving, certain_until), self.name, known=False)
        else:
            self.told.called(calls, Free(lock.fencing_token), leaving, self.name)


class Submitter(Client):
    """Submits runs; whoever can does their tasks."""

    async def once(self, client: Any) -> None:
        """A diamond, one side of which needs a lock that others take too."""
        run_id = unique(self.name, self.count)
        tasks = [
            concert.task("first", capability="step"),
            concert.task("left", capability="step", depends_on=["first"], locks=[RESOURCES[1]]),
            concert.task("right", capability="step", depends_on=["first"]),
            concert.task("last", capability="step", depends_on=["left", "right"]),
        ]
        try:
            await client.submit_run(tasks=tasks, run_id=run_id, timeout=PATIENT_SECONDS, running_max=2)
            self.told.runs.append(run_id)
        except errors.ConcertError as error:
            if not is_unknown(error):
                raise
        await asyncio.sleep(self.random.uniform(0.2, 0.8))


class Subscriber(Client):
    """Follows everything, or what is published, from the first event on; at times it leaves and comes back with its
    cursor."""

    def __init__(self, *args: Any, all: bool = True, **options: Any) -> None:
        super().__init__(*args, **options)
        self.view = View(all)
        self.told.views.append(self.view)

    async def act(self, over: asyncio.Event) -> None:
        """Until it has seen the end."""
        cursor = None
        types = () if self.view.all else ("custom",)
        while True:
            async with self.connected() as client:
                leaves_after = self.random.randint(50, 400)
                subscription = client.subscribe(types=types, after=cursor, start="earliest")
                async for event in subscription:
                    self.view.events.append(event)
                    if event.HasField("custom") and event.custom.name == MARKER:
                        return
                    leaves_after -= 1
                    if not leaves_after:
                        break
                cursor = subscription.cursor
                await subscription.aclose()


class Consumer(Client):
    """Reads what is published under a name, leaves, and goes on where it was."""

    async def act(self, over: asyncio.Event) -> None:
        """Until it has seen the end."""
        while True:
            visit: list[int] = []
            self.told.visits.append(visit)
            try:
                async with self.connected() as client:
                    if await self._visit(client, visit):
                        return
            except errors.ConcertError as error:  # what was processed may not have been acknowledged
                if not is_unknown(error):
                    raise

    async def _visit(self, client: Any, visit: list[int]) -> bool:
        most = self.random.randint(20, 200)
        async with client.named_subscription("audit", types=("custom",), start="earliest") as subscription:
            async for event in subscription:
                visit.append(event.sequence)
                if event.custom.name == MARKER:
                    return True
                if len(visit) >= most:
                    return False
        raise AssertionError("the subscription ended")


class Watcher(Client):
    """Keeps a copy of the keys, from what it is told of their changes."""

    async def act(self, over: asyncio.Event) -> None:
        """Until it has seen the end."""
        watched = Watched("state")
        self.told.watched.append(watched)
        async with self.connected() as client:
            async for change in client.state.watch(prefix=watched.prefix):
                change.apply(watched.held)
                if change.key == END_KEY:
                    watched.revision = change.revision
                    return


async def watch_stalls(told: Told) -> None:
    """How late whatever is due here may be noticed."""
    while True:
        before = now()
        await asyncio.sleep(0.02)
        told.stalled_seconds = max(told.stalled_seconds, now() - before - 0.02)


def crowd(addresses: Sequence[str], told: Told, seeded: Callable[[str], Random]) -> list[Client]:
    """Some of each kind."""

    def one(kind: type[Client], name: str, **options: Any) -> Client:
        return kind(name, addresses, seeded(name), told, **options)

    return [
        one(Publisher, "publisher-1"),
        one(Publisher, "publisher-2", patient=False),
        one(SessionPublisher, "session-publisher"),
        one(Writer, "writer-1"),
        one(Writer, "writer-2"),
        one(Writer, "writer-3", patient=False),
        one(Locker, "locker-1"),
        one(Locker, "locker-2"),
        one(SessionLocker, "session-locker"),
        one(BareLocker, "bare-locker"),
        one(BareLocker, "bare-locker-impatient", patient=False),
        one(Submitter, "submitter"),
        one(Subscriber, "subscriber-1"),
        one(Subscriber, "subscriber-2", all=False),
        one(Consumer, "consumer"),
        one(Watcher, "watcher"),
    ]
