"""The policies of a world, and those that follow when somebody edits its file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from coordinator_service.core.commands import ChangePolicies
from coordinator_service.core.specs import CircuitPolicy, Policy, RetryPolicy
from coordinator_service.core.values import NS_PER_MS, ConflictStrategy

if TYPE_CHECKING:
    from tests.simulation.world import World


def policies_of(world: World, edition: int = 0) -> ChangePolicies:
    """Each edition is another file."""
    random = world.random_of(f"policies/{edition}")
    strategies = tuple(ConflictStrategy) if world.knows("priorities") else (ConflictStrategy.TIMESTAMP_BASED,)
    circuit = CircuitPolicy(
        failures_max=3,
        failure_rate_max=0.6,
        attempts_min=4,
        window_ns=5_000 * NS_PER_MS,
        cool_down_ns=1_000 * NS_PER_MS,
    )
    default = Policy(
        name="default",
        max_execution_time_ns=6_000 * NS_PER_MS,
        resource_timeout_ns=3_000 * NS_PER_MS,
        cancel_grace_ns=1_000 * NS_PER_MS,
        conflict_window_ns=random.choice((500, 2_000)) * NS_PER_MS,
        conflict_strategy=random.choice(strategies),
        retry=RetryPolicy(
            attempts_max=2, backoff_initial_ns=100 * NS_PER_MS, backoff_max_ns=1_000 * NS_PER_MS, lost_attempts_max=3
        ),
        circuit=circuit if world.knows("circuits") else None,
    )
    narrow = Policy(name="narrow", running_max=random.choice((1, 1, 2)))
    return ChangePolicies(policies=(default, narrow), digest=f"simulated {edition}")
