"""Lock queues against a brute-force reference: whoever asks, waits, leaves, goes away and returns, in any order."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from coordinator_service.core import commands
from coordinator_service.core.answers import Acquired, Waiting
from coordinator_service.core.commands import Caller
from coordinator_service.core.events import EventType, ResourceRequestRefused
from coordinator_service.core.limits import Limits
from coordinator_service.core.rejections import Deadlock, LockTimeout, LockUpgrade
from coordinator_service.core.specs import LockRequest
from coordinator_service.core.values import LockMode
from tests.core.driver import Namespace, seconds
from tests.core.lock_model import LockModel, Waiter

RESOURCES = ["a", "b", "c", "d"]
HOLDERS = ["x", "y", "z", "session 0", "session 1"]
LONG = 10_000
"""Seconds: a wait that does not end by itself."""


class Locks:
    """A namespace and the reference beside it, asked the same."""

    def __init__(self) -> None:
        self.namespace = Namespace(Limits(lock_waiters_max=1000), restore_every=5)
        self.namespace.advance(5)  # from here on who is detached blocks nobody
        self.sessions = [self.namespace.open("one"), self.namespace.open("two")]
        self.model = LockModel()
        self.outcomes: set[str] = set()

    def acquire(self, holder: str, wants: dict[str, LockMode], priority: int, wait: float) -> None:
        """Asks for locks."""
        namespace = self.namespace
        number = int(holder.removeprefix("session ")) if holder.startswith("session ") else -1
        caller = self.sessions[number] if number >= 0 else Caller()
        requests = tuple(
            LockRequest(resource=each, mode=mode, holder=holder, priority=priority, wait_timeout_ns=seconds(wait))
            for each, mode in wants.items()
        )
        if number >= 0 and not namespace.agent(["one", "two"][number]).attached:
            return
        sequence = namespace.state.sequence + 1
        answer = namespace.decide(commands.Acquire(requests=requests), caller).answer
        name = f"session/{caller.session_id}" if caller.session_id else holder
        step = seconds(10)
        key = ((namespace.now_ns - priority * step) // step, 0, sequence)
        outcome = self.model.acquire(Waiter(sequence, key, name, dict(wants)), waits=wait > 0)
        told = {Acquired: "granted", Waiting: "waiting"}.get(type(answer))
        if isinstance(answer, Deadlock | LockTimeout | LockUpgrade):
            told = answer.reason
        assert told == outcome
        if isinstance(answer, Deadlock):
            self.check_cycle(answer)
        self.outcomes.add(outcome)
        self.compare()

    def release(self, which: int, whole: bool) -> None:
        """Somebody gives a lock back, or its lease ends."""
        tokens = list(self.namespace.state.grants)
        if not tokens:
            return
        grant = self.namespace.state.grants[tokens[which % len(tokens)]]
        whole = whole and not grant.session_id
        count = grant.count if whole else 1
        if whole:
            self.namespace.do(commands.ExpireLock(fencing_token=grant.token))
        else:
            self.namespace.release(Caller(session_id=grant.session_id), grant.token)
        self.model.release(grant.resource, grant.holder, count)
        self.compare()

    def withdraw(self, which: int) -> None:
        """Somebody waits no more."""
        sequences = list(self.namespace.state.waiters)
        if sequences:
            sequence = sequences[which % len(sequences)]
            self.namespace.do(commands.WithdrawRequest(request_sequence=sequence))
            self.model.leave(sequence)
            self.compare()

    def toggle(self, number: int) -> None:
        """A session goes away, or returns."""
        session = self.sessions[number]
        holder = f"session/{session.session_id}"
        if self.namespace.agent(["one", "two"][number]).attached:
            self.namespace.detach(session)
            self.model.detach(holder)
        else:
            before = len(self.namespace.events)
            self.namespace.resume(session)
            refused = [
                event.payload.request_sequence
                for event in self.namespace.events[before:]
                if isinstance(event.payload, ResourceRequestRefused)
            ]
            assert refused == self.model.resume(holder)
            self.outcomes.update("refused on return" for _ in refused)
        self.compare()

    def pass_time(self, count: float) -> None:
        """Waits end, one at a time."""
        until_ns = self.namespace.now_ns + seconds(count)
        while due := [w for w in self.namespace.state.waiters.values() if w.deadline_ns <= until_ns]:
            first = min(due, key=lambda w: (w.deadline_ns, w.request_sequence))
            same = [w.request_sequence for w in due if w.deadline_ns == first.deadline_ns]
            self.namespace.now_ns = max(self.namespace.now_ns, first.deadline_ns)
            before = len(self.namespace.events)
            self.namespace.do(commands.Tick())
            ended = self.namespace.events[before:]
            timed_out = [e.cause for e in ended if e.type is EventType.RESOURCE_REQUEST_TIMED_OUT]
            assert set(timed_out) <= set(same)
            for sequence in timed_out:
                self.model.leave(sequence)
            self.compare()
        self.namespace.now_ns = until_ns

    def check_cycle(self, answer: Deadlock) -> None:
        """L4: each of the cycle waits for what the next one has, or is to have before it."""
        state, steps = self.namespace.state, answer.cycle
        assert len(steps) >= 2
        assert steps[0].request_sequence == answer.request_sequence
        for number, step in enumerate(steps):
            following = steps[(number + 1) % len(steps)].holder
            if step.fencing_token:
                assert state.locks[step.resource].holders[following] == step.fencing_token
            else:
                assert (step.resource, following) in state.index.waiting

    def compare(self) -> None:
        """Both say the same of everybody."""
        state, model = self.namespace.state, self.model
        held = {
            resource: {name: state.grants[token].count for name, token in row.holders.items()}
            for resource, row in state.locks.items()
        }
        assert held == {resource: names for resource, names in model.held.items() if names}
        assert set(state.waiters) == set(model.waiters)
        passes = {
            (sequence, each)
            for sequence, waiter in state.waiters.items()
            for each in waiter.passes
            if each in state.waiters and waiter.attached and state.waiters[each].attached
        }
        assert passes == {
            (one, other) for one, other in model.passes if model.waiters[one].attached and model.waiters[other].attached
        }
        if passes:
            self.outcomes.add("passing")


class LockQueues(RuleBasedStateMachine):
    """Asks for locks in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.locks = Locks()

    @rule(
        holder=st.sampled_from(HOLDERS),
        wants=st.dictionaries(st.sampled_from(RESOURCES), st.sampled_from(LockMode), min_size=1, max_size=3),
        priority=st.sampled_from([0, 0, 0, 3, 9]),
        wait=st.sampled_from([LONG, LONG, LONG, 7.0, 0.0]),
    )
    def acquire(self, holder: str, wants: dict[str, LockMode], priority: int, wait: float) -> None:
        self.locks.acquire(holder, wants, priority, wait)

    @rule(which=st.integers(0, 30), whole=st.booleans())
    def release(self, which: int, whole: bool) -> None:
        self.locks.release(which, whole)

    @rule(which=st.integers(0, 30))
    def withdraw(self, which: int) -> None:
        self.locks.withdraw(which)

    @rule(number=st.integers(0, 1))
    def toggle(self, number: int) -> None:
        self.locks.toggle(number)

    @rule(count=st.sampled_from([0.5, 5.0, 20.0]))
    def pass_time(self, count: float) -> None:
        self.locks.pass_time(count)

    def teardown(self) -> None:
        self.locks.namespace.verify()


