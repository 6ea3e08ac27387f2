"""Run files: a run as YAML, and every fault of it by line and column, the coordinator's own findings included.

    name: nightly
    tasks:
      build: {capability: building}
      publish:
        capability: publishing
        depends_on: [build]
        locks: [site]

Fields are those of the contract's RunSpec and TaskSpec, with durations as seconds or with a unit (90, 1.5s, 10m).
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

from concert import _runs, errors
from concert._lock import lock_mode
from concert._payload import to_payload
from concert._time import to_duration
from concert.cli.words import seconds_from
from concert.cli.yaml_tree import Fault, Node, Place, Tree, Unreadable
from concert.v1 import policy_pb2, run_pb2

FAULTS_SHOWN_MAX = 50
_TARGETS = {"capability": "capability", "agent": "agent_name", "agent_id": "agent_id"}

# Reads a node into a message: (reader, message, field path, node).
_Read: TypeAlias = Callable[["RunFile", Any, str, Node], None]


class RunFileFaulty(Exception):  # noqa: N818 - it says what happened
    """The file cannot be used: one line for each fault, `FILE:LINE:COLUMN: what is wrong`."""


class RunFile:
    """A run file that was read: its run, and where each field of it stands."""

    def __init__(self, name: str, text: str) -> None:
        """Reads it. Raises RunFileFaulty with everything that is wrong."""
        self.name = name
        self.spec = run_pb2.RunSpec()
        self._places: dict[str, Place] = {}
        try:
            self._tree = Tree(text)
        except Unreadable as unreadable:
            raise RunFileFaulty(self._shown(unreadable.fault)) from None
        self._run(self._tree.root)
        self._raise_faults()

    def rejected(self, error: errors.InvalidArgument) -> RunFileFaulty | None:
        """What the coordinator found wrong, by line and column; None where it is nothing in this file."""
        faults = []
        if isinstance(error, errors.DependencyCycleError) and error.cycle:
            ids = {task.task_id: f"run.tasks[{number}]" for number, task in enumerate(self.spec.tasks)}
            circle = " -> ".join([*error.cycle, error.cycle[0]])
            faults.append(Fault(self._place_of(ids.get(error.cycle[0], "")), f"tasks depend on each other: {circle}"))
        faults += [Fault(self._place_of(each["field"]), self._said(each)) for each in error.violations]
        return RunFileFaulty("\n".join(self._shown(fault) for fault in faults)) if faults else None

    def _said(self, violation: errors.Violation) -> str:
        field = violation["field"].removeprefix("run.")
        head, bracket, rest = field.partition("tasks[")
        number, _, field_of_task = rest.partition("]")
        if bracket and not head and number.isdigit() and int(number) < len(self.spec.tasks):
            named = f"task {self.spec.tasks[int(number)].task_id!r}"
            if violation["description"].startswith(named):
                return violation["description"]
            field = f"{named}: {field_of_task.removeprefix('.')}"
        return f"{field} {violation['description']}"

    def _place_of(self, field: str) -> Place:
        """The nearest thing in the file that the field is part of."""
        while field and field not in self._places:
            field = field[: max(field.rfind("."), field.rfind("["), 0)]
        return self._places.get(field, Place(1, 1))

    def _raise_faults(self) -> None:
        faults = sorted(self._tree.faults, key=lambda fault: (fault.place.line, fault.place.column))
        if faults:
            more = [f"and {len(faults) - FAULTS_SHOWN_MAX} more"] if len(faults) > FAULTS_SHOWN_MAX else []
            raise RunFileFaulty("\n".join([*map(self._shown, faults[:FAULTS_SHOWN_MAX]), *more]))

    def _shown(self, fault: Fault) -> str:
        return f"{self.name}:{fault.place.line}:{fault.place.column}: {fault.message}"

    @property
    def fault_count(self) -> int:
        """How many were noted so far."""
        return len(self._tree.faults)

    def fault(self, node: Node, message: str) -> None:
        """Notes a fault."""
        self._tree.fault(node, message)

    # Whole and parts.

    def _run(self, root: Node) -> None:
        if not self.expect(root, "mapping", "a run"):
            return
        self._places["run"] = root.place
        for name, value, path in self.fields(root, "run", _RUN_FIELDS, "a run"):
            _RUN_FIELDS[name](self, self.spec, path, value)
        if bool(self.spec.tasks) == bool(self.spec.agents) and not self._tree.faults:
            self.fault(root, "a run has either tasks or agents")

    def tasks(self, spec: Any, path: str, node: Node) -> None:
        """A mapping from ids to tasks, or a list of tasks that have an id each."""
        if node.kind == "mapping":
            for number, (key, value) in enumerate(node.pairs()):
                self._task(spec.tasks.add(task_id=key.text), f"{path}[{number}]", key, value)
        elif self.expect(node, "list", "tasks, if no mapping from ids to tasks,"):
            for number, value in enumerate(node.items()):
                self._task(spec.tasks.add(), f"{path}[{number}]", value, value)

    def _task(self, task: Any, path: str, named_at: Node, node: Node) -> None:
        self._places[path] = self._places[f"{path}.task_id"] = named_at.place
        listed = not task.task_id
        what = f"task {task.task_id!r}" if task.task_id else "a task"
        if not self.expect(node, "mapping", what):
            return
        faults_before = self.fault_count
        known = {**_TASK_FIELDS, **({"id": _text_into("task_id")} if listed else {})}
        for name, value, field in self.fields(node, path, known, what):
            known[name](self, task, field, value)
        if listed and not task.task_id:
            self.fault(node, "a task in a list needs an id")
        if task.target.WhichOneof("target") is None and self.fault_count == faults_before:
            self.fault(named_at, f"{what} is for nobody: name a capability, an agent or an agent_id")

    def fields(self, node: Node, path: str, known: Any, what: str) -> Iterator[tuple[str, Node, str]]:
        """The entries of a mapping that are known, each with its field path; one that is not is a fault."""
        for key, value in node.pairs():
            if key.text in known:
                field = f"{path}.{key.text}"
                self._places[field] = value.place
                yield key.text, value, field
                continue
            near = difflib.get_close_matches(key.text, known, 1)
            hint = f": did you mean {near[0]!r}?" if near else f"; it has {', '.join(sorted(known))}"
            self.fault(key, f"{what} has no field {key.text!r}{hint}")

    def expect(self, node: Node, kind: str, what: str) -> bool:
        """Whether the value is of that kind; a fault otherwise."""
        if node.kind == kind:
            return True
        self.fault(node, f"{what} must be a {kind}, and this is {_a(node.kind)}")
        return False

    def place(self, path: str, node: Node) -> None:
        """Remembers where a field stands."""
        self._places[path] = node.place


def _a(kind: str) -> str:
    return kind if kind in ("text", "null", "true or false") else f"a {kind}"


def _text_into(field: str) -> _Read:
    def read(file: RunFile, message: Any, path: str, node: Node) -> None:
        if node.kind in ("text", "number") and file.expect(node, node.kind, field):
            setattr(message, field, node.text)
            file.place(path.rpartition(".")[0] + f".{field}", node)
        else:
            file.fault(node, f"{field} must be text, and this is {_a(node.kind)}")

    return read


def _count_into(field: str) -> _Read:
    def read(file: RunFile, message: Any, _path: str, node: Node) -> None:
        value = node.json() if node.kind == "number" else None
        if isinstance(value, int) and 0 <= value < 2**32:
            setattr(message, field, value)
        else:
            file.fault(node, f"{field} must be a whole number from 0")

    return read


def _flag_into(field: str) -> _Read:
    def read(file: RunFile, message: Any, _path: str, node: Node) -> None:
        if file.expect(node, "true or false", field):
            setattr(message, field, node.json())

    return read


def _number_into(field: str) -> _Read:
    def read(file: RunFile, message: Any, _path: str, node: Node) -> None:
        if file.expect(node, "number", field):
            setattr(message, field, float(node.json() or 0))

    return read


def _duration_into(field: str) -> _Read:
    def read(file: RunFile, message: Any, _path: str, node: Node) -> None:
        try:
            if node.kind not in ("number", "text"):
                raise ValueError(f"{field} must be a duration, and this is {_a(node.kind)}")
            getattr(message, field).CopyFrom(to_duration(seconds_from(node.text)))
        except (ValueError, OverflowError) as fault:
            file.fault(node, str(fault))

    return read


def _payload_into(field: str) -> _Read:
    def read(file: RunFile, message: Any, _path: str, node: Node) -> None:
        faults_before = file.fault_count
        value = node.json()
        if file.fault_count > faults_before:
            return
        try:
            getattr(message, field).CopyFrom(to_payload(value))
        except errors.InvalidPayload as fault:
            file.fault(node, f"{field}: {fault.message}")

    return read


def _texts_into(field: str) -> _Read:
    def read(file: RunFile, message: Any, path: str, node: Node) -> None:
        if not file.expect(node, "list", field):
            return
        for number, each in enumerate(node.items()):
            if each.kind in ("text", "number"):
                getattr(message, field).append(each.text)
                file.place(f"{path}[{number}]", each)
            else:
                file.fault(each, f"an entry of {field} must be text, and this is {_a(each.kind)}")

    return read


def _metadata(file: RunFile, message: Any, path: str, node: Node) -> None:
    if not file.expect(node, "mapping", "metadata"):
        return
    for key, value in node.pairs():
        if value.kind in ("mapping", "list", "null"):
            file.fault(value, f"metadata holds text, and {key.text!r} is {_a(value.kind)}")
        else:
            message.metadata[key.text] = value.text
            file.place(f"{path}.{key.text}", value)


def _target(file: RunFile, task: Any, path: str, node: Node) -> None:
    name = path.rpartition(".")[2]
    if task.target.WhichOneof("target") is not None:
        file.fault(node, "a task is for exactly one of capability, agent and agent_id")
    _text_into(_TARGETS[name])(file, task.target, path, node)
    base = path.rpartition(".")[0]
    file.place(f"{base}.target.{_TARGETS[name]}", node)
    file.place(f"{base}.target", node)


def _dependencies_into(field: str) -> _Read:
    def read(file: RunFile, task: Any, path: str, node: Node) -> None:
        if not file.expect(node, "list", field):
            return
        for number, each in enumerate(node.items()):
            where = f"{path}[{number}]"
            file.place(where, each)
            if each.kind in ("text", "number"):
                getattr(task, field).append(_runs.on_task(each.text))
            elif file.expect(each, "mapping", f"an entry of {field}, if no task id,"):
                dependency = getattr(task, field).add()
                given = list(file.fields(each, where, _DEPENDENCIES, f"an entry of {field}"))
                if len(given) != 1:
                    file.fault(each, f"an entry of {field} is exactly one of task, agent and capability")
                for name, value, _ in given:
                    _text_into(_DEPENDENCIES[name])(file, dependency, f"{where}.{name}", value)

    return read


def _locks(file: RunFile, task: Any, path: str, node: Node) -> None:
    if not file.expect(node, "list", "locks"):
        return
    for number, each in enumerate(node.items()):
        where = f"{path}[{number}]"
        file.place(where, each)
        if each.kind in ("text", "number"):
            task.locks.append(_runs.task_lock(each.text))
        elif file.expect(each, "mapping", "a lock, if no resource,"):
            lock = task.locks.add()
            for name, value, field in file.fields(each, where, _LOCK_FIELDS, "a lock"):
                _LOCK_FIELDS[name](file, lock, field, value)
            if not lock.resource:
                file.fault(each, "a lock needs a resource")


def _mode(file: RunFile, lock: Any, _path: str, node: Node) -> None:
    try:
        lock.mode = lock_mode(node.text if node.kind == "text" else node.kind)
    except errors.InvalidArgument as fault:
        file.fault(node, fault.message)


def _retry(file: RunFile, task: Any, path: str, node: Node) -> None:
    if file.expect(node, "mapping", "retry"):
        task.retry.CopyFrom(policy_pb2.RetryPolicy())
        for name, value, field in file.fields(node, path, _RETRY_FIELDS, "retry"):
            _RETRY_FIELDS[name](file, task.retry, field, value)


_DEPENDENCIES = {"task": "task_id", "agent": "agent_name", "capability": "capability"}
_LOCK_FIELDS: dict[str, _Read] = {"resource": _text_into("resource"), "mode": _mode, "guards": _text_into("guards")}
_RETRY_FIELDS: dict[str, _Read] = {
    "attempts_max": _count_into("attempts_max"),
    "lost_attempts_max": _count_into("lost_attempts_max"),
    "backoff_initial": _duration_into("backoff_initial"),
    "backoff_max": _duration_into("backoff_max"),
    "backoff_multiplier": _number_into("backoff_multiplier"),
}
_TASK_FIELDS: dict[str, _Read] = {
    "capability": _target,
    "agent": _target,
    "agent_id": _target,
    "depends_on": _dependencies_into("depends_on"),
    "after": _dependencies_into("after"),
    "input": _payload_into("input"),
    "capabilities": _texts_into("capabilities"),
    "locks": _locks,
    "policy": _text_into("policy"),
    "priority": _count_into("priority"),
    "max_execution_time": _duration_into("max_execution_time"),
    "retry": _retry,
    "metadata": _metadata,
}
_RUN_FIELDS: dict[str, _Read] = {
    "run_id": _text_into("run_id"),
    "name": _text_into("name"),
    "tasks": RunFile.tasks,
    "agents": _texts_into("agents"),
    "context": _payload_into("context"),
    "timeout": _duration_into("timeout"),
    "running_max": _count_into("running_max"),
    "fail_fast": _flag_into("fail_fast"),
    "policy": _text_into("policy"),
    "priority": _count_into("priority"),
    "metadata": _metadata,
}
