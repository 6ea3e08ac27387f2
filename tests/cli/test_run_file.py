"""Run files: what they say, and every fault by line and column."""

from __future__ import annotations

import pytest
from concert.cli.run_file import RunFile, RunFileFaulty
from concert.errors import DependencyCycleError, InvalidArgument
from concert.v1 import error_pb2, lock_pb2
from google.protobuf.json_format import MessageToDict
from google.rpc import error_details_pb2

WHOLE = """
run_id: nightly
name: the whole of it
context: {branch: main, no: off, tags: [1, 2.5, null, true]}
timeout: 1h30m
running_max: 3
fail_fast: true
policy: high_priority
priority: 7
metadata: {owner: ops, build: 17}
tasks:
  build: {capability: building}
  publish:
    agent: publisher
    depends_on: [build, {agent: checker}, {capability: signing}]
    after: [lint]
    input: &input {path: /}
    capabilities: [release]
    locks: [site, {resource: cdn, mode: shared, guards: site/pages}]
    policy: slow
    priority: 0
    max_execution_time: 90
    retry: {attempts_max: 3, backoff_initial: 500ms, backoff_max: 1m, backoff_multiplier: 1.5, lost_attempts_max: 2}
    metadata: {why: because}
  lint: {agent_id: linter-1, input: *input}
"""


def faults(text: str) -> list[str]:
    """What is wrong with a file."""
    with pytest.raises(RunFileFaulty) as caught:
        RunFile("run.yaml", text)
    return str(caught.value).splitlines()


def test_every_field_of_a_run_can_be_written() -> None:
    """The file says what the contract's RunSpec says."""
    spec = MessageToDict(RunFile("run.yaml", WHOLE).spec, preserving_proto_field_name=True)
    tasks = spec.pop("tasks")
    assert spec.pop("context") == {"json": {"branch": "main", "no": "off", "tags": [1.0, 2.5, None, True]}}
    assert spec == {
        "run_id": "nightly",
        "name": "the whole of it",
        "timeout": "5400s",
        "running_max": 3,
        "fail_fast": True,
        "policy": "high_priority",
        "priority": 7,
        "metadata": {"owner": "ops", "build": "17"},
    }
    assert [task["task_id"] for task in tasks] == ["build", "publish", "lint"]
    publish = tasks[1]
    assert publish["target"] == {"agent_name": "publisher"}
    assert publish["depends_on"] == [{"task_id": "build"}, {"agent_name": "checker"}, {"capability": "signing"}]
    assert publish["locks"][1] == {"resource": "cdn", "mode": "LOCK_MODE_SHARED", "guards": "site/pages"}
    assert publish["retry"]["backoff_initial"] == "0.500s"
    assert publish["max_execution_time"] == "90s"
    assert publish["priority"] == 0
    assert tasks[2]["input"] == {"json": {"path": "/"}}
    assert RunFile("x", "agents: [a, b]").spec.agents == ["a", "b"]
    assert RunFile("x", "tasks: [{id: a, capability: c}]").spec.tasks[0].task_id == "a"
    assert RunFile("x", '{"tasks": {"a": {"capability": "c"}}}').spec.tasks[0].task_id == "a"
    lock = RunFile("x", "tasks: {a: {capability: c, locks: [l]}}").spec.tasks[0].locks[0]
    assert lock.mode == lock_pb2.LOCK_MODE_EXCLUSIVE


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "tasks:\n  a:\n    capabilty: c\n",
            "run.yaml:3:5: task 'a' has no field 'capabilty': did you mean 'capability'?",
        ),
        ("tasks: {a: {capability: c}}\nnaem: x\n", "run.yaml:2:1: a run has no field 'naem': did you mean 'name'?"),
        ("tasks: {a: }\n", "run.yaml:1:11: task 'a' must be a mapping, and this is null"),
        ("tasks: {a: {input: 1}}\n", "run.yaml:1:9: task 'a' is for nobody"),
        ("tasks: {a: {capability: c, agent: b}}", "run.yaml:1:35: a task is for exactly one of"),
        ("tasks: {a: {capability: c}, a: {agent: b}}", "run.yaml:1:29: 'a' stands here twice: first in line 1"),
        ("tasks: {a: {capability: c, priority: high}}", "run.yaml:1:38: priority must be a whole number"),
        ("tasks: {a: {capability: c, max_execution_time: soon}}", "run.yaml:1:48: 'soon' is no duration"),
        ("tasks: {a: {capability: c, locks: [{resource: x, mode: both}]}}", "run.yaml:1:56: a lock is 'exclusive'"),
        ("tasks: {a: {capability: c, locks: [{mode: shared}]}}", "run.yaml:1:36: a lock needs a resource"),
        ("tasks: {a: {capability: c, depends_on: [{task: b, agent: c}]}}", "run.yaml:1:41: an entry of depends_on is"),
        ("tasks: {a: {capability: c, input: .nan}}", "run.yaml:1:35: .nan is no number that JSON has"),
        ("tasks: {a: {capability: c, input: 9007199254740993}}", "run.yaml:1:35: an integer beyond 2^53"),
        ("tasks: {a: {capability: c, input: !!python/object:os.system x}}", "run.yaml:1:35: the tag"),
        ("tasks: {a: {capability: c, input: {[1]: 2}}}", "run.yaml:1:36: a key must be text"),
        ("tasks: [{capability: c}]", "run.yaml:1:9: a task in a list needs an id"),
        ("name: x\n", "run.yaml:1:1: a run has either tasks or agents"),
        ("- a\n", "run.yaml:1:1: a run must be a mapping, and this is a list"),
        ("", "run.yaml:1:1: it is empty"),
        ("tasks:\n  a: {capability: c\nname: x\n", "run.yaml:3:"),
        ("tasks: {a: &a {capability: c, input: *a}}", "run.yaml:1:28: it nests deeper than"),
        ("name: \x07\n", "run.yaml:1:7: the character U+0007 is not allowed"),
        ("a: 1\n---\nb: 2\n", "run.yaml:2:1: "),
    ],
)
def test_a_fault_is_named_by_line_and_column(text: str, expected: str) -> None:
    """Whoever wrote it finds the place."""
    assert any(fault.startswith(expected) for fault in faults(text)), faults(text)


