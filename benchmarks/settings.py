"""What every benchmark is told: how often, how long, on which loop."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from benchmarks.loops import LOOP_DEFAULT


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """For one run of the benchmarks."""

    rounds: int = 5
    """Each a measurement of the ceiling and one of Concert, in turn."""
    seconds: float = 2.0
    """Of each measurement, without its warm-up."""
    history_events: int = 200_000
    """Of the long past that is compared with a short one."""
    loop: str = LOOP_DEFAULT
    token: str = field(default_factory=lambda: secrets.token_hex(3))
    """Keeps the namespaces of this run apart."""

    def namespace(self, name: str, round_number: int) -> str:
        """A new one for every measurement, so that no round inherits the log of the one before."""
        return f"{name}-{self.token}-{round_number}"
