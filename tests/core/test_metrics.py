from __future__ import annotations

import msgspec
import pytest

from coordinator_service.core import metrics as metrics_module
from coordinator_service.core import monitor
from coordinator_service.core.apply import apply
from coordinator_service.core.commands import CancelRun, EventDraft, FailTask, Publish, RetryRun
from coordinator_service.core.events import Event, EventType, ResourceAcquired
from coordinator_service.core.figures import (
    AgentMetricsView,
    HealthStatus,
    MetricsView,
    ResourceMetricsView,
    RunMetricsView,
)
from coordinator_service.core.metrics import NAMES_MAX, Metrics, Rhythm, observe
from coordinator_service.core.monitor import MetricsAsked
from coordinator_service.core.rejections import NotFound
from coordinator_service.core.specs import TaskError, TaskLock
from coordinator_service.core.state import NamespaceState
from tests.core.driver import Namespace, asking, seconds, task
from tests.core.test_any_history import Walk


def counted(namespace: Namespace) -> tuple[Metrics, NamespaceState]:
    """The fold of everything that happened."""
    metrics, state = Metrics(), NamespaceState("test")
    for event in namespace.events:
        observe(metrics, state, event)
        apply(state, event)
    return metrics, state


def measured(namespace: Namespace, **asked: int | str) -> MetricsView:
    """What a reader is shown now."""
    metrics, state = counted(namespace)
    return read(metrics, state, MetricsAsked(**asked), namespace.now_ns)  # type: ignore[arg-type]


def read(metrics: Metrics, state: NamespaceState, asked: MetricsAsked, now_ns: int) -> MetricsView:
    """What is measured, all steps at once."""
    steps = monitor.measure(metrics, state, asked, now_ns)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            view: MetricsView = end.value
            return view


def agent(namespace: Namespace, name: str) -> AgentMetricsView:
    """One agent name."""
    return next(each for each in measured(namespace).agents if each.agent_name == name)


def resource(namespace: Namespace, name: str) -> ResourceMetricsView:
    """One resource."""
    return next(each for each in measured(namespace).resources if each.resource == name)


def run(namespace: Namespace, run_id: str = "run") -> RunMetricsView:
    """One run."""
    return measured(namespace, run_id=run_id).runs[0]


def publish(namespace: Namespace, count: int = 1) -> None:
    """Events that mean nothing."""
    namespace.do(Publish(drafts=tuple(EventDraft(name="built") for _ in range(count))))


# M1.


def status(namespace: Namespace) -> HealthStatus:
    """How the namespace does now."""
    return monitor.health(counted(namespace)[0], namespace.now_ns)[0]


def test_health_is_idle_without_events_and_healthy_without_failures() -> None:
    """M1: five minutes after the last event a namespace is idle again."""
    assert monitor.health(Metrics(), seconds(1000))[0] is HealthStatus.IDLE
    namespace = Namespace()
    assert status(namespace) is HealthStatus.HEALTHY
    namespace.advance(299)
    assert status(namespace) is HealthStatus.HEALTHY
    namespace.advance(1)
    assert status(namespace) is HealthStatus.IDLE


def test_health_tells_few_failures_from_many() -> None:
    """M1: a warning below one failure in ten events, critical from there on, with the figures."""
    namespace = Namespace()
    namespace.open("a", "work")
    namespace.submit_one("t")
    namespace.fail("t", retryable=False)
    assert status(namespace) is HealthStatus.CRITICAL
    publish(namespace, 10 - len(namespace.events))
    assert len(namespace.events) == 10
    judged, window = monitor.health(counted(namespace)[0], namespace.now_ns)
    assert judged is HealthStatus.CRITICAL
    assert (window.events, window.failures, window.failure_rate, window.seconds) == (10, 1, 0.1, 300)
    publish(namespace)
    assert status(namespace) is HealthStatus.WARNING
    namespace.advance(200)
    publish(namespace)
    assert status(namespace) is HealthStatus.WARNING
    namespace.advance(100)
    assert status(namespace) is HealthStatus.HEALTHY, "the failure is five minutes old"


