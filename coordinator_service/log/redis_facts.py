"""What matters of a Redis server to whoever keeps logs there."""

from __future__ import annotations

from dataclasses import dataclass

from coordinator_service.log.base import LogError


class UnfitServer(LogError):  # noqa: N818 (it says what is wrong)
    """The server is there, and must not keep logs as it is configured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerFacts:
    """What matters of a server. run_id is another after each restart."""

    run_id: str
    name: str
    version: tuple[int, ...]
    primary: bool
    replicas: int
    eviction: str
    appends_only: bool
    appendfsync: str

    @property
    def shown(self) -> str:
        """Its name and version."""
        return f"{self.name} {'.'.join(map(str, self.version))}"

    @property
    def has_waitaof(self) -> bool:
        """Whether it knows WAITAOF."""
        return self.name == "Valkey" or self.version >= (7, 2)

    @property
    def fsyncs_always(self) -> bool:
        """Whether it answers a write only once that is on its disk."""
        return self.appends_only and self.appendfsync == "always"

    @property
    def persistence(self) -> str:
        """How it keeps what it has, in the words of its settings."""
        return f"appendonly yes, appendfsync {self.appendfsync or 'unknown'}" if self.appends_only else "appendonly no"
