"""The kit: a coordinator, a client, agents and time, all in the hands of one test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import concert
from concert._client import Client
from concert._runs import RunHandle
from concert._time import Seconds
from concert.agent import Agent, AgentHost, Capability
from concert.testing._activity import Activity
from concert.testing._agents import Require, ScriptedAgent, Step
from concert.testing._coordinator import TestCoordinator, coordinator
from concert.testing._history import History, read_history
from concert.testing._hosting import LEASE_SECONDS, AttemptAware, crash, give_sign_of_life
from concert.testing._time import VirtualTime, pass_loop
from concert.v1 import agent_pb2, task_pb2

PATIENCE_SECONDS = 10.0
SIGNS_PER_LEASE = 3


class NotSettled(AssertionError):  # noqa: N818 - it says what happened
    """Time cannot pass: somebody is at work, in real time, for longer than the kit is patient; or nothing is due any
    more.
    """

    __module__ = "concert.testing"


class Kit:
    """What a test of coordination needs. Made by `kit()`, or the fixture `concert_kit`."""

    def __init__(
        self, coordinator: TestCoordinator, client: Client, time: VirtualTime, patience_seconds: float
    ) -> None:
        """`patience_seconds`, of real time, is how long agents may work before time passes."""
        self.coordinator = coordinator
        self.client = client
        self.time = time
        self.patience_seconds = patience_seconds
        self._activity = Activity()
        self._hosts: dict[Agent, AgentHost] = {}
        self._stack = AsyncExitStack()
        self._sign_at = 0.0
        time.settle_by(self._settle)

    async def agent(
        self,
        name: str,
        *steps: Step | Require,
        capabilities: Sequence[str | Capability] = (),
        depends_on: Sequence[str | agent_pb2.Dependency] = (),
        after: Sequence[str | agent_pb2.Dependency] = (),
        slots: int = 1,
    ) -> ScriptedAgent:
        """Hosts an agent that follows a script; see concert.agent.Agent for the rest."""
        scripted = ScriptedAgent(
            name, steps, self.time, capabilities=capabilities, depends_on=depends_on, after=after, slots=slots
        )
        await self.host(scripted)
        return scripted

    async def host(self, agent: Agent) -> None:
        """Hosts an agent of your own, with the real runtime, and waits until it is registered.

        Time stands still while it works. Where it is to take time, or to wait for something that only time brings,
        have it wait with `kit.time.sleep`.
        """
        host = AgentHost(AttemptAware(agent), address=self.coordinator.address, lease=LEASE_SECONDS)
        self._hosts[agent] = await self._stack.enter_async_context(host)
        await host.registered()

    async def crash(self, agent: Agent) -> None:
        """Ends an agent as a power cut would. Its session, attempts and locks stand until its lease (300 s) is over."""
        host = self._hosts.pop(agent)
        attached = set(self._activity.attached)
        await crash(host)
        while set(host.agent_ids) & self._activity.attached & attached:
            await self.time.changed.wait()
            await self._look()
        host.cancel()

    async def run(self, *tasks: task_pb2.TaskSpec, **spec: Any) -> RunHandle:
        """Submits a run; `spec` as in Client.submit_run."""
        return await self.client.submit_run(tasks=tasks, **spec)

    async def finish(self, run: RunHandle) -> History:
        """Lets as much time pass as the run takes, and returns its history. Raises NotSettled."""
        await self.time.settle()
        while run.run_id not in self._activity.runs_over:
            if not await self.time.advance_to_next():
                raise NotSettled(f"nothing is due any more\n\n{await self.history(run)}")
        return await self.history(run)

    async def advance(self, time: Seconds) -> None:
        """Lets that much time pass. Raises NotSettled."""
        await self.time.advance(time)

    async def history(self, run: RunHandle | str = "") -> History:
        """What happened so far, in a run or (without one) in all."""
        return await read_history(self.client, run)

    async def close(self) -> None:
        """Stops the agents."""
        self.time.settle_by(pass_loop)
        await self._stack.aclose()

    async def _settle(self) -> None:
        """Waits until everybody has done what they can do now: they sleep, wait, or are done."""
        await self._sign_of_life()
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + self.patience_seconds
        while True:
            at_work = await self._look()
            if not at_work and not self.time.changed.is_set():
                return
            try:
                async with asyncio.timeout_at(give_up_at):
                    await self.time.changed.wait()
            except TimeoutError:
                raise NotSettled(
                    f"time cannot pass: still at work after {self.patience_seconds:g} s of real time:"
                    f" {'; '.join(at_work)}."
                    f" An agent that is to take time has to sleep with kit.time.sleep.\n\n{await self.history()}"
                ) from None

    async def _look(self) -> list[str]:
        self.time.changed.clear()
        await pass_loop()
        self._activity.take(await self.coordinator.committed(self._activity.sequence), self.time.rests)
        return self._activity.at_work(self.time.rests)

    async def _sign_of_life(self) -> None:
        if self.time.seconds - self._sign_at >= LEASE_SECONDS / SIGNS_PER_LEASE:
            self._sign_at = self.time.seconds
            for host in self._hosts.values():
                await give_sign_of_life(host)


@asynccontextmanager
async def kit(*, patience_seconds: float = PATIENCE_SECONDS, **settings: Any) -> AsyncIterator[Kit]:
    """A coordinator with virtual time, a client of it, and no agents yet. `settings` as in `coordinator`."""
    time = VirtualTime()
    async with coordinator(time=time, **settings) as serving, concert.connect(serving.address) as client:
        made = Kit(serving, client, time, patience_seconds)
        try:
            yield made
        finally:
            await made.close()


def task(task_id: str, **spec: Any) -> task_pb2.TaskSpec:
    """As concert.task, for the agent of the task's own name unless it says for whom."""
    target: dict[str, Any] = {} if spec.keys() & {"agent", "capability", "agent_id"} else {"agent": task_id}
    return concert.task(task_id, **target, **spec)
