"""How long to wait before the next try: exponential, with full jitter, so that many clients do not come back
as one.
"""

from __future__ import annotations

import random

from concert._limits import BACKOFF_INITIAL_SECONDS, BACKOFF_SECONDS_MAX


class Backoff:
    """One sequence of pauses, in seconds."""

    __slots__ = ("_ceiling_seconds",)

    def __init__(self) -> None:
        """Begins with the shortest."""
        self._ceiling_seconds = BACKOFF_INITIAL_SECONDS

    def pause_seconds(self, retry_after: float | None = None) -> float:
        """The next pause; at least `retry_after`, spread a little beyond it, when the peer asked for it."""
        ceiling = self._ceiling_seconds
        self._ceiling_seconds = min(ceiling * 2, BACKOFF_SECONDS_MAX)
        if retry_after is not None:
            return retry_after + random.uniform(0, ceiling)
        return random.uniform(ceiling / 4, ceiling)

    def reset(self) -> None:
        """Begins again: something worked."""
        self._ceiling_seconds = BACKOFF_INITIAL_SECONDS
