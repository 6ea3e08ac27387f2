"""The dependency graph, without a namespace around it."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator_service.core import graph
from coordinator_service.core.graph import critical_path, resolve
from coordinator_service.core.rejections import DependencyCycle, DependencyUnknown, InvalidField
from coordinator_service.core.specs import Dependency, TaskSpec, TaskTarget
from tests.core.driver import task


def named(task_id: str, name: str, **fields: object) -> TaskSpec:
    """A task for an agent name."""
    return TaskSpec(task_id=task_id, target=TaskTarget(agent_name=name), **fields)  # type: ignore[arg-type]


def test_a_dependency_on_a_name_means_every_other_task_for_it() -> None:
    """R1: a name means every other task that declares it, never the task itself."""
    on_web = (Dependency(agent_name="web"),)
    nodes = resolve([named("one", "web"), named("two", "web"), named("three", "web", depends_on=on_web)])
    assert nodes[2].depends_on == ("one", "two")


def test_a_dependency_on_a_capability_means_every_other_task_that_declares_it() -> None:
    """R1: a capability is declared by the target, or by the task's own list."""
    on_build = (Dependency(capability="build"),)
    nodes = resolve(
        [
            task("target", capability="build"),
            task("listed", capability="ship", capabilities=("build", "test")),
            TaskSpec(task_id="waits", target=TaskTarget(capability="ship"), depends_on=on_build),
        ]
    )
    assert nodes[2].depends_on == ("target", "listed")


def test_several_dependencies_on_the_same_task_are_one() -> None:
    """R1: entries are resolved once each task; what is depended on needs no after beside it."""
    both = (Dependency(task_id="one"), Dependency(agent_name="web"))
    nodes = resolve([named("one", "web"), named("two", "db", depends_on=both, after=both)])
    assert (nodes[1].depends_on, nodes[1].after) == (("one",), ())


def test_an_after_that_means_nothing_is_dropped() -> None:
    """R1: an after that resolves to nothing is dropped, a depends_on refused."""
    nothing = (Dependency(task_id="ghost"), Dependency(agent_name="ghost"), Dependency(capability="ghost"))
    assert resolve([named("one", "web", after=nothing)])[0].after == ()
    for each in nothing:
        with pytest.raises(DependencyUnknown, match="ghost"):
            resolve([named("one", "web", depends_on=(each,))])


def test_a_name_that_only_the_task_itself_declares_is_nothing() -> None:
    """R1: itself does not count as another task."""
    with pytest.raises(DependencyUnknown):
        resolve([named("one", "web", depends_on=(Dependency(agent_name="web"),))])


def test_an_after_closes_a_circle_too() -> None:
    """R3: an after waits like a dependency, so it can wait in a circle."""
    with pytest.raises(DependencyCycle):
        resolve([task("a", "b"), task("b", after=("a",))])


def test_too_many_dependencies_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """R3: names and capabilities may not blow a run up beyond what an event or a decision can hold."""
    many = [task(f"t{number}") for number in range(5)]
    everyone = (Dependency(capability="work"),)
    last = TaskSpec(task_id="last", target=TaskTarget(agent_name="x"), depends_on=everyone)
    assert len(resolve([*many, last])[-1].depends_on) == 5
    monkeypatch.setattr(graph, "RUN_DEPENDENCIES_RESOLVED_MAX", 4)
    with pytest.raises(InvalidField, match="together"):
        resolve([*many, last])
    monkeypatch.setattr(graph, "DEPENDENCIES_RESOLVED_MAX", 4)
    with pytest.raises(InvalidField, match=r"run.tasks\[5\].depends_on"):
        resolve([*many, last])


@st.composite
def dags(draw: st.DrawFn) -> list[TaskSpec]:
    """Tasks in any order of submission, without circles."""
    size = draw(st.integers(1, 12))
    tasks = []
    for number in range(size):
        earlier = [f"t{each}" for each in range(number)]
        chosen = draw(st.lists(st.sampled_from(earlier), unique=True, max_size=4)) if earlier else []
        cut = draw(st.integers(0, len(chosen)))
        tasks.append(task(f"t{number}", *chosen[:cut], after=tuple(chosen[cut:])))
    return draw(st.permutations(tasks))


@given(dags())
def test_groups_and_the_longest_chain_hold_for_any_graph(tasks: list[TaskSpec]) -> None:
    """R3, R4: whatever the order of submission, a task's level is one above the highest it waits for."""
    nodes = {node.spec.task_id: node for node in resolve(tasks)}
    for node in nodes.values():
        above = [nodes[each].group for each in (*node.depends_on, *node.after)]
        assert node.group == max(above, default=-1) + 1
    chain = critical_path(list(nodes.values()))
    assert len(chain) == max(node.group for node in nodes.values()) + 1
    for earlier, later in itertools.pairwise(chain):
        assert earlier in (*nodes[later].depends_on, *nodes[later].after)


@given(dags(), st.randoms(use_true_random=False))
def test_a_circle_is_found_wherever_it_is(tasks: list[TaskSpec], random: object) -> None:
    """R3: with one arrow turned back, the circle named is really one."""
    first, last = tasks[0].task_id, "closing"
    chain = [TaskSpec(task_id=last, target=TaskTarget(capability="work"), depends_on=(Dependency(task_id=first),))]
    closed = [
        TaskSpec(
            task_id=each.task_id,
            target=each.target,
            depends_on=(*each.depends_on, Dependency(task_id=last)) if each.task_id == first else each.depends_on,
            after=each.after,
        )
        for each in tasks
    ]
    with pytest.raises(DependencyCycle) as refused:
        resolve([*closed, *chain])
    circle = refused.value.task_ids
    waits = {each.task_id: {one.task_id for one in (*each.depends_on, *each.after)} for each in [*closed, *chain]}
    for position, task_id in enumerate(circle):
        assert circle[position - 1] in waits[task_id]
