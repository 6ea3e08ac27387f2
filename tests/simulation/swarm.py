"""What the world of a seed is like: how many are in it, what they do, and what befalls them.

Swarm testing (Groce and others, "Swarm testing", 2012): every seed leaves out some of what could happen, chosen by
chance. A world in which everything happens at once rarely gets deep into anything; one without locks, say, has that
much more time for sessions. Most worlds are small, since most mistakes need few to show, and a few are large.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random

FEATURES = (
    "agent_locks",
    "agent_publishes",
    "agent_state",
    "agents_fail",
    "appends",
    "attempt_timeouts",
    "bad_input",
    "based_writes",
    "cancels",
    "circuits",
    "deletes",
    "dependencies",
    "drains",
    "event_ids",
    "explains",
    "fail_fast",
    "fences",
    "guards",
    "keep_alives",
    "named_subscriptions",
    "past_reads",
    "priorities",
    "progress",
    "reads",
    "results",
    "retries",
    "run_timeouts",
    "runs_of_agents",
    "runs_grow",
    "runs_tried_again",
    "several_locks",
    "shared_locks",
    "several_named_holders",
    "targets_by_name",
    "task_locks",
    "task_policies",
    "updates_of_agents",
    "waits_bounded",
    "watchers",
    "whole_branches",
)
"""What agents and clients do, besides what makes them what they are."""

TROUBLES = (
    "crash",
    "disk_full",
    "disk_reads_fail",
    "disk_slow",
    "limits_change",
    "policies_change",
    "snapshot_spoiled",
    "stall",
    "trim",
    "wall_clock_jumps",
    "zombie",
)
"""What befalls the coordinator and its disk."""

CLUSTER_TROUBLES = ("replica_paused", "replica_leaves", "store_cut", "replicas_parted", "tail_lost")
"""What befalls the replicas, where there are several."""

SIZES = ("tiny", "small", "medium", "large")
_SIZE_WEIGHTS = (640, 300, 58, 2)
_KINDS = ("submitter", "locker", "writer", "publisher", "reader")


@dataclass(frozen=True, slots=True, kw_only=True)
class Swarm:
    """One world, before anything has happened in it."""

    size: str
    features: frozenset[str]
    troubles: frozenset[str]
    agents: int
    clients: dict[str, int]
    subscribers: int
    chaos_seconds: float
    grid: int
    """Things happen at multiples of 1/grid seconds; 0: at any moment."""
    replicas: int = 0
    """How many share the store; 0: one coordinator has it to itself."""

    def alone(self) -> Swarm:
        """The same world with one coordinator."""
        return replace(self, replicas=0, troubles=self.troubles - set(CLUSTER_TROUBLES))

    def __str__(self) -> str:
        clients = ", ".join(f"{count} {kind}s" for kind, count in self.clients.items())
        grid = f", on a grid of 1/{self.grid} s" if self.grid else ""
        replicas = f"{self.replicas} replicas, " if self.replicas else ""
        return (
            f"{self.size}: {replicas}{self.agents} agents, {clients}, {self.subscribers} subscribers, "
            f"{self.chaos_seconds:g} s of chaos{grid}\n"
            f"  they know: {', '.join(sorted(self.features))}\n"
            f"  befalls them: {', '.join(sorted(self.troubles))}"
        )


def swarm_of_seed(seed: int) -> Swarm:
    """The world of a seed."""
    return swarm_of(Random(f"{seed}/swarm"))


def swarm_of(random: Random) -> Swarm:
    """The world that a seed chooses."""
    size = random.choices(SIZES, _SIZE_WEIGHTS)[0]
    features = frozenset(feature for feature in FEATURES if random.random() < 0.55)
    troubles = frozenset(trouble for trouble in TROUBLES if random.random() < 0.4)
    if size == "large":
        agents, crowd, chaos_seconds = random.randint(100, 200), random.randint(100, 200), 2.0
    elif size == "medium":
        agents, crowd, chaos_seconds = random.randint(3, 10), random.randint(5, 15), random.choice((3.0, 6.0))
    elif size == "small":
        agents, crowd, chaos_seconds = (
            random.randint(0, 4),
            random.randint(2, 7),
            random.choice((3.0, 6.0, 6.0, 10.0, 10.0, 30.0)),
        )
    else:
        agents, crowd, chaos_seconds = random.randint(0, 2), random.randint(1, 3), random.choice((2.0, 4.0, 8.0))
    kinds = random.sample(_KINDS, random.randint(1, len(_KINDS)))
    if agents and random.random() < 0.8 and "submitter" not in kinds:
        kinds.append("submitter")
    clients: dict[str, int] = {}
    for kind in random.choices(kinds, k=crowd):
        clients[kind] = clients.get(kind, 0) + 1
    if "submitter" in kinds:
        clients.setdefault("submitter", 1)
    subscribers = random.choice((1, 1, 2, 4))
    grid = random.choice((0, 0, 8, 16, 64))
    replicas = 0 if size == "large" else random.choice((0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 3))
    if replicas:
        troubles |= {trouble for trouble in CLUSTER_TROUBLES if random.random() < 0.5}
    return Swarm(
        size=size,
        features=features,
        troubles=troubles,
        agents=agents,
        clients=dict(sorted(clients.items())),
        subscribers=subscribers,
        chaos_seconds=chaos_seconds,
        grid=grid,
        replicas=replicas,
    )
