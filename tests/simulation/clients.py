"""Scripted clients without a session: they submit runs, take locks, change state, publish, and read."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from coordinator_service.core.answers import Acquired, RunAccepted, StateRead
from coordinator_service.core.commands import (
    Acquire,
    CancelRun,
    DrainAgent,
    GetRun,
    GetState,
    Publish,
    Release,
    RetryRun,
    SubmitRun,
    UpdateState,
)
from coordinator_service.core.rejections import Rejection, StateConflict
from coordinator_service.core.values import NS_PER_SECOND
from tests.simulation import choices
from tests.simulation.coordinator import Lost

if TYPE_CHECKING:
    from coordinator_service.core.specs import LockGrant
    from tests.simulation.world import World


class Client:
    """One who does something again and again until calm comes, and ends what was begun."""

    pause_seconds = 1.0

    def __init__(self, world: World, number: int) -> None:
        self.world = world
        self.name = f"{type(self).__name__.lower()}-{number}"
        self.random = world.random_of(self.name)
        self.count = 0

    async def act(self) -> None:
        """Until calm."""
        while not self.world.calm:
            self.count += 1
            await self.once()
            await asyncio.sleep(self.random.expovariate(1 / self.pause_seconds))

    async def once(self) -> None:
        """Does it."""
        raise NotImplementedError


class Submitter(Client):
    """Submits runs, cancels some, reads some."""

    pause_seconds = 2.5

    async def once(self) -> None:
        """One run."""
        command = SubmitRun(spec=choices.run(self.random, f"{self.name}/{self.count}"))
        outcome = await self.world.persist(command, self.world.caller(self.name, "SubmitRun", command))
        if not isinstance(outcome, RunAccepted):
            return
        if self.random.random() < 0.2:
            await asyncio.sleep(self.random.uniform(0, 5))
            cancel = CancelRun(run_id=outcome.run_id)
            await self.world.persist(cancel, self.world.caller(self.name, "CancelRun", cancel))
        read = GetRun(run_id=outcome.run_id)
        await self.world.persist(read, self.world.caller(self.name, "GetRun", read))
        if self.random.random() < 0.4:
            await asyncio.sleep(self.random.uniform(0, 8))
            retry = RetryRun(run_id=outcome.run_id)
            await self.world.persist(retry, self.world.caller(self.name, "RetryRun", retry))
        if self.random.random() < 0.1:
            drain = DrainAgent(agent_id=f"agent-{self.random.randrange(4)}")
            await self.world.persist(drain, self.world.caller(self.name, "DrainAgent", drain))


class Locker(Client):
    """Takes locks, keeps them or not, gives them back or not."""

    pause_seconds = 0.6

    async def once(self) -> None:
        """One request."""
        acquire = Acquire(requests=choices.lock_requests(self.random, with_holder=True))
        outcome = await self.world.persist(acquire, self.world.caller(self.name, "Acquire", acquire))
        if not isinstance(outcome, Acquired):
            return
        tokens = tuple(grant.fencing_token for grant in outcome.grants)
        if self.random.random() < 0.5:
            await self._keep(tokens, outcome.grants)
        else:
            await asyncio.sleep(self.world.faults.delay(1.0))
        if self.random.random() < 0.8:
            release = Release(fencing_tokens=tokens)
            await self.world.persist(release, self.world.caller(self.name, "Release", release))

    async def _keep(self, tokens: tuple[int, ...], grants: tuple[LockGrant, ...]) -> None:
        seconds = min(grant.lease_ns or NS_PER_SECOND for grant in grants) / NS_PER_SECOND
        for _ in range(self.random.randrange(6)):
            await asyncio.sleep(seconds / 3)
            coordinator = self.world.coordinator
            if coordinator is None:
                continue
            try:
                port = await coordinator.port()
            except (Rejection, Lost):
                continue
            port.keep_alive(tokens)


class Writer(Client):
    """Changes state, blindly or on what it has read, and reads."""

    pause_seconds = 0.5

    async def once(self) -> None:
        """One change, and again where it conflicts."""
        base: int | None = None
        if self.random.random() < 0.5:
            read = GetState(prefix=self.random.choice(("", "site")), count_max=1000)
            found = await self.world.persist(read, self.world.caller(self.name, "GetState", read))
            base = found.sequence if isinstance(found, StateRead) else None
        for _ in range(2):
            change = choices.state_change(self.random, self.name, base=base)
            update = UpdateState(change=change, writer=self.name)
            outcome = await self.world.persist(update, self.world.caller(self.name, "UpdateState", update))
            if not isinstance(outcome, StateConflict):
                return
            base = outcome.current_revision


class Publisher(Client):
    """Publishes events that nobody else does."""

    pause_seconds = 0.4

    async def once(self) -> None:
        """A few events at once."""
        publish = Publish(drafts=choices.drafts(self.random, f"{self.name}/{self.count}"))
        await self.world.persist(publish, self.world.caller(self.name, "Publish", publish))
