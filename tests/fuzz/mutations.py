"""Bytes made worse: what a broken network, a broken disk or somebody with bad intent makes of good ones."""

from __future__ import annotations

from random import Random

INTERESTING = (
    b"\x00",
    b"\xff",
    b"\x80" * 10,
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    b"\x7f",
    b"\x0a\xff\xff\xff\xff\x0f",
    b"\x0b\x0c",
    b"\xf8\x7f\x05",
    b"\xc2\x3e\x04news",
    b"\xed\xa0\x80",
    b"\xf0\x9f\x8e\xbc",
    b"[[[[[[[[",
    b"{",
    b"\n",
    b"&a *a",
    b"!!python/object:x",
    b"1e999",
    b"-0",
    b"99999999999999999999999",
)
LENGTH_MAX = 64 * 1024


def mutated(chance: Random, content: bytes) -> bytes:
    """The bytes after one to four changes."""
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        content = chance.choice(_CHANGES)(chance, content)
    return content[:LENGTH_MAX]


def _flip(chance: Random, content: bytes) -> bytes:
    if not content:
        return b"\x00"
    at = chance.randrange(len(content))
    return content[:at] + bytes([content[at] ^ 1 << chance.randrange(8)]) + content[at + 1 :]


def _cut(chance: Random, content: bytes) -> bytes:
    return content[: chance.randint(0, len(content))]


def _drop(chance: Random, content: bytes) -> bytes:
    begin, end = _piece(chance, content)
    return content[:begin] + content[end:]


def _repeat(chance: Random, content: bytes) -> bytes:
    begin, end = _piece(chance, content)
    return content[:end] + content[begin:end] * chance.choice((1, 1, 2, 40)) + content[end:]


def _move(chance: Random, content: bytes) -> bytes:
    begin, end = _piece(chance, content)
    rest = content[:begin] + content[end:]
    at = chance.randint(0, len(rest))
    return rest[:at] + content[begin:end] + rest[at:]


def _insert(chance: Random, content: bytes) -> bytes:
    at = chance.randint(0, len(content))
    return content[:at] + chance.choice(INTERESTING) + content[at:]


def _overwrite(chance: Random, content: bytes) -> bytes:
    at = chance.randint(0, len(content))
    piece = chance.choice(INTERESTING)
    return content[:at] + piece + content[at + len(piece) :]


def _scramble(chance: Random, content: bytes) -> bytes:
    begin, end = _piece(chance, content)
    return content[:begin] + chance.randbytes(end - begin) + content[end:]


def _piece(chance: Random, content: bytes) -> tuple[int, int]:
    begin = chance.randint(0, len(content))
    return begin, min(len(content), begin + chance.randint(0, 32))


_CHANGES = (_flip, _flip, _cut, _drop, _repeat, _move, _insert, _overwrite, _scramble)
