"""How a command ends: codes that scripts can rely on (docs/cli.md lists them), and what a person may do about it."""

from __future__ import annotations

from concert import errors
from concert.v1 import run_pb2

OK = 0
REFUSED = 1
"""The coordinator said no for a reason that has no code of its own."""
MISUSED = 2
"""Arguments, a file or a request that cannot be used."""
UNREACHABLE = 3
NOT_FOUND = 4
"""It is not there, or not any more."""
CONFLICT = 5
"""Things do not stand as the request needs them."""
NOT_IN_TIME = 6
NOT_ALLOWED = 7
LIMIT_REACHED = 8
FAULT = 9
"""Of the coordinator, or of this command."""
RUN_PARTIAL_FAILURE = 10
RUN_FAILED = 11
RUN_CANCELLED = 12
RUN_TIMED_OUT = 13
# Of `lock run`, which otherwise ends as its command does; 124 to 127 are those of timeout(1), env(1) and the shells.
LOCK_LOST = 123
LOCK_NOT_GRANTED = 124
LOCK_NOT_TRIED = 125
COMMAND_NOT_EXECUTABLE = 126
COMMAND_NOT_FOUND = 127
SIGNALLED = 128
"""And the number of the signal: 130 after Ctrl-C, 141 when nobody reads the output any more, 143 after SIGTERM."""

_BY_KIND: tuple[tuple[type[errors.ConcertError], int], ...] = (
    (errors.InvalidArgument, MISUSED),
    (errors.Unavailable, UNREACHABLE),
    (errors.NotFound, NOT_FOUND),
    (errors.CursorCompacted, NOT_FOUND),
    (errors.AlreadyExists, CONFLICT),
    (errors.Aborted, CONFLICT),
    (errors.FailedPrecondition, CONFLICT),
    (errors.LogMismatch, CONFLICT),
    (errors.LogTailLost, FAULT),
    (errors.DeadlineExceeded, NOT_IN_TIME),
    (errors.PermissionDenied, NOT_ALLOWED),
    (errors.Unauthenticated, NOT_ALLOWED),
    (errors.LimitReached, LIMIT_REACHED),
    (errors.InternalError, FAULT),
)

_BY_RUN_STATUS = {
    run_pb2.RUN_STATUS_SUCCEEDED: OK,
    run_pb2.RUN_STATUS_PARTIAL_FAILURE: RUN_PARTIAL_FAILURE,
    run_pb2.RUN_STATUS_FAILED: RUN_FAILED,
    run_pb2.RUN_STATUS_CANCELLED: RUN_CANCELLED,
    run_pb2.RUN_STATUS_TIMED_OUT: RUN_TIMED_OUT,
}


def of_error(error: errors.ConcertError) -> int:
    """The code for what a call raised."""
    if error.code == "UNIMPLEMENTED":
        return FAULT
    return next((code for kind, code in _BY_KIND if isinstance(error, kind)), REFUSED)


def of_run(status: int) -> int:
    """The code for how a run ended; 0 while it is not over."""
    return _BY_RUN_STATUS.get(status, OK)  # type: ignore[call-overload, no-any-return]
