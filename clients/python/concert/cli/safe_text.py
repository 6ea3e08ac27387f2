"""Text from elsewhere, made safe to show: names and payloads may hold anything, a terminal obeys control characters."""

from __future__ import annotations

import re

# C0 and C1 controls; what reorders or hides text (Unicode TR 36, "bidirectional text spoofing"); lone surrogates; tags.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff\U000e0000-\U000e007f]"
)
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def one_line(text: str) -> str:
    """The text with everything that would move the cursor, colour, reorder or hide shown as an escape instead."""
    return _UNSAFE.sub(lambda found: _SHORT.get(found[0]) or _escaped(found[0]), text)


def lines(text: str) -> str:
    """As one_line, but line ends stay: for text that is meant to have lines, such as a traceback."""
    return "\n".join(one_line(line) for line in text.splitlines())


def in_json(text: str) -> str:
    """A JSON document (or double-quoted YAML) in which no such character stands: there they only occur in strings,
    where an escape means the same. Line ends between the values stay.
    """
    return _UNSAFE.sub(lambda found: found[0] if found[0] == "\n" else _json_escaped(found[0]), text)


def is_safe(text: str) -> bool:
    """Whether nothing of the kind is in it."""
    return _UNSAFE.search(text) is None


def _escaped(character: str) -> str:
    number = ord(character)
    if number < 0x100:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def _json_escaped(character: str) -> str:
    units = character.encode("utf-16-be", errors="surrogatepass")
    return "".join(f"\\u{units[at] << 8 | units[at + 1]:04x}" for at in range(0, len(units), 2))
