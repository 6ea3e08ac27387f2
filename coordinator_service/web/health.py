"""How a coordinator does, as its page says it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from coordinator_service.core.figures import HealthStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How a coordinator does. faults names the parts that something is wrong with, and what."""

    version: str
    replica_id: str
    ready: bool
    status: HealthStatus
    faults: dict[str, str] = field(default_factory=dict)


ReadHealth: TypeAlias = Callable[[], Awaitable[Health]]