def test_every_fault_is_told_at_once_in_the_order_of_the_file() -> None:
    """Nobody mends a file one fault at a time."""
    found = faults("running_max: many\ntasks:\n  a: {capability: c, policy: [x]}\n  b: {agnet: y}\n")
    assert [fault.split(":")[1] for fault in found] == ["1", "3", "4"]


def test_aliases_that_would_grow_without_bound_are_refused() -> None:
    """A thousand million values in a few lines: refused before they are made."""
    layers = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    layers += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    text = "context:\n" + "".join(f"  {layer}\n" for layer in layers) + "agents: [b]\n"
    assert any("more than 200000 values" in fault for fault in faults(text))


def test_what_merges_in_stands_behind_what_is_there() -> None:
    """YAML's << brings fields in; the task's own ones win."""
    text = "tasks:\n  a: &a {capability: c, policy: slow}\n  b: {<<: *a, policy: fast}\n"
    task = RunFile("run.yaml", text).spec.tasks[1]
    assert (task.target.capability, task.policy) == ("c", "fast")


def test_what_the_coordinator_finds_is_named_by_line_and_column_too() -> None:
    """A violation's field path leads back to the line, or to the nearest thing that is part of it."""
    file = RunFile("run.yaml", "tasks:\n  a:\n    capability: c\n    depends_on:\n      - nobody\n  b: {agent: x}\n")
    request = error_details_pb2.BadRequest()
    request.field_violations.add(field="run.tasks[0].depends_on[0]", description="refers to nothing")
    request.field_violations.add(field="run.tasks[1].target.agent_name", description="has control characters")
    request.field_violations.add(field="run.tasks[1].input.json", description="is too large")
    assert str(file.rejected(InvalidArgument(details=[request]))).splitlines() == [
        "run.yaml:5:9: task 'a': depends_on[0] refers to nothing",
        "run.yaml:6:14: task 'b': target.agent_name has control characters",
        "run.yaml:6:3: task 'b': input.json is too large",
    ]
    cycle = DependencyCycleError(details=[error_pb2.DependencyCycle(task_ids=["b", "a"])])
    assert str(file.rejected(cycle)) == "run.yaml:6:3: tasks depend on each other: b -> a -> b"
    assert file.rejected(InvalidArgument("namespace: bad")) is None
