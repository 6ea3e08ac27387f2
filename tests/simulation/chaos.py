"""What befalls a world from outside: clocks that jump, stalls, a full disk, old events that go, and crashes at any
moment, down to the single step of the loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from random import Random

from coordinator_service.core.rejections import Rejection
from coordinator_service.log.base import LogError
from tests.simulation.clock import NS, VirtualClock
from tests.simulation.coordinator import Lost
from tests.simulation.policies import policies_of
from tests.simulation.world import World

JUMPS_SECONDS = (-3600, -600, -1, 1, 20, 3600)


async def chaos(world: World) -> None:
    """Until calm is due."""
    random = world.random_of("chaos")
    ends_at = world.loop.time() + world.swarm.chaos_seconds
    troubles = [trouble for name, trouble in _TROUBLES.items() if name in world.swarm.troubles]
    if world.cluster is not None:
        troubles += [_of(trouble) for name, trouble in world.cluster.troubles().items() if name in world.swarm.troubles]
    crashes = random.choice((1, 2, 4, 8))
    while world.loop.time() < ends_at:
        await asyncio.sleep(random.expovariate(1 / 1.5))
        if not troubles:
            continue
        trouble = random.choice(troubles)
        if trouble is _crash:
            crashes -= 1
            if crashes < 0:
                continue
        await trouble(world, random)


async def _crash(world: World, random: Random) -> None:
    """Amid whatever is going on, between any two steps."""
    for _ in range(random.randrange(12)):
        await asyncio.sleep(0)

    def strike() -> None:
        coordinator = world.anybody()
        if coordinator is not None:
            coordinator.crash("chaos")

    world.loop.interrupt(strike, random.random())
    await asyncio.sleep(0)


def _of(trouble: Callable[[Random], Awaitable[None]]) -> Callable[[World, Random], Awaitable[None]]:
    return lambda _, random: trouble(random)


def _clock(world: World) -> VirtualClock:
    """That of the machine of a coordinator."""
    coordinator = world.anybody()
    return world.clock if coordinator is None else coordinator.clock


async def _jump(world: World, random: Random) -> None:
    seconds = random.choice(JUMPS_SECONDS)
    _clock(world).wall_off_ns += seconds * NS
    world.note(f"the wall clock jumps by {seconds} s")


async def _stall(world: World, random: Random) -> None:
    seconds = random.choice((0.25, 1.0, 6.0))
    _clock(world).stall(seconds)
    world.note(f"a stall of {seconds} s")


async def _fill_disk(world: World, random: Random) -> None:
    world.note("the disk is full")
    world.faults.disk_full = True
    await asyncio.sleep(random.choice((0.0, 0.25, 1.0, 4.0)) * random.random())
    world.faults.disk_full = False
    world.note("the disk has room again")


async def _trim(world: World, random: Random) -> None:
    """As somebody who does not want to keep so much."""
    try:
        port = await world.owner()
        log = port._log
        record = world.record()
        assert record is not None
        oldest = await log.trim(random.randint(record.base_sequence, record.last_sequence + 1), record.epoch)
    except (Lost, Rejection, LogError):
        return
    world.note(f"trimmed: the log begins at {oldest}")


async def _change_policies(world: World, _random: Random) -> None:
    """As somebody who edits the file; what stood before may come again."""
    world.editions += 1
    world.note(f"the policies are edited: {world.editions}")
    world.spawn(world.tell(policies_of(world, world.editions)), "policies")


async def _spoil_snapshot(world: World, random: Random) -> None:
    """The newest snapshot is not what was written; the one before it, or the log itself, has to do."""
    record = world.record()
    if record is None or len(record.snapshots) < (2 if record.base_sequence else 1):
        return
    if any(each.sequence in world.spoiled for each in record.snapshots):
        return
    newest = record.snapshots[0]
    at = random.randrange(len(newest.data))
    data = newest.data[:at] + bytes([newest.data[at] ^ 0x40]) + newest.data[at + 1 :]
    record.snapshots[0] = replace(newest, data=data)
    world.spoiled.add(newest.sequence)
    world.note(f"the snapshot at {newest.sequence} is spoiled")


_TROUBLES: dict[str, Callable[[World, Random], Awaitable[None]]] = {
    "crash": _crash,
    "disk_full": _fill_disk,
    "policies_change": _change_policies,
    "snapshot_spoiled": _spoil_snapshot,
    "stall": _stall,
    "trim": _trim,
    "wall_clock_jumps": _jump,
}
