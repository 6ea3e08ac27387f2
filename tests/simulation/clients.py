"""Scripted clients without a session: they submit runs, take locks, change state, publish, and read."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from concert.v1 import agent_service_pb2 as agent_pb
from concert.v1 import lock_service_pb2 as lock_pb
from concert.v1 import monitor_service_pb2 as monitor_pb
from concert.v1 import run_service_pb2 as run_pb
from concert.v1 import state_service_pb2 as state_pb
from google.protobuf.message import Message

from coordinator_service.core.invariants import InvariantBroken
from coordinator_service.core.rejections import Rejection, StateConflict
from coordinator_service.explaining import explain
from coordinator_service.rpc.dispatch import Operation
from coordinator_service.rpc.explaining import read_explain
from coordinator_service.rpc.operations.agents import DRAIN_AGENT, GET_AGENT, LIST_AGENTS
from coordinator_service.rpc.operations.events import PUBLISH
from coordinator_service.rpc.operations.locks import ACQUIRE, GET_LOCK, LIST_LOCKS, RELEASE
from coordinator_service.rpc.operations.runs import (
    ADD_TASKS,
    CANCEL_RUN,
    GET_RUN,
    GET_TASK_RESULT,
    LIST_RUNS,
    PLAN_RUN,
    RETRY_RUN,
    SUBMIT_RUN,
)
from coordinator_service.rpc.operations.state import DELETE_STATE, GET_STATE, UPDATE_STATE
from tests.simulation import choices
from tests.simulation.choices import Choices
from tests.simulation.coordinator import Lost
from tests.simulation.wire import Heard

if TYPE_CHECKING:
    from tests.simulation.world import World


class Client:
    """One who does something again and again until calm comes, and ends what was begun."""

    pause_seconds = 1.0

    def __init__(self, world: World, number: int) -> None:
        self.world = world
        self.name = f"{type(self).__name__.lower()}-{number}"
        self.random = world.random_of(self.name)
        self.choices = Choices(self.random, world.swarm)
        self.count = 0

    async def act(self) -> None:
        """Until calm."""
        await asyncio.sleep(self.random.random() * 0.5)
        while not self.world.calm:
            self.count += 1
            if self.choices.sometimes("bad_input", 0.1):
                await self.spoil()
            else:
                await self.once()
            await asyncio.sleep(self.random.expovariate(1 / self.pause_seconds))

    async def once(self) -> None:
        """Does it."""
        raise NotImplementedError

    async def spoil(self) -> None:
        """Asks for something that breaks the contract: it is refused, and nothing comes of it."""

    async def ask(self, operation: Operation, request: Message, *, malformed: bool = False) -> Heard | None:
        """Until somebody answers, or it gives up."""
        return await self.world.persist(self.world.asks(operation, request, self.name, malformed=malformed))


class Submitter(Client):
    """Submits runs, cancels some, reads some."""

    pause_seconds = 2.0

    async def once(self) -> None:
        """One run."""
        spec = self.choices.run(f"{self.name}/{self.count}")
        if self.choices.sometimes("reads", 0.2):
            await self.ask(PLAN_RUN, run_pb.PlanRunRequest(run=spec))
        heard = await self.ask(SUBMIT_RUN, run_pb.SubmitRunRequest(run=spec))
        if heard is None or heard.refused:
            return
        run_id = heard.response.run_id
        if spec.open and spec.tasks:
            more = self.choices.added_tasks("t0") if self.random.random() < 0.7 else []
            last = not more or self.random.random() < 0.7
            await self.ask(ADD_TASKS, run_pb.AddTasksRequest(run_id=run_id, tasks=more, last=last))
        if self.choices.sometimes("cancels", 0.4):
            await asyncio.sleep(self.random.uniform(0, 4))
            await self.ask(CANCEL_RUN, run_pb.CancelRunRequest(run_id=run_id))
        if self.choices.sometimes("reads", 0.6):
            await self.ask(GET_RUN, run_pb.GetRunRequest(run_id=run_id))
            await self.ask(GET_TASK_RESULT, run_pb.GetTaskResultRequest(run_id=run_id, task_id="t0"))
        if self.choices.sometimes("runs_tried_again", 0.6):
            await asyncio.sleep(self.random.uniform(0, 4))
            await self.ask(RETRY_RUN, run_pb.RetryRunRequest(run_id=run_id))
        if self.choices.sometimes("drains", 0.2):
            agent_id = f"agent-{self.random.randrange(max(1, self.world.swarm.agents))}"
            await self.ask(DRAIN_AGENT, agent_pb.DrainAgentRequest(agent_id=agent_id))

    async def spoil(self) -> None:
        """A run that nobody can mean."""
        spec = self.choices.run("bad\nname")
        spec.run_id = "bad\nname"
        await self.ask(SUBMIT_RUN, run_pb.SubmitRunRequest(run=spec), malformed=True)


class Locker(Client):
    """Takes locks, keeps them or not, gives them back or not."""

    pause_seconds = 0.5

    async def once(self) -> None:
        """One request."""
        request = self.choices.acquire(with_holder=True)
        heard = await self.ask(ACQUIRE, request)
        if heard is None or heard.refused:
            return
        tokens = [grant.fencing_token for grant in heard.response.grants]
        if self.choices.sometimes("fences", 0.5):
            await self._rely(heard.response.grants, "held")
        if self.choices.sometimes("keep_alives", 0.7):
            lease_ms = min((grant.lease.ToMilliseconds() for grant in heard.response.grants), default=0)
            await self._keep(tuple(tokens), (lease_ms or 1000) / 1000)
        else:
            await asyncio.sleep(self.world.faults.delay(1.0))
        if self.random.random() < 0.8:
            await self.ask(RELEASE, lock_pb.ReleaseRequest(fencing_tokens=tokens))
            if self.choices.sometimes("fences", 0.5):
                await self._rely(heard.response.grants, "released")

    async def _rely(self, grants: Any, when: str) -> None:
        """Says something, or changes state, as long as the locks are held."""
        if self.random.random() < 0.5:
            request: Any = self.choices.publish(f"{self.name}/{self.count}/{when}")
            operation = PUBLISH
        else:
            change = self.choices.state_change(self.name, base=None)
            request, operation = state_pb.UpdateStateRequest(change=change, writer=self.name), UPDATE_STATE
        for grant in grants:
            request.fences.add(resource=grant.resource, fencing_token=grant.fencing_token)
        await self.ask(operation, request)

    async def spoil(self) -> None:
        """Locks on nothing."""
        await self.ask(ACQUIRE, lock_pb.AcquireRequest(), malformed=True)

    async def _keep(self, tokens: tuple[int, ...], seconds: float) -> None:
        for _ in range(self.random.randrange(5)):
            await asyncio.sleep(seconds / 3)
            coordinator = self.world.anybody()
            if coordinator is None:
                continue
            try:
                await coordinator.keep_alive(await coordinator.port(), tokens, seconds)
            except (Rejection, Lost):
                continue


class Writer(Client):
    """Changes state, blindly or on what it has read, and reads."""

    pause_seconds = 0.5

    async def once(self) -> None:
        """One change, and again where it conflicts."""
        base: int | None = None
        if self.choices.sometimes("based_writes", 0.5):
            read = state_pb.GetStateRequest(prefix=self.random.choice(("", "site")), page_size=1000)
            found = await self.ask(GET_STATE, read)
            base = None if found is None or found.refused else found.response.sequence
        if self.choices.sometimes("deletes", 0.4):
            await self.ask(DELETE_STATE, self.choices.deletion(self.name, base=base))
            return
        for _ in range(2):
            request = state_pb.UpdateStateRequest(
                change=self.choices.state_change(self.name, base=base),
                writer=self.name,
                priority=self.choices.if_known("priorities", lambda: self.random.choice((0, 0, 5)), 0),
            )
            heard = await self.ask(UPDATE_STATE, request)
            if heard is not None and not heard.refused and self.choices.sometimes("past_reads", 0.5):
                before = max(1, heard.response.revision - self.random.choice((0, 1, 1)))
                await self.ask(GET_STATE, state_pb.GetStateRequest(revision=before, page_size=1000))
            if heard is None or not isinstance(heard.outcome, StateConflict):
                return
            base = heard.outcome.current_revision

    async def spoil(self) -> None:
        """A change of nothing."""
        await self.ask(UPDATE_STATE, state_pb.UpdateStateRequest(writer=self.name), malformed=True)


class Publisher(Client):
    """Publishes events that nobody else does."""

    pause_seconds = 0.5

    async def once(self) -> None:
        """A few events at once."""
        await self.ask(PUBLISH, self.choices.publish(f"{self.name}/{self.count}"))

    async def spoil(self) -> None:
        """One of them has no name: none is stored."""
        request = self.choices.publish(f"{self.name}/{self.count}")
        request.events.add()
        await self.ask(PUBLISH, request, malformed=True)


class Reader(Client):
    """Reads whatever there is to read."""

    pause_seconds = 0.4

    async def once(self) -> None:
        """One read."""
        if self.choices.sometimes("explains", 0.3):
            await self._explain()
            return
        operation, request = self.random.choice(_READS)(self)
        await self.ask(operation, request)

    async def _explain(self) -> None:
        """X1: why, back to a request; D4, E2: of nothing that is not durable."""
        asked: dict[str, Any] = self.random.choice(
            (
                {"run_id": f"submitter-{self.random.randrange(4)}/{self.random.randrange(1, 6)}"},
                {"resource": self.random.choice(choices.RESOURCES)},
                {"agent_id": "agent-0"},
                {"sequence": self.random.randint(1, max(1, self.world.durable.end))},
            )
        )
        try:
            port = await self.world.port()
            told = await explain(port, read_explain(monitor_pb.ExplainRequest(**asked)))
        except (Rejection, Lost):
            return
        if told.sequence > self.world.durable.end or not told.summary:
            raise InvariantBroken(f"D4: {asked} is explained as of {told.sequence}: {told.summary!r}")
        for step, before in pairwise(told.causes):
            if step.cause != before.sequence or before.sequence >= step.sequence:
                raise InvariantBroken(f"X1: {asked}: {step} does not come from {before}")

    def read_state(self) -> tuple[Operation, Any]:
        """Some of it."""
        if self.choices.sometimes("past_reads", 0.5):
            revision = self.random.randint(1, max(1, self.world.durable.end))
            keys = self.random.sample(choices.KEYS, 2) if self.random.random() < 0.5 else ()
            prefix = "" if keys else self.random.choice(("", "site"))
            return GET_STATE, state_pb.GetStateRequest(keys=keys, prefix=prefix, page_size=1000, revision=revision)
        if self.random.random() < 0.5:
            return GET_STATE, state_pb.GetStateRequest(keys=self.random.sample(choices.KEYS, 2))
        return GET_STATE, state_pb.GetStateRequest(prefix="site", page_size=self.random.choice((1, 1000)))

    def read_run(self) -> tuple[Operation, Any]:
        """One that somebody may have submitted."""
        run_id = f"submitter-{self.random.randrange(4)}/{self.random.randrange(1, 6)}"
        return GET_RUN, run_pb.GetRunRequest(run_id=run_id)

    def read_runs(self) -> tuple[Operation, Any]:
        """The newest."""
        return LIST_RUNS, run_pb.ListRunsRequest(page_size=self.random.choice((1, 100)))

    def read_locks(self) -> tuple[Operation, Any]:
        """One, or all."""
        if self.random.random() < 0.5:
            return GET_LOCK, lock_pb.GetLockRequest(resource=self.random.choice(choices.RESOURCES))
        return LIST_LOCKS, lock_pb.ListLocksRequest()

    def read_agents(self) -> tuple[Operation, Any]:
        """One, or all."""
        if self.random.random() < 0.5:
            return GET_AGENT, agent_pb.GetAgentRequest(agent_id="agent-0")
        return LIST_AGENTS, agent_pb.ListAgentsRequest(connected=self.random.random() < 0.5)


_READS = (Reader.read_state, Reader.read_run, Reader.read_runs, Reader.read_locks, Reader.read_agents)
KINDS: dict[str, type[Client]] = {
    "submitter": Submitter,
    "locker": Locker,
    "writer": Writer,
    "publisher": Publisher,
    "reader": Reader,
}