LockQueues.TestCase.settings = settings(
    max_examples=40,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)


class TestLockQueues(LockQueues.TestCase):  # type: ignore[misc, name-defined]
    """L1, L2, L3, L4, L5, L6: grants, waits, refusals and who passes whom are those of the reference."""


@pytest.mark.parametrize("holders", [HOLDERS, [*HOLDERS, *(f"holder {number}" for number in range(12))]], ids=len)
@pytest.mark.parametrize("seed", range(6))
def test_crowded_queues(seed: int, holders: list[str]) -> None:
    """L1, L2, L3, L4, L5, L6: the same with many who hold one thing and want another, drawn by a seed: few holders who
    ask for much, or many of whom most ask for one thing."""
    random, locks = Random(seed), Locks()
    sizes = [1, 2, 3] if len(holders) < 10 else [1, 1, 1, 1, 2, 3]
    for _ in range(250):
        act = random.random()
        if act < 0.6:
            wants = {each: random.choice(list(LockMode)) for each in random.sample(RESOURCES, random.choice(sizes))}
            locks.acquire(random.choice(holders), wants, random.choice([0, 0, 3, 9]), random.choice([LONG, 7.0, 0.0]))
        elif act < 0.85:
            locks.release(random.randrange(30), random.random() < 0.2)
        elif act < 0.9:
            locks.withdraw(random.randrange(30))
        elif act < 0.95:
            locks.toggle(random.randrange(2))
        else:
            locks.pass_time(random.choice([0.5, 5.0, 20.0]))
    assert locks.outcomes >= {"granted", "waiting", "DEADLOCK", "LOCK_TIMEOUT", "LOCK_UPGRADE", "passing"}
    locks.namespace.verify()
