"""The policy file: YAML in, policies and allow-lists out, or the line and field of the first thing wrong with it (P1).

    coordination_policies:
      default:
        max_execution_time_seconds: 300
        conflict_resolution_strategy: timestamp_based
        resource_timeout_seconds: 30
    agent_capabilities:
      infrastructure: [aws_resource_creation, route53_configuration]

docs/policies.md lists every field. The tree of nodes is read rather than what YAML would make of it: nodes know their
line, a name that is given twice is still there twice, and nothing is a number or a truth value that does not look like
one (YAML 1.1 reads 010 as 8, 1:30 as 90 and `on` as true).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import yaml

from coordinator_service.core.policies import BUILT_IN_POLICIES, DEFAULT_POLICY
from coordinator_service.core.specs import AgentCapabilities, CircuitPolicy, Policy, RetryPolicy
from coordinator_service.core.values import NS_PER_SECOND, ConflictStrategy
from coordinator_service.rpc import limits
from coordinator_service.rpc.validation import name_fault, quoted

FILE_BYTES_MAX = 256 * 1024
"""So that what it says fits in one event."""

STRATEGIES = {each.name.lower(): each for each in ConflictStrategy}

_POLICIES, _CAPABILITIES = "coordination_policies", "agent_capabilities"
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?")
_TAG = "tag:yaml.org,2002:"
_NS_PER_SECOND_MAX_DIGITS = 18


class PolicyFault(Exception):  # noqa: N818 (it says what is wrong, in one line)
    """What is wrong with a policy file. line counts from 1, 0 where it is the file as a whole; field is a path."""

    def __init__(self, line: int, field: str, description: str) -> None:
        self.line = line
        self.field = field
        self.description = description
        where = [f"line {line}"] if line else []
        super().__init__(": ".join([*where, *([field] if field else []), description]))


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
    """What the bytes of a file say. Raises PolicyFault for the first thing that is wrong."""
    root = _compose(content)
    sections = {key: (node, field) for key, _, node, field in _entries(root, "", (_POLICIES, _CAPABILITIES))}
    if not sections:
        raise PolicyFault(1, "", f"must have {_POLICIES} or {_CAPABILITIES}")
    policies: tuple[Policy, ...] = ()
    allowed: tuple[AgentCapabilities, ...] = ()
    if _POLICIES in sections:
        policies = tuple(_policy(name, node, path) for name, _, node, path in _named(*sections[_POLICIES]))
    if _CAPABILITIES in sections:
        allowed = tuple(_allow_list(name, node, path) for name, _, node, path in _named(*sections[_CAPABILITIES]))
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
    for key, _, value, field in _entries(node, path, tuple(FIELDS)):
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
        number = _number(node, field)
        if not ms_min / 1000 <= number <= ms_max / 1000:
            raise _fault(node, field, f"must be {ms_min / 1000:.10g} to {ms_max / 1000:.10g} seconds, not {node.value}")
        return round(number * NS_PER_SECOND)

    return read


def _count(low: int, high: int) -> Callable[[yaml.Node, str], int]:
    def read(node: yaml.Node, field: str) -> int:
        number = _number(node, field)
        if not (number.is_integer() and low <= number <= high):
            raise _fault(node, field, f"must be a whole number from {low} to {high}, not {node.value}")
        return int(number)

    return read


def _factor(low: float, high: float) -> Callable[[yaml.Node, str], float]:
    def read(node: yaml.Node, field: str) -> float:
        number = _number(node, field)
        if not low <= number <= high:
            raise _fault(node, field, f"must be {low:g} to {high:g}, not {node.value}")
        return number

    return read


def _strategy(node: yaml.Node, field: str) -> ConflictStrategy:
    name = _text(node, field)
    if name not in STRATEGIES:
        raise _fault(node, field, f"must be {_or(STRATEGIES)}, not {quoted(name)}")
    return STRATEGIES[name]


FIELDS = {
    "max_execution_time_seconds": _Field("max_execution_time_ns", _seconds(1, limits.EXECUTION_TIME_MS_MAX)),
    "conflict_resolution_strategy": _Field("conflict_strategy", _strategy),
    "resource_timeout_seconds": _Field("resource_timeout_ns", _seconds(0, limits.LOCK_WAIT_MS_MAX)),
    "priority": _Field("priority", _count(0, limits.PRIORITY_MAX)),
    "attempts_max": _Field("attempts_max", _count(1, limits.ATTEMPTS_MAX), part="retry"),
    "lost_attempts_max": _Field("lost_attempts_max", _count(1, limits.ATTEMPTS_MAX), part="retry"),
    "backoff_initial_seconds": _Field("backoff_initial_ns", _seconds(0, limits.BACKOFF_MS_MAX), part="retry"),
    "backoff_max_seconds": _Field("backoff_max_ns", _seconds(0, limits.BACKOFF_MS_MAX), part="retry"),
    "backoff_multiplier": _Field("backoff_multiplier", _factor(1, limits.BACKOFF_MULTIPLIER_MAX), part="retry"),
    "cancel_grace_seconds": _Field("cancel_grace_ns", _seconds(0, limits.CANCEL_GRACE_MS_MAX)),
    "conflict_window_seconds": _Field("conflict_window_ns", _seconds(0, limits.CONFLICT_WINDOW_MS_MAX)),
    "running_max": _Field("running_max", _count(0, limits.RUNNING_MAX)),
    "circuit_failures_max": _Field("failures_max", _count(0, limits.CIRCUIT_ATTEMPTS_MAX), part="circuit"),
    "circuit_failure_rate_max": _Field("failure_rate_max", _factor(0, 1), part="circuit"),
    "circuit_attempts_min": _Field("attempts_min", _count(1, limits.CIRCUIT_ATTEMPTS_MAX), part="circuit"),
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
        raise _fault(node, path, f"must be a list of capabilities, or have capabilities and enforce, not {_kind(node)}")
    capabilities: tuple[str, ...] | None = None
    enforce = False
    for key, _, value, field in _entries(node, path, ("capabilities", "enforce")):
        if key == "enforce":
            enforce = _truth(value, field)
        else:
            capabilities = _capabilities(value, field)
    if capabilities is None:
        raise _fault(node, f"{path}.capabilities", "must be given")
    return AgentCapabilities(agent_name=name, capabilities=capabilities, enforce=enforce)


def _capabilities(node: yaml.Node, path: str) -> tuple[str, ...]:
    if not isinstance(node, yaml.SequenceNode):
        raise _fault(node, path, f"must be a list, not {_kind(node)}")
    if len(node.value) > limits.CAPABILITIES_PER_AGENT_MAX:
        count, limit = len(node.value), limits.CAPABILITIES_PER_AGENT_MAX
        raise _fault(node, path, f"has {count} entries, the limit is {limit}")
    found: dict[str, None] = {}
    for number, item in enumerate(node.value):
        field = f"{path}[{number}]"
        name = _text(item, field)
        _check_name(item, field, name)
        if name in found:
            raise _fault(item, field, f"{quoted(name)} is in the list already")
        found[name] = None
    return tuple(found)


# Nodes.


class _Loader(yaml.SafeLoader):
    """Composes nodes, each where it is written: an alias would let a small file say more than fits in an event."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """The next node."""
        if self.check_event(yaml.AliasEvent):
            raise yaml.MarkedYAMLError(
                problem="an alias (*name) is not taken here",
                problem_mark=self.peek_event().start_mark,  # type: ignore[no-untyped-call]
            )
        return super().compose_node(parent, index)


def _compose(content: bytes) -> yaml.Node:
    """The tree of nodes of the one document."""
    if len(content) > FILE_BYTES_MAX:
        raise PolicyFault(0, "", f"has {len(content)} bytes, the limit is {FILE_BYTES_MAX}")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        raise PolicyFault(content[: fault.start].count(b"\n") + 1, "", "is not UTF-8") from None
    try:
        root = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as fault:
        raise _syntax_fault(fault, text) from None
    except yaml.reader.ReaderError as fault:
        line = text[: fault.position].count("\n") + 1
        raise PolicyFault(line, "", f"has a character that YAML does not allow: #x{int(fault.character):04x}") from None
    except RecursionError:
        raise PolicyFault(0, "", "nests too deeply") from None
    if root is None:
        raise PolicyFault(1, "", f"is empty: must have {_POLICIES} or {_CAPABILITIES}")
    return root


def _syntax_fault(fault: yaml.MarkedYAMLError, text: str) -> PolicyFault:
    mark = fault.problem_mark or fault.context_mark
    line = mark.line + 1 if mark is not None else 0
    lines = text.split("\n")
    written = lines[line - 1] if 0 < line <= len(lines) else ""
    if "\t" in written[: len(written) - len(written.lstrip())]:
        return PolicyFault(line, "", "is indented with a tab: YAML takes spaces")
    problem = " ".join(str(fault.problem or fault.context or "is not YAML").split())
    return PolicyFault(line, "", f"is not YAML: {problem}")


def _named(node: yaml.Node, path: str) -> Iterator[tuple[str, yaml.Node, yaml.Node, str]]:
    """The entries of a mapping whose keys are names."""
    for name, key, value, field in _entries(node, path):
        _check_name(key, path, name)
        yield name, key, value, field


def _entries(
    node: yaml.Node, path: str, known: tuple[str, ...] = ()
) -> Iterator[tuple[str, yaml.Node, yaml.Node, str]]:
    """Name, key, value and path of each entry of a mapping, each once, all of them among the known where there are."""
    if _is(node, "null"):
        return
    if not isinstance(node, yaml.MappingNode):
        raise _fault(node, path, f"must be a mapping, not {_kind(node)}")
    lines: dict[str, int] = {}
    for key, value in node.value:
        if not (isinstance(key, yaml.ScalarNode) and _is(key, "str")):
            raise _fault(key, path, f"a name must be text, not {_kind(key)}: put it in quotes")
        name = str(key.value)
        field = f"{path}.{name}" if path else name
        if known and name not in known:
            raise _fault(key, path, f"there is no field {quoted(name)}, but {', '.join(known)}")
        if name in lines:
            raise _fault(key, field, f"is given twice, first in line {lines[name]}")
        lines[name] = key.start_mark.line + 1
        yield name, key, value, field


def _check_name(node: yaml.Node, field: str, name: str) -> None:
    fault = name_fault(name)
    if fault:
        raise _fault(node, field, f"the name {quoted(name)} {fault}")


def _number(node: yaml.Node, field: str) -> float:
    plain = isinstance(node, yaml.ScalarNode) and node.style is None
    if not (plain and _NUMBER.fullmatch(node.value) and len(node.value) <= _NS_PER_SECOND_MAX_DIGITS):
        raise _fault(node, field, f"must be a number, not {_kind(node)}")
    return float(node.value)


def _text(node: yaml.Node, field: str) -> str:
    if not (isinstance(node, yaml.ScalarNode) and _is(node, "str")):
        raise _fault(node, field, f"must be text, not {_kind(node)}")
    return str(node.value)


def _truth(node: yaml.Node, field: str) -> bool:
    if isinstance(node, yaml.ScalarNode) and node.style is None and node.value in ("true", "false"):
        return bool(node.value == "true")
    raise _fault(node, field, f"must be true or false, not {_kind(node)}")


def _is(node: yaml.Node, tag: str) -> bool:
    return bool(node.tag == _TAG + tag)


def _kind(node: yaml.Node) -> str:
    """What a node is, for people."""
    if isinstance(node, yaml.MappingNode):
        return "a mapping"
    if isinstance(node, yaml.SequenceNode):
        return "a list"
    if _is(node, "null"):
        return "nothing"
    return f"the text {quoted(node.value)}" if _is(node, "str") else quoted(node.value)


def _fault(node: yaml.Node, field: str, description: str) -> PolicyFault:
    return PolicyFault(node.start_mark.line + 1, field, description)


def _or(names: Any) -> str:
    *most, last = names
    return f"{', '.join(most)} or {last}" if most else last
