"""What a policy file says, and what is told of one that is bad."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coordinator_service.core.events import PolicyChanged
from coordinator_service.core.policies import BUILT_IN_POLICIES, DEFAULT_POLICY
from coordinator_service.core.specs import AgentCapabilities, CircuitPolicy, Policy, RetryPolicy
from coordinator_service.core.values import ConflictStrategy
from coordinator_service.log.mirror import to_proto
from coordinator_service.policy_file import FIELDS, FILE_BYTES_MAX, FileFault, PolicyFile, digest_of, parse
from coordinator_service.rpc.limits import EVENT_BYTES_MAX
from tests.core.driver import seconds

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "deploy" / "agent_policies.yaml"


def read(text: str) -> PolicyFile:
    """What a text says."""
    return parse(text.encode())


def fault_of(text: str | bytes) -> FileFault:
    """What is wrong with it."""
    with pytest.raises(FileFault) as caught:
        parse(text if isinstance(text, bytes) else text.encode())
    assert "\n" not in str(caught.value)
    return caught.value


def policies_of(file: PolicyFile) -> dict[str, Policy]:
    """By name."""
    return {policy.name: policy for policy in file.policies}


def test_the_missions_file_says_what_it_says() -> None:
    """P1: default 300 s, timestamp_based, 30 s; high_priority 600 s, priority_based, 60 s; capabilities by name."""
    file = parse(EXAMPLE.read_bytes())
    default, high = policies_of(file)["default"], policies_of(file)["high_priority"]
    assert (default.max_execution_time_ns, default.resource_timeout_ns) == (seconds(300), seconds(30))
    assert default.conflict_strategy is ConflictStrategy.TIMESTAMP_BASED
    assert (high.max_execution_time_ns, high.resource_timeout_ns) == (seconds(600), seconds(60))
    assert high.conflict_strategy is ConflictStrategy.PRIORITY_BASED
    assert high.priority == BUILT_IN_POLICIES["high_priority"].priority
    lists = {each.agent_name: each for each in file.agent_capabilities}
    assert list(lists) == ["infrastructure", "content", "security", "quality_assurance"]
    assert lists["infrastructure"].capabilities[:2] == ("aws_resource_creation", "cloudfront_deployment")
    assert not any(each.enforce for each in lists.values())
    assert file.digest == digest_of(EXAMPLE.read_bytes())


def test_the_example_allows_what_the_agents_of_the_project_claim() -> None:
    """P1, A3: turning `enforce` on for the shipped file keeps nobody out."""
    from agent_service.content.agent import ContentAgent
    from agent_service.infrastructure.agent import InfrastructureAgent
    from agent_service.quality_assurance.agent import QualityAssuranceAgent
    from agent_service.security.agent import SecurityAgent

    lists = {each.agent_name: set(each.capabilities) for each in parse(EXAMPLE.read_bytes()).agent_capabilities}
    for agent in (InfrastructureAgent, ContentAgent, SecurityAgent, QualityAssuranceAgent):
        assert {str(each) for each in agent.capabilities} <= lists[agent.name]


def test_every_field_is_read() -> None:
    """P1, R14: ours: priority, attempts, back-off, cancel grace, conflict window, running_max, circuit."""
    file = read(
        """
        coordination_policies:
          careful:
            max_execution_time_seconds: 0.5
            resource_timeout_seconds: 0
            conflict_resolution_strategy: last_writer_wins
            priority: 9
            attempts_max: 7
            lost_attempts_max: 1000
            backoff_initial_seconds: 0.25
            backoff_max_seconds: 60
            backoff_multiplier: 1.5
            cancel_grace_seconds: 2
            conflict_window_seconds: 86400
            running_max: 3
            circuit_failures_max: 0
            circuit_failure_rate_max: 0.5
            circuit_attempts_min: 20
            circuit_window_seconds: 30
            circuit_cool_down_seconds: 1.5
        """
    )
    assert policies_of(file)["careful"] == Policy(
        name="careful",
        max_execution_time_ns=seconds(0.5),
        resource_timeout_ns=0,
        conflict_strategy=ConflictStrategy.LAST_WRITER_WINS,
        priority=9,
        retry=RetryPolicy(
            attempts_max=7,
            lost_attempts_max=1000,
            backoff_initial_ns=seconds(0.25),
            backoff_max_ns=seconds(60),
            backoff_multiplier=1.5,
        ),
        cancel_grace_ns=seconds(2),
        conflict_window_ns=seconds(86400),
        running_max=3,
        circuit=CircuitPolicy(
            failures_max=0,
            failure_rate_max=0.5,
            attempts_min=20,
            window_ns=seconds(30),
            cool_down_ns=seconds(1.5),
        ),
    )


def test_everything_a_policy_holds_can_be_written() -> None:
    """P1: a field that Policy or one of its parts gets and the file lacks is found here."""
    reached = {(each.part, each.name) for each in FIELDS.values()}
    parts: dict[str, type] = {"": Policy, "retry": RetryPolicy, "circuit": CircuitPolicy}
    held = {(part, each.name) for part, kind in parts.items() for each in fields(kind)}
    assert reached == held - {("", "name"), ("", "retry"), ("", "circuit")}


def test_every_field_is_explained() -> None:
    """P1: docs/policies.md has a row for each field, and for no other."""
    rows = [line.split("`")[1] for line in (ROOT / "docs/policies.md").read_text().splitlines() if line[:3] == "| `"]
    assert rows == list(FIELDS)


def test_what_is_left_out_stays_unset() -> None:
    """P1, R17: the core fills it from the default when the change is applied, priority from the built-in one's."""
    assert policies_of(read("coordination_policies: {small: {}, empty: }"))["small"] == Policy(name="small")
    assert policies_of(read("coordination_policies: {empty: }"))["empty"] == Policy(name="empty")


