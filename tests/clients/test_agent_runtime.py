from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import concert
import pytest
from concert import _methods as methods
from concert._limits import PAYLOAD_BYTES_MAX
from concert._payload import from_payload, to_payload
from concert._time import to_duration
from concert.agent import Agent, AgentHost, Capability, NotRetryable, PreconditionFailed, TaskContext, run_agents
from concert.v1 import lock_pb2, task_pb2
from opentelemetry import trace

from .scripted_coordinator import Refused, ScriptedCoordinator, ScriptedStream, in_thread, refusal


class Probe(Agent):
    """Does what the test says and writes down what was called."""

    name = "probe"
    capabilities = ("work",)
    slots = 4

    def __init__(self, execute: Callable[[TaskContext], Any] | None = None) -> None:
        self.calls: list[tuple[str, int]] = []
        self.contexts: list[TaskContext] = []
        self.begun = asyncio.Event()
        self._execute = execute

    async def execute(self, context: TaskContext) -> Any:
        self.calls.append(("execute", context.attempt_token))
        self.contexts.append(context)
        self.begun.set()
        return None if self._execute is None else await self._execute(context)

    async def cleanup(self, context: TaskContext) -> None:
        self.calls.append(("cleanup", context.attempt_token))


def agent_task(token: int, **fields: Any) -> Any:
    fields = {"run_id": "r", "task_id": f"t{token}", "attempt": 1, "capability": "work", **fields}
    return task_pb2.AgentTask(attempt_token=token, time_left=to_duration(60), agent_name="probe", **fields)


@asynccontextmanager
async def hosting(coordinator: ScriptedCoordinator, agent: Agent, **options: Any) -> AsyncIterator[AgentHost]:
    async with AgentHost(agent, address=coordinator.address, **options) as host:
        await host.registered()
        yield host


async def for_ever(_context: TaskContext) -> None:
    await asyncio.Event().wait()


# ---- what an agent says of itself


async def test_an_agent_registers_as_what_it_is(coordinator: ScriptedCoordinator) -> None:
    """A1, R2: role, instance, capabilities, dependencies and slots are in Hello."""

    class ImageShrinkAgent(Agent):
        capabilities = ("shrink", Capability("crop", "2", {"gpu": "no"}))
        depends_on = (concert.on_agent("content"), concert.on_capability("bucket"))
        after = (concert.on_agent("security"),)
        slots = 3

    async with hosting(coordinator, ImageShrinkAgent(), lease=4) as host:
        hello = coordinator.streams[0].hello
        spec = hello.agent
        assert spec.agent_name == "image_shrink"
        assert spec.agent_id.startswith("image_shrink-")
        assert host.agent_ids == [spec.agent_id]
        assert [(each.name, each.version, dict(each.labels)) for each in spec.capabilities] == [
            ("shrink", "", {}),
            ("crop", "2", {"gpu": "no"}),
        ]
        assert [each.WhichOneof("on") for each in spec.depends_on] == ["agent_name", "capability"]
        assert spec.after[0].agent_name == "security"
        assert (spec.slots, hello.lease.seconds) == (3, 4)


async def test_an_agent_without_capabilities_has_its_role(coordinator: ScriptedCoordinator) -> None:
    """A session without capabilities takes no tasks, so an agent that names none can do what it is called."""

    class Sweeper(Agent):
        pass

    async with hosting(coordinator, Sweeper()):
        assert [each.name for each in coordinator.streams[0].hello.agent.capabilities] == ["sweeper"]


async def test_an_agent_may_be_there_before_its_coordinator(coordinator: ScriptedCoordinator) -> None:
    """Registration goes on until it works: the order in which programs start does not matter. That it waits is said at
    once, and once.
    """
    await coordinator.stop()
    loop, said = asyncio.get_running_loop(), asyncio.Queue[str]()

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            loop.call_soon_threadsafe(said.put_nowait, record.getMessage())

    log, listener = logging.getLogger("concert.agent"), Listener(logging.WARNING)
    log.addHandler(listener)
    try:
        async with AgentHost(Probe(), address=coordinator.address) as host:
            waits = f"no coordinator answers at {coordinator.address} yet: trying again; `concert dev` starts one"
            assert await said.get() == f"{host.agent_ids[0]}: {waits}"
            await coordinator.start()
            await host.registered()
    finally:
        log.removeHandler(listener)
    assert said.empty()


