"""When a batch in Redis counts as durable: what it waits for before it is committed, and whether a server can keep it.

| condition | an acknowledged event survives |
| --- | --- |
| `none` | what the server's own settings say: with `appendonly yes` and `appendfsync always` the loss of power; with the usual `everysec` the death of the process, not of the machine |
| `wait:N` | the loss of the primary, as long as one of the N replicas that had it is promoted (WAIT) |
| `waitaof:N` | the loss of power of all at once: it is fsynced on the primary and N replicas (WAITAOF, Redis 7.2 and Valkey) |
"""  # noqa: E501 (a table)

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from coordinator_service.log.redis_facts import ServerFacts, UnfitServer


@dataclass(frozen=True, slots=True, kw_only=True)
class Durability:
    """A condition. replicas: how many have to have a batch, beside the primary; 0 without one."""

    kind: str = "none"
    replicas: int = 0
    wait_ms: int = 1000

    @property
    def waits(self) -> bool:
        """Whether a command of its own establishes it."""
        return self.kind != "none"

    @property
    def shown(self) -> str:
        """As it is configured."""
        return f"{self.kind}:{self.replicas}" if self.waits else self.kind

    def command(self) -> tuple[Any, ...]:
        """What is sent behind a write, on the same connection."""
        if self.kind == "wait":
            return ("WAIT", self.replicas, self.wait_ms)
        return ("WAITAOF", 1, self.replicas, self.wait_ms)

    def fault(self, reply: Any) -> str:
        """What the answer to that lacks; nothing when the write is durable."""
        if self.kind == "wait":
            return "" if reply >= self.replicas else f"{reply} of {self.replicas} replicas have it"
        local, replicas = reply
        if local >= 1 and replicas >= self.replicas:
            return ""
        return f"fsynced by {local} of 1 primary and {replicas} of {self.replicas} replicas"

    def check(self, facts: ServerFacts, *, required: bool) -> None:
        """Raises UnfitServer when a server cannot keep the condition, or, where durability is required, when the
        condition with the server's settings leaves acknowledged events to chance."""
        if self.kind == "waitaof" and not facts.has_waitaof:
            raise UnfitServer(f"redis_durability {self.shown} needs Redis 7.2 or Valkey, this is {facts.shown}")
        if self.kind == "waitaof" and not facts.appends_only:
            raise UnfitServer(f"redis_durability {self.shown} needs appendonly yes")
        if not required:
            return
        if self.kind == "none" and not facts.fsyncs_always:
            raise UnfitServer(
                "require_durable is set, but redis_durability is none and the server does not have appendonly yes"
                f" with appendfsync always ({facts.persistence})"
            )
        if self.kind == "wait" and facts.replicas < self.replicas:
            raise UnfitServer(
                f"require_durable is set, but of the replicas of {self.shown} only {facts.replicas} are there"
            )


def durability_from(text: str, wait_ms: int) -> Durability:
    """From `none`, `wait:N` or `waitaof:N`. Raises ValueError."""
    kind, colon, number = text.partition(":")
    if text == "none":
        return Durability(wait_ms=wait_ms)
    least = {"wait": 1, "waitaof": 0}.get(kind)
    if least is None or not colon or not number.isdigit() or int(number) < least:
        raise ValueError("must be none, wait:N with N of at least 1, or waitaof:N")
    return Durability(kind=kind, replicas=int(number), wait_ms=wait_ms)
