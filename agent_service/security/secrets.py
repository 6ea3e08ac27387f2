"""Finding secrets in text: by the shapes that real credentials have, and by how random a quoted password looks."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from agent_service.site import Finding

TEXT_BYTES_MAX = 2 * 1024 * 1024
# Bits per character. Words and placeholders lie below, generated passwords above.
RANDOM_FROM_BITS = 3.2

_SHAPES: dict[str, re.Pattern[str]] = {
    "private key": re.compile(r"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----"),
    "AWS access key": re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    "GitHub token": re.compile(r"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{22,})\b"),
    "Slack token": re.compile(r"\bxox[abprs]-[A-Za-z0-9-]{10,}\b"),
    "Google API key": re.compile(r"\bAIza[0-9A-Za-z_-]{35}\b"),
    "Stripe key": re.compile(r"\b[rs]k_live_[0-9A-Za-z]{16,}\b"),
    "JSON web token": re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}"),
    "URL with password": re.compile(r"\b[a-z][a-z0-9+.-]*://[^\s/:@<>\"']+:[^\s/:@<>\"']{6,}@[^\s<>\"']+"),
}
_ASSIGNED = re.compile(
    r"(?i)\b[\w-]*(?:password|passwd|secret|api[_-]?key|access[_-]?key|token)[\w-]*[\"']?\s*[:=]\s*[\"']([^\s\"']{12,})[\"']"
)


def secrets_in(text: str, where: str) -> Iterator[Finding]:
    """Every secret in `text`, by line. The finding shows where, and never the secret itself."""
    for number, line in enumerate(text.splitlines(), start=1):
        for kind, shape in _SHAPES.items():
            for match in shape.finditer(line):
                yield _finding(kind, match[0], f"{where}:{number}")
        for match in _ASSIGNED.finditer(line):
            if _bits_per_character(match[1]) >= RANDOM_FROM_BITS:
                yield _finding("assigned secret", match[1], f"{where}:{number}")


def secrets_in_files(directory: Path) -> Iterator[Finding]:
    """Every secret in the text files under `directory`, hidden ones included. Blocking."""
    for path in sorted(directory.rglob("*")):
        if not path.is_file() or path.stat().st_size > TEXT_BYTES_MAX:
            continue
        content = path.read_bytes()
        if b"\0" not in content[:1024]:
            where = f"{directory.name}/{path.relative_to(directory)}"
            yield from secrets_in(content.decode("utf-8", errors="replace"), where)


def _finding(kind: str, secret: str, where: str) -> Finding:
    what = f"{kind} beginning {secret[:4]!r}, {len(secret)} characters"
    return Finding(severity="critical", check="secrets", where=where, what=what)


def _bits_per_character(text: str) -> float:
    return -sum(count / len(text) * math.log2(count / len(text)) for count in Counter(text).values())
