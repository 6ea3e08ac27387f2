"""One seed from beginning to end: chaos, then calm, then the reckoning."""

from __future__ import annotations

import asyncio
import gc
import logging
from dataclasses import dataclass
from typing import Any

from coordinator_service.core.apply import apply
from coordinator_service.core.commands import COORDINATOR, ChangePolicies
from coordinator_service.core.invariants import InvariantBroken
from coordinator_service.core.metrics import Metrics, observe
from coordinator_service.core.shared_state import keys_under
from coordinator_service.core.specs import CircuitPolicy, Policy, RetryPolicy
from coordinator_service.core.state import NamespaceState
from coordinator_service.core.values import NS_PER_MS
from coordinator_service.log.verify import verify
from coordinator_service.namespaces import LocalNamespace
from coordinator_service.snapshots import decode_folds, recover
from tests.simulation.agents import ScriptedAgent
from tests.simulation.clients import Client, Locker, Publisher, Submitter, Writer
from tests.simulation.clock import NS, VirtualLoop
from tests.simulation.compare import require_same
from tests.simulation.coordinator import NAMESPACE, Lost
from tests.simulation.history import check_history, check_told
from tests.simulation.subscribers import Subscriber
from tests.simulation.world import CHAOS_SECONDS, World

REST_SECONDS_MAX = 240.0


class Broken(AssertionError):  # noqa: N818 (it says what happened)
    """A seed broke something. The message says what, and how to see it again."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a seed that broke nothing."""

    seed: int
    digest: str
    events: int
    decisions: int
    crashes: int
    lives: int
    notes: tuple[str, ...]


def simulate(seed: int) -> Outcome:
    """Runs one seed. Raises Broken."""
    loop = VirtualLoop()
    collects = gc.isenabled()
    gc.disable()  # a collection closes generators, which is not derived from the seed
    notes: list[str] = []
    log = logging.getLogger("coordinator_service")
    log.propagate = False
    try:
        return loop.run_until_complete(_simulate(seed, notes))
    except BaseException as broken:
        if isinstance(broken, KeyboardInterrupt):
            raise
        replay = f"python -m tests.simulation --seed {seed}"
        raise Broken(f"seed {seed}: {broken!r}\nreplay: {replay}\n{_tail(notes)}") from broken
    finally:
        if collects:
            gc.enable()
        _end(loop)
        log.propagate = True


def _tail(notes: list[str]) -> str:
    return "\n".join(notes[-15:])


def _end(loop: VirtualLoop) -> None:
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


async def _simulate(seed: int, notes: list[str]) -> Outcome:
    world = World(seed)
    world.notes = notes
    logging.getLogger("coordinator_service").handlers = [_Faults(world)]
    world.loop.set_exception_handler(lambda _, context: world.fail(_fault(context)))
    timeline = world.spawn(_timeline(world), "timeline")
    await asyncio.wait([timeline, world.broken], return_when=asyncio.FIRST_COMPLETED)
    if world.broken.done():
        world.broken.result()
    return Outcome(
        seed=seed,
        digest=world.digest(),
        events=world.durable_end(),
        decisions=world.decisions,
        crashes=world.crashes,
        lives=len(world.lives()),
        notes=tuple(world.notes),
    )


async def _timeline(world: World) -> None:
    world.start()
    await _set_policies(world)
    agents = [ScriptedAgent(world, number) for number in range(world.random.randint(1, 4))]
    subscribers = [Subscriber(world, number) for number in range(4)]
    kinds: tuple[type[Client], ...] = (Submitter, Locker, Locker, Locker, Writer, Writer, Publisher)
    clients = [kind(world, number) for number, kind in enumerate(kinds)]
    for agent in agents:
        world.spawn(agent.act(), agent.agent_id)
    for subscriber in subscribers:
        world.spawn(subscriber.act(), "subscriber")
    acting = [world.spawn(client.act(), client.name) for client in clients]
    await _chaos(world)
    world.faults.calm = True
    world.note("calm")
    for task in acting:
        await task
    port = await _rest(world, subscribers)
    await _reckon(world, port, subscribers)


async def _set_policies(world: World) -> None:
    default = Policy(
        name="default",
        max_execution_time_ns=6_000 * NS_PER_MS,
        resource_timeout_ns=3_000 * NS_PER_MS,
        cancel_grace_ns=1_000 * NS_PER_MS,
        conflict_window_ns=2_000 * NS_PER_MS,
        retry=RetryPolicy(
            attempts_max=2, backoff_initial_ns=100 * NS_PER_MS, backoff_max_ns=1_000 * NS_PER_MS, lost_attempts_max=3
        ),
        circuit=CircuitPolicy(
            failures_max=3,
            failure_rate_max=0.6,
            attempts_min=4,
            window_ns=5_000 * NS_PER_MS,
            cool_down_ns=1_000 * NS_PER_MS,
        ),
    )
    policies = ChangePolicies(policies=(default, Policy(name="narrow", running_max=1)), digest="simulated")
    while True:
        try:
            outcome = await world.ask(policies, COORDINATOR)
        except Lost:
            continue
        if not isinstance(outcome, Exception):
            return
        await asyncio.sleep(0.1)


