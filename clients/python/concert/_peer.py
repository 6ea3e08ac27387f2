"""Who is given the work that comes down a session."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any, Protocol

from concert.errors import Unavailable

_log = logging.getLogger("concert.session")


class SessionPeer(Protocol):
    """Who is given the work that comes down a session. Called on the session's event loop; must not block."""

    def on_unanswered(self, error: Unavailable) -> None:
        """A try to open the session reached nobody; another follows."""

    def attempt_tokens(self) -> Iterable[int]:
        """The attempts being executed, and those with reports that were not acknowledged."""

    def on_task(self, task: Any) -> None:
        """An AgentTask, perhaps one seen before."""

    def on_cancel(self, cancel: Any) -> None:
        """A CancelTask."""

    def on_stale(self, attempt_token: int) -> None:
        """An attempt that no longer counts."""

    def on_drain(self) -> None:
        """The agent is to take no new tasks."""


class NoPeer:
    """For clients that are no agents."""

    def on_unanswered(self, error: Unavailable) -> None:
        """Nothing to say: whoever opens the session is told in the end."""

    def attempt_tokens(self) -> Iterable[int]:
        """None."""
        return ()

    def on_task(self, task: Any) -> None:
        """Cannot come to a session without capabilities; said aloud if it does."""
        _log.warning("task %s/%s came to a session that takes none", task.run_id, task.task_id)

    def on_cancel(self, cancel: Any) -> None:
        """Nothing to stop."""

    def on_stale(self, attempt_token: int) -> None:
        """Nothing to stop."""

    def on_drain(self) -> None:
        """Nothing to finish."""
