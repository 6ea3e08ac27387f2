"""Decisions of the bare core, without IO: how many a second, and what one costs as the backlog grows.

A decision here is what the sequencer asks for: decide() of a command under a request id, which also applies its events.
Encoding, appending and answering are not in it.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator

from benchmarks.figure import Figure, Sample, Target
from benchmarks.settings import Settings
from coordinator_service.core import commands
from coordinator_service.core.answers import Acquired, Waiting
from coordinator_service.core.commands import Caller, Command
from coordinator_service.core.decide import decide
from coordinator_service.core.limits import Limits
from coordinator_service.core.rejections import Deadlock, Rejection
from coordinator_service.core.specs import (
    AgentSpec,
    Capability,
    LockRequest,
    RunSpec,
    StateChange,
    StateUpdate,
    TaskLock,
    TaskSpec,
    TaskTarget,
)
from coordinator_service.core.state import NamespaceState
from coordinator_service.core.values import NS_PER_SECOND, MergeStrategy

BACKLOGS = (100, 1_000, 10_000, 100_000)
BACKLOG_USUAL = 1_000
DECISIONS_PER_STINT = 3_000
RUN_TASKS = 100
STEP_NS = 20_000
"""Namespace time from one decision to the next."""

Cycle = tuple["Core", Callable[[], int]]
"""A namespace, and what decides a few commands in it and leaves the backlog as it was; how many they were."""


class Core:
    """A namespace in memory, and the two sessions that speak to it."""

    def __init__(self) -> None:
        self.state = NamespaceState("benchmark")
        self._now_ns = 1_800_000_000 * NS_PER_SECOND
        self._numbers = itertools.count()
        self._callers: dict[str, list[Caller]] = {}
        self.agent = self.client = 0
        self.decide(commands.StartOwner(epoch=1, replica_id="r", limits=Limits()))
        self.agent = self.open("agent", "work")
        self.client = self.open("client")

    def open(self, agent_id: str, *capabilities: str) -> int:
        """A session's id."""
        spec = AgentSpec(agent_id=agent_id, capabilities=tuple(Capability(name=each) for each in capabilities))
        self.decide(commands.OpenSession(spec=spec, lease_ns=15 * NS_PER_SECOND))
        return self.state.sequence

    def prepare(self) -> None:
        """Makes the callers of a stint, so that making them is not measured."""
        self._callers.clear()
        for name, session_id in (("agent", self.agent), ("client", self.client), ("nobody", 0)):
            self._callers[name] = [self._caller(session_id) for _ in range(DECISIONS_PER_STINT)]

    def decide(self, command: Command, who: str = "nobody") -> object:
        """One decision, as a client asks for it. A refusal would measure nothing."""
        self._now_ns += STEP_NS
        prepared = self._callers.get(who)
        caller = prepared.pop() if prepared else self._caller(getattr(self, who, 0))
        answer = decide(self.state, command, caller, self._now_ns).answer
        if isinstance(answer, Rejection):
            raise answer
        return answer

    def _caller(self, session_id: int) -> Caller:
        number = next(self._numbers)
        return Caller(session_id=session_id, method="Any", request_id=f"request-{number}", digest=b"0123456789abcdef")


def publishing(_backlog: int) -> Cycle:
    """An event; there is nothing that it could wait behind."""
    core = Core()
    drafts = (commands.EventDraft(name="page_built", data=b'{"page":1}'),)

    def cycle() -> int:
        core.decide(commands.Publish(drafts=drafts), "client")
        return 1

    return core, cycle


def locking(backlog: int) -> Cycle:
    """A lock is taken and given back, beside others that are held."""
    core = Core()
    for number in range(backlog):
        core.decide(commands.Acquire(requests=(LockRequest(resource=f"held/{number}"),)), "client")
    requests = (LockRequest(resource="free"),)

    def cycle() -> int:
        acquired = core.decide(commands.Acquire(requests=requests), "client")
        assert isinstance(acquired, Acquired)
        core.decide(commands.Release(fencing_tokens=(acquired.grants[0].fencing_token,)), "client")
        return 2

    return core, cycle


def handing_over(backlog: int) -> Cycle:
    """A lock goes to the next in line, and whoever gave it back queues again."""
    core = Core()
    names = itertools.count()

    def ask() -> object:
        request = LockRequest(resource="door", holder=f"holder-{next(names)}", wait_timeout_ns=10**15)
        return core.decide(commands.Acquire(requests=(request,)))

    ask()
    for _ in range(backlog):
        assert isinstance(ask(), Waiting)

    def cycle() -> int:
        [token] = core.state.locks["door"].holders.values()
        core.decide(commands.Release(fencing_tokens=(token,)))
        ask()
        return 2

    return core, cycle


def queueing(backlog: int) -> Cycle:
    """One more waits for a lock, of any priority, in a queue of such as hold something themselves; the holder of that
    lock then asks for what the newcomer holds, which closes a cycle and is refused; and the newcomer gives up."""
    core = Core()
    priorities = itertools.cycle((0, 3, 9, 5, 1, 7))

    def ask(resource: str, holder: str) -> object:
        request = LockRequest(
            resource=resource, holder=holder, priority=next(priorities), wait_timeout_ns=1000 * NS_PER_SECOND
        )
        return core.decide(commands.Acquire(requests=(request,)))

    for number in range(backlog):
        ask("door", f"holder-{number}")
        ask(f"own/{number}", f"holder-{number}")
    ask("mine", "newcomer")
    ask("mine", "somebody")

    def cycle() -> int:
        waiting = ask("door", "newcomer")
        assert isinstance(waiting, Waiting)
        try:
            ask("mine", "holder-0")
        except Deadlock:
            core.decide(commands.WithdrawRequest(request_sequence=waiting.request_sequence))
            return 3
        raise AssertionError("nobody saw the cycle")

    return core, cycle


