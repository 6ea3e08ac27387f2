"""`concert lock`: acquire, release, renew, list, run."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.text import Text

import concert
from concert.cli import completing, exit_codes
from concert.cli.command import Call, Refusal, command
from concert.cli.holding import EndedBy, hold_and_run
from concert.cli.plain_values import enum_name, plain
from concert.cli.reading import pairs
from concert.cli.words import age, duration, span
from concert.v1 import lock_pb2

app = typer.Typer(help="Locks with leases and fencing tokens.", no_args_is_help=True)


class Mode(StrEnum):
    """How a lock is shared."""

    EXCLUSIVE = "exclusive"
    SHARED = "shared"


ResourceArgument = Annotated[
    str,
    typer.Argument(metavar="RESOURCE", help="What is locked.", autocompletion=completing.resources, show_default=False),
]


TOKEN_MAX = 2**63 - 1


def fencing_token(text: str | int) -> int:
    """A fencing token, for arguments."""
    if not (str(text).isascii() and str(text).isdigit()) or int(text) > TOKEN_MAX:
        raise typer.BadParameter(f"a fencing token is a number, not {text!r}: `concert lock list` shows it")
    return int(text)


TokensArgument = Annotated[list[int], typer.Argument(metavar="TOKEN", help="Fencing tokens.", parser=fencing_token)]
ModeOption = Annotated[Mode, typer.Option("--mode", help="One holder, or any number of shared ones.")]
LeaseOption = Annotated[
    float | None,
    typer.Option(
        "--lease", metavar="DURATION", help="How long it stands unless renewed: 1s to 1h, else 30s.", parser=duration
    ),
]
WaitOption = Annotated[
    float | None,
    typer.Option(
        "--wait", metavar="DURATION", help="How long to wait; 0 does not; else the policy's.", parser=duration
    ),
]
HolderOption = Annotated[str, typer.Option("--holder", metavar="NAME", help="Who holds it, for people.")]
GuardsOption = Annotated[
    str, typer.Option("--guards", metavar="PATH", help="State that only the holder may write meanwhile.")
]
PriorityOption = Annotated[
    int | None, typer.Option("--priority", min=0, max=9, help="Place in the queue: 0 to 9, higher first.")
]


@command(app, "acquire")
async def acquire_locks(
    call: Call,
    resources: Annotated[
        list[str],
        typer.Argument(metavar="RESOURCE", help="What is locked; several are taken together or not at all."),
    ],
    mode: ModeOption = Mode.EXCLUSIVE,
    lease: LeaseOption = None,
    wait: WaitOption = None,
    holder: HolderOption = "",
    guards: GuardsOption = "",
    priority: PriorityOption = None,
    metadata: Annotated[
        list[str], typer.Option("--metadata", "-m", metavar="KEY=VALUE", help="An annotation; repeatable.")
    ] = [],  # noqa: B006
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the fencing tokens and nothing else.")] = False,
) -> None:
    """Takes locks and leaves them held, until their lease ends or `lock release`.

    `lock run` holds a lock for as long as a command runs. Not granted in time: exit code 6.
    """
    annotations = pairs(metadata, "--metadata")
    async with call.connect() as client:
        lock = await client.locks.acquire(
            *resources,
            mode=mode.value,
            lease=lease,
            wait=wait,
            holder=holder,
            guards=guards,
            priority=priority,
            metadata=annotations,
        )
    if quiet:
        for grant in lock.grants:
            call.printer.line(str(grant.fencing_token))
    elif call.printer.for_people:
        rows = [
            (each.resource, str(each.fencing_token), each.holder, span(each.lease.ToTimedelta().total_seconds()))
            for each in lock.grants
        ]
        call.printer.table(("RESOURCE", "TOKEN", "HOLDER", "LEASE"), rows)
    else:
        call.printer.value(plain(list(lock.grants)))


@command(app, "release")
async def release_locks(
    call: Call,
    tokens: TokensArgument,
    force: Annotated[bool, typer.Option("--force", help="Take them from whoever holds them; for operators.")] = False,
) -> None:
    """Gives locks back, all or none. One that is not held: exit code 5."""
    async with call.connect() as client:
        sequence = await client.locks.release(*tokens, force=force)
    if call.printer.for_people:
        call.printer.line(f"released, by event {sequence}")
    else:
        call.printer.value({"fencing_tokens": tokens, "sequence": sequence})


@command(app, "renew")
async def renew_locks(
    call: Call,
    tokens: TokensArgument,
) -> int:
    """Makes the leases of locks whole again. One that is gone: exit code 5."""
    async with call.connect() as client:
        leases = await client.locks.keep_alive(*tokens)
    if call.printer.for_people:
        rows = [(str(token), "gone" if left is None else span(left)) for token, left in leases.items()]
        call.printer.table(("TOKEN", "LEFT"), rows)
    else:
        call.printer.value([{"fencing_token": token, "seconds_left": left} for token, left in leases.items()])
    return exit_codes.CONFLICT if None in leases.values() else exit_codes.OK


@command(app, "list")
async def list_locks(
    call: Call,
    prefix: Annotated[str, typer.Argument(metavar="PREFIX", help="Only resources that begin so.")] = "",
) -> None:
    """Lists locks: who holds them, and who waits, in the order of their turn."""
    async with call.connect() as client:
        locks = await client.locks.list(prefix)
    if call.printer.for_people:
        rows = [row for lock in locks for row in _rows(lock)]
        call.printer.table(("RESOURCE", "STATUS", "MODE", "HOLDER", "TOKEN", "WAITS"), rows, "no locks are held")
    else:
        call.printer.value(plain(locks))


@command(app, "run", prints=False)
async def run_under_lock(
    call: Call,
    resource: ResourceArgument,
    command_line: Annotated[
        list[str], typer.Argument(metavar="COMMAND", help="What to run, after --.", show_default=False)
    ],
    also: Annotated[
        list[str], typer.Option("--also", metavar="RESOURCE", help="Another lock, taken together with it; repeatable.")
    ] = [],  # noqa: B006
    mode: ModeOption = Mode.EXCLUSIVE,
    lease: LeaseOption = None,
    wait: WaitOption = None,
    holder: HolderOption = "",
    guards: GuardsOption = "",
    priority: PriorityOption = None,
    kill_after: Annotated[
        float,
        typer.Option(
            "--kill-after", metavar="DURATION", help="From SIGTERM to SIGKILL, when the lock is lost.", parser=duration
        ),
    ] = 10.0,
    conflict_exit_code: Annotated[
        int, typer.Option("--conflict-exit-code", "-E", min=0, max=255, help="When the lock is not granted in time.")
    ] = exit_codes.LOCK_NOT_GRANTED,
) -> int:
    """Runs a command while holding a lock, and ends as the command does: flock, for machines that share no disk.

    The lease is renewed while the command runs, signals are passed on to it, and it is ended when the lock is lost.
    It finds its fencing token in $CONCERT_FENCING_TOKEN, and where it was taken in $CONCERT_ADDRESS and
    $CONCERT_NAMESPACE.
    """
    async with call.connect() as client:
        scope = client.lock(
            resource,
            *also,
            mode=mode.value,
            lease=lease,
            wait=wait,
            holder=holder,
            guards=guards,
            priority=priority,
        )
        try:
            return await hold_and_run(scope, call.place, command_line, kill_after)
        except concert.LockTimeout as error:
            raise Refusal(call.place.told(error), conflict_exit_code, call.place.cure(error)) from None
        except concert.LockLost as error:
            raise Refusal(f"the lock was lost: {error.message}", exit_codes.LOCK_LOST) from None
        except EndedBy as ended:
            raise Refusal(str(ended), ended.code) from None
        except concert.ConcertError as error:
            cure = call.place.cure(error)
            raise Refusal(call.place.told(error), exit_codes.LOCK_NOT_TRIED, cure) from None


def _rows(lock: Any) -> Iterator[tuple[str | Text, ...]]:
    for grant in lock.holders:
        token = str(grant.fencing_token)
        yield lock.resource, Text("held", style="green"), _mode(grant), grant.holder, token, ""
    for waiter in lock.waiters:
        status = Text("detached" if waiter.detached else "waits", style="yellow")
        yield lock.resource, status, _mode(waiter), waiter.holder, "", age(waiter.since)


def _mode(entry: Any) -> str:
    return enum_name(lock_pb2.LockMode, entry.mode).lower()