async def test_an_agent_that_is_refused_for_good_says_so(coordinator: ScriptedCoordinator) -> None:
    """What no other try would change ends the host."""
    coordinator.refuse_connect.append(refusal(7, "PERMISSION_DENIED", "not this capability"))
    async with AgentHost(Probe(), address=coordinator.address) as host:
        with pytest.raises(concert.PermissionDenied):
            await host.registered()
        with pytest.raises(concert.PermissionDenied):
            await host.wait()


async def test_an_agent_may_change_its_mind(coordinator: ScriptedCoordinator) -> None:
    """A3: capabilities may change during a session; the change is sent, and said again at the next Hello."""
    agent = Probe()
    async with hosting(coordinator, agent) as host:
        agent.capabilities = ("work", "play")  # type: ignore[assignment]
        await host.update()
        (request,) = coordinator.requests["UpdateAgent"]
        assert [each.name for each in request.agent.capabilities] == ["work", "play"]
        second = await resumed(coordinator)
        assert [each.name for each in second.hello.agent.capabilities] == ["work", "play"]


# ---- attempts


async def test_a_task_is_executed_and_reported(coordinator: ScriptedCoordinator) -> None:
    """R9, R18: TaskStarted, then execute, cleanup, then TaskCompleted with the result and the staged changes."""
    order: list[str] = []

    async def execute(context: TaskContext) -> Any:
        context.set_state({"site/pages": 3}, strategy="replace", base_revision=7)
        return {"pages": 3}

    agent = Probe(execute)

    def completed(_request: Any) -> Any:
        order.extend(name for name, _token in agent.calls)
        return methods.TASK_COMPLETED.response(sequence=1)

    coordinator.answer(methods.TASK_COMPLETED, completed)
    async with hosting(coordinator, agent):
        coordinator.streams[0].push(task=agent_task(11))
        (report,) = await coordinator.got(methods.TASK_COMPLETED)
    assert (report.attempt_token, from_payload(report.result)) == (11, {"pages": 3})
    (change,) = report.state_changes
    assert (change.strategy, change.base_revision, change.updates[0].key) == (2, 7, "site/pages")
    assert coordinator.requests["TaskStarted"][0].attempt_token == 11
    assert order == ["execute", "cleanup"]


async def test_the_context_is_the_task(coordinator: ScriptedCoordinator) -> None:
    """R16: input, run context, results (by reference too), locks, deadline and annotations are handed to
    execute.
    """
    coordinator.answer(
        methods.GET_TASK_RESULT, lambda request: methods.GET_TASK_RESULT.response(result=to_payload([request.task_id]))
    )
    agent = Probe()
    task = agent_task(
        12,
        namespace="default",
        input=to_payload({"path": "/"}),
        context=to_payload({"domain": "example.org"}),
        results=[
            task_pb2.TaskResult(task_id="a", agent_name="content", result=to_payload({"n": 1})),
            task_pb2.TaskResult(task_id="b", agent_name="images", by_reference=True),
            task_pb2.TaskResult(task_id="c", agent_name="images", result=to_payload(b"raw")),
        ],
        locks=[lock_pb2.LockGrant(resource="bucket", fencing_token=9)],
        metadata={"who": "test"},
    )
    async with hosting(coordinator, agent):
        coordinator.streams[0].push(task=task)
        await coordinator.got(methods.TASK_COMPLETED)
    (context,) = agent.contexts
    assert (context.input, context.run_context) == ({"path": "/"}, {"domain": "example.org"})
    assert dict(context.previous_results) == {"a": {"n": 1}, "b": ["b"], "c": b"raw"}
    assert context.previous_results["content"] == {"n": 1}
    assert context.previous_results.by_agent("images") == {"b": ["b"], "c": b"raw"}
    with pytest.raises(KeyError, match="several"):
        context.previous_results["images"]
    assert "nobody" not in context.previous_results
    assert context.locks["bucket"].fencing_token == 9
    assert 50 < context.time_left() <= 60
    assert (context.run_id, context.task_id, context.attempt, context.metadata) == ("r", "t12", 1, {"who": "test"})


