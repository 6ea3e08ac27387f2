"""What of the log a namespace still needs: how far back it may be asked for what only the log has (D8)."""

from __future__ import annotations

from coordinator_service.core.state import NamespaceState


def oldest_needed(state: NamespaceState) -> int:
    """The sequence from which on the log has to be kept: whatever a run in memory refers to (R15), and the first
    answers of the requests that are remembered (D5).
    """
    oldest = min((run.sequence for run in state.runs.values()), default=state.sequence + 1)
    request = next(iter(state.requests.values()), None)  # the oldest: in the order in which they were made
    return oldest if request is None else min(oldest, request.first_sequence)
