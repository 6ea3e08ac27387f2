"""Where two states differ: equal facts in equal order give equal bytes, and this names what does not."""

from __future__ import annotations

import msgspec

from coordinator_service.core.invariants import InvariantBroken
from coordinator_service.core.state import Tables
from coordinator_service.snapshots import encode_tables


def require_same(one: Tables, other: Tables, what: str) -> None:
    """Raises InvariantBroken, with the first rows that differ."""
    if encode_tables(one) != encode_tables(other):
        raise InvariantBroken(f"7: {what}: {_difference(one, other)}")


def _difference(one: Tables, other: Tables) -> str:
    for name in Tables.__dataclass_fields__:
        mine, theirs = getattr(one, name), getattr(other, name)
        if msgspec.msgpack.encode(mine) == msgspec.msgpack.encode(theirs):
            continue
        if not isinstance(mine, dict):
            return f"{name}: {mine} and {theirs}"
        for key in [*mine, *theirs]:
            if mine.get(key) != theirs.get(key) or repr(mine.get(key)) != repr(theirs.get(key)):
                return f"{name}[{key!r}]: {mine.get(key)} and {theirs.get(key)}"
        return f"{name}: the order {list(mine)} and {list(theirs)}"
    return "nothing"
