"""The dependency graph of a run: names and capabilities resolved to tasks, circles refused, levels and the longest
chain.

Everything here is a function of the submission alone; order of submission never matters (R3). Circles are found by
Kahn's algorithm ("Topological sorting of large networks", 1962): what cannot be ordered holds a circle.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from coordinator_service.core.rejections import DependencyCycle, DependencyUnknown, InvalidField
from coordinator_service.core.specs import Dependency, TaskSpec
from coordinator_service.core.values import value

DEPENDENCIES_RESOLVED_MAX = 10_000
"""Tasks that one task may wait for once names and capabilities are resolved."""
RUN_DEPENDENCIES_RESOLVED_MAX = 500_000
"""The same of all tasks of a run together."""


class Present(Protocol):
    """A task that its run has already."""

    spec: TaskSpec
    group: int


_NONE: Final[Mapping[str, Present]] = {}


@value
class Node:
    """A task with its dependencies resolved to task ids, and its level."""

    spec: TaskSpec
    depends_on: tuple[str, ...]
    after: tuple[str, ...]
    group: int


@dataclass(frozen=True, slots=True)
class _Declared:
    """Which tasks declare an agent name, and which a capability (R1)."""

    by_id: dict[str, TaskSpec]
    present: Mapping[str, Present]
    by_agent: dict[str, list[str]]
    by_capability: dict[str, list[str]]

    def resolve(self, task_id: str, dependency: Dependency) -> list[str]:
        """The tasks that a dependency of task_id means, itself excluded."""
        if dependency.task_id:
            known = dependency.task_id in self.by_id or dependency.task_id in self.present
            return [dependency.task_id] if known else []
        if dependency.agent_name:
            found = self.by_agent.get(dependency.agent_name, [])
        else:
            found = self.by_capability.get(dependency.capability, [])
        return [each for each in found if each != task_id]


def resolve(
    tasks: Sequence[TaskSpec], *, present: Mapping[str, Present] = _NONE, field: str = "run.tasks"
) -> list[Node]:
    """Orders and checks tasks that come together, in the order they were given. present are those of their run that are
    there already, field is where the tasks are in the request.

    Raises InvalidField for a duplicate id, DependencyUnknown for a depends_on that means nothing, DependencyCycle.
    """
    declared = _declare(tasks, present, field)
    hard: dict[str, tuple[str, ...]] = {}
    soft: dict[str, tuple[str, ...]] = {}
    resolved = 0
    for number, spec in enumerate(tasks):
        hard[spec.task_id] = _resolve_all(declared, spec, f"{field}[{number}].depends_on", spec.depends_on)
        afters = _resolve_all(declared, spec, f"{field}[{number}].after", spec.after, required=False)
        certain = set(hard[spec.task_id]) if afters else ()
        soft[spec.task_id] = tuple(each for each in afters if each not in certain)
        resolved += len(hard[spec.task_id]) + len(soft[spec.task_id])
        if resolved > RUN_DEPENDENCIES_RESOLVED_MAX:
            raise InvalidField((field, f"mean more than {RUN_DEPENDENCIES_RESOLVED_MAX} dependencies together"))
    groups = _levels(tasks, hard, soft, present)
    return [
        Node(spec=spec, depends_on=hard[spec.task_id], after=soft[spec.task_id], group=groups[spec.task_id])
        for spec in tasks
    ]


def critical_path(nodes: Sequence[Node]) -> tuple[str, ...]:
    """The longest chain of tasks, first to last; of equal ones the first given."""
    by_id = {node.spec.task_id: node for node in nodes}
    if not by_id:
        return ()
    deepest = max(nodes, key=lambda node: node.group)
    path = [deepest]
    while path[-1].group > 0:
        above = (by_id[each] for each in (*path[-1].depends_on, *path[-1].after))
        path.append(max(above, key=lambda node: node.group))
    return tuple(node.spec.task_id for node in reversed(path))


def _declare(tasks: Sequence[TaskSpec], present: Mapping[str, Present], field: str) -> _Declared:
    declared = _Declared({}, present, {}, {})
    for number, spec in enumerate(tasks):
        if spec.task_id in declared.by_id:
            raise InvalidField((f"{field}[{number}].task_id", f"{spec.task_id!r} is used twice"))
        if spec.task_id in present:
            raise InvalidField((f"{field}[{number}].task_id", f"{spec.task_id!r} is a task of the run already"))
        declared.by_id[spec.task_id] = spec
    by_name = any(not each.task_id for spec in tasks for each in (*spec.depends_on, *spec.after))
    earlier = [each.spec for each in present.values()] if by_name else []
    for spec in (*earlier, *tasks):
        if spec.target.agent_name:
            declared.by_agent.setdefault(spec.target.agent_name, []).append(spec.task_id)
        capabilities = dict.fromkeys(spec.capabilities)
        if spec.target.capability:
            capabilities[spec.target.capability] = None
        for capability in capabilities:
            declared.by_capability.setdefault(capability, []).append(spec.task_id)
    return declared


def _resolve_all(
    declared: _Declared, spec: TaskSpec, field: str, dependencies: tuple[Dependency, ...], *, required: bool = True
) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for position, dependency in enumerate(dependencies):
        meant = declared.resolve(spec.task_id, dependency)
        if not meant and required:
            name = dependency.task_id or dependency.agent_name or dependency.capability
            raise DependencyUnknown(
                (
                    f"{field}[{position}]",
                    f"task {spec.task_id!r} depends on {name!r}, which no task of the run declares",
                )
            )
        found.update(dict.fromkeys(meant))
    if len(found) > DEPENDENCIES_RESOLVED_MAX:
        raise InvalidField((field, f"means {len(found)} tasks, the limit is {DEPENDENCIES_RESOLVED_MAX}"))
    return tuple(found)


def _levels(
    tasks: Sequence[TaskSpec],
    hard: dict[str, tuple[str, ...]],
    soft: dict[str, tuple[str, ...]],
    present: Mapping[str, Present],
) -> dict[str, int]:
    waiting = {spec.task_id: 0 for spec in tasks}
    groups = dict.fromkeys(waiting, 0)
    dependents: dict[str, list[str]] = {spec.task_id: [] for spec in tasks}
    for spec in tasks:
        for each in (*hard[spec.task_id], *soft[spec.task_id]):
            if each in dependents:
                dependents[each].append(spec.task_id)
                waiting[spec.task_id] += 1
            else:
                groups[spec.task_id] = max(groups[spec.task_id], present[each].group + 1)
    ordered = [task_id for task_id, count in waiting.items() if count == 0]
    for task_id in ordered:
        for dependent in dependents[task_id]:
            waiting[dependent] -= 1
            groups[dependent] = max(groups[dependent], groups[task_id] + 1)
            if waiting[dependent] == 0:
                ordered.append(dependent)
    if len(ordered) < len(waiting):
        done = set(ordered)
        stuck = {task_id: (*hard[task_id], *soft[task_id]) for task_id in waiting if task_id not in done}
        raise DependencyCycle(_find_cycle(stuck))
    return groups


def _find_cycle(stuck: dict[str, tuple[str, ...]]) -> tuple[str, ...]:
    """A circle among tasks that cannot be ordered: walk against the arrows until one comes again."""
    current = next(iter(stuck))
    seen: dict[str, int] = {}
    path: list[str] = []
    while current not in seen:
        seen[current] = len(path)
        path.append(current)
        current = next(each for each in stuck[current] if each in stuck)
    return tuple(reversed(path[seen[current] :]))
