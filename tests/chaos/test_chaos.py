"""Real replicas over a real Redis, with agents and clients under load, through whatever can befall them.

Seeds are chosen at random and printed; what fails says how to play it again. More of it: `make chaos N=20`.
"""

from __future__ import annotations

import pytest

from tests.chaos.__main__ import seeds
from tests.chaos.scenario import play

pytestmark = [pytest.mark.timeout(900), pytest.mark.xdist_group("chaos")]
SINGLE, REPLICATED = 2, 1


@pytest.mark.parametrize("number", range(SINGLE))
async def test_nothing_acknowledged_is_lost_over_one_redis(number: int) -> None:
    """Invariants 1 to 12, D3 to D6, A5, R8, L7, L8, E2: replicas, agents and Redis are killed and stopped, connections
    cut, slowed and held, and what clients were told is linearizable."""
    print(await play(next(seeds(1)), "single"))


@pytest.mark.parametrize("number", range(REPLICATED))
async def test_nothing_acknowledged_is_lost_when_a_redis_is_promoted(number: int) -> None:
    """The same where a primary dies or stands still and its replica takes its place."""
    print(await play(next(seeds(1)), "replicated"))
