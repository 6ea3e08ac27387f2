"""Trace and span ids: functions of a log and of positions in it (T1).

The span of an event is found from its sequence, and so from any token: an attempt token, a fencing token, a
revision and a cause all name a span without anybody having to remember which. Spans repeated after a crash are the
same spans.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b
from typing import Final

_MASK: Final = (1 << 64) - 1
_GOLDEN: Final = 0x9E3779B97F4A7C15
"""2^64 divided by the golden ratio, made odd: multiples of it are all different and lie evenly (Knuth, The Art of
Computer Programming 3, section 6.4), so that a share of the traces is a share of the events."""
TRACE_ID: Final = slice(3, 35)
SPAN_ID: Final = slice(36, 52)
_FLAGS: Final = slice(53, 55)
_SAMPLED: Final = 1


class TraceIds:
    """The ids of one log."""

    def __init__(self, log_id: str) -> None:
        digest = blake2b(log_id.encode(), digest_size=16).digest()
        self._log_id = log_id
        self._salt = int.from_bytes(digest[:8], "big")
        self._traces = digest[8:]

    def span(self, sequence: int) -> bytes:
        """The span id of the event at a sequence."""
        return ((sequence * _GOLDEN + self._salt) & _MASK or 1).to_bytes(8, "big")

    def trace(self, sequence: int) -> bytes:
        """The trace id of what began with the event at a sequence, where no caller brought one."""
        return self._traces + self.span(sequence)

    def run_trace(self, run_id: str) -> bytes:
        """The trace id of a run that was submitted without one."""
        return _run_trace(self._log_id, run_id)


@lru_cache(maxsize=4096)
def _run_trace(log_id: str, run_id: str) -> bytes:
    return blake2b(f"{log_id}/{run_id}".encode(), digest_size=16).digest()


def is_sampled(traceparent: str) -> bool:
    """Whether a valid W3C traceparent says that its trace is recorded."""
    return bool(int(traceparent[_FLAGS], 16) & _SAMPLED)


def traceparent_of(trace_id: bytes, span_id: bytes, *, sampled: bool) -> str:
    """The W3C traceparent of a span."""
    return f"00-{trace_id.hex()}-{span_id.hex()}-{'01' if sampled else '00'}"
