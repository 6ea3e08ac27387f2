"""The access file: YAML in, grants and limits out, or the line and field of the first thing wrong with it.

    grants:
      - principals: [alice, "jwt:ops-*"]
        role: operator
        namespaces: ["*"]
      - principals: ["spiffe://example.org/agents/content"]
        role: agent
        namespaces: [blog]
        agents: [content]
        capabilities: [content_migration, image_optimization]
    limits:
      - principals: ["*"]
        calls_per_second: 200
        sessions_max: 10

docs/security.md lists every field.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import yaml

from coordinator_service.rpc.validation import quoted
from coordinator_service.security.identities import PRINCIPAL_BYTES_MAX
from coordinator_service.security.roles import (
    PATTERN_STARS_MAX,
    ROLES,
    AccessTable,
    Grant,
    PrincipalLimits,
    Role,
)
from coordinator_service.yaml_nodes import (
    FileFault,
    compose,
    either,
    entries,
    fault_at,
    items,
    read_count,
    read_text,
)

FILE_BYTES_MAX: Final = 1024 * 1024
ROWS_MAX: Final = 10_000
PATTERNS_MAX: Final = 1000
_COUNT_MAX: Final = 1_000_000_000

_GRANT: Final = ("principals", "role", "namespaces", "agents", "capabilities")
_LIMITS: Final = (
    "calls_per_second",
    "calls_burst_max",
    "calls_open_max",
    "sessions_max",
    "subscriptions_max",
    "namespaces_max",
    "stored_bytes_per_hour",
)


def parse(contents: Sequence[bytes]) -> AccessTable:
    """What the bytes of a file say. Raises FileFault for the first thing that is wrong."""
    root = compose(contents[0], "grants", FILE_BYTES_MAX)
    sections = {key: (node, field) for key, _, node, field in entries(root, "", ("grants", "limits"))}
    if "grants" not in sections:
        raise FileFault(1, "", "must have grants")
    grants = tuple(_grant(node, path) for node, path in items(*sections["grants"], ROWS_MAX))
    listed = items(*sections["limits"], ROWS_MAX) if "limits" in sections else []
    return AccessTable(grants, tuple(_limits(node, path) for node, path in listed))


def _grant(node: yaml.Node, path: str) -> Grant:
    given: dict[str, Any] = {}
    for key, _, value, field in entries(node, path, _GRANT):
        given[key] = _role(value, field) if key == "role" else _patterns(value, field)
    _require(node, path, given, ("principals", "role", "namespaces"))
    for name in ("agents", "capabilities"):
        if name in given and given["role"] < Role.AGENT:
            raise fault_at(node, f"{path}.{name}", "is for the roles agent and operator: a viewer is no agent")
    return Grant(**given)


def _limits(node: yaml.Node, path: str) -> tuple[tuple[str, ...], PrincipalLimits]:
    given: dict[str, Any] = {}
    for key, _, value, field in entries(node, path, ("principals", *_LIMITS)):
        given[key] = _patterns(value, field) if key == "principals" else read_count(1, _COUNT_MAX)(value, field)
    _require(node, path, given, ("principals",))
    return given.pop("principals"), PrincipalLimits(**given)


def _require(node: yaml.Node, path: str, given: dict[str, Any], names: Sequence[str]) -> None:
    for name in names:
        if name not in given:
            raise fault_at(node, f"{path}.{name}", "must be given")


def _role(node: yaml.Node, field: str) -> Role:
    name = read_text(node, field)
    if name not in ROLES:
        raise fault_at(node, field, f"must be {either(ROLES)}, not {quoted(name)}")
    return ROLES[name]


def _patterns(node: yaml.Node, path: str) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for item, field in items(node, path, PATTERNS_MAX):
        pattern = read_text(item, field)
        if not pattern or len(pattern.encode()) > PRINCIPAL_BYTES_MAX or not pattern.isprintable():
            raise fault_at(item, field, f"must be 1 to {PRINCIPAL_BYTES_MAX} bytes of printable text")
        if pattern.count("*") > PATTERN_STARS_MAX:
            raise fault_at(item, field, f"has more than {PATTERN_STARS_MAX} stars")
        found[pattern] = None
    return tuple(found)
