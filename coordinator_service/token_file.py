"""The file of static tokens: YAML in, hashes of tokens and their principals out, or the first thing wrong with it.

    tokens:
      - principal: ci
        sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
        expires: "2027-01-31T00:00:00Z"

A principal may have several, so that a new one is in use before the old one goes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Final

import yaml

from coordinator_service.security.identities import principal_fault
from coordinator_service.security.static_tokens import StaticToken, TokenTable
from coordinator_service.yaml_nodes import FileFault, compose, entries, fault_at, items, read_text

FILE_BYTES_MAX: Final = 4 * 1024 * 1024
TOKENS_MAX: Final = 20_000
_HASH: Final = re.compile(r"[0-9a-f]{64}")


def parse(contents: Sequence[bytes]) -> TokenTable:
    """What the bytes of a file say. Raises FileFault for the first thing that is wrong; it never repeats what is
    written where a hash should be."""
    root = compose(contents[0], "tokens", FILE_BYTES_MAX)
    sections = {key: (node, field) for key, _, node, field in entries(root, "", ("tokens",))}
    if not sections:
        raise FileFault(1, "", "must have tokens")
    found: dict[str, StaticToken] = {}
    for node, path in items(*sections["tokens"], TOKENS_MAX):
        hashed, token = _token(node, path)
        if hashed in found:
            raise fault_at(node, f"{path}.sha256", "is in the list already")
        found[hashed] = token
    return TokenTable(found)


def _token(node: yaml.Node, path: str) -> tuple[str, StaticToken]:
    principal, hashed, expires_at_seconds = "", "", math.inf
    for key, _, value, field in entries(node, path, ("principal", "sha256", "expires")):
        if key == "principal":
            principal = read_text(value, field)
            if fault := principal_fault(principal):
                raise fault_at(value, field, fault)
        elif key == "sha256":
            hashed = str(value.value) if isinstance(value, yaml.ScalarNode) else ""
            if not _HASH.fullmatch(hashed):
                raise fault_at(value, field, "must be the SHA-256 of a token: 64 hexadecimal digits in small letters")
        else:
            expires_at_seconds = _time(value, field)
    for name, given in (("principal", principal), ("sha256", hashed)):
        if not given:
            raise fault_at(node, f"{path}.{name}", "must be given")
    return hashed, StaticToken(principal=principal, expires_at_seconds=expires_at_seconds)


def _time(node: yaml.Node, field: str) -> float:
    written = str(node.value) if isinstance(node, yaml.ScalarNode) else ""
    try:
        time = datetime.fromisoformat(written)
    except ValueError:
        time = None
    if time is None or time.tzinfo is None:
        raise fault_at(node, field, 'must be a time with its zone, for example "2027-01-31T00:00:00Z"')
    return time.timestamp()