def test_the_window_of_health_is_bounded() -> None:
    """M1: one slot a second and no more than the window has seconds, however long the log."""
    namespace = Namespace()
    for _ in range(700):
        namespace.advance(1)
        publish(namespace)
    metrics, _ = counted(namespace)
    assert len(metrics.window) == metrics_module.WINDOW_SECONDS


# M2.


def test_a_moving_average_keeps_seven_tenths() -> None:
    """M2: the first interval stands as it is; each later one counts three tenths."""
    rhythm = Rhythm()
    for at in (10, 20, 40):
        rhythm.beat(seconds(at))
    assert rhythm.count == 3
    assert rhythm.last_ns == seconds(40)
    assert rhythm.interval_ns == pytest.approx(0.7 * seconds(10) + 0.3 * seconds(20))


def test_events_are_counted_by_type_and_by_agent_name() -> None:
    """M2: count, last seen and interval, of everybody and of each agent name."""
    namespace = Namespace()
    namespace.open("a1", "work", name="painter")
    namespace.open("a2", "work", name="painter")
    namespace.submit(task("t"), task("u", "t"))
    namespace.advance(4)
    namespace.complete("t")
    namespace.advance(6)
    namespace.complete("u")
    view = measured(namespace)
    completed = next(each for each in view.events if each.type is EventType.AGENT_COMPLETED)
    assert (completed.count, completed.last_seen_ns) == (2, namespace.now_ns)
    assert completed.mean_interval_ns == seconds(6)
    owner = next(each for each in view.events if each.type is EventType.OWNER_STARTED)
    assert owner.mean_interval_ns is None
    own = {each.type: each.count for each in agent(namespace, "painter").events}
    assert own == {EventType.AGENT_REGISTERED: 2, EventType.TASK_ASSIGNED: 2, EventType.AGENT_COMPLETED: 2}


def test_executions_are_counted_by_how_they_end() -> None:
    """M2: executions, successes, failures, lost ones among them, cancelled ones apart, and the failure rate."""
    namespace = Namespace()
    session = namespace.open("a", "work", slots=9)
    namespace.submit(*(task(each) for each in ("ok", "bad", "lost", "stopped")))
    namespace.advance(2)
    namespace.complete("ok")
    namespace.fail("bad", retryable=False)
    namespace.submit_one("other", run_id="cancelled")
    namespace.end(session)
    found = agent(namespace, "a")
    assert (found.executions, found.successes, found.failures, found.lost, found.cancelled) == (5, 1, 4, 3, 0)
    assert found.failure_rate == 0.8
    assert (found.execution.count, found.execution.max_ns) == (5, seconds(2))
    assert found.agents_connected == 0


def test_a_cancelled_attempt_is_neither_success_nor_failure() -> None:
    """M2: what its run stopped says nothing of the agent."""
    namespace = Namespace()
    namespace.open("a", "work")
    namespace.submit_one("t")
    token = namespace.token("t")
    namespace.do(CancelRun(run_id="run"))
    error = TaskError(error_type="Stopped")
    namespace.do(FailTask(attempt_token=token, error=error, cancelled=True), namespace.reporter(token))
    found = agent(namespace, "a")
    assert (found.executions, found.successes, found.failures, found.cancelled) == (1, 0, 0, 1)
    assert found.execution.count == 1


def test_waiting_is_told_from_executing() -> None:
    """M2: how long tasks had been ready before an agent of the name got them, and how long it then took."""
    namespace = Namespace()
    namespace.open("a", "work")
    namespace.submit(task("first"), task("second"))
    namespace.advance(3)
    assert (agent(namespace, "a").slots, agent(namespace, "a").attempts_running) == (1, 1)
    view = measured(namespace).orchestrations
    assert (view.tasks_ready, view.tasks_running, view.tasks_over, view.sessions) == (1, 1, 0, 1)
    namespace.complete("first")
    namespace.advance(5)
    namespace.complete("second")
    found = agent(namespace, "a")
    assert (found.waiting.count, found.waiting.sum_ns, found.waiting.max_ns) == (2, seconds(3), seconds(3))
    assert (found.execution.sum_ns, found.execution.mean_ns) == (seconds(8), seconds(4))


