"""Snapshots as they are stored: compressed, and with a digest that tells whether they are what was written."""

from __future__ import annotations

import hashlib
import zlib

ZLIB_LEVEL = 1
DIGEST_BYTES = 32
"""A stored snapshot begins with the SHA-256 of what follows: other compressed bytes may expand to the same."""


def pack(data: bytes) -> bytes:
    """What is stored."""
    compressed = zlib.compress(data, ZLIB_LEVEL)
    return hashlib.sha256(compressed).digest() + compressed


def unpack(stored: bytes) -> bytes:
    """What was packed; nothing when it is not what was written."""
    digest, compressed = stored[:DIGEST_BYTES], stored[DIGEST_BYTES:]
    return zlib.decompress(compressed) if hashlib.sha256(compressed).digest() == digest else b""
