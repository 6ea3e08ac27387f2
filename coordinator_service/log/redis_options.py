"""What a coordinator is told of the Redis that keeps its logs."""

from __future__ import annotations

from dataclasses import dataclass, field

from coordinator_service.log.redis_durability import Durability


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisOptions:
    """Where logs are kept and what an acknowledgement is worth."""

    url: str
    prefix: str = "concert"
    """What every key begins with."""
    cluster_name: str = "concert"
    """Replicas of another name are refused under the same prefix."""
    durability: Durability = field(default_factory=Durability)
    require_durable: bool = False
    timeout_ms: int = 5_000
    """How long an answer may take, beside what it waits for, before the server counts as gone."""
