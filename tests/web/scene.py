"""A scene to look at: agents at work, a run that is stuck, a lock with a queue, a conflict, a circuit that is open.

Everything is real: a coordinator, agents with sessions, runs that they execute. Nothing in it ends by itself soon.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import concert
from concert.agent import Agent, AgentHost

RELEASE_SECONDS = 1.2
"""The longest task of the release."""
STUCK_RUN = "night-build"
STUCK_TASK = "sign"


class Crew(Agent):
    """Does what its tasks say: for how long, with which steps, and whether it fails."""

    def __init__(self, name: str, capabilities: list[str], slots: int = 2) -> None:
        self.name = name
        self.agent_id = f"{name}-1"
        self.capabilities = capabilities
        self.slots = slots

    async def execute(self, context: Any) -> Any:
        asked = context.input or {}
        steps = asked.get("steps", [])
        for number, step in enumerate(steps):
            await context.progress((number + 0.5) / len(steps), step)
            await asyncio.sleep(asked.get("seconds", 0.0) / len(steps))
        if not steps:
            await asyncio.sleep(asked.get("seconds", 0.0))
        if asked.get("fails"):
            raise RuntimeError(asked["fails"])
        return {"done": asked.get("makes", context.task_id)}


CREWS = (
    ("builder", ["build", "package"], 3),
    ("tester", ["test"], 4),
    ("deployer", ["deploy"], 1),
    ("courier", ["announce"], 1),
)


def release_tasks(scale: float = 1.0) -> list[Any]:
    """A release: things built beside each other, tested, packed, deployed one after another."""
    built = ("parser", "compiler", "runtime", "docs")

    def work(seconds: float, *steps: str) -> dict[str, Any]:
        return {"seconds": seconds * scale, "steps": list(steps)}

    tasks = [concert.task("fetch sources", capability="build", input=work(0.25))]
    for number, part in enumerate(built):
        seconds = 0.35 + 0.2 * number
        tasks += [
            concert.task(
                f"build {part}",
                capability="build",
                input=work(seconds, "configure", "compile", "link"),
                depends_on=["fetch sources"],
            ),
            concert.task(f"test {part}", capability="test", input=work(0.3), depends_on=[f"build {part}"]),
        ]
    tasks += [
        concert.task("package", capability="package", input=work(0.4), depends_on=[f"test {part}" for part in built]),
        concert.task("deploy staging", capability="deploy", input=work(0.5), depends_on=["package"], locks=["site"]),
        concert.task("smoke test", capability="test", input=work(0.3), depends_on=["deploy staging"]),
        concert.task("announce", capability="announce", input=work(0.1), depends_on=["smoke test"]),
    ]
    return tasks


def stuck_tasks(long_seconds: float) -> list[Any]:
    """A run that cannot end: nobody can sign, and the deployer is busy for long."""
    return [
        concert.task("compile", capability="build", input={"seconds": 0.2}),
        concert.task(STUCK_TASK, capability="sign", depends_on=["compile"]),
        concert.task(
            "soak test",
            capability="test",
            input={"seconds": long_seconds, "steps": ["warm up", "hour 1", "hour 2", "report"]},
            depends_on=["compile"],
        ),
        concert.task(
            "roll out", capability="deploy", input={"seconds": long_seconds}, depends_on=["compile"], locks=["site"]
        ),
        concert.task("second roll out", capability="deploy", input={"seconds": 1}, depends_on=["compile"]),
        concert.task("publish", capability="announce", depends_on=[STUCK_TASK, "soak test"]),
    ]


@asynccontextmanager
async def scene(client: concert.Client, address: str, *, long_seconds: float = 600.0) -> AsyncIterator[None]:
    """All of it, as long as it is looked at."""
    async with AsyncExitStack() as stack:
        for name, capabilities, slots in CREWS:
            await stack.enter_async_context(AgentHost(Crew(name, capabilities, slots), address=address))
        failing = Crew("flaky", ["flake"], 1)
        await stack.enter_async_context(AgentHost(failing, address=address))
        run = await client.submit_run(run_id="release-1.4", name="Release 1.4", tasks=release_tasks())
        await run.wait()
        await client.submit_run(
            run_id="flaky-checks",
            name="Flaky checks",
            tasks=[
                concert.task(
                    f"check {number}",
                    capability="flake",
                    input={"fails": "connection reset by peer"},
                    retry=concert.retry(attempts_max=1),
                )
                for number in range(1, 13)
            ],
        )
        await client.submit_run(run_id=STUCK_RUN, name="Night build", tasks=stuck_tasks(long_seconds))
        await conflict(address)
        await stack.enter_async_context(client.lock("database/migrations", holder="alice", lease=600.0))
        for holder in ("bob", "carol"):
            waiting = asyncio.create_task(_wait_for_lock(client, holder))
            stack.push_async_callback(_ended, waiting)
        await client.publish("mood", {"of": "the audience", "is": "good"})
        yield


async def conflict(address: str) -> None:
    """Two writers who meet, of whom the later loses."""
    async with AsyncExitStack() as stack:
        design, marketing, founder = [
            await stack.enter_async_context(concert.connect(address, writer=writer))
            for writer in ("design", "marketing", "founder")
        ]
        base = await design.state.update({"site/theme": {"colour": "blue", "by": "design"}})
        await marketing.state.update({"site/theme": {"colour": "green"}}, base_revision=base)
        try:
            await founder.state.update({"site/theme": {"colour": "red", "font": "large"}}, base_revision=base)
        except concert.StateConflictError:
            return
    raise AssertionError("nobody met")


async def _wait_for_lock(client: concert.Client, holder: str) -> None:
    async with client.lock("database/migrations", holder=holder, wait=600.0):
        await asyncio.Event().wait()


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def layered_tasks(count: int, layers: int, seconds: float = 0.0) -> list[Any]:
    """A large run: layers in which each task depends on a few of the layer before."""
    wide = count // layers
    tasks = []
    for number in range(count):
        layer, place = divmod(number, wide)
        before = [f"t{(layer - 1) * wide + (place * 7 + step) % wide}" for step in range(2)] if layer else []
        tasks.append(
            concert.task(
                f"t{number}", capability="build", input={"seconds": seconds}, depends_on=list(dict.fromkeys(before))
            )
        )
    return tasks