async def test_what_an_attempt_does_carries_its_token(coordinator: ScriptedCoordinator) -> None:
    """L8, R8: everything an agent asks for inside an attempt is fenced by the attempt token."""

    async def execute(context: TaskContext) -> Any:
        await context.publish("page_rendered", {"path": "/"})
        await context.state.update({"a": 1})
        async with context.lock("bucket", guards="site"):
            pass
        run = await context.submit_run(tasks=[concert.task("t", capability="x")])
        return run.run_id

    async with hosting(coordinator, Probe(execute)):
        coordinator.streams[0].push(task=agent_task(13))
        await coordinator.got(methods.TASK_COMPLETED)
    names = ["Publish", "UpdateState", "Acquire", "Release", "SubmitRun"]
    assert [coordinator.requests[name][0].attempt_token for name in names] == [13] * 5
    (event,) = coordinator.requests["Publish"][0].events
    assert (event.run_id, event.task_id) == ("r", "t13")


FAILURES: list[tuple[Callable[[], Exception], str, bool]] = [
    (lambda: RuntimeError("disk full"), "RuntimeError", False),
    (lambda: NotRetryable("no such domain"), "NotRetryable", True),
    (lambda: PreconditionFailed("no credentials"), "PRECONDITION_FAILED", True),
]


@pytest.mark.parametrize(("make", "error_type", "for_good"), FAILURES, ids=[each[1] for each in FAILURES])
async def test_a_failure_is_reported_as_what_it_is(
    coordinator: ScriptedCoordinator,
    caplog: pytest.LogCaptureFixture,
    make: Callable[[], Exception],
    error_type: str,
    for_good: bool,
) -> None:
    """R10: type, message and traceback, and whether another try makes sense; cleanup has run. The agent's own log says
    it too: in one line what was meant, with the traceback what was not.
    """

    async def execute(_context: TaskContext) -> Any:
        raise make()

    agent = Probe(execute)
    async with hosting(coordinator, agent):
        coordinator.streams[0].push(task=agent_task(14))
        (report,) = await coordinator.got(methods.TASK_FAILED)
    assert report.error.error_type == error_type
    assert report.error.message == str(make())
    assert "in execute" in report.error.traceback
    assert (report.not_retryable, report.cancelled) == (for_good, False)
    assert agent.calls[-1] == ("cleanup", 14)
    (logged,) = [each for each in caplog.records if each.levelname == "WARNING"]
    assert logged.getMessage() == f"task r/t14 failed at attempt 1: {error_type}: {make()}"
    assert bool(logged.exc_info) is not for_good


async def test_failed_preconditions_keep_execute_from_running(coordinator: ScriptedCoordinator) -> None:
    """R10: returning False refuses the task as well; execute is not called, cleanup is."""

    class Refusing(Probe):
        async def validate_preconditions(self, context: TaskContext) -> bool:
            return False

    agent = Refusing()
    async with hosting(coordinator, agent):
        coordinator.streams[0].push(task=agent_task(15))
        (report,) = await coordinator.got(methods.TASK_FAILED)
    assert (report.error.error_type, report.not_retryable) == ("PRECONDITION_FAILED", True)
    assert agent.calls == [("cleanup", 15)]


@pytest.mark.parametrize(
    "result", [b"x" * (PAYLOAD_BYTES_MAX + 1), float("nan"), object()], ids=["large", "nan", "type"]
)
async def test_a_result_that_cannot_be_sent_fails_clearly(coordinator: ScriptedCoordinator, result: Any) -> None:
    """Results over 1 MiB and what JSON does not have fail the task for good, with words that say why."""

    async def execute(_context: TaskContext) -> Any:
        return result

    async with hosting(coordinator, Probe(execute)):
        coordinator.streams[0].push(task=agent_task(16))
        (report,) = await coordinator.got(methods.TASK_FAILED)
    assert report.not_retryable
    assert "the result cannot be sent" in report.error.message
    assert not coordinator.requests["TaskCompleted"]


