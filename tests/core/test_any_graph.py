"""Scheduling of any dependency graph, against a reference that looks at everything every time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from coordinator_service.core import commands
from coordinator_service.core.commands import Caller
from coordinator_service.core.events import EventType
from coordinator_service.core.limits import Limits
from coordinator_service.core.specs import RetryPolicy, TaskSpec
from coordinator_service.core.values import NS_PER_MS
from tests.core.driver import Namespace, caller, task

CAPABILITIES = ("work", "paint")
STEP_MS = 1000
OVER = ("SUCCEEDED", "FAILED", "SKIPPED", "CANCELLED")

SHAPE = st.tuples(
    st.lists(st.integers(0, 7), max_size=3, unique=True),
    st.lists(st.integers(0, 7), max_size=2, unique=True),
    st.sampled_from(CAPABILITIES),
    st.integers(0, 9),
)


@dataclass
class Node:
    """A task as the reference knows it. key is R5's, fixed when it is ready."""

    spec: TaskSpec
    depends_on: list[str]
    after: list[str]
    sequence: int
    status: str = "PENDING"
    key: tuple[int, int, int] | None = None
    agent: str = ""


@dataclass
class Graph:
    """A run."""

    running_max: int
    nodes: dict[str, Node] = field(default_factory=dict)
    open: bool = False


