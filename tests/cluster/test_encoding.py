"""What replicas say to each other arrives as it was said."""

from __future__ import annotations

from typing import get_args

import pytest

from coordinator_service.cluster.encoding import (
    Unspoken,
    answer_from_bytes,
    command_from_bytes,
    command_to_bytes,
    rejection_from_bytes,
    rejection_to_bytes,
)
from coordinator_service.cluster.messages import Ask, Garbled, Hello, Message, frame_of, messages_of
from coordinator_service.core import rejections
from coordinator_service.core.commands import Acquire, Caller, Command, CompleteTask, EventDraft, Publish
from coordinator_service.core.rejections import Fault, Rejection
from coordinator_service.core.specs import ConflictingKey, Fence, LockGrant, LockRequest, LockWait
from coordinator_service.core.values import LockMode
from coordinator_service.rpc.errors import to_status

UNREADABLE = (b"", b"\xc1", b"\x90", b"\x81\xa1k\x80", b"\x81\xa1k\xa1\xff", b"\x81\xa1k" + b"\x91" * 5000)
"""Not what a rejection is made of: nothing, noise, a list, a part without a name, text that is no text, too deep."""
GRANT = LockGrant(resource="r", mode=LockMode.SHARED, holder="h", fencing_token=3, lease_ns=5)


def rejections_of_every_kind() -> list[Rejection]:
    """One of each."""
    key = ConflictingKey(key="a", their_key="a/b", their_writer="w", their_revision=4, their_timestamp_ns=5)
    found = [
        rejections.InvalidField(("a.b", "is wrong"), ("c", "is missing")),
        rejections.DependencyCycle(("a", "b", "a")),
        rejections.DependencyUnknown(("a", "nobody")),
        rejections.RequestIdReused(("request_id", "was used")),
        rejections.CursorInFuture(("after", "is 9")),
        rejections.CursorBehind(("cursor", "is 1")),
        rejections.NotFound("run", "x"),
        rejections.AlreadyExists("agent", "x"),
        rejections.StateConflict(7, (key,), "concurrent_modification"),
        rejections.StaleAttempt(5, 6),
        rejections.StaleFence("r", 5, 6),
        rejections.NotHolder(5),
        rejections.LockUpgrade("r", 5),
        rejections.LockLost(5),
        rejections.RunOver("x"),
        rejections.RunNotRetryable("x", "it is not over"),
        rejections.NoSession("no session"),
        rejections.SessionOver(5),
        rejections.LockTimeout(5, (GRANT,), 2),
        rejections.LimitReached("namespaces_max", 5),
        rejections.CursorCompacted("log", 5, 9),
        rejections.LogMismatch("log", "other"),
        rejections.LogTailLost("log", 9, "it ends at 9"),
        rejections.Unavailable("gone", 70),
        rejections.PermissionDenied("no", needed={"role": "operator"}),
        rejections.Unauthenticated("who", needed={"credential": "a bearer token"}),
        rejections.Fault("broken"),
        rejections.Deadlock(5, (LockWait(resource="r", request_sequence=4, holder="b"),)),
    ]
    kinds = {each for each in vars(rejections).values() if isinstance(each, type) and issubclass(each, Rejection)}
    assert {type(each) for each in found} == kinds - {Rejection}
    return found


@pytest.mark.parametrize("rejection", rejections_of_every_kind(), ids=lambda each: type(each).__name__)
def test_a_rejection_is_the_same_at_the_other_end(rejection: Rejection) -> None:
    """Its kind, its text, all it hands over, and so what its caller is told."""
    found = rejection_from_bytes(*rejection_to_bytes(rejection))
    assert type(found) is type(rejection)
    assert (str(found), vars(found)) == (str(rejection), vars(rejection))
    assert to_status(found) == to_status(rejection)


def test_commands_arrive_as_they_were_asked() -> None:
    """Payloads, floats, None and nested values included."""
    for command in (
        Publish(drafts=(EventDraft(name="x", data=b"\x00\xff", metadata={"a": "ü"}), EventDraft(name="y"))),
        Acquire(requests=(LockRequest(resource="r", mode=LockMode.SHARED, guards="a/b"),)),
        CompleteTask(attempt_token=2**40, result_is_json=True, result_json={"a": [1.0, None, True, {"b": "c"}]}),
    ):
        assert command_from_bytes(*command_to_bytes(command)) == command


def test_every_command_and_answer_can_be_said() -> None:
    """Whoever adds one and forgets this is told by a failing test, not by a failing replica."""
    for each in get_args(Command):
        with pytest.raises(Unspoken, match=each.__name__):
            command_from_bytes(each.__name__, b"\xc1")


def test_what_a_later_release_says_is_refused_by_name() -> None:
    """Not guessed at."""
    with pytest.raises(Unspoken, match="Conjure"):
        command_from_bytes("Conjure", b"\x80")
    with pytest.raises(Unspoken, match="Conjured"):
        answer_from_bytes("Conjured", b"\x80")
    unknown = rejection_from_bytes("TooStrange", rejection_to_bytes(rejections.RunOver("x"))[1])
    assert isinstance(unknown, Fault)
    assert "x" in unknown.message


def test_frames_hold_messages_in_order() -> None:
    """And nothing that is no frame is taken for one."""
    caller = Caller(principal="p", fences=(Fence(resource="r", fencing_token=4),), digest=b"\x01")
    messages: list[Message] = [Hello(1, "a", "a/1"), Ask(1, "default", *command_to_bytes(Publish(drafts=())), caller)]
    assert messages_of(frame_of(messages)) == messages
    for garbage in (b"", b"\x00", b"garbage", frame_of(messages)[:-1]):
        with pytest.raises(Garbled):
            messages_of(garbage)


@pytest.mark.parametrize("encoded", UNREADABLE, ids=range(len(UNREADABLE)))
def test_a_rejection_that_cannot_be_read_is_one_all_the_same(encoded: bytes) -> None:
    """Whoever asked is told that it was refused, and the link lives on; commands and answers are Unspoken."""
    found = rejection_from_bytes("NotFound", encoded)
    assert isinstance(found, Fault)
    to_status(found)
    for read in (command_from_bytes, answer_from_bytes):
        with pytest.raises(Unspoken):
            read("Published" if read is answer_from_bytes else "Publish", encoded)