def test_resources_tell_who_waited_how_long() -> None:
    """M2: acquisitions, waits, how long they took whatever their end, who holds, who is in line."""
    namespace = Namespace()
    first, second, third = (namespace.open(each) for each in ("a", "b", "c"))
    token = namespace.hold(first, "door")
    namespace.do(asking("door", wait_seconds=60), second)
    namespace.do(asking("door", wait_seconds=1), third)
    found = resource(namespace, "door")
    assert (found.acquisitions, found.waits, found.queue_length) == (1, 2, 2)
    assert found.holders == (f"session/{first.session_id}",)
    namespace.advance(4)
    namespace.release(first, token)
    namespace.submit(task("t", locks=(TaskLock(resource="door"),)))
    found = resource(namespace, "door")
    assert (found.acquisitions, found.timed_out, found.queue_length, found.tasks_waiting) == (2, 1, 0, 1)
    assert (found.waited.count, found.waited.sum_ns, found.waited.max_ns) == (2, seconds(5), seconds(4))
    assert (found.held.count, found.held.max_ns) == (1, seconds(4))
    assert found.holders == (f"session/{second.session_id}",)


def test_the_most_contended_resource_comes_first() -> None:
    """M2: whoever asks for few is told of those that were waited for longest."""
    namespace = Namespace()
    one, other = namespace.open("a"), namespace.open("b")
    for name, wait in (("calm", 1), ("busy", 9), ("free", 0)):
        token = namespace.hold(one, name)
        namespace.do(asking(name, wait_seconds=60), other)
        namespace.advance(wait)
        namespace.release(one, token)
    assert [each.resource for each in measured(namespace, resources_max=2).resources] == ["busy", "calm"]


def test_runs_are_measured_against_their_critical_path() -> None:
    """M2: the longest chain of executions, the makespan, and how far the run is."""
    namespace = Namespace()
    namespace.open("a", "work")
    namespace.submit(task("wide"), task("root"), task("leaf", "root"))
    namespace.advance(2)
    assert run(namespace).progress == 0
    namespace.complete("wide")
    namespace.advance(3)
    found = run(namespace)
    assert (found.tasks, found.tasks_over, found.critical_path) == (3, 1, ("root",))
    namespace.complete("root")
    namespace.advance(1)
    namespace.complete("leaf")
    namespace.advance(100)
    found = run(namespace)
    assert (found.critical_path, found.critical_path_time_ns) == (("root", "leaf"), seconds(4))
    assert (found.makespan_ns, found.makespan_ratio, found.progress) == (seconds(6), 1.5, 1.0)
    view = measured(namespace).orchestrations
    assert (view.runs_active, view.runs_total, view.makespan.count) == (0, 1, 1)
    assert [(each.status.name, each.count) for each in view.runs_over] == [("SUCCEEDED", 1)]


def test_a_run_that_is_tried_again_is_measured_by_its_generation() -> None:
    """M2, R15: it is active again; makespan and critical path are those of what is done now."""
    namespace = Namespace()
    namespace.open("a", "work", slots=2)
    namespace.submit(task("good"), task("bad"))
    namespace.advance(50)
    namespace.complete("good")
    namespace.fail("bad", retryable=False)
    namespace.advance(1000)
    namespace.do(RetryRun(run_id="run"))
    view = measured(namespace).orchestrations
    assert (view.runs_active, view.runs_total, view.makespan.count) == (1, 1, 1)
    namespace.advance(4)
    namespace.complete("bad")
    found = run(namespace)
    assert (found.critical_path, found.critical_path_time_ns, found.makespan_ns) == (("bad",), seconds(4), seconds(4))
    view = measured(namespace).orchestrations
    assert (view.runs_active, view.makespan.count, view.makespan.max_ns) == (0, 2, seconds(50))