async def test_what_is_reported_fits_its_limits(coordinator: ScriptedCoordinator) -> None:
    """Long messages and tracebacks are cut: the message at its end, the traceback at its beginning."""

    async def execute(_context: TaskContext) -> Any:
        raise RuntimeError("ä" * 100_000 + "THE END")

    async with hosting(coordinator, Probe(execute)):
        coordinator.streams[0].push(task=agent_task(17))
        (report,) = await coordinator.got(methods.TASK_FAILED)
    assert len(report.error.message.encode()) <= 4096
    assert len(report.error.traceback.encode()) <= 16 * 1024
    assert report.error.traceback.rstrip().endswith("THE END")


async def test_a_completion_that_conflicts_is_a_failure_that_may_be_retried(
    coordinator: ScriptedCoordinator,
) -> None:
    """R9: the attempt lives on after a refused completion; the runtime reports STATE_CONFLICT, once."""

    def conflict(_request: Any) -> Any:
        raise Refused(refusal(10, "STATE_CONFLICT", "somebody was faster"))

    coordinator.answer(methods.TASK_COMPLETED, conflict)
    agent = Probe()
    async with hosting(coordinator, agent):
        coordinator.streams[0].push(task=agent_task(18))
        (report,) = await coordinator.got(methods.TASK_FAILED)
    assert (report.error.error_type, report.not_retryable, report.cancelled) == ("STATE_CONFLICT", False, False)
    assert agent.calls == [("execute", 18), ("cleanup", 18)]


async def test_progress_never_waits_and_the_latest_wins(coordinator: ScriptedCoordinator) -> None:
    """Reports of progress are coalesced while one is on its way; the last word is not lost while execute
    runs.
    """
    gate = asyncio.Event()
    done = asyncio.Event()

    async def slow(_request: Any) -> Any:
        await gate.wait()
        return methods.TASK_PROGRESS.response(sequence=1)

    async def execute(context: TaskContext) -> Any:
        for step in range(11):
            await context.progress(step / 10, f"step {step}")
        await done.wait()

    coordinator.answer(methods.TASK_PROGRESS, slow)
    async with hosting(coordinator, Probe(execute)):
        coordinator.streams[0].push(task=agent_task(19))
        await coordinator.got(methods.TASK_PROGRESS)
        gate.set()
        first, last = await coordinator.got(methods.TASK_PROGRESS, 2)
        done.set()
        await coordinator.got(methods.TASK_COMPLETED)
    assert (first.progress.fraction, last.progress.fraction, last.progress.message) == (0.0, 1.0, "step 10")
    assert first.request_id != last.request_id


async def test_execute_runs_in_the_tasks_trace(coordinator: ScriptedCoordinator) -> None:
    """T2: the span of execute continues the traceparent of the AgentTask, and what is asked inside carries it
    on.
    """
    seen: list[int] = []

    async def execute(context: TaskContext) -> Any:
        seen.append(trace.get_current_span().get_span_context().trace_id)
        await context.publish("x")

    async with hosting(coordinator, Probe(execute)):
        coordinator.streams[0].push(task=agent_task(20, traceparent=f"00-{0xABC:032x}-{0xDEF:016x}-01"))
        await coordinator.got(methods.TASK_COMPLETED)
    assert seen == [0xABC]
    assert f"{0xABC:032x}" in coordinator.requests["Publish"][0].events[0].traceparent


async def test_slots_bound_what_runs_at_once(coordinator: ScriptedCoordinator) -> None:
    """An agent never runs more than its slots, whatever it is sent."""
    agent = Probe(for_ever)
    agent.slots = 1
    async with hosting(coordinator, agent):
        coordinator.streams[0].push(task=agent_task(21))
        coordinator.streams[0].push(task=agent_task(22))
        await agent.begun.wait()
        coordinator.streams[0].push(cancel={"attempt_token": 21, "reason": "CANCELLED"})
        await coordinator.got(methods.TASK_FAILED)
        await coordinator.got(methods.TASK_STARTED, 2)
        assert agent.calls[:2] == [("execute", 21), ("cleanup", 21)]


