"""What the client needs of whatever carries its calls: unary rpcs, or the frames of a session."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from concert._methods import Method


class Caller(Protocol):
    """Carries calls."""

    @property
    def lock_identity(self) -> str:
        """Names whoever holds the locks taken through this caller; empty when each request is a holder of its
        own.
        """

    @property
    def place(self) -> str:
        """Names the coordinator and the namespace: holders of one name in two places are two."""

    @property
    def call_seconds(self) -> float:
        """How long a call may take that does not say otherwise."""

    @property
    def retry_seconds(self) -> float:
        """How long something that is UNAVAILABLE is tried again."""

    async def call(self, method: Method, request: Any, *, timeout: float | None = None) -> Any:
        """Makes the call and returns its response; `request` may be completed (namespace, request_id) in
        place.

        UNAVAILABLE is tried again under the same request_id. Raises ConcertError. `timeout` in seconds,
        math.inf for none.
        """

    def stream(self, method: Method, request: Any) -> AsyncGenerator[Any, None]:
        """Makes a call whose responses follow one another, once: what breaks it is raised as ConcertError."""

    def on_lost(self, lost: Callable[[], None]) -> Callable[[], None]:
        """Has `lost` called, in the running event loop, when the session behind this caller is over (at once
        when it is already). Returns what takes that back. Never called for callers without a session.
        """


@dataclass(frozen=True, slots=True)
class Origin:
    """Who asks: through which caller, in which attempt (its token; 0 outside), as which writer of state."""

    caller: Caller
    attempt_token: int = 0
    writer: str = ""


class RequestIds:
    """Unique request ids: a random prefix and a counter."""

    def __init__(self) -> None:
        """Draws the prefix."""
        self._prefix = secrets.token_hex(8)
        self._count = itertools.count(1)

    def next(self) -> str:
        """One that was not given before."""
        return f"{self._prefix}-{next(self._count)}"