@pytest.mark.parametrize("text", ["agent_capabilities: {}", "coordination_policies: {other: {priority: 1}}"])
def test_there_is_always_a_default(text: str) -> None:
    """P1: the built-in one where the file has none."""
    assert policies_of(read(text))["default"] == DEFAULT_POLICY


def test_lists_are_enforced_only_where_the_file_says_so() -> None:
    """P1, A3: `enforce` is off by default."""
    file = read("agent_capabilities: {a: [x, y], b: {capabilities: [z]}, c: {enforce: true, capabilities: []}}")
    assert file.agent_capabilities == (
        AgentCapabilities(agent_name="a", capabilities=("x", "y")),
        AgentCapabilities(agent_name="b", capabilities=("z",)),
        AgentCapabilities(agent_name="c", enforce=True),
    )


BAD = {
    "unknown strategy": (
        "coordination_policies:\n  default:\n    conflict_resolution_strategy: coin_toss\n",
        "line 3: coordination_policies.default.conflict_resolution_strategy: must be timestamp_based, priority_based"
        " or last_writer_wins, not 'coin_toss'",
    ),
    "negative time-out": (
        "coordination_policies:\n  default:\n    resource_timeout_seconds: -3\n",
        "line 3: coordination_policies.default.resource_timeout_seconds: must be 0 to 86400 seconds, not -3",
    ),
    "no time at all": (
        "coordination_policies:\n  default:\n    max_execution_time_seconds: 0\n",
        "line 3: coordination_policies.default.max_execution_time_seconds: must be 0.001 to 2592000 seconds, not 0",
    ),
    "policy twice": (
        "coordination_policies:\n  a: {}\n  b: {}\n  a: {}\n",
        "line 4: coordination_policies.a: is given twice, first in line 2",
    ),
    "field twice": (
        "coordination_policies:\n  a:\n    priority: 1\n    priority: 2\n",
        "line 4: coordination_policies.a.priority: is given twice, first in line 3",
    ),
    "section twice": (
        "agent_capabilities: {}\nagent_capabilities: {}\n",
        "line 2: agent_capabilities: is given twice, first in line 1",
    ),
    "agent twice": (
        "agent_capabilities:\n  a: []\n  a: []\n",
        "line 3: agent_capabilities.a: is given twice, first in line 2",
    ),
    "capability twice": (
        "agent_capabilities:\n  a:\n    - x\n    - x\n",
        "line 4: agent_capabilities.a[1]: 'x' is in the list already",
    ),
    "tab": (
        "coordination_policies:\n\tdefault: {}\n",
        "line 2: is indented with a tab: YAML takes spaces",
    ),
    "tab further in": (
        "coordination_policies:\n  default:\n  \tpriority: 1\n",
        "line 3: is indented with a tab: YAML takes spaces",
    ),
    "unknown field": (
        "coordination_policies:\n  default:\n    colour: blue\n",
        "line 3: coordination_policies.default: there is no field 'colour', but max_execution_time_seconds, ",
    ),
    "unknown section": ("policies: {}\n", "line 1: there is no field 'policies', but coordination_policies, agent_"),
    "unknown field of a list": (
        "agent_capabilities:\n  a:\n    capabilities: []\n    forced: true\n",
        "line 4: agent_capabilities.a: there is no field 'forced', but capabilities, enforce",
    ),
    "text for a number": (
        "coordination_policies:\n  a:\n    priority: high\n",
        "line 3: coordination_policies.a.priority: must be a number, not the text 'high'",
    ),
    "quoted number": (
        "coordination_policies:\n  a:\n    priority: '5'\n",
        "line 3: coordination_policies.a.priority: must be a number, not the text '5'",
    ),
    "nothing for a number": (
        "coordination_policies:\n  a:\n    priority:\n",
        "line 3: coordination_policies.a.priority: must be a number, not nothing",
    ),
    "a list for a number": (
        "coordination_policies:\n  a:\n    priority: [1]\n",
        "line 3: coordination_policies.a.priority: must be a number, not a list",
    ),
    "octal, as YAML 1.1 has it": (
        "coordination_policies:\n  a:\n    running_max: 010\n",
        "line 3: coordination_policies.a.running_max: must be a number, not '010'",
    ),
    "sexagesimal, as YAML 1.1 has it": (
        "coordination_policies:\n  a:\n    resource_timeout_seconds: 1:30\n",
        "line 3: coordination_policies.a.resource_timeout_seconds: must be a number, not '1:30'",
    ),
    "not a number": (
        "coordination_policies:\n  a:\n    backoff_multiplier: .nan\n",
        "line 3: coordination_policies.a.backoff_multiplier: must be a number, not '.nan'",
    ),
    "a number without end": (
        f"coordination_policies:\n  a:\n    running_max: {'9' * 5000}\n",
        "line 3: coordination_policies.a.running_max: must be a number, not '9999",
    ),
    "priority too high": (
        "coordination_policies:\n  a:\n    priority: 10\n",
        "line 3: coordination_policies.a.priority: must be a whole number from 0 to 9, not 10",
    ),
    "priority negative": (
        "coordination_policies:\n  a: {priority: -1}\n",
        "line 2: coordination_policies.a.priority: must be a whole number from 0 to 9, not -1",
    ),
    "half a priority": (
        "coordination_policies:\n  a: {priority: 1.5}\n",
        "line 2: coordination_policies.a.priority: must be a whole number from 0 to 9, not 1.5",
    ),
    "no attempt": (
        "coordination_policies:\n  a: {attempts_max: 0}\n",
        "line 2: coordination_policies.a.attempts_max: must be a whole number from 1 to 1000, not 0",
    ),
    "shrinking back-off": (
        "coordination_policies:\n  a: {backoff_multiplier: 0.5}\n",
        "line 2: coordination_policies.a.backoff_multiplier: must be 1 to 100, not 0.5",
    ),
    "policies as a list": (
        "coordination_policies:\n  - default\n",
        "line 2: coordination_policies: must be a mapping, not a list",
    ),
    "a policy as text": (
        "coordination_policies:\n  default: fast\n",
        "line 2: coordination_policies.default: must be a mapping, not the text 'fast'",
    ),
    "a name that is a number": (
        "agent_capabilities:\n  2024: []\n",
        "line 2: agent_capabilities: a name must be text, not '2024': put it in quotes",
    ),
    "an empty name": (
        "agent_capabilities:\n  '': []\n",
        "line 2: agent_capabilities: the name '' must have 1 to 128 bytes",
    ),
    "a name over two lines": (
        'agent_capabilities:\n  "a\\nb": []\n',
        "line 2: agent_capabilities: the name 'a\\nb' has control characters",
    ),
    "a long capability": (
        f"agent_capabilities:\n  a: [{'x' * 129}]\n",
        f"line 2: agent_capabilities.a[0]: the name '{'x' * 64}…' has 129 bytes, the limit is 128",
    ),
    "too many capabilities": (
        f"agent_capabilities:\n  a: [{', '.join(f'c{number}' for number in range(257))}]\n",
        "line 2: agent_capabilities.a: has 257 entries, the limit is 256",
    ),
    "capabilities as text": (
        "agent_capabilities:\n  a: x\n",
        "line 2: agent_capabilities.a: must be a list of capabilities, or have capabilities and enforce, not the",
    ),
    "a capability that is a truth value": (
        "agent_capabilities:\n  a: [yes]\n",
        "line 2: agent_capabilities.a[0]: must be text, not 'yes'",
    ),
    "enforce without capabilities": (
        "agent_capabilities:\n  a:\n    enforce: true\n",
        "line 3: agent_capabilities.a.capabilities: must be given",
    ),
    "enforce as a word": (
        "agent_capabilities:\n  a: {capabilities: [], enforce: on}\n",
        "line 2: agent_capabilities.a.enforce: must be true or false, not 'on'",
    ),
    "an alias": (
        "coordination_policies:\n  a: &a {}\n  b: *a\n",
        "line 3: is not YAML: an alias (*name) is not taken here",
    ),
    "two documents": ("agent_capabilities: {}\n---\nagent_capabilities: {}\n", "line 2: is not YAML: "),
    "a bracket left open": ("agent_capabilities:\n  a: [x\n", "line 3: is not YAML: "),
    "nothing": ("", "line 1: is empty: must have coordination_policies or agent_capabilities"),
    "comments": ("# later\n", "line 1: is empty: must have coordination_policies or agent_capabilities"),
    "an empty mapping": ("{}", "line 1: must have coordination_policies or agent_capabilities"),
    "text": ("hello", "line 1: must be a mapping, not the text 'hello'"),
    "control characters": (
        "agent_capabilities:\n  a: [\x07]\n",
        "line 2: has a character that YAML does not allow: #x0007",
    ),
    "deep nesting": ("[" * 100_000, "nests too deeply"),
}


