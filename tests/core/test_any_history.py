"""Whatever is asked in whatever order, the invariants hold, and the log tells the same story twice."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from coordinator_service.core import commands, reasons, specs
from coordinator_service.core.answers import Recall, recalled
from coordinator_service.core.commands import COORDINATOR, Caller, Command
from coordinator_service.core.limits import Limits
from coordinator_service.core.rejections import Rejection
from coordinator_service.core.specs import AgentSpec, Capability, LockRequest, Policy, TaskLock
from coordinator_service.core.values import LockMode, MergeStrategy
from tests.core.driver import LEASE_NS, Namespace, changing, encoded, seconds, task
from tests.core.explained import check_everything_is_explained

AGENT_IDS = st.sampled_from(["", "a", "b", "c"])
CAPABILITIES = st.lists(st.sampled_from(["work", "paint"]), unique=True, max_size=2)
RESOURCES = st.lists(st.sampled_from(["door", "window", "roof"]), unique=True, min_size=1, max_size=3)
MODES = st.sampled_from(LockMode)
RUN_IDS = st.sampled_from(["", "one", "two", "three"])
KEYS = ["k", "k/a", "k/a/b", "l"]
JSON_VALUES: list[Any] = [None, 1.0, "text", [1.0], {"a": [2.0]}]
PATHS = st.sampled_from(KEYS)
VALUES = st.sampled_from(JSON_VALUES)
REQUEST_IDS = st.sampled_from(["", "", "r1", "r2", "r3"])
PRINCIPALS = st.sampled_from(["", "alice"])
LIMITS = st.builds(
    Limits,
    agents_running_max=st.sampled_from([1, 3, 1000]),
    request_window_ms=st.sampled_from([0, 5_000, 60_000]),
    run_retention_ms=st.sampled_from([0, 20_000]),
    agent_retention_ms=st.sampled_from([0, 20_000]),
    run_timeout_ms=st.just(60_000),
    state_retention_ms=st.sampled_from([0, 20_000]),
    state_history_ms=st.sampled_from([0, 20_000]),
    state_history_values_max=st.sampled_from([1, 4096]),
)
CIRCUIT = specs.CircuitPolicy(
    failures_max=2, failure_rate_max=0.5, attempts_min=3, window_ns=seconds(10), cool_down_ns=seconds(4)
)
SHAPES = st.tuples(
    st.lists(st.integers(0, 3), max_size=2, unique=True),
    st.lists(st.integers(0, 3), max_size=1),
    st.sampled_from(["work", "paint", "nobody"]),
    st.lists(st.tuples(st.sampled_from(["door", "roof"]), MODES), max_size=2, unique_by=lambda each: each[0]),
    st.none() | st.integers(0, 3),
)
TASKS = st.lists(SHAPES, min_size=1, max_size=4)


def tasks_of(shapes: list[tuple[Any, ...]]) -> tuple[specs.TaskSpec, ...]:
    """Tasks that depend on earlier ones only."""
    tasks = []
    for number, (depends_on, after, capability, locks, priority) in enumerate(shapes):
        tasks.append(
            task(
                f"t{number}",
                *(f"t{each}" for each in depends_on if each < number),
                after=tuple(f"t{each}" for each in after if each < number),
                capability=capability,
                locks=tuple(TaskLock(resource=resource, mode=mode) for resource, mode in locks),
                priority=priority,
                max_execution_time_ns=seconds(20),
            )
        )
    return tuple(tasks)


def _upstream(spec: specs.TaskSpec, prefix: str) -> list[str]:
    """What a task that is added depends on: others added with it, and the first of its run."""
    return ["t0", *(f"{prefix}{each.task_id}" for each in spec.depends_on)]


class AnyHistory(RuleBasedStateMachine):
    """Commands of every kind, made by callers that may be stale, wrong or repeated."""

    def __init__(self) -> None:
        super().__init__()
        self.namespace = Namespace(Limits(run_timeout_ms=60_000), restore_every=5)
        self.sessions = [Caller()]
        self.tokens = [0]
        self.requests: dict[tuple[str, str], Command] = {}

    # Who asks, and what of.

    def session(self, choice: int) -> Caller:
        """Some session there was, or none."""
        return self.sessions[-1 - choice % len(self.sessions)]

    def token(self, choice: int) -> int:
        """Some sequence that may name an attempt, a grant, or nothing any more."""
        live = [
            *self.namespace.state.attempts,
            *self.namespace.state.grants,
            *self.namespace.state.waiters,
            *self.tokens,
        ]
        return live[choice % len(live)]

    def ask(self, command: Command, caller: Caller = COORDINATOR) -> None:
        """Decides it; a refusal without events has to leave everything as it was."""
        before = encoded(self.namespace.state.tables())
        before_sequence = self.namespace.state.sequence
        decision = self.namespace.decide(command, caller)
        if not decision.events:
            assert encoded(self.namespace.state.tables()) == before
        if isinstance(decision.answer, Recall):
            first = decision.answer.first_sequence
            recalled(self.namespace.events[first - 1 : first - 1 + decision.answer.count])
        if decision.events and before_sequence % 3 == 0:
            check_everything_is_explained(self.namespace.state, self.namespace.now_ns)
        self.tokens.extend(event.sequence for event in decision.events[:2])
        del self.tokens[1:-20]

    def ask_by_name(self, command: Command, caller: Caller, request_id: str) -> None:
        """The same, under a request id: what was asked under it before, every other time."""
        method = type(command).__name__
        if request_id:
            command = self.requests.setdefault((method, request_id), command)
            caller = Caller(
                principal=caller.principal,
                session_id=caller.session_id,
                attempt_token=caller.attempt_token,
                method=method,
                request_id=request_id,
                digest=repr(command).encode(),
            )
        self.ask(command, caller)

    # What is asked.

    @rule(agent_id=AGENT_IDS, capabilities=CAPABILITIES, slots=st.integers(1, 3), takeover=st.booleans())
    def open_session(self, agent_id: str, capabilities: list[str], slots: int, takeover: bool) -> None:
        spec = AgentSpec(
            agent_id=agent_id, slots=slots, capabilities=tuple(Capability(name=each) for each in capabilities)
        )
        self.ask(commands.OpenSession(spec=spec, lease_ns=LEASE_NS, takeover=takeover))
        live = [agent.session_id for agent in self.namespace.state.agents.values() if agent.session_id]
        self.sessions = [*self.sessions[-6:], *(Caller(session_id=each) for each in live)]

    @rule(which=st.integers(0, 9), what=st.sampled_from(["detach", "resume", "resume", "end", "drain", "update"]))
    def change_session(self, which: int, what: str) -> None:
        session = self.session(which)
        agent = self.namespace.state.agent_of_session(session.session_id)
        if what == "detach":
            sequence = 0 if agent is None else agent.attached_sequence
            self.ask(commands.DetachSession(session_id=session.session_id, attached_sequence=sequence))
        elif what == "resume":
            tokens = (self.token(which),)
            self.ask(commands.ResumeSession(session_id=session.session_id, attempt_tokens=tokens), session)
        elif what == "end":
            self.ask(commands.EndSession(session_id=session.session_id, reason=reasons.LEASE_EXPIRED))
        elif what == "drain":
            self.ask(commands.DrainAgent(agent_id="a" if agent is None else agent.spec.agent_id))
        else:
            spec = AgentSpec(agent_id="", capabilities=(Capability(name="paint"),), slots=2)
            self.ask(commands.UpdateAgent(spec=spec), session)

    @rule(
        run_id=RUN_IDS,
        shapes=TASKS,
        fail_fast=st.booleans(),
        running_max=st.sampled_from([0, 1]),
        request_id=REQUEST_IDS,
    )
    def submit(self, run_id: str, shapes: list[Any], fail_fast: bool, running_max: int, request_id: str) -> None:
        spec = specs.RunSpec(
            run_id=run_id, tasks=tasks_of(shapes), fail_fast=fail_fast, running_max=running_max, open=len(shapes) == 2
        )
        self.ask_by_name(commands.SubmitRun(spec=spec), COORDINATOR, request_id)

    @rule(
        run_id=RUN_IDS,
        shapes=st.lists(SHAPES, max_size=3),
        prefix=st.sampled_from("ab"),
        which=st.integers(0, 99),
        inside=st.booleans(),
        last=st.booleans(),
        request_id=REQUEST_IDS,
    )
    def add_tasks(
        self,
        run_id: str,
        shapes: list[Any],
        prefix: str,
        which: int,
        inside: bool,
        last: bool,
        request_id: str,
    ) -> None:
        token = self.token(which) if inside else 0
        attempt = self.namespace.state.attempts.get(token)
        run_id = run_id if attempt is None or which % 3 == 0 else attempt.run_id
        added = tuple(task(f"{prefix}{each.task_id}", *_upstream(each, prefix)) for each in tasks_of(shapes))
        caller = Caller(session_id=0 if attempt is None else attempt.session_id, attempt_token=token)
        self.ask_by_name(commands.AddTasks(run_id=run_id, tasks=added, last=last), caller, request_id)

    @rule(run_id=RUN_IDS, request_id=REQUEST_IDS)
    def retry(self, run_id: str, request_id: str) -> None:
        self.ask_by_name(commands.RetryRun(run_id=run_id), COORDINATOR, request_id)

    @rule(
        which=st.integers(0, 99),
        what=st.sampled_from(["start", "progress", "complete", "fail"]),
        key=PATHS,
        value=VALUES,
        flag=st.booleans(),
        request_id=REQUEST_IDS,
    )
    def report(self, which: int, what: str, key: str, value: Any, flag: bool, request_id: str) -> None:
        token = self.token(which)
        attempt = self.namespace.state.attempts.get(token)
        caller = Caller(session_id=attempt.session_id) if attempt is not None and which % 7 else self.session(which)
        command: Command
        if what == "start":
            command = commands.StartTask(attempt_token=token)
        elif what == "progress":
            command = commands.ProgressTask(attempt_token=token, progress=specs.Progress(fraction=0.5))
        elif what == "complete":
            changes = (changing((key, value)),) if flag else ()
            command = commands.CompleteTask(
                attempt_token=token, result=b"r", result_is_json=not flag, result_json=value, changes=changes
            )
        else:
            error = specs.TaskError(error_type="Broken")
            command = commands.FailTask(attempt_token=token, error=error, cancelled=flag, retryable=which % 3 > 0)
        self.ask_by_name(command, caller, request_id)

    @rule(
        which=st.integers(0, 9),
        inside=st.booleans(),
        resources=RESOURCES,
        mode=MODES,
        wait=st.sampled_from([None, 0.0, 7.0]),
        holder=st.sampled_from(["", "x", "y"]),
        priority=st.none() | st.integers(0, 3),
        request_id=REQUEST_IDS,
    )
    def acquire(
        self,
        which: int,
        inside: bool,
        resources: list[str],
        mode: LockMode,
        wait: float | None,
        holder: str,
        priority: int | None,
        request_id: str,
    ) -> None:
        wait_ns = None if wait is None else seconds(wait)
        requests = tuple(
            LockRequest(resource=each, mode=mode, wait_timeout_ns=wait_ns, holder=holder, priority=priority)
            for each in resources
        )
        caller = Caller(attempt_token=self.token(which)) if inside else self.session(which)
        self.ask_by_name(commands.Acquire(requests=requests), caller, request_id)

    @rule(
        which=st.integers(0, 99),
        session=st.integers(0, 9),
        what=st.sampled_from(["release", "force", "expire", "withdraw"]),
    )
    def let_go(self, which: int, session: int, what: str) -> None:
        token = self.token(which)
        if what == "force":
            held = list(self.namespace.state.grants)
            if held:
                token = held[which % len(held)]
                self.ask(commands.Release(fencing_tokens=(token,), force=True), self.session(session))
        elif what == "expire":
            self.ask(commands.ExpireLock(fencing_token=token))
        elif what == "withdraw":
            self.ask(commands.WithdrawRequest(request_sequence=token))
        else:
            grant = self.namespace.state.grants.get(token)
            caller = self.session(session) if grant is None else Caller(session_id=grant.session_id)
            self.ask(commands.Release(fencing_tokens=(token,)), caller)

    @rule(
        which=st.integers(0, 9),
        inside=st.booleans(),
        key=PATHS,
        value=VALUES,
        strategy=st.sampled_from(MergeStrategy),
        prefix=st.sampled_from(["", "", "k"]),
        base=st.none() | st.integers(0, 30),
        request_id=REQUEST_IDS,
    )
    def update(
        self,
        which: int,
        inside: bool,
        key: str,
        value: Any,
        strategy: MergeStrategy,
        prefix: str,
        base: int | None,
        request_id: str,
    ) -> None:
        base_revision = None if base is None else max(0, self.namespace.state.sequence - base)
        change = changing((key, value), strategy=strategy, prefix=prefix, base=base_revision)
        caller = Caller(attempt_token=self.token(which)) if inside else self.session(which)
        self.ask_by_name(commands.UpdateState(change=change), caller, request_id)

    @rule(
        which=st.integers(0, 9),
        inside=st.booleans(),
        path=PATHS,
        by_prefix=st.booleans(),
        guard=st.booleans(),
        base=st.none() | st.integers(0, 30),
        request_id=REQUEST_IDS,
    )
    def delete(
        self, which: int, inside: bool, path: str, by_prefix: bool, guard: bool, base: int | None, request_id: str
    ) -> None:
        """A key goes, or a path; or somebody guards it."""
        caller = Caller(attempt_token=self.token(which)) if inside else self.session(which)
        if guard:
            requests = (LockRequest(resource="state", mode=LockMode.SHARED, guards=path, wait_timeout_ns=0),)
            self.ask_by_name(commands.Acquire(requests=requests), caller, request_id)
            return
        base_revision = None if base is None else max(0, self.namespace.state.sequence - base)
        keys, prefix = ((), path) if by_prefix else ((path,), "")
        command = commands.DeleteState(keys=keys, prefix=prefix, base_revision=base_revision)
        self.ask_by_name(command, caller, request_id)

    @rule(event_ids=st.lists(st.sampled_from(["", "e1", "e2"]), min_size=1, max_size=3), request_id=REQUEST_IDS)
    def publish(self, event_ids: list[str], request_id: str) -> None:
        drafts = tuple(commands.EventDraft(name="built", event_id=each) for each in event_ids)
        self.ask_by_name(commands.Publish(drafts=drafts), COORDINATOR, request_id)

    @rule(
        what=st.sampled_from(["cancel", "policies", "policies", "owner", "owner"]),
        run_id=RUN_IDS,
        running_max=st.sampled_from([0, 1, 2]),
        limits=LIMITS,
    )
    def change_course(self, what: str, run_id: str, running_max: int, limits: Limits) -> None:
        if what == "cancel":
            self.ask(commands.CancelRun(run_id=run_id))
        elif what == "policies":
            policy = Policy(name="default", running_max=running_max, circuit=CIRCUIT)
            self.ask(commands.ChangePolicies(policies=(policy,)))
        else:
            self.namespace.start_owner(limits)
            for session in self.sessions[-2:]:
                self.ask(commands.ResumeSession(session_id=session.session_id))

    @rule(choices=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=6))
    def work(self, choices: list[tuple[int, int]]) -> None:
        """Agents do what they are there for: mostly they succeed."""
        for which, how in choices:
            live = list(self.namespace.state.attempts)
            if not live:
                return
            token = live[which % len(live)]
            caller = self.namespace.reporter(token)
            if how == 0:
                self.ask(commands.FailTask(attempt_token=token, error=specs.TaskError(error_type="Broken")), caller)
            elif how == 1:
                requests = (LockRequest(resource="window", mode=LockMode.SHARED),)
                self.ask(commands.Acquire(requests=requests), Caller(attempt_token=token))
            elif how == 2:
                self.ask(commands.StartTask(attempt_token=token), caller)
            else:
                self.ask(commands.CompleteTask(attempt_token=token, result=b"r"), caller)

    @rule(agent_ids=st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=3, unique=True))
    def staff(self, agent_ids: list[str]) -> None:
        """Agents that can do everything come, or come back."""
        for agent_id in agent_ids:
            agent = self.namespace.state.agents.get(agent_id)
            if agent is None or not agent.session_id:
                self.open_session(agent_id, ["work", "paint"], 2, False)
            elif not agent.attached:
                self.ask(commands.ResumeSession(session_id=agent.session_id))

    @rule(count=st.sampled_from([0.1, 1.0, 5.0, 16.0]))
    def pass_time(self, count: float) -> None:
        self.namespace.advance(count)

    @rule(which=st.integers(0, 99), run_id=RUN_IDS)
    def look(self, which: int, run_id: str) -> None:
        reads: list[Command] = [
            commands.GetRun(run_id=run_id),
            commands.ListRuns(),
            commands.ListAgents(),
            commands.ListLocks(),
            commands.GetState(prefix="k"),
            commands.GetState(prefix="k", revision=max(1, self.namespace.state.sequence - which)),
            commands.GetAttempt(attempt_token=self.token(which)),
            commands.GetLock(resource="door"),
        ]
        assert self.namespace.decide(reads[which % len(reads)]).events == []

    def teardown(self) -> None:
        self.namespace.advance(1000)
        state = self.namespace.state
        assert not state.waiters, "somebody waits for ever"
        assert all(run.status.over for run in state.runs.values())
        assert not state.attempts
        self.namespace.verify()


AnyHistory.TestCase.settings = settings(
    max_examples=60,
    stateful_step_count=60,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)


class TestAnyHistory(AnyHistory.TestCase):  # type: ignore[misc, name-defined]
    """D1, D5, D6, D7, D8, R6, R8, L1, L2, L6, S3, X1: invariants at every step; folds and copies equal at the end."""


def test_a_refusal_is_an_answer() -> None:
    """D1: decide returns refusals; it raises only what is a fault."""
    decision = Namespace().decide(commands.CancelRun(run_id="ghost"))
    assert isinstance(decision.answer, Rejection)
    assert decision.events == []


class Walk:
    """A long history, drawn by a seed: deeper than what a search through short ones comes to."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.history = AnyHistory()
        self.history.namespace = Namespace(Limits(run_timeout_ms=60_000, agents_running_max=4), restore_every=40)
        self.names = ["", *(f"r{number}" for number in range(40))]

    def steps(self, count: int) -> None:
        """Acts, some more often than others."""
        acts: list[tuple[int, Callable[[], None]]] = [
            (6, self.submit),
            (3, self.grow),
            (8, self.acquire),
            (5, self.let_go),
            (4, self.update),
            (2, self.delete),
            (4, self.report),
            (25, self.work),
            (6, lambda: self.history.staff(self.random.sample(["a", "b", "c"], self.random.randrange(1, 4)))),
            (3, self.change_session),
            (1, lambda: self.history.open_session(self.any("", "a"), ["work"], 1, self.perhaps(0.5))),
            (1, self.change_course),
            (2, lambda: self.history.publish(self.random.choices(["", "e1", "e2"], k=2), self.any(*self.names))),
            (8, lambda: self.history.namespace.advance(self.any(0.01, 0.1, 1.0, 6.0))),
        ]
        weights, chosen = zip(*acts, strict=True)
        for act in self.random.choices(chosen, weights, k=count):
            act()

    def any(self, *choices: Any) -> Any:
        """One of them."""
        return self.random.choice(choices)

    def perhaps(self, probability: float) -> bool:
        """Whether it happens this time."""
        return self.random.random() < probability

    def submit(self) -> None:
        below = self.random.randrange
        shapes = [
            (
                self.random.sample(range(4), below(3)),
                self.random.sample(range(4), below(2)),
                self.any("work", "paint"),
                [(each, self.any(*LockMode)) for each in self.random.sample(["door", "roof"], below(3))],
                self.any(None, 0, 3),
            )
            for _ in range(below(1, 5))
        ]
        self.history.submit(f"run-{below(50)}", shapes, self.perhaps(0.2), below(2), self.any(*self.names))

    def grow(self) -> None:
        run_id = f"run-{self.random.randrange(50)}"
        if self.perhaps(0.4):
            self.history.retry(run_id, self.any(*self.names))
            return
        shapes = [([], [], "work", [], None)] * self.random.randrange(3)
        token = self.random.randrange(100)
        request_id = self.any(*self.names)
        self.history.add_tasks(
            run_id, shapes, self.any("a", "b"), token, self.perhaps(0.7), self.perhaps(0.5), request_id
        )

    def acquire(self) -> None:
        self.history.acquire(
            self.random.randrange(10),
            self.perhaps(0.3),
            self.random.sample(["door", "window", "roof"], self.random.randrange(1, 4)),
            self.any(*LockMode),
            self.any(None, None, 0.0, 7.0),
            self.any("", "x", "y"),
            self.any(None, 0, 3),
            self.any(*self.names),
        )

    def let_go(self) -> None:
        what = self.any(*["release"] * 4, "force", "expire", "withdraw")
        self.history.let_go(self.random.randrange(100), self.random.randrange(10), what)

    def update(self) -> None:
        self.history.update(
            self.random.randrange(10),
            self.perhaps(0.3),
            self.any(*KEYS),
            self.any(*JSON_VALUES),
            self.any(*MergeStrategy),
            self.any("", "", "k"),
            self.any(None, 0, 5, 30),
            self.any(*self.names),
        )

    def delete(self) -> None:
        self.history.delete(
            self.random.randrange(10),
            self.perhaps(0.3),
            self.any(*KEYS),
            self.perhaps(0.3),
            self.perhaps(0.2),
            self.any(None, 0, 5, 30),
            self.any(*self.names),
        )

    def report(self) -> None:
        what = self.any("start", "progress", "complete", "fail")
        arguments = (self.any(*KEYS), self.any(*JSON_VALUES), self.perhaps(0.5), self.any(*self.names))
        self.history.report(self.random.randrange(100), what, *arguments)

    def work(self) -> None:
        self.history.work([(self.random.randrange(10), self.random.randrange(10))])

    def change_session(self) -> None:
        self.history.change_session(self.random.randrange(10), self.any("detach", "resume", "end", "drain", "update"))

    def change_course(self) -> None:
        limits = Limits(
            agents_running_max=self.any(1, 4, 1000),
            request_window_ms=self.any(0, 5_000, 60_000),
            run_retention_ms=self.any(0, 20_000),
            agent_retention_ms=self.any(0, 20_000),
            run_timeout_ms=60_000,
        )
        what = self.any("cancel", "cancel", "policies", "policies", "owner")
        self.history.change_course(what, f"run-{self.random.randrange(50)}", self.random.randrange(3), limits)


@pytest.mark.parametrize("seed", range(6))
def test_long_histories(seed: int) -> None:
    """D1, D5, D8, R6, R8, L2, L3, L6, X1: a thousand steps, restored copies on the way, everything over in the end."""
    walk = Walk(seed)
    walk.steps(1000)
    types = {event.type for event in walk.history.namespace.events}
    assert len(types) > 25, "the walk is to see nearly everything that can happen"
    walk.history.teardown()
