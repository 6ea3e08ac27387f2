"""One seed from beginning to end: chaos, then calm, then the reckoning."""

from __future__ import annotations

import asyncio
import gc
import logging
from dataclasses import dataclass
from typing import Any

from coordinator_service.core.invariants import InvariantBroken
from coordinator_service.core.rejections import Rejection
from coordinator_service.local_namespace import LocalNamespace
from tests.simulation.agents import ScriptedAgent
from tests.simulation.chaos import chaos
from tests.simulation.clients import KINDS
from tests.simulation.consumers import Consumer
from tests.simulation.coordinator import Lost
from tests.simulation.loop import VirtualLoop
from tests.simulation.lost_tail import LostTail
from tests.simulation.policies import policies_of
from tests.simulation.reckoning import Followers, close, reckon
from tests.simulation.subscribers import Subscriber
from tests.simulation.swarm import swarm_of_seed
from tests.simulation.telling import last_events
from tests.simulation.watchers import Watcher
from tests.simulation.world import World

REST_SECONDS_MAX = 240.0
NOTES_TOLD = 25


class Broken(AssertionError):  # noqa: N818 (it says what happened)
    """A seed broke something. The message says what, and how to see it again.

    check: the invariant or rule that found it, for example "8" or "D4".
    """

    def __init__(self, seed: int, cause: BaseException, story: str) -> None:
        what = str(cause) or repr(cause)
        super().__init__(f"seed {seed}: {what}\n{story}\nreplay: make sim SEED={seed}")
        self.seed = seed
        self.what = what
        self.check = what.split(":", 1)[0] if isinstance(cause, InvariantBroken) else type(cause).__name__


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a seed that broke nothing."""

    seed: int
    digest: str
    size: str
    events: int
    decisions: int
    crashes: int
    lives: int
    troubles: dict[str, int]
    asked: dict[str, int]
    """How often each method was asked for."""
    notes: tuple[str, ...]


def simulate(seed: int, *, alone: bool = False) -> Outcome:
    """Runs one seed; alone: with one coordinator, also where it has replicas. Raises Broken."""
    swarm = swarm_of_seed(seed).alone() if alone else swarm_of_seed(seed)
    loop = VirtualLoop(swarm.grid)
    collects = gc.isenabled()
    gc.disable()  # a collection closes generators, which is not derived from the seed
    notes = [str(swarm)]
    log = logging.getLogger("coordinator_service")
    log.propagate = False
    worlds: list[World] = []

    async def live() -> Outcome:
        world = World(seed, swarm, notes)
        worlds.append(world)
        return await _live(world)

    try:
        return loop.run_until_complete(live())
    except BaseException as broken:
        if isinstance(broken, KeyboardInterrupt):
            raise
        raise Broken(seed, broken, _story(notes, worlds)) from broken
    finally:
        _end(loop)
        log.handlers = []
        log.propagate = True
        worlds.clear()
        if collects:
            gc.enable()
        gc.collect()


def _story(notes: list[str], worlds: list[World]) -> str:
    told = [notes[0], *notes[1:][-NOTES_TOLD:]]
    if worlds:
        told += ["the end of the log:", *last_events(worlds[0])]
    return "\n".join(told)


def _end(loop: VirtualLoop) -> None:
    loop.let_all_go()
    while left := asyncio.all_tasks(loop):
        for task in left:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


class _Faults(logging.Handler):
    """What the coordinator logs as a fault of its own is one, even if nobody outside noticed."""

    def __init__(self, world: World) -> None:
        super().__init__(logging.ERROR)
        self._world = world

    def emit(self, record: logging.LogRecord) -> None:
        """One entry."""
        self._world.note(f"logged: {record.getMessage()}")
        if record.exc_info is not None and record.exc_info[1] is not None:
            self._world.fail(record.exc_info[1])


def _fault(context: dict[str, Any]) -> BaseException:
    return context.get("exception") or InvariantBroken(str(context["message"]))


async def _live(world: World) -> Outcome:
    logging.getLogger("coordinator_service").handlers = [_Faults(world)]
    world.loop.set_exception_handler(lambda _, context: world.fail(_fault(context)))
    timeline = world.spawn(_timeline(world), "timeline")
    await asyncio.wait([timeline, world.broken], return_when=asyncio.FIRST_COMPLETED)
    if world.broken.done():
        world.broken.result()
    asked: dict[str, int] = {}
    for told in world.ledger.answers:
        asked[told.caller.method] = asked.get(told.caller.method, 0) + 1
    return Outcome(
        seed=world.seed,
        digest=world.digest(),
        size=world.swarm.size,
        events=len(world.durable.events),
        decisions=world.decisions,
        crashes=world.crashes,
        lives=len(world.lives),
        troubles=dict(world.faults.counts),
        asked=asked,
        notes=tuple(world.notes),
    )


async def _timeline(world: World) -> None:
    world.start()
    await world.tell(policies_of(world))
    agents = [ScriptedAgent(world, number) for number in range(world.swarm.agents)]
    followers = Followers(
        subscribers=[Subscriber(world, number) for number in range(world.swarm.subscribers)],
        watchers=[Watcher(world, number) for number in range(2)] if world.knows("watchers") else [],
        consumers=[Consumer(world, number) for number in range(2)] if world.knows("named_subscriptions") else [],
    )
    clients = [KINDS[kind](world, number) for kind, count in world.swarm.clients.items() for number in range(count)]
    idle = [world.spawn(agent.act(), agent.agent_id) for agent in agents]
    idle += [world.spawn(follower.act(), type(follower).__name__.lower()) for follower in followers.all()]
    acting = [world.spawn(client.act(), client.name) for client in clients]
    await chaos(world)
    world.faults.calm = True
    if world.cluster is not None:
        world.cluster.come_to_rest()
    world.note("calm")
    for task in acting:
        await task
    port = await _rest(world, followers)
    await reckon(world, port, followers)
    if "tail_lost" in world.swarm.troubles:
        for task in idle:
            task.cancel()
        await asyncio.gather(*idle, return_exceptions=True)
        await LostTail(world).play()
    await close(world)


async def _rest(world: World, followers: Followers) -> LocalNamespace:
    """Waits until everything has come to an end by itself."""
    until = world.loop.time() + REST_SECONDS_MAX
    port: LocalNamespace | None = None
    while world.loop.time() < until:
        await asyncio.sleep(0.5)
        try:
            port = await world.owner()
        except (Lost, Rejection):
            continue
        state = port.sequencer.state
        quiet = not state.waiters and not state.attempts and all(run.status.over for run in state.runs.values())
        end = world.durable.end
        if quiet and state.sequence == end and all(each.bookmark == end for each in followers.all()):
            return port
    raise InvariantBroken("8: no rest: " + ("nobody coordinates" if port is None else _unrest(port)))


def _unrest(port: LocalNamespace) -> str:
    state = port.sequencer.state
    runs = {
        run.run_id: [f"{task.spec.task_id} {task.status.name}" for task in run.tasks.values() if not task.status.over]
        for run in state.runs.values()
        if not run.status.over
    }
    return f"waiters {list(state.waiters)}, attempts {list(state.attempts)}, runs {runs}"
