"""Batches of events that say little, for tests of stores."""

from __future__ import annotations

from coordinator_service.core.events import CustomEvent, Event
from coordinator_service.log.base import Batch, EventLog
from coordinator_service.log.codec import encode_event, frame, join

TIME_STEP_NS = 10
"""The event at sequence n happens at n times this."""


def batch(first: int, count: int = 1, *, text: str = "x", data_bytes: int = 0) -> Batch:
    """Consecutive events from a sequence on."""
    sequences = range(first, first + count)
    return Batch(
        first_sequence=first,
        last_sequence=sequences[-1],
        time_ns=sequences[-1] * TIME_STEP_NS,
        events=join(frame(_encoded(sequence, text, data_bytes)) for sequence in sequences),
    )


def _encoded(sequence: int, text: str, data_bytes: int) -> bytes:
    stated = CustomEvent(name=text, data=b"\x12" + _varint(data_bytes) + bytes(data_bytes) if data_bytes else None)
    return encode_event(
        Event(sequence=sequence, time_ns=sequence * TIME_STEP_NS, payload=stated), namespace="n", log_id="l"
    )


def _varint(value: int) -> bytes:
    encoded = b""
    while value >= 0x80:
        encoded += bytes((value & 0x7F | 0x80,))
        value >>= 7
    return encoded + bytes((value,))


async def fill(log: EventLog, epoch: int, batches: int, *, count: int = 1) -> None:
    """Appends so many batches of `count` events at the end of a log."""
    first = (await log.ends()).last_sequence + 1
    for number in range(batches):
        await log.append(batch(first + number * count, count), epoch)


async def read_all(log: EventLog, after: int = 0) -> list[Batch]:
    """Every batch of a log after a sequence."""
    found: list[Batch] = []
    while page := await log.read(after, bytes_max=4096):
        found += [stored.batch for stored in page]
        after = found[-1].last_sequence
    return found
