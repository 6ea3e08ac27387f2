"""What is counted of the export of spans, for whoever asks (metrics.py)."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

REFUSED = "refused"
"""The collector took the request and not the span."""
TRIMMED = "trimmed"
"""The log had dropped the event before its span was exported."""
OVERFLOWED = "overflowed"
"""More spans of calls were waiting than are kept."""
UNWRITABLE = "unwritable"
"""Its event could not be written as a span: a fault of this program, which holds up no other span."""
DROPPED = (REFUSED, TRIMMED, OVERFLOWED, UNWRITABLE)


@dataclass(slots=True)
class SpanCounts:
    """Since the process began."""

    exported: int = 0
    unsampled: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    """By reason."""
    retries: int = 0
    """Requests that the collector did not answer, or asked to be sent again."""
    failing: str = ""
    """What is wrong with the collector now; empty when nothing is."""
