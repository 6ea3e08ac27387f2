"""What actors choose from: few names, so that they meet."""

from __future__ import annotations

from random import Random

from concert.v1.payload_pb2 import Payload
from google.protobuf.struct_pb2 import Value

from coordinator_service.core.commands import EventDraft
from coordinator_service.core.specs import (
    Dependency,
    LockRequest,
    RetryPolicy,
    RunSpec,
    StateChange,
    StateUpdate,
    TaskLock,
    TaskSpec,
    TaskTarget,
)
from coordinator_service.core.values import NS_PER_MS, LockMode, MergeStrategy

PAYLOAD = Payload(json=Value(string_value="done")).SerializeToString(deterministic=True)
ROLES = ("builder", "tester", "shipper")
CAPABILITIES = ("build", "test", "ship")
RESOURCES = ("bucket", "site", "dns")
KEYS = ("site", "site/pages", "site/pages/index", "score", "posts")
POLICIES = ("", "", "", "narrow")


def lock_requests(random: Random, *, with_holder: bool) -> tuple[LockRequest, ...]:
    """One lock or several."""
    resources = random.sample(RESOURCES, random.choice((1, 1, 2, 3)))
    holder = random.choice(("", "", "somebody")) if with_holder else ""
    wait_ms = random.choice((None, 0, 300, 5_000))
    return tuple(
        LockRequest(
            resource=resource,
            mode=random.choice((LockMode.EXCLUSIVE, LockMode.SHARED)),
            holder=holder,
            lease_ns=random.choice((1_000, 3_000)) * NS_PER_MS,
            wait_timeout_ns=None if wait_ms is None else wait_ms * NS_PER_MS,
            priority=random.choice((None, None, 0, 9)),
        )
        for resource in resources
    )


def state_change(random: Random, writer: str, *, base: int | None) -> StateChange:
    """A change of one or two keys."""
    strategy = random.choice(tuple(MergeStrategy))
    keys = random.sample(KEYS, random.choice((1, 1, 2)))
    # Keys in order, as they come from the wire.
    value = [writer] if strategy is MergeStrategy.APPEND else {"by": writer, "n": random.random()}
    prefix = "site" if strategy is MergeStrategy.REPLACE and random.random() < 0.2 else ""
    updates = tuple(StateUpdate(key=f"{key}/list" if isinstance(value, list) else key, value=value) for key in keys)
    return StateChange(updates=updates, strategy=strategy, prefix=prefix, base_revision=base)


def drafts(random: Random, name: str) -> tuple[EventDraft, ...]:
    """Custom events, each with a name that no other has; some with an event_id."""
    return tuple(
        EventDraft(
            name=f"{name}/{number}",
            data=random.randbytes(random.choice((0, 10, 200))),
            event_id=f"id:{name}/{number}" if random.random() < 0.5 else "",
        )
        for number in range(random.choice((1, 1, 1, 5)))
    )


def run(random: Random, run_id: str) -> RunSpec:
    """Tasks that depend on each other, or a list of roles."""
    common = {
        "run_id": run_id if random.random() < 0.7 else "",
        "fail_fast": random.random() < 0.2,
        "running_max": random.choice((0, 0, 0, 1, 2)),
        "policy": random.choice(POLICIES),
        "timeout_ns": random.choice((None, None, 8_000 * NS_PER_MS)),
        "priority": random.choice((None, None, 9)),
    }
    if random.random() < 0.15:
        return RunSpec(agents=tuple(random.sample(ROLES, random.randint(1, 3))), **common)
    tasks = [_task(random, number) for number in range(random.choice((1, 2, 4, 9)))]
    random.shuffle(tasks)
    return RunSpec(tasks=tuple(tasks), **common)


def added_tasks(random: Random, upstream: str) -> tuple[TaskSpec, ...]:
    """A task or two that wait for another, which is there, and for each other."""
    first, second = f"added-{random.getrandbits(24)}", f"added-{random.getrandbits(24)}"
    target = TaskTarget(capability=random.choice(CAPABILITIES))
    once = RetryPolicy(attempts_max=1)
    after = Dependency(task_id=upstream)
    tasks = (
        TaskSpec(task_id=second, target=target, depends_on=(Dependency(task_id=first),), retry=once),
        TaskSpec(task_id=first, target=target, after=(after,), retry=once),
    )
    return tasks if random.random() < 0.5 else tasks[1:]


def _task(random: Random, number: int) -> TaskSpec:
    before = [f"t{each}" for each in range(number)]
    chosen = random.sample(before, min(len(before), random.choice((0, 1, 2))))
    depends_on = tuple(Dependency(task_id=each) for each in chosen if random.random() < 0.8)
    after = tuple(Dependency(task_id=each) for each in chosen if Dependency(task_id=each) not in depends_on)
    kind = random.random()
    if kind < 0.6:
        target = TaskTarget(capability=random.choice(CAPABILITIES))
    elif kind < 0.9:
        target = TaskTarget(agent_name=random.choice(ROLES))
    else:
        target = TaskTarget(agent_id=f"agent-{random.randrange(4)}")
    locks = ()
    if random.random() < 0.3:
        modes = (LockMode.EXCLUSIVE, LockMode.SHARED)
        chosen_locks = random.sample(RESOURCES, random.choice((1, 2)))
        locks = tuple(TaskLock(resource=resource, mode=random.choice(modes)) for resource in chosen_locks)
    return TaskSpec(
        task_id=f"t{number}",
        target=target,
        depends_on=depends_on,
        after=after,
        locks=locks,
        policy=random.choice(POLICIES),
        priority=random.choice((None, None, 5)),
        max_execution_time_ns=random.choice((None, 2_000 * NS_PER_MS)),
        retry=random.choice((None, RetryPolicy(attempts_max=1), RetryPolicy(attempts_max=4, backoff_multiplier=3.0))),
    )