class Reference:
    """The rules, as slowly as they can be written: every decision looks at every task and every agent."""

    def __init__(self) -> None:
        self.now_ns = 0
        self.runs: dict[str, Graph] = {}
        self.slots: dict[str, tuple[str, int]] = {}
        self.running_max = 0

    def settle(self) -> list[tuple[str, str, str]]:
        """What is decided now: (run, task, agent), in order."""
        assigned = []
        while self._skip_one():
            pass
        self._make_ready()
        while (found := self._assign_one()) is not None:
            assigned.append(found)
        return assigned

    def over(self, run_id: str) -> bool:
        """Whether every task of a run is over, and none will come."""
        run = self.runs[run_id]
        return not run.open and all(node.status in OVER for node in run.nodes.values())

    def _skip_one(self) -> bool:
        for run in self.runs.values():
            for node in run.nodes.values():
                lost = any(run.nodes[each].status in ("FAILED", "SKIPPED") for each in node.depends_on)
                if node.status == "PENDING" and lost:
                    node.status = "SKIPPED"
                    return True
        return False

    def _make_ready(self) -> None:
        for run in self.runs.values():
            for node in sorted(run.nodes.values(), key=lambda each: each.sequence):
                done = all(run.nodes[each].status == "SUCCEEDED" for each in node.depends_on)
                over = all(run.nodes[each].status in OVER for each in node.after)
                if node.status == "PENDING" and done and over:
                    self._queue(run, node)

    def _queue(self, run: Graph, node: Node) -> None:
        """R5: ready_at less priority, in whole steps; then how many of the run are ready or running; then sequence."""
        step_ns = STEP_MS * NS_PER_MS
        load = sum(each.status in ("READY", "RUNNING") for each in run.nodes.values())
        node.key = ((self.now_ns - (node.spec.priority or 0) * step_ns) // step_ns, load, node.sequence)
        node.status = "READY"

    def _assign_one(self) -> tuple[str, str, str] | None:
        ready = [
            (node.key, run_id, node)
            for run_id, run in self.runs.items()
            for node in run.nodes.values()
            if node.status == "READY"
        ]
        for _, run_id, node in sorted(ready, key=lambda each: each[0]):  # type: ignore[arg-type, return-value]
            agent = self._least_loaded(node.spec.target.capability)
            if agent is None or self._limited(self.runs[run_id]):
                continue
            node.status, node.agent = "RUNNING", agent
            return run_id, node.spec.task_id, agent
        return None

    def _limited(self, run: Graph) -> bool:
        running = sum(node.status == "RUNNING" for node in run.nodes.values())
        everywhere = sum(node.status == "RUNNING" for each in self.runs.values() for node in each.nodes.values())
        return bool(run.running_max and running >= run.running_max) or everywhere >= self.running_max

    def _least_loaded(self, capability: str) -> str | None:
        load = dict.fromkeys(self.slots, 0)
        for run in self.runs.values():
            for node in run.nodes.values():
                if node.status == "RUNNING":
                    load[node.agent] += 1
        able = [
            (load[agent], agent)
            for agent, (serves, slots) in self.slots.items()
            if serves == capability and load[agent] < slots
        ]
        return min(able)[1] if able else None


class AnyGraph(RuleBasedStateMachine):
    """Runs are submitted, grow, succeed, fail and are tried again; both say what starts, in which order, and where."""

    @initialize(running_max=st.sampled_from([2, 4, 100]))
    def begin(self, running_max: int) -> None:
        limits = Limits(agents_running_max=running_max, ageing_step_ms=STEP_MS, run_timeout_ms=10**9)
        self.namespace = Namespace(limits, restore_every=5)
        self.reference = Reference()
        self.reference.running_max = running_max
        self.seen = len(self.namespace.events)
        self.count = 0

    # What happens.

    @rule(capability=st.sampled_from(CAPABILITIES), slots=st.integers(1, 3))
    def hire(self, capability: str, slots: int) -> None:
        agent_id = f"agent-{len(self.reference.slots) * 7919 % 100:02}-{len(self.reference.slots)}"
        self.namespace.open(agent_id, capability, slots=slots)
        self.reference.slots[agent_id] = (capability, slots)
        self.compare()

    @rule(
        shapes=st.lists(SHAPE, min_size=1, max_size=8),
        running_max=st.sampled_from([0, 0, 1, 2]),
        turned=st.booleans(),
        open=st.booleans(),
    )
    def submit(self, shapes: list[Any], running_max: int, turned: bool, open: bool) -> None:
        """R3: whatever order they come in."""
        run_id = f"run-{len(self.reference.runs)}"
        tasks = self.shaped(shapes, [])
        tasks = tasks[::-1] if turned else tasks
        self.namespace.submit(*tasks, run_id=run_id, running_max=running_max, open=open)
        self.reference.runs[run_id] = Graph(running_max=running_max, open=open)
        self.take_up(run_id, tasks)

    @precondition(lambda self: any(run.open for run in self.reference.runs.values()))
    @rule(shapes=st.lists(SHAPE, max_size=3), which=st.integers(0, 99), last=st.booleans())
    def add(self, shapes: list[Any], which: int, last: bool) -> None:
        """R15: to an open run."""
        still_open = [run_id for run_id, run in self.reference.runs.items() if run.open]
        run_id = still_open[which % len(still_open)]
        run = self.reference.runs[run_id]
        tasks = self.shaped(shapes, list(run.nodes))
        if not tasks and not last:
            return
        command = commands.AddTasks(run_id=run_id, tasks=tuple(tasks), last=last)
        self.namespace.do(command, caller())
        run.open = not last
        self.take_up(run_id, tasks)

    @rule(which=st.integers(0, 99), succeeds=st.integers(0, 3))
    def finish(self, which: int, succeeds: int) -> None:
        running = [
            (run_id, node)
            for run_id, run in self.reference.runs.items()
            for node in run.nodes.values()
            if node.status == "RUNNING"
        ]
        if not running:
            return
        run_id, node = running[which % len(running)]
        node.status = "SUCCEEDED" if succeeds else "FAILED"
        token = self.namespace.token(node.spec.task_id, run_id)
        reporter: Caller = self.namespace.reporter(token)
        if succeeds:
            self.namespace.do(commands.CompleteTask(attempt_token=token), reporter)
        else:
            self.namespace.fail(node.spec.task_id, run_id, retryable=False)
        self.compare()

    @rule(which=st.integers(0, 99))
    def retry(self, which: int) -> None:
        """R15: what did not succeed, again."""
        found = [
            (run_id, run)
            for run_id, run in self.reference.runs.items()
            if self.reference.over(run_id) and any(node.status != "SUCCEEDED" for node in run.nodes.values())
        ]
        if not found:
            return
        run_id, run = found[which % len(found)]
        self.namespace.do(commands.RetryRun(run_id=run_id))
        for node in run.nodes.values():
            if node.status != "SUCCEEDED":
                node.status = "PENDING"
        self.compare()

    @rule(ms=st.sampled_from([10, 400, 1000, 2500]))
    def pass_time(self, ms: int) -> None:
        self.namespace.advance(ms / 1000)

    # Comparing.

    def shaped(self, shapes: list[Any], before: list[str]) -> list[TaskSpec]:
        """Tasks that depend on earlier ones, those that were there among them."""
        names = list(before)
        tasks = []
        for depends_on, after, capability, priority in shapes:
            self.count += 1
            hard = dict.fromkeys(names[each] for each in depends_on if each < len(names))
            soft = dict.fromkeys(names[each] for each in after if each < len(names))
            names.append(f"t{self.count}")
            tasks.append(
                task(
                    names[-1],
                    *hard,
                    after=tuple(each for each in soft if each not in hard),
                    capability=capability,
                    priority=priority,
                    retry=RetryPolicy(attempts_max=1),
                    max_execution_time_ns=10**15,
                )
            )
        return tasks

    def take_up(self, run_id: str, tasks: list[TaskSpec]) -> None:
        run = self.reference.runs[run_id]
        added = {e.task_id: e.sequence for e in self.namespace.of_type(EventType.TASK_ADDED) if e.run_id == run_id}
        for spec in tasks:
            run.nodes[spec.task_id] = Node(
                spec=spec,
                depends_on=[each.task_id for each in spec.depends_on],
                after=[each.task_id for each in spec.after],
                sequence=added[spec.task_id],
            )
        self.compare()

    def compare(self) -> None:
        """The same starts in the same order with the same agents."""
        self.reference.now_ns = self.namespace.now_ns
        happened = self.namespace.events[self.seen :]
        self.seen = len(self.namespace.events)
        started = [(e.run_id, e.task_id, e.agent_id) for e in happened if e.type is EventType.TASK_ASSIGNED]
        assert started == self.reference.settle()

    @invariant()
    def everything_stands_where_it_should(self) -> None:
        for run_id, run in getattr(self, "reference", Reference()).runs.items():
            assert self.namespace.statuses(run_id) == {name: node.status for name, node in run.nodes.items()}
            assert self.namespace.run(run_id).status.over is self.reference.over(run_id)

    def teardown(self) -> None:
        if hasattr(self, "namespace"):
            self.namespace.verify()


AnyGraph.TestCase.settings = settings(
    max_examples=80,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)


class TestAnyGraph(AnyGraph.TestCase):  # type: ignore[misc, name-defined]
    """R1, R3, R4, R5, R6, R10, R13, R15: what starts, in which order, and with whom, is what the rules say."""
