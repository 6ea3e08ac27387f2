"""Page tokens: where the next page begins. Opaque to clients; one that a list did not give out is refused."""

from __future__ import annotations

import base64
import binascii

from coordinator_service.rpc import limits
from coordinator_service.rpc.validation import Faults

SEQUENCE_MAX = 2**64 - 1
"""The contract counts with uint64."""
_FAULT = "is not a token that this list gave out"


def write_token(kind: str, position: str | int) -> str:
    """The token for a position of a list; empty for none."""
    if not position:
        return ""
    return base64.urlsafe_b64encode(f"{kind}:{position}".encode()).decode().rstrip("=")


def read_token(faults: Faults, kind: str, token: str) -> str:
    """The position that a token stands for; empty for no token."""
    if not token:
        return ""
    if len(token) > limits.PAGE_TOKEN_BYTES_MAX:
        faults.add("page_token", _FAULT)
        return ""
    try:
        text = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True).decode()
    except (binascii.Error, UnicodeError, ValueError):
        text = ""
    found, _, position = text.partition(":")
    if found != kind or not position:
        faults.add("page_token", _FAULT)
        return ""
    return position


def read_number_token(faults: Faults, kind: str, token: str) -> int:
    """As read_token, for positions that are numbers; 0 for no token."""
    position = read_token(faults, kind, token)
    if not position:
        return 0
    if not is_sequence(position):
        faults.add("page_token", _FAULT)
        return 0
    return int(position)


def is_sequence(text: str) -> bool:
    """Whether a part of a position is a number that a log can have."""
    return text.isascii() and text.isdigit() and len(text) <= 20 and int(text) <= SEQUENCE_MAX


def page_size(faults: Faults, size: int) -> int:
    """How many entries a page may have."""
    if size > limits.PAGE_SIZE_MAX:
        faults.add("page_size", f"the limit is {limits.PAGE_SIZE_MAX}")
    return size or limits.PAGE_SIZE_DEFAULT
