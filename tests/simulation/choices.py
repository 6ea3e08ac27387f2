"""What actors choose from: few names, so that they meet."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, TypeVar

from concert.v1.agent_pb2 import AgentSpec
from concert.v1.event_service_pb2 import PublishRequest
from concert.v1.lock_service_pb2 import AcquireRequest
from concert.v1.payload_pb2 import Payload
from concert.v1.run_pb2 import RunSpec
from concert.v1.state_pb2 import StateChange
from concert.v1.state_service_pb2 import DeleteStateRequest
from concert.v1.task_pb2 import TaskSpec
from google.protobuf.struct_pb2 import Value

from tests.simulation.swarm import Swarm

ROLES = ("builder", "tester", "shipper")
CAPABILITIES = ("build", "test", "ship")
RESOURCES = ("bucket", "site", "dns")
KEYS = ("site", "site/pages", "site/pages/index", "score", "posts")
EXCLUSIVE, SHARED = 1, 2
MERGE, REPLACE, APPEND = 1, 2, 3

T = TypeVar("T")


class Choices:
    """The choices of one actor, among what its world knows."""

    def __init__(self, random: Random, swarm: Swarm) -> None:
        self.random = random
        self._swarm = swarm
        # In a large world not everybody wants the same three things.
        self._spread = max(1, (swarm.agents + sum(swarm.clients.values())) // 10)

    def if_known(self, feature: str, choose: Callable[[], T], otherwise: T) -> T:
        """What is chosen where the world knows that, else the other."""
        return choose() if feature in self._swarm.features else otherwise

    def sometimes(self, feature: str, chance: float) -> bool:
        """True with that chance, where the world knows it."""
        return feature in self._swarm.features and self.random.random() < chance

    def _resource(self, name: str) -> str:
        return name if self._spread == 1 else f"{name}/{self.random.randrange(self._spread)}"

    def acquire(self, *, with_holder: bool, attempt_token: int = 0) -> Any:
        """One lock or several, all of one holder."""
        random = self.random
        count = self.if_known("several_locks", lambda: random.choice((1, 1, 2, 3)), 1)
        holder = ""
        if with_holder and self.sometimes("several_named_holders", 0.4):
            holder = random.choice(("somebody", "another"))
        wait_ms = self.if_known("waits_bounded", lambda: random.choice((None, 0, 250, 5_000)), None)
        lease_ms = random.choice((1_000, 3_000))
        priority = self.if_known("priorities", lambda: random.choice((None, 0, 1, 9)), None)
        request = AcquireRequest(attempt_token=attempt_token)
        for name in random.sample(RESOURCES, count):
            mode = self.if_known("shared_locks", lambda: random.choice((EXCLUSIVE, SHARED)), EXCLUSIVE)
            each = request.requests.add(resource=self._resource(name), mode=mode, holder=holder, priority=priority)
            each.lease.FromMilliseconds(lease_ms)
            if self.sometimes("guards", 0.2):
                each.guards = random.choice(("site", "site/pages"))
            if wait_ms is not None:
                each.wait_timeout.FromMilliseconds(wait_ms)
        return request

    def state_change(self, writer: str, *, base: int | None) -> Any:
        """A change of one or two keys."""
        random = self.random
        strategies = self.if_known("appends", lambda: (MERGE, REPLACE, APPEND), (MERGE, REPLACE))
        strategy = random.choice(strategies)
        change = StateChange(strategy=strategy, base_revision=base)
        if strategy == REPLACE and self.sometimes("whole_branches", 0.3):
            change.prefix = "site"
        for key in random.sample(KEYS, random.choice((1, 1, 2))):
            if strategy == APPEND:
                change.updates.add(key=f"{key}/list").value.list_value.append(writer)
            else:
                update = change.updates.add(key=key)
                update.value.struct_value.update({"by": writer, "n": random.randrange(100)})
        return change

    def deletion(self, writer: str, *, base: int | None) -> Any:
        """Of a key or two, or of a branch."""
        random = self.random
        keys = random.sample(KEYS, random.choice((1, 1, 2)))
        branch = "site" if self.sometimes("whole_branches", 0.3) else ""
        return DeleteStateRequest(keys=() if branch else keys, prefix=branch, base_revision=base, writer=writer)

    def publish(self, name: str, attempt_token: int = 0) -> Any:
        """Custom events, each with a name that no other has; some with an event_id."""
        random = self.random
        request = PublishRequest(attempt_token=attempt_token)
        for number in range(random.choice((1, 1, 1, 5))):
            draft = request.events.add(event_id=f"id:{name}/{number}" if self.sometimes("event_ids", 0.7) else "")
            draft.custom.name = f"{name}/{number}"
            draft.custom.data.data = random.randbytes(random.choice((0, 10, 200)))
        return request

    def run(self, run_id: str) -> Any:
        """Tasks that depend on each other, or a list of roles."""
        random = self.random
        spec = RunSpec(
            run_id=run_id if random.random() < 0.7 else "",
            fail_fast=self.sometimes("fail_fast", 0.4),
            open=self.sometimes("runs_grow", 0.2),
            running_max=self.if_known("task_policies", lambda: random.choice((0, 0, 1, 2)), 0),
            policy=self.policy(),
            priority=self.if_known("priorities", lambda: random.choice((None, 0, 9)), None),
        )
        if self.sometimes("run_timeouts", 0.3):
            spec.timeout.FromMilliseconds(8_000)
        if self.sometimes("runs_of_agents", 0.4):
            spec.agents.extend(random.sample(ROLES, random.randint(1, 3)))
            return spec
        tasks = [self._task(number) for number in range(random.choice((1, 2, 4, 9)))]
        random.shuffle(tasks)
        spec.tasks.extend(tasks)
        return spec

    def policy(self) -> str:
        """The name of a policy, or of none."""
        return self.if_known("task_policies", lambda: self.random.choice(("", "", "narrow")), "")

    def added_tasks(self, upstream: str) -> list[Any]:
        """A task or two that wait for another, which is there, and for each other."""
        random = self.random
        first, second = (TaskSpec(task_id=f"added-{random.getrandbits(24)}") for _ in range(2))
        for spec in (first, second):
            spec.target.capability = random.choice(CAPABILITIES)
            spec.retry.attempts_max = 1
        first.after.add(task_id=upstream)
        second.depends_on.add(task_id=first.task_id)
        return [second, first] if random.random() < 0.5 else [first]

    def _task(self, number: int) -> Any:
        random = self.random
        spec = TaskSpec(task_id=f"t{number}", policy=self.policy())
        if "dependencies" in self._swarm.features:
            before = [f"t{each}" for each in range(number)]
            for each in random.sample(before, min(len(before), random.choice((0, 1, 2)))):
                (spec.depends_on if random.random() < 0.8 else spec.after).add(task_id=each)
        self._target(spec.target)
        if self.sometimes("task_locks", 0.4):
            for name in random.sample(RESOURCES, random.choice((1, 2))):
                spec.locks.add(resource=self._resource(name), mode=random.choice((EXCLUSIVE, SHARED)))
        priority = self.if_known("priorities", lambda: random.choice((None, 0, 5)), None)
        if priority is not None:
            spec.priority = priority
        if self.sometimes("attempt_timeouts", 0.5):
            spec.max_execution_time.FromMilliseconds(2_000)
        if self.sometimes("retries", 0.6):
            spec.retry.attempts_max = random.choice((1, 4))
            spec.retry.backoff_multiplier = random.choice((1.0, 3.0))
        return spec

    def _target(self, target: Any) -> None:
        random = self.random
        kind = random.random() if "targets_by_name" in self._swarm.features else 0.0
        if kind < 0.6:
            target.capability = random.choice(CAPABILITIES)
        elif kind < 0.9:
            target.agent_name = random.choice(ROLES)
        else:
            target.agent_id = f"agent-{random.randrange(max(1, self._swarm.agents))}"

    def agent(self, agent_id: str, role: str) -> Any:
        """How an agent describes itself."""
        random = self.random
        spec = AgentSpec(agent_id=agent_id, agent_name=role, slots=random.randint(1, 3))
        for name in random.sample(CAPABILITIES, random.randint(1, 2)):
            spec.capabilities.add(name=name)
        if role == ROLES[1]:
            spec.after.add(agent_name=ROLES[0])
        return spec


def result() -> Any:
    """What came of a task."""
    return Payload(json=Value(string_value="done"))
