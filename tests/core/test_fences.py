"""Commands that rely on locks count only while those are held."""

from __future__ import annotations

from dataclasses import replace

import pytest

from coordinator_service.core import commands, reasons, specs
from coordinator_service.core.commands import Caller, Command
from coordinator_service.core.events import EventType
from coordinator_service.core.rejections import StaleFence
from tests.core.driver import Namespace, asking, caller, seconds, task, updating

PUBLISH = commands.Publish(drafts=(commands.EventDraft(name="built"),))
FENCED: list[Command] = [
    PUBLISH,
    updating("key", 1.0),
    commands.SubmitRun(spec=specs.RunSpec(run_id="other", tasks=(task("t"),))),
    asking("window"),
    commands.CancelRun(run_id="run"),
]


def relying_on(resource: str, token: int, who: Caller | None = None) -> Caller:
    """A call that names a lock that it relies on."""
    return replace(who or caller(), fences=(specs.Fence(resource=resource, fencing_token=token),))


@pytest.mark.parametrize("command", FENCED, ids=lambda each: type(each).__name__)
def test_a_stale_fence_refuses_whatever_is_asked(namespace: Namespace, command: Command) -> None:
    """L8: outside attempts a command may name locks; one that was released since refuses it, and says who has it."""
    namespace.submit_one("t")
    token = namespace.hold(caller(), "door", holder="x")
    namespace.release(caller(), token)
    assert namespace.refuse(StaleFence, command, relying_on("door", token)).current == 0
    now = namespace.hold(caller(), "door", holder="y")
    refusal = namespace.refuse(StaleFence, command, relying_on("door", token))
    assert (refusal.resource, refusal.token, refusal.current) == ("door", token, now)
    namespace.do(command, relying_on("door", now))


def test_the_end_of_a_lease_makes_a_fence_stale(namespace: Namespace) -> None:
    """L8, L7: whoever was paused for longer than its lease writes nothing any more."""
    token = namespace.hold(caller(), "door", holder="x")
    namespace.do(updating("key", "before"), relying_on("door", token))
    namespace.do(commands.ExpireLock(fencing_token=token))
    namespace.refuse(StaleFence, updating("key", "after"), relying_on("door", token))
    assert namespace.value("key") == "before"


def test_a_fence_for_what_was_never_held_is_stale(namespace: Namespace) -> None:
    """L8: a token of the future, of another resource, or of what is no lock at all."""
    token = namespace.hold(caller(), "door", holder="x")
    for resource, number in (("door", token + 1000), ("window", token), ("door", 1)):
        refusal = namespace.refuse(StaleFence, PUBLISH, relying_on(resource, number))
        assert refusal.current == (token if resource == "door" else 0)


def test_every_fence_has_to_hold(namespace: Namespace) -> None:
    """L8: one stale fence among several refuses all."""
    one, two = (namespace.hold(caller(), each, holder="x") for each in ("one", "two"))
    fences = tuple(specs.Fence(resource=each, fencing_token=token) for each, token in (("one", one), ("two", two)))
    namespace.do(PUBLISH, Caller(fences=fences))
    namespace.release(caller(), two)
    assert namespace.refuse(StaleFence, PUBLISH, Caller(fences=fences)).resource == "two"


def test_what_was_done_before_is_answered_again(namespace: Namespace) -> None:
    """L8, D5: a request that comes again gets its first answer, whatever became of its locks."""
    token = namespace.hold(caller(), "door", holder="x")
    call = replace(relying_on("door", token), request_id="r", method="Publish")
    first = namespace.do(PUBLISH, call)
    namespace.release(caller(), token)
    assert namespace.do(PUBLISH, call).sequences == first.sequences


def test_release_passes_whatever_became_of_the_locks(namespace: Namespace) -> None:
    """L8: what is held is given back by an attempt that lost another lock, which may also say that it failed."""
    session = namespace.open("a", "work")
    namespace.submit(task("t"))
    inside = namespace.inside("t")
    lost, kept = namespace.hold(inside, "lost"), namespace.hold(inside, "kept")
    namespace.release(session, lost)
    namespace.release(inside, kept)
    namespace.fail("t")
    assert namespace.holders("kept") == []


@pytest.mark.parametrize("command", FENCED[:4], ids=lambda each: type(each).__name__)
def test_an_attempt_is_fenced_by_every_lock_it_was_granted(namespace: Namespace, command: Command) -> None:
    """L8: also by one that its own session gave back from outside: nothing it asks counts any more, nor its result."""
    session = namespace.open("a", "work")
    namespace.submit(task("t"))
    inside = namespace.inside("t")
    token = namespace.hold(inside, "door")
    namespace.do(command, inside)
    namespace.release(session, token)
    assert namespace.of_type(EventType.RESOURCE_RELEASED)[-1].reason == reasons.RELEASED_BY_SESSION
    other = namespace.hold(caller(), "door", holder="x", lease_ns=seconds(60))
    refusal = namespace.refuse(StaleFence, command, inside)
    assert (refusal.resource, refusal.token, refusal.current) == ("door", token, other)
    reports: list[Command] = [
        commands.StartTask(attempt_token=inside.attempt_token),
        commands.ProgressTask(attempt_token=inside.attempt_token, progress=specs.Progress(fraction=0.5)),
        commands.CompleteTask(attempt_token=inside.attempt_token),
    ]
    for report in reports:
        namespace.refuse(StaleFence, report, session)


@pytest.mark.parametrize("declared", [True, False])
def test_an_attempt_whose_lock_is_taken_by_force_is_fenced(namespace: Namespace, declared: bool) -> None:
    """L8: it may say that it failed and nothing else, so that whoever has the lock now is alone with it."""
    namespace.open("a", "work")
    locks = (specs.TaskLock(resource="door"),) if declared else ()
    namespace.submit(task("t", locks=locks))
    inside = namespace.inside("t")
    token = namespace.state.locks["door"].holders[f"attempt/{inside.attempt_token}"] if declared else 0
    token = token or namespace.hold(inside, "door")
    namespace.do(commands.Release(fencing_tokens=(token,), force=True), caller(principal="olivia"))
    for command in (*FENCED[:4], commands.CompleteTask(attempt_token=inside.attempt_token)):
        assert namespace.refuse(StaleFence, command, inside).token == token
    namespace.fail("t")


@pytest.mark.parametrize("declared", [True, False])
def test_an_attempt_gives_its_own_locks_back_and_goes_on(namespace: Namespace, declared: bool) -> None:
    """L8: what it released itself fences it no more, be it declared or asked for."""
    namespace.open("a", "work")
    locks = (specs.TaskLock(resource="door"),) if declared else ()
    namespace.submit(task("t", locks=locks))
    inside = namespace.inside("t")
    token = namespace.state.locks["door"].holders[f"attempt/{inside.attempt_token}"] if declared else 0
    namespace.release(inside, token or namespace.hold(inside, "door"))
    namespace.do(PUBLISH, inside)
    namespace.complete("t")
    assert namespace.statuses() == {"t": "SUCCEEDED"}


def test_a_session_gives_its_own_locks_back_from_anywhere(namespace: Namespace) -> None:
    """L8: what the session holds fences no attempt."""
    session = namespace.open("a", "work")
    namespace.submit(task("t"))
    inside = namespace.inside("t")
    namespace.release(inside, namespace.hold(session, "door"))
    assert namespace.of_type(EventType.RESOURCE_RELEASED)[-1].reason == reasons.RELEASED_BY_HOLDER
    namespace.complete("t")