async def _chaos(world: World) -> None:
    """Clocks that jump, stalls, and crashes at any moment, down to the single step of the loop."""
    random = world.random_of("chaos")
    ends_at = world.loop.time() + random.choice(CHAOS_SECONDS)
    crashes = random.choice((0, 1, 4))
    while world.loop.time() < ends_at:
        await asyncio.sleep(random.expovariate(1 / 5.0))
        kind = random.random()
        if kind < 0.2:
            world.clock.wall_off_ns += random.choice((-600, -1, 1, 20)) * NS
            world.note("the wall clock jumps")
        elif kind < 0.35:
            world.clock.stall(random.choice((0.2, 1.0, 6.0)))
            world.note("a stall")
        elif crashes and world.coordinator is not None:
            crashes -= 1
            for _ in range(random.randrange(12)):
                await asyncio.sleep(0)
            if world.coordinator is not None:
                world.coordinator.crash("chaos")


async def _rest(world: World, subscribers: list[Subscriber]) -> LocalNamespace:
    """Waits until everything has come to an end by itself."""
    until = world.loop.time() + REST_SECONDS_MAX
    while world.loop.time() < until:
        await asyncio.sleep(1.0)
        if world.coordinator is None:
            continue
        port = await world.coordinator.port()
        state = port.sequencer.state
        quiet = not state.waiters and not state.attempts and all(run.status.over for run in state.runs.values())
        if quiet and all(each.bookmark == world.durable_end() for each in subscribers):
            return port
    raise InvariantBroken("8: no rest: " + _unrest(world))


def _unrest(world: World) -> str:
    assert world.coordinator is not None
    state = world.coordinator.owned[-1].sequencer.state
    runs = {
        run.run_id: [f"{task.spec.task_id} {task.status.name}" for task in run.tasks.values() if not task.status.over]
        for run in state.runs.values()
        if not run.status.over
    }
    return f"waiters {list(state.waiters)}, attempts {list(state.attempts)}, runs {runs}"


async def _reckon(world: World, port: LocalNamespace, subscribers: list[Subscriber]) -> None:
    coordinator = world.coordinator
    assert coordinator is not None
    await port.sequencer.drain()
    for life in world.lives():
        if not life.dead:
            life.check_all_told()
    live = port.sequencer.state.tables()
    end = world.durable_end()
    if port.sequencer.state.sequence != end:
        raise InvariantBroken(f"D3: the state is at {port.sequencer.state.sequence}, the log at {end}")
    log = await coordinator.store.open(NAMESPACE)
    await verify(log)
    folded = NamespaceState(NAMESPACE)
    events = world.durable_events()
    reads = {read.sequence: (command, read) for command, read in world.ledger.reads}
    for event in events:
        apply(folded, event)
        if event.sequence in reads:
            _check_read(folded, *reads[event.sequence])
    require_same(live, folded.tables(), "the live state, and what the log folds to")
    recovered = await recover(log)
    require_same(live, recovered.state.tables(), "the live state, and the newest snapshot with what follows it")
    for snapshot in await log.snapshots():
        _check_snapshot(world, snapshot.sequence, snapshot.data)
    history = check_history(events, world.limits.request_window_ms)
    check_told(world.ledger, events, history)
    for subscriber in subscribers:
        subscriber.check(world.durable_encoded(), events)
    _check_epochs(world)
    await coordinator.close()
    if coordinator.unanswered():
        raise InvariantBroken(f"8: {len(coordinator.unanswered())} callers were never answered")
    if world.durable_end() < end:
        raise InvariantBroken("D3: closing lost something")


def _check_read(folded: NamespaceState, command: object, read: object) -> None:
    """A read is what the log up to its sequence folds to."""
    prefix = command.prefix  # type: ignore[attr-defined]
    expected = {key: folded.entries[key] for key in keys_under(folded, prefix)}
    found = {entry.key: (entry.value, entry.revision) for entry in read.entries}  # type: ignore[attr-defined]
    if found != {key: (row.value, row.revision) for key, row in expected.items()}:
        raise InvariantBroken(f"D4: a read at {read.sequence} is not what the log says")  # type: ignore[attr-defined]


def _check_snapshot(world: World, sequence: int, data: bytes) -> None:
    folded, counted = NamespaceState(NAMESPACE), Metrics()
    for event in world.durable_events()[:sequence]:
        observe(counted, folded, event)
        apply(folded, event)
    folds = decode_folds(data)
    require_same(folds.tables, folded.tables(), f"the snapshot at {sequence}, and what the log folds to")
    if folds.metrics != counted:
        raise InvariantBroken(f"7: the metrics of the snapshot at {sequence} are not those of the log")


def _check_epochs(world: World) -> None:
    """Invariant 12: the batches of one epoch lie together, in the order of the epochs."""
    landed = [each for life in world.lives() for each in life.store.batch_epochs]
    epochs = [epoch for _, epoch in sorted(landed)]
    if epochs != sorted(epochs):
        raise InvariantBroken(f"12: epochs interleave: {epochs}")
