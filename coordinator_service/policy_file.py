"""The policy file: YAML in, policies and allow-lists out, or the line and field of the first thing wrong with it (P1).

    coordination_policies:
      default:
        max_execution_time_seconds: 300
        conflict_resolution_strategy: timestamp_based
        resource_timeout_seconds: 30
    agent_capabilities:
      infrastructure: [aws_resource_creation, route53_configuration]

docs/policies.md lists every field.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import yaml

from coordinator_service.core.policies import BUILT_IN_POLICIES, DEFAULT_POLICY
from coordinator_service.core.specs import AgentCapabilities, CircuitPolicy, Policy, RetryPolicy
from coordinator_service.core.values import NS_PER_SECOND, ConflictStrategy
from coordinator_service.rpc import limits
from coordinator_service.rpc.validation import quoted
from coordinator_service.yaml_nodes import (
    FileFault,
    check_name,
    compose,
    either,
    entries,
    fault_at,
    items,
    kind_of,
    named,
    read_count,
    read_number,
    read_text,
    read_truth,
)

FILE_BYTES_MAX = 256 * 1024
"""So that what it says fits in one event."""

STRATEGIES = {each.name.lower(): each for each in ConflictStrategy}

_POLICIES, _CAPABILITIES = "coordination_policies", "agent_capabilities"


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyFile:
    """What a file says. digest is the SHA-256 of its bytes."""

    policies: tuple[Policy, ...]
    agent_capabilities: tuple[AgentCapabilities, ...]
    digest: str


def digest_of(content: bytes) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def parse(content: bytes) -> PolicyFile:
    """What the bytes of a file say. Raises FileFault for the first thing that is wrong."""
    root = compose(content, f"{_POLICIES} or {_CAPABILITIES}", FILE_BYTES_MAX)
    sections = {key: (node, field) for key, _, node, field in entries(root, "", (_POLICIES, _CAPABILITIES))}
    if not sections:
        raise FileFault(1, "", f"must have {_POLICIES} or {_CAPABILITIES}")
    policies: tuple[Policy, ...] = ()
    allowed: tuple[AgentCapabilities, ...] = ()
    if _POLICIES in sections:
        policies = tuple(_policy(name, node, path) for name, _, node, path in named(*sections[_POLICIES]))
    if _CAPABILITIES in sections:
        allowed = tuple(_allow_list(name, node, path) for name, _, node, path in named(*sections[_CAPABILITIES]))
    return PolicyFile(policies=_with_default(policies), agent_capabilities=allowed, digest=digest_of(content))


def _with_default(policies: tuple[Policy, ...]) -> tuple[Policy, ...]:
    """There is always a default; in the file or not, it is the built-in one where it says nothing."""
    if any(policy.name == "default" for policy in policies):
        return policies
    return (DEFAULT_POLICY, *policies)


# Policies.


@dataclass(frozen=True, slots=True)
class _Field:
    """How a field of a policy is read, and where it goes: a field of Policy, or of one of its parts."""

    name: str
    read: Callable[[yaml.Node, str], Any]
    part: str = ""


def _policy(name: str, node: yaml.Node, path: str) -> Policy:
    values: dict[str, Any] = {}
    parts: dict[str, dict[str, Any]] = {"": values, "retry": {}, "circuit": {}}
    for key, _, value, field in entries(node, path, tuple(FIELDS)):
        known = FIELDS[key]
        parts[known.part][known.name] = known.read(value, field)
    built_in = BUILT_IN_POLICIES.get(name, DEFAULT_POLICY)
    policy = Policy(
        name=name,
        priority=built_in.priority,
        retry=RetryPolicy(**parts["retry"]) if parts["retry"] else None,
        circuit=CircuitPolicy(**parts["circuit"]) if parts["circuit"] else None,
    )
    return replace(policy, **values)


def _seconds(ms_min: int, ms_max: int) -> Callable[[yaml.Node, str], int]:
    def read(node: yaml.Node, field: str) -> int:
        number = read_number(node, field)
        if not ms_min / 1000 <= number <= ms_max / 1000:
            raise fault_at(
                node, field, f"must be {ms_min / 1000:.10g} to {ms_max / 1000:.10g} seconds, not {node.value}"
            )
        return round(number * NS_PER_SECOND)

    return read


def _factor(low: float, high: float) -> Callable[[yaml.Node, str], float]:
    def read(node: yaml.Node, field: str) -> float:
        number = read_number(node, field)
        if not low <= number <= high:
            raise fault_at(node, field, f"must be {low:g} to {high:g}, not {node.value}")
        return number

    return read


def _strategy(node: yaml.Node, field: str) -> ConflictStrategy:
    name = read_text(node, field)
    if name not in STRATEGIES:
        raise fault_at(node, field, f"must be {either(STRATEGIES)}, not {quoted(name)}")
    return STRATEGIES[name]


FIELDS = {
    "max_execution_time_seconds": _Field("max_execution_time_ns", _seconds(1, limits.EXECUTION_TIME_MS_MAX)),
    "conflict_resolution_strategy": _Field("conflict_strategy", _strategy),
    "resource_timeout_seconds": _Field("resource_timeout_ns", _seconds(0, limits.LOCK_WAIT_MS_MAX)),
    "priority": _Field("priority", read_count(0, limits.PRIORITY_MAX)),
    "attempts_max": _Field("attempts_max", read_count(1, limits.ATTEMPTS_MAX), part="retry"),
    "lost_attempts_max": _Field("lost_attempts_max", read_count(1, limits.ATTEMPTS_MAX), part="retry"),
    "backoff_initial_seconds": _Field("backoff_initial_ns", _seconds(0, limits.BACKOFF_MS_MAX), part="retry"),
    "backoff_max_seconds": _Field("backoff_max_ns", _seconds(0, limits.BACKOFF_MS_MAX), part="retry"),
    "backoff_multiplier": _Field("backoff_multiplier", _factor(1, limits.BACKOFF_MULTIPLIER_MAX), part="retry"),
    "cancel_grace_seconds": _Field("cancel_grace_ns", _seconds(0, limits.CANCEL_GRACE_MS_MAX)),
    "conflict_window_seconds": _Field("conflict_window_ns", _seconds(0, limits.CONFLICT_WINDOW_MS_MAX)),
    "running_max": _Field("running_max", read_count(0, limits.RUNNING_MAX)),
    "circuit_failures_max": _Field("failures_max", read_count(0, limits.CIRCUIT_ATTEMPTS_MAX), part="circuit"),
    "circuit_failure_rate_max": _Field("failure_rate_max", _factor(0, 1), part="circuit"),
    "circuit_attempts_min": _Field("attempts_min", read_count(1, limits.CIRCUIT_ATTEMPTS_MAX), part="circuit"),
    "circuit_window_seconds": _Field("window_ns", _seconds(1000, limits.CIRCUIT_MS_MAX), part="circuit"),
    "circuit_cool_down_seconds": _Field("cool_down_ns", _seconds(1, limits.CIRCUIT_MS_MAX), part="circuit"),
}
"""The fields of a policy, in the order of docs/policies.md."""


# Allow-lists.


def _allow_list(name: str, node: yaml.Node, path: str) -> AgentCapabilities:
    """A list of capabilities, or a mapping of `capabilities` and `enforce`."""
    if isinstance(node, yaml.SequenceNode):
        return AgentCapabilities(agent_name=name, capabilities=_capabilities(node, path))
    if not isinstance(node, yaml.MappingNode):
        raise fault_at(
            node, path, f"must be a list of capabilities, or have capabilities and enforce, not {kind_of(node)}"
        )
    capabilities: tuple[str, ...] | None = None
    enforce = False
    for key, _, value, field in entries(node, path, ("capabilities", "enforce")):
        if key == "enforce":
            enforce = read_truth(value, field)
        else:
            capabilities = _capabilities(value, field)
    if capabilities is None:
        raise fault_at(node, f"{path}.capabilities", "must be given")
    return AgentCapabilities(agent_name=name, capabilities=capabilities, enforce=enforce)


def _capabilities(node: yaml.Node, path: str) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for item, field in items(node, path, limits.CAPABILITIES_PER_AGENT_MAX):
        name = read_text(item, field)
        check_name(item, field, name)
        if name in found:
            raise fault_at(item, field, f"{quoted(name)} is in the list already")
        found[name] = None
    return tuple(found)
