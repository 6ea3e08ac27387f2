"""Shape checks: sizes, characters, numbers. What depends on the state is decided in the core.

A check returns what is wrong, with the limit, or nothing; the path of the field is put together only when something is.
All faults of a request are collected, up to VIOLATIONS_MAX, and raised at once, so that a caller mends them in one go.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from math import isfinite
from typing import Any

from coordinator_service.core.rejections import InvalidField
from coordinator_service.core.values import NS_PER_MS
from coordinator_service.log.mirror import InvalidField as MirrorFault
from coordinator_service.log.mirror import read_duration, read_timestamp
from coordinator_service.rpc import limits

VIOLATIONS_MAX = 50
QUOTED_CHARACTERS_MAX = 64

RESERVED_PREFIXES = ("attempt/", "session/", "request/", "task/")
"""What the coordinator itself calls holders and writers."""

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")


class Faults(list[tuple[str, str]]):
    """What was found wrong with a request so far: paths of fields, and the fault of each."""

    __slots__ = ()

    def add(self, field: str, fault: str | None) -> None:
        """Notes a fault, if it is one."""
        if fault:
            self.append((field, fault))

    @property
    def full(self) -> bool:
        """Whether enough has been found to stop looking."""
        return len(self) >= VIOLATIONS_MAX

    def settle(self) -> None:
        """Raises InvalidField if anything was noted."""
        if self:
            raise InvalidField(*self[:VIOLATIONS_MAX])


# Text.


def quoted(text: str) -> str:
    """What a caller sent, short enough to be sent back."""
    return repr(text if len(text) <= QUOTED_CHARACTERS_MAX else f"{text[:QUOTED_CHARACTERS_MAX]}…")


def size_fault(text: str, bytes_max: int) -> str | None:
    """Text for people: any characters."""
    if len(text) * 4 <= bytes_max:
        return None
    size = len(text.encode())
    return f"has {size} bytes, the limit is {bytes_max}" if size > bytes_max else None


def name_fault(text: str, bytes_max: int = limits.ID_BYTES_MAX) -> str | None:
    """A name or id: 1 to bytes_max bytes without control characters."""
    if text.isascii() and text.isprintable() and 0 < len(text) <= bytes_max:
        return None
    return optional_name_fault(text, bytes_max) if text else f"must have 1 to {bytes_max} bytes"


def optional_name_fault(text: str, bytes_max: int = limits.ID_BYTES_MAX) -> str | None:
    """As name_fault, but it may be empty."""
    if text.isascii() and text.isprintable():
        return None if len(text) <= bytes_max else f"has {len(text)} bytes, the limit is {bytes_max}"
    if _CONTROL.search(text):
        return "has control characters"
    return size_fault(text, bytes_max)


def given_name_fault(text: str) -> str | None:
    """A holder, writer or agent_id, or none: not one of the names that the coordinator gives."""
    if text.startswith(RESERVED_PREFIXES):
        return f"must not begin with {', '.join(RESERVED_PREFIXES)}: those are the coordinator's"
    return optional_name_fault(text)


def resource_fault(resource: str) -> str | None:
    """The name of what is locked."""
    return name_fault(resource, limits.RESOURCE_BYTES_MAX)


def path_fault(path: str) -> str | None:
    """A state path: segments that are not empty, joined by slashes."""
    fault = name_fault(path, limits.PATH_BYTES_MAX)
    if fault is None and (path[0] == "/" or path[-1] == "/" or "//" in path):
        return f"{quoted(path)} has an empty segment"
    return fault


def optional_path_fault(path: str) -> str | None:
    """As path_fault, but it may be empty."""
    return path_fault(path) if path else None


def traceparent_fault(traceparent: str) -> str | None:
    """W3C trace context, or none."""
    return None if not traceparent or usable_traceparent(traceparent) else "is no W3C traceparent"


def usable_traceparent(traceparent: str) -> str:
    """The trace context of a call; one that is malformed is passed over, as the W3C asks."""
    if len(traceparent) <= limits.TRACEPARENT_BYTES_MAX and _TRACEPARENT.fullmatch(traceparent):
        return traceparent
    return ""


def check_metadata(faults: Faults, field: str, metadata: Any) -> None:
    """Annotations and labels: how many, how large."""
    if len(metadata) > limits.METADATA_ENTRIES_MAX:
        faults.add(field, f"has {len(metadata)} entries, the limit is {limits.METADATA_ENTRIES_MAX}")
        return
    for key, value in sorted(metadata.items()):
        fault = name_fault(key, limits.METADATA_KEY_BYTES_MAX)
        if fault:
            faults.add(f"{field}[{quoted(key)}]", f"the key {fault}")
        faults.add(f"{field}[{quoted(key)}]", size_fault(value, limits.METADATA_VALUE_BYTES_MAX))


# Lists.


def count_fault(items: Collection[Any], count_max: int, *, count_min: int = 0) -> str | None:
    """How many there may be."""
    count = len(items)
    if count < count_min:
        return f"must have {count_min} to {count_max} entries"
    return f"has {count} entries, the limit is {count_max}" if count > count_max else None


def check_names(faults: Faults, field: str, names: Collection[str], count_max: int) -> None:
    """A list of names or ids."""
    faults.add(field, count_fault(names, count_max))
    for number, name in enumerate(_until_full(names, faults)):
        fault = name_fault(name)
        if fault:
            faults.add(f"{field}[{number}]", fault)


def check_tokens(faults: Faults, field: str, tokens: Collection[int], count_max: int) -> None:
    """A list of fencing or attempt tokens."""
    faults.add(field, count_fault(tokens, count_max, count_min=1))
    if 0 in tokens:
        faults.add(field, "0 is no token")


def _until_full(items: Iterable[Any], faults: Faults) -> Iterable[Any]:
    for item in items:
        if faults.full:
            return
        yield item


# Numbers and time.


def priority_fault(priority: int) -> str | None:
    """0 to 9."""
    return None if priority <= limits.PRIORITY_MAX else f"must be 0 to {limits.PRIORITY_MAX}"


def number_fault(number: float, low: float, high: float) -> str | None:
    """A finite number in a range, both ends included."""
    return None if isfinite(number) and low <= number <= high else f"must be {low:g} to {high:g}"


def duration_fault(duration: Any, ms_min: int, ms_max: int) -> str | None:
    """A Duration in a range; ms_min 0 allows zero, otherwise it has to be positive."""
    try:
        ns = read_duration(duration)
    except MirrorFault as fault:
        return fault.description
    if ms_min * NS_PER_MS <= ns <= ms_max * NS_PER_MS:
        return None
    return f"must be {ms_min / 1000:g} s to {ms_max / 1000:g} s"


def check_duration(faults: Faults, field: str, message: Any, name: str, ms_min: int, ms_max: int) -> None:
    """A Duration that may be unset."""
    if message.HasField(name):
        fault = duration_fault(getattr(message, name), ms_min, ms_max)
        if fault:
            faults.add(f"{field}{name}", fault)


def check_timestamp(faults: Faults, message: Any, name: str) -> int:
    """Nanoseconds of a Timestamp, 0 when it is unset."""
    if not message.HasField(name):
        return 0
    try:
        return read_timestamp(getattr(message, name))
    except MirrorFault as fault:
        faults.add(name, fault.description)
        return 0
