"""Clipping: a value of any size as one that a page can show."""

from __future__ import annotations

from typing import Any, Final

STRING_CHARS_MAX: Final = 400
ENTRIES_MAX: Final = 30
DEPTH_MAX: Final = 8
VALUES_MAX: Final = 400
"""Values that are kept in all."""


def clipped(value: Any, *, string_chars_max: int = STRING_CHARS_MAX, values_max: int = VALUES_MAX) -> Any:
    """The same with long strings cut, and with no more than the first entries of lists and maps; what was left out is
    said where it was."""
    return _Clip(string_chars_max, values_max).of(value, 0)


class _Clip:
    def __init__(self, string_chars_max: int, values_max: int) -> None:
        self._string_chars_max = string_chars_max
        self._left = values_max

    def of(self, value: Any, depth: int) -> Any:
        self._left -= 1
        if isinstance(value, str):
            return self._string(value)
        if isinstance(value, bytes):
            return f"{len(value)} bytes"
        if not isinstance(value, dict | list | tuple):
            return value
        if depth >= DEPTH_MAX or self._left <= 0:
            return f"… {len(value)} entries"
        if isinstance(value, dict):
            return self._map(value, depth)
        kept = [self.of(each, depth + 1) for each in value[: max(0, min(ENTRIES_MAX, self._left))]]
        return [*kept, f"… and {len(value) - len(kept)} more"] if len(kept) < len(value) else kept

    def _map(self, value: dict[Any, Any], depth: int) -> dict[str, Any]:
        kept: dict[str, Any] = {}
        for key, each in value.items():
            if len(kept) >= ENTRIES_MAX or self._left <= 0:
                kept["…"] = f"and {len(value) - len(kept)} more"
                break
            kept[self._string(str(key))] = self.of(each, depth + 1)
        return kept

    def _string(self, text: str) -> str:
        most = self._string_chars_max
        return text if len(text) <= most else f"{text[:most]}… ({len(text)} characters)"