@pytest.mark.parametrize(("text", "line"), BAD.values(), ids=BAD)
def test_a_bad_file_is_told_by_line_and_field(text: str, line: str) -> None:
    """P1, bad input: one line that names the line, the field, what is wrong, and what it may be."""
    assert str(fault_of(text)).startswith(line)


def test_what_is_not_utf_8_is_told_by_line() -> None:
    """P1, bad input: the line of the first byte that is none; a byte order mark is none of that."""
    assert str(fault_of(b"# fine\nagent_capabilities: {\xff: []}")) == "line 2: is not UTF-8"
    assert parse(b"\xef\xbb\xbfagent_capabilities: {}").agent_capabilities == ()


def test_a_file_has_a_limit_and_what_it_says_fits_in_an_event() -> None:
    """P1, bad input: over the limit it is refused; the largest one below it is one event all the same."""
    assert str(fault_of(b"#" * (FILE_BYTES_MAX + 1))).startswith(f"has {FILE_BYTES_MAX + 1} bytes, the limit is ")
    lines = ["coordination_policies:"]
    lines += [f" p{number}: {{priority: 1, backoff_multiplier: 2}}" for number in range(5800)]
    content = "\n".join(lines).encode()
    assert 0.8 * FILE_BYTES_MAX < len(content) < FILE_BYTES_MAX
    file = parse(content)
    changed = PolicyChanged(policies=file.policies, digest=file.digest, agent_capabilities=file.agent_capabilities)
    assert to_proto(changed).ByteSize() < EVENT_BYTES_MAX / 2


@given(st.text(alphabet="ab:{}[]-#&*!|>'\"%@`?,\n\t 0.~\\\x00é", max_size=60) | st.binary(max_size=60))
@settings(max_examples=300, deadline=None)
def test_whatever_the_bytes_are_the_answer_is_a_file_or_a_fault(content: str | bytes) -> None:
    """P1, bad input: nothing else gets out of the parser."""
    try:
        said = str(parse(content.encode() if isinstance(content, str) else content).digest)
    except FileFault as fault:
        said = str(fault)
    assert said
    assert "\n" not in said
