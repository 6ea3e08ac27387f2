"""Values given as arguments: JSON, also from a file or standard input, and KEY=VALUE pairs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from concert.cli.command import Refusal

ARGUMENT_BYTES_MAX = 16 * 1024 * 1024


def json_argument(text: str, what: str) -> Any:
    """JSON; of a file for @FILE, of standard input for -. Raises Refusal."""
    name = what
    if text == "-":
        text, name = _decoded(sys.stdin.buffer.read(ARGUMENT_BYTES_MAX + 1), what), f"{what} from standard input"
    elif text.startswith("@"):
        name = text[1:]
        try:
            with Path(name).open("rb") as file:
                text = _decoded(file.read(ARGUMENT_BYTES_MAX + 1), name)
        except OSError as fault:
            raise Refusal(f"{name}: {fault.strerror or fault}") from None
    try:
        return json.loads(text)
    except json.JSONDecodeError as fault:
        where = f"{name}:{fault.lineno}:{fault.colno}"
        raise Refusal(f"{where}: no JSON: {fault.msg}", cure="text goes in quotes of its own: '\"text\"'") from None
    except (ValueError, RecursionError) as fault:
        raise Refusal(f"{name}: {fault}") from None


def pairs(given: Iterable[str], option: str) -> dict[str, str]:
    """KEY=VALUE, each. Raises Refusal."""
    found = {}
    for each in given:
        key, sign, value = each.partition("=")
        if not sign or not key:
            raise Refusal(f"{option} takes KEY=VALUE, not {each!r}")
        found[key] = value
    return found


def _decoded(raw: bytes, name: str) -> str:
    if len(raw) > ARGUMENT_BYTES_MAX:
        raise Refusal(f"{name} has more than {ARGUMENT_BYTES_MAX} bytes")
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise Refusal(f"{name} is not UTF-8") from None