# ---- cancel


async def test_a_cancelled_attempt_cleans_up_and_says_so(coordinator: ScriptedCoordinator) -> None:
    """R12: execute is cancelled, cleanup runs, then TaskFailed{cancelled} is reported."""
    agent = Probe(for_ever)
    async with hosting(coordinator, agent):
        coordinator.streams[0].push(task=agent_task(31))
        await agent.begun.wait()
        coordinator.streams[0].push(cancel={"attempt_token": 31, "reason": "TIMEOUT"})
        (report,) = await coordinator.got(methods.TASK_FAILED)
    assert report.cancelled
    assert agent.calls == [("execute", 31), ("cleanup", 31)]
    assert agent.contexts[0].cancelled.is_set()


async def test_a_cancelled_attempt_that_was_done_is_completed(coordinator: ScriptedCoordinator) -> None:
    """R12: an execute that brings its work to an end when told to stop has succeeded."""

    async def execute(context: TaskContext) -> Any:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "saved"

    agent = Probe(execute)
    async with hosting(coordinator, agent):
        coordinator.streams[0].push(task=agent_task(32))
        await agent.begun.wait()
        coordinator.streams[0].push(cancel={"attempt_token": 32, "reason": "CANCELLED"})
        (report,) = await coordinator.got(methods.TASK_COMPLETED)
    assert from_payload(report.result) == "saved"


async def test_a_stale_attempt_is_stopped_without_a_word(coordinator: ScriptedCoordinator) -> None:
    """A5: CancelTask with reason STALE: stop, clean up, no report."""
    agent = Probe(for_ever)
    async with hosting(coordinator, agent):
        stream = coordinator.streams[0]
        stream.push(task=agent_task(33))
        await agent.begun.wait()
        await coordinator.got(methods.TASK_STARTED)
        stream.push(cancel={"attempt_token": 33, "reason": "STALE"})
        stream.push(task=agent_task(34))
        await coordinator.got(methods.TASK_STARTED, 2)
        assert ("cleanup", 33) in agent.calls
    assert "TaskFailed" not in coordinator.requests
    assert "TaskCompleted" not in coordinator.requests


async def test_an_attempt_whose_start_is_stale_stops(coordinator: ScriptedCoordinator) -> None:
    """R8: an attempt that is told that it is not the current one stops by itself."""

    def stale(_request: Any) -> Any:
        raise Refused(refusal(10, "STALE_ATTEMPT", "another one is"))

    coordinator.answer(methods.TASK_STARTED, stale)
    cleaned = asyncio.Event()

    class Cleaning(Probe):
        async def cleanup(self, context: TaskContext) -> None:
            cleaned.set()

    async with hosting(coordinator, Cleaning(for_ever)):
        coordinator.streams[0].push(task=agent_task(35))
        await cleaned.wait()


# ---- reconnect and resume


async def resumed(coordinator: ScriptedCoordinator) -> ScriptedStream:
    coordinator.streams[-1].drop()
    return await coordinator.stream(len(coordinator.streams) + 1)


async def test_an_attempt_survives_a_broken_stream_and_runs_once(coordinator: ScriptedCoordinator) -> None:
    """A5: Hello names the live attempt; pushed again, it is not executed again; its report comes on the new
    stream.
    """
    gate = asyncio.Event()

    async def execute(_context: TaskContext) -> Any:
        await gate.wait()
        return "done"

    agent = Probe(execute)
    async with hosting(coordinator, agent):
        coordinator.streams[0].push(task=agent_task(41))
        await agent.begun.wait()
        second = await resumed(coordinator)
        assert list(second.hello.attempt_tokens) == [41]
        assert second.hello.session_id == 101
        second.push(task=agent_task(41))
        gate.set()
        (report,) = await coordinator.got(methods.TASK_COMPLETED)
        second.push(task=agent_task(41))
        second.push(task=agent_task(42))
        await coordinator.got(methods.TASK_COMPLETED, 2)
    assert report.attempt_token == 41
    assert [call for call in agent.calls if call[0] == "execute"] == [("execute", 41), ("execute", 42)]