def test_active_runs_come_before_those_that_are_over() -> None:
    """M2: whoever asks for few runs is told of the active ones, the newest first."""
    namespace = Namespace()
    namespace.open("a", "work")
    for run_id in ("over", "one", "two"):
        namespace.submit_one("t", run_id=run_id)
    namespace.complete("t", run_id="over")
    assert [each.run_id for each in measured(namespace).runs] == ["two", "one", "over"]
    assert [each.run_id for each in measured(namespace, runs_max=1).runs] == ["two"]
    with pytest.raises(NotFound):
        measured(namespace, run_id="ghost")


def test_names_that_no_longer_live_make_room_and_nothing_is_lost_of_the_sums() -> None:
    """M2: memory is bounded by names; what a name that goes had counted stays in the sum of those that are gone."""
    namespace = Namespace(restore_every=10_000)
    namespace.open("a", "work", name="resident")
    namespace.submit_one("t")
    namespace.complete("t")
    passing = NAMES_MAX + 400
    for number in range(passing):
        session = namespace.open(f"client-{number}")
        namespace.release(session, namespace.hold(session, f"file-{number}"))
        namespace.end(session)
    metrics, state = counted(namespace)
    assert len(metrics.agents) <= NAMES_MAX + 250
    assert len(metrics.resources) <= NAMES_MAX + 250
    assert "resident" in metrics.agents, "it lives, though nobody has heard of it for long"
    view = read(metrics, state, MetricsAsked(agents_max=5000, resources_max=5000), namespace.now_ns)
    assert sum(each.acquisitions for each in (*view.resources, view.resources_gone)) == passing
    kinds = [each for own in (*view.agents, view.agents_gone) for each in own.events]
    registered = sum(each.count for each in kinds if each.type is EventType.AGENT_REGISTERED)
    assert registered == passing + 1


@pytest.mark.parametrize("seed", range(3))
def test_metrics_resume_from_where_they_were_kept(seed: int) -> None:
    """M2, D9: a fold that went through a snapshot anywhere is the fold of the whole log, byte for byte."""
    walk = Walk(seed)
    walk.steps(400)
    happened = walk.history.namespace.events
    metrics, state = Metrics(), NamespaceState("test")
    for event in happened:
        if event.sequence % 50 == 0:
            metrics = msgspec.msgpack.decode(msgspec.msgpack.encode(metrics), type=Metrics)
        observe(metrics, state, event)
        apply(state, event)
    whole, _ = counted(walk.history.namespace)
    assert msgspec.msgpack.encode(metrics) == msgspec.msgpack.encode(whole)
    assert sum(each.count for each in metrics.events.values()) == len(happened)
    view = read(metrics, state, MetricsAsked(), walk.history.namespace.now_ns)
    live = sum(not each.status.over for each in state.runs.values())
    assert view.orchestrations.runs_active == live
    resources = [*metrics.resources.values(), metrics.resources_gone]
    granted = sum(event.type is EventType.RESOURCE_ACQUIRED and not _is_recount(event) for event in happened)
    assert granted == sum(each.held.count for each in resources) + len(state.grants), "a lock was held and not counted"
    still = sum(len(waiter.requests) for waiter in state.waiters.values())
    waits = sum(each.waits for each in resources)
    assert waits == sum(each.waited.count for each in resources) + still, "a wait that ended was not counted"
    names = [*metrics.agents.values(), metrics.agents_gone]
    begun, ended = sum(each.executions for each in names), sum(each.executing.count for each in names)
    assert begun == ended + len(state.attempts), "an attempt that ended was not counted"
    assert ended == sum(each.successes + each.failures + each.cancelled for each in names)


def _is_recount(event: Event) -> bool:
    return isinstance(event.payload, ResourceAcquired) and bool(event.payload.existing_token)
