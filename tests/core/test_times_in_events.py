"""How long something waited or lasted is said by the event that ends it: a reader of one event knows both ends."""

from __future__ import annotations

from coordinator_service.core import commands
from coordinator_service.core.commands import Caller
from coordinator_service.core.events import (
    EventType,
    ResourceAcquired,
    ResourceReleased,
    ResourceRequestTimedOut,
    ResourceRequestWithdrawn,
    TaskAssigned,
    TaskCancelled,
)
from coordinator_service.core.specs import RunSpec
from coordinator_service.core.values import RunStatus
from tests.core.driver import Namespace, asking, caller, seconds, task, updating

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
OF_THE_RUN = f"00-{TRACE}-00f067aa0ba902b7-01"
OF_THE_AGENT = f"00-{TRACE}-b7ad6b7169203331-01"
OF_SOMEBODY_ELSE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_an_assignment_says_how_long_its_task_was_ready(namespace: Namespace) -> None:
    """T2: TASK_ASSIGNED ends the wait that began when the task could have started."""
    namespace.submit(task("t"))
    namespace.advance(2.5)
    namespace.open("a", "work")
    assert namespace.last(TaskAssigned).wait_time_seconds == 2.5


def test_a_lock_says_how_long_it_was_waited_for_and_held(namespace: Namespace) -> None:
    """T2: RESOURCE_ACQUIRED ends a wait, RESOURCE_RELEASED ends what the lock was held for."""
    first = namespace.hold(caller(), "door", holder="a")
    assert namespace.last(ResourceAcquired).wait_time_seconds == 0.0
    namespace.advance(1.0)
    namespace.acquire(caller(), "door", holder="b")
    namespace.advance(2.0)
    namespace.release(caller(), first)
    assert namespace.last(ResourceReleased).hold_time_seconds == 3.0
    assert namespace.last(ResourceAcquired).wait_time_seconds == 2.0


def test_a_wait_in_vain_says_how_long_it_was(namespace: Namespace) -> None:
    """T2: a request that timed out or was withdrawn ends its wait as a grant does."""
    namespace.hold(caller(), "door", holder="a")
    namespace.do(asking("door", wait_seconds=2.0, holder="b"), caller())
    namespace.advance(3.0)
    assert namespace.last(ResourceRequestTimedOut).wait_time_seconds == 2.0
    session = namespace.open("c", "work")
    namespace.acquire(session, "door")
    namespace.advance(4.0)
    namespace.end(session)
    assert namespace.last(ResourceRequestWithdrawn).wait_time_seconds == 4.0


def test_a_cancelled_task_says_what_it_waited_or_ran(namespace: Namespace) -> None:
    """T2: TASK_CANCELLED ends a wait, or an execution that had to be fenced."""
    namespace.open("a", "work")
    namespace.submit(task("runs"), task("waits"), task("never", "runs"))
    namespace.advance(2.0)
    namespace.do(commands.CancelRun(run_id="run"))
    namespace.now_ns += seconds(1.0)
    namespace.fail("runs", cancelled=True)
    told = {event.task_id: event.payload for event in namespace.of_type(EventType.TASK_CANCELLED)}
    assert told["waits"] == TaskCancelled(wait_time_seconds=2.0)
    assert told["never"] == TaskCancelled()
    assert isinstance(told["runs"], TaskCancelled)
    assert told["runs"].execution_time_seconds == 3.0
    assert namespace.run().status is RunStatus.CANCELLED


def test_what_an_attempt_does_is_told_from_its_own_place_in_the_trace_of_its_run(namespace: Namespace) -> None:
    """T2: locks and state updates of an attempt lie under the span in which its agent asked for them, the run's own
    events under the run; a trace that is not the run's does not tear it apart."""
    namespace.open("a", "work")
    spec = RunSpec(run_id="run", tasks=(task("t"),))
    namespace.do(commands.SubmitRun(spec=spec), Caller(traceparent=OF_THE_RUN))
    token = namespace.token("t")
    session = namespace.reporter(token).session_id

    def inside(traceparent: str) -> Caller:
        return Caller(session_id=session, attempt_token=token, traceparent=traceparent)

    namespace.hold(inside(OF_THE_AGENT), "door")
    namespace.do(updating("key", 1), inside(OF_THE_AGENT))
    namespace.do(updating("key", 2), inside(OF_SOMEBODY_ELSE))
    namespace.do(updating("key", 3), inside(""))
    namespace.complete("t")
    told = [event.traceparent for event in namespace.of_type(EventType.STATE_UPDATED)][:3]
    assert told == [OF_THE_AGENT, OF_THE_RUN, OF_THE_RUN]
    [acquired] = namespace.of_type(EventType.RESOURCE_ACQUIRED)
    assert acquired.traceparent == OF_THE_AGENT
    [completed] = namespace.of_type(EventType.AGENT_COMPLETED)
    assert completed.traceparent == OF_THE_RUN