async def test_a_report_without_a_reply_is_named_and_sent_again(coordinator: ScriptedCoordinator) -> None:
    """A5: an attempt whose report was not acknowledged counts as live; the same report comes again."""
    coordinator.answer(methods.TASK_COMPLETED, lambda _request: None)
    agent = Probe()
    async with hosting(coordinator, agent):
        coordinator.streams[0].push(task=agent_task(43))
        await coordinator.got(methods.TASK_COMPLETED)
        coordinator.answer(methods.TASK_COMPLETED, lambda _request: methods.TASK_COMPLETED.response(sequence=1))
        second = await resumed(coordinator)
        assert list(second.hello.attempt_tokens) == [43]
        first, again = await coordinator.got(methods.TASK_COMPLETED, 2)
        assert first == again
        third = await resumed(coordinator)
        assert list(third.hello.attempt_tokens) == []
    assert [name for name, _token in agent.calls] == ["execute", "cleanup"]


async def test_stale_attempts_of_a_resume_are_stopped(coordinator: ScriptedCoordinator) -> None:
    """A5: what Welcome calls stale is cancelled and cleaned up, and its reports are forgotten."""
    agent = Probe(for_ever)
    async with hosting(coordinator, agent):
        coordinator.streams[0].push(task=agent_task(44))
        await agent.begun.wait()
        await coordinator.got(methods.TASK_STARTED)
        coordinator.stale.append(44)
        second = await resumed(coordinator)
        second.push(task=agent_task(45))
        await coordinator.got(methods.TASK_STARTED, 2)
        assert ("cleanup", 44) in agent.calls
    assert "TaskFailed" not in coordinator.requests


async def test_a_session_lost_for_good_ends_its_attempts_and_another_begins(
    coordinator: ScriptedCoordinator,
) -> None:
    """A4: everything running is cancelled and cleaned up, unreported; then Hello with session_id 0."""
    agent = Probe(for_ever)
    async with hosting(coordinator, agent):
        coordinator.streams[0].push(task=agent_task(46))
        await agent.begun.wait()
        await coordinator.got(methods.TASK_STARTED)
        coordinator.resumes = False
        second = await resumed(coordinator)
        assert second.hello.session_id == 0
        assert agent.calls == [("execute", 46), ("cleanup", 46)]
        coordinator.resumes = True
        second.push(task=agent_task(46))
        second.push(task=agent_task(47))
        await coordinator.got(methods.TASK_STARTED, 2)
    assert ("execute", 46) not in agent.calls[1:]
    assert "TaskFailed" not in coordinator.requests


async def test_a_session_given_up_on_this_side_is_taken_over(coordinator: ScriptedCoordinator) -> None:
    """A2: what may be left of the agent's own lost session does not keep it out."""
    cleaned = asyncio.Event()

    class Cleaning(Probe):
        async def cleanup(self, context: TaskContext) -> None:
            cleaned.set()

    agent = Cleaning(for_ever)
    async with hosting(coordinator, agent, lease=2):
        coordinator.streams[0].push(task=agent_task(48))
        await agent.begun.wait()
        await coordinator.stop()
        coordinator.streams.clear()
        await cleaned.wait()
        await coordinator.start()
        stream = await coordinator.stream()
        assert (stream.hello.session_id, stream.hello.takeover) == (0, True)


def block(seconds: float) -> None:
    """Holds the event loop, half of the time computing."""
    end = time.monotonic() + seconds
    while time.monotonic() < end - seconds / 2:
        sum(range(1000))
    time.sleep(max(0.0, end - time.monotonic()))