def updating(backlog: int) -> Cycle:
    """A key that is there is replaced."""
    core = Core()
    keys = [f"site/pages/{number:06}/status" for number in range(backlog)]
    for key in keys:
        core.decide(commands.UpdateState(change=_set(key)), "client")
    turn = itertools.cycle(keys)

    def cycle() -> int:
        core.decide(commands.UpdateState(change=_set(next(turn))), "client")
        return 1

    return core, cycle


def creating(backlog: int) -> Cycle:
    """A key that is not there yet is set."""
    core = Core()
    for number in range(backlog):
        core.decide(commands.UpdateState(change=_set(f"site/pages/{number:06}/status")), "client")
    # Spread over all of the key space, the way names that nobody ordered come.
    numbers = (number * 7919 % max(1, backlog) for number in itertools.count())
    fresh = itertools.count()

    def cycle() -> int:
        key = f"site/pages/{next(numbers):06}/new-{next(fresh)}"
        core.decide(commands.UpdateState(change=_set(key)), "client")
        return 1

    return core, cycle


def running(backlog: int) -> Cycle:
    """A run of one task is submitted, and the task next in line is started and completed, which assigns another."""
    core = Core()
    for _ in range(backlog // RUN_TASKS):
        core.decide(commands.SubmitRun(spec=_run(RUN_TASKS)), "client")
    core.decide(commands.SubmitRun(spec=_run(1)), "client")

    def cycle() -> int:
        [token] = core.state.attempts
        core.decide(commands.SubmitRun(spec=_run(1)), "client")
        core.decide(commands.StartTask(attempt_token=token), "agent")
        core.decide(commands.CompleteTask(attempt_token=token, result=b"done"), "agent")
        return 3

    return core, cycle


def claiming(backlog: int) -> Cycle:
    """The same where every task declares locks: one that all want, and one of a few."""
    core = Core()

    def submit(count: int) -> None:
        core.decide(commands.SubmitRun(spec=_run(count, locked=True)), "client")

    for _ in range(backlog // RUN_TASKS):
        submit(RUN_TASKS)
    submit(1)

    def cycle() -> int:
        [token] = core.state.attempts
        submit(1)
        core.decide(commands.StartTask(attempt_token=token), "agent")
        core.decide(commands.CompleteTask(attempt_token=token, result=b"done"), "agent")
        return 3

    return core, cycle


KINDS: dict[str, Callable[[int], Cycle]] = {
    "publish": publishing,
    "lock pairs": locking,
    "lock hand-over": handing_over,
    "lock waiter": queueing,
    "state update": updating,
    "state creation": creating,
    "task lifecycle": running,
    "task with locks": claiming,
}
GROWING = (
    "lock pairs",
    "lock hand-over",
    "lock waiter",
    "state update",
    "state creation",
    "task lifecycle",
    "task with locks",
)
EVENTFUL = ("task with locks",)
"""Kinds whose decisions take several locks and give several back: what they cost as such has no target."""


def measure(settings: Settings) -> list[Figure]:
    """Decisions a second for each kind, and what the largest backlog makes of the cost of one."""
    figures: list[Figure] = []
    for name in KINDS:
        figures.extend(measure_kind(name, settings.rounds))
    return figures


def measure_kind(name: str, rounds: int) -> list[Figure]:
    """One kind, its backlogs in turn in every round, so that all of them meet the same weather."""
    backlogs = BACKLOGS if name in GROWING else (BACKLOG_USUAL,)
    cycles = {backlog: KINDS[name](backlog) for backlog in backlogs}
    for cycle in cycles.values():
        stint_us(cycle)
    speed = Figure(
        name=f"core, {name}",
        unit="decisions/s",
        target=Target(floor=30_000, goal=60_000, of="concert"),
    )
    slope = Figure(
        name=f"core, {name}, slope",
        unit="µs at 100 000",
        ceiling="at 100",
        target=Target(floor=1.5, goal=1.15, lower_is_better=True),
    )
    for costs in itertools.islice(_rounds(cycles), rounds):
        speed.samples.append(Sample(concert=1e6 / costs[BACKLOG_USUAL], details={"us_by_backlog": costs}))
        if name in GROWING:
            slope.samples.append(Sample(concert=costs[BACKLOGS[-1]], ceiling=costs[BACKLOGS[0]]))
    if name in EVENTFUL:
        return [slope]
    return [speed, slope] if name in GROWING else [speed]


def _rounds(cycles: dict[int, Cycle]) -> Iterator[dict[int, float]]:
    while True:
        yield {backlog: stint_us(cycle) for backlog, cycle in cycles.items()}


def stint_us(cycle: Cycle) -> float:
    """The mean CPU time of a decision, in µs, over a stint: nothing here waits, and neighbours do not count."""
    core, decide_some = cycle
    core.prepare()
    decisions = 0
    began = time.process_time()
    while decisions < DECISIONS_PER_STINT:
        decisions += decide_some()
    return (time.process_time() - began) * 1e6 / decisions


def _set(key: str) -> StateChange:
    return StateChange(updates=(StateUpdate(key=key, value={"done": True}),), strategy=MergeStrategy.REPLACE)


def _run(size: int, *, locked: bool = False) -> RunSpec:
    target = TaskTarget(capability="work")
    return RunSpec(
        tasks=tuple(
            TaskSpec(
                task_id=f"task-{number}",
                target=target,
                locks=(TaskLock(resource="door"), TaskLock(resource=f"page-{number % 10}")) if locked else (),
            )
            for number in range(size)
        )
    )


def main() -> None:
    """Prints the table."""
    from benchmarks import report

    report.show(measure(Settings()))


if __name__ == "__main__":
    main()