async def test_an_execute_that_blocks_for_longer_than_the_lease_keeps_its_session() -> None:
    """Heartbeats have a thread of their own: neither CPU work nor a blocking call in execute can starve them."""

    async def execute(_context: TaskContext) -> Any:
        block(4.0)
        return "done"

    with in_thread() as (coordinator, thread):
        await thread.run(coordinator.start)
        agent = Probe(execute)
        async with hosting(coordinator, agent, lease=2):
            thread.post(lambda: coordinator.streams[0].push(task=agent_task(51)))
            (report,) = await thread.run(lambda: coordinator.got(methods.TASK_COMPLETED))
        assert from_payload(report.result) == "done"
        assert len(coordinator.streams) == 1
        assert coordinator.heartbeats >= 6
        await thread.run(coordinator.stop)


# ---- leaving


def drains(coordinator: ScriptedCoordinator) -> None:
    """Has DrainAgent answered as a coordinator does: with Drain on the stream as well."""

    def answer(_request: Any) -> Any:
        coordinator.streams[-1].push(drain={})
        return methods.DRAIN_AGENT.response(sequence=1)

    coordinator.answer(methods.DRAIN_AGENT, answer)


async def test_sigterm_drains_and_a_second_one_cancels(coordinator: ScriptedCoordinator) -> None:
    """A7: after the first SIGTERM no new tasks, running ones finish; the second cancels them, with cleanup."""
    drains(coordinator)
    agent = Probe(for_ever)
    running = asyncio.create_task(run_agents(agent, address=coordinator.address))
    stream = await coordinator.stream()
    stream.push(task=agent_task(61))
    await agent.begun.wait()
    os.kill(os.getpid(), signal.SIGTERM)
    (request,) = await coordinator.got(methods.DRAIN_AGENT)
    assert request.agent_id == stream.hello.agent.agent_id
    assert not running.done()
    assert "Goodbye" not in coordinator.requests
    os.kill(os.getpid(), signal.SIGTERM)
    await running
    assert agent.calls == [("execute", 61), ("cleanup", 61)]
    assert coordinator.requests["Goodbye"]
    assert "TaskFailed" not in coordinator.requests


async def test_a_drained_host_finishes_what_it_has(coordinator: ScriptedCoordinator) -> None:
    """A7: running tasks finish and are reported before Goodbye."""
    drains(coordinator)
    gate = asyncio.Event()

    async def execute(_context: TaskContext) -> Any:
        await gate.wait()

    agent = Probe(execute)
    async with hosting(coordinator, agent) as host:
        coordinator.streams[0].push(task=agent_task(62))
        await agent.begun.wait()
        host.drain()
        await coordinator.got(methods.DRAIN_AGENT)
        gate.set()
        await host.wait()
        assert len(coordinator.requests["TaskCompleted"]) == 1
        assert coordinator.requests["Goodbye"][0].reason == "drained"


async def test_an_agent_that_is_drained_from_elsewhere_leaves(coordinator: ScriptedCoordinator) -> None:
    """A7: Drain without a time is for the agent: it finishes and says goodbye, and the host is done."""
    async with hosting(coordinator, Probe()) as host:
        coordinator.streams[0].push(drain={})
        await host.wait()
    assert len(coordinator.requests["Goodbye"]) == 1
    assert "DrainAgent" not in coordinator.requests


async def test_sigint_cancels_at_once(coordinator: ScriptedCoordinator) -> None:
    """SIGINT does not wait for running tasks, but for their cleanup."""
    agent = Probe(for_ever)
    running = asyncio.create_task(run_agents(agent, address=coordinator.address))
    (await coordinator.stream()).push(task=agent_task(63))
    await agent.begun.wait()
    os.kill(os.getpid(), signal.SIGINT)
    await running
    assert agent.calls == [("execute", 63), ("cleanup", 63)]
    assert coordinator.requests["Goodbye"]


async def test_a_cleanup_that_fails_changes_nothing(
    coordinator: ScriptedCoordinator, caplog: pytest.LogCaptureFixture
) -> None:
    """What succeeded has succeeded; the failure of its cleanup is logged."""

    class Messy(Probe):
        async def cleanup(self, context: TaskContext) -> None:
            raise OSError("no such directory")

    async with hosting(coordinator, Messy()):
        coordinator.streams[0].push(task=agent_task(64))
        await coordinator.got(methods.TASK_COMPLETED)
    assert "cleanup of attempt 64" in caplog.text
