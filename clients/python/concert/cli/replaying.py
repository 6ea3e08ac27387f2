"""`concert replay`: proves that a log was not edited. It is the coordinator's own command, reached from here too."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from concert.cli import exit_codes
from concert.cli.command import Call, Refusal, command
from concert.cli.dev import MISSING


def register(app: typer.Typer) -> None:
    """Adds the command."""
    command(app, "replay", calls=False, prints=False)(replay)


async def replay(
    _call: Call,
    data_dir: Annotated[
        Path | None,
        typer.Option(
            "--data-dir", metavar="DIRECTORY", help="Where the log is ($CONCERT_DATA_DIR, else concert-data)."
        ),
    ] = None,
    namespace: Annotated[
        list[str], typer.Option("--namespace", "-n", metavar="NAME", help="Only this one; repeatable; else all.")
    ] = [],  # noqa: B006 - typer wants it
    from_snapshot: Annotated[
        bool, typer.Option("--from-snapshot", help="Begin at the older of two snapshots: shorter, and blind before it.")
    ] = False,
) -> int:
    """Folds a log again, recomputes its hashes, compares with its snapshots, and says where they part.

    A coordinator may run meanwhile. Exit codes: 0 everything agrees, 1 something does not, 2 not tried, 3 a later
    version wrote the log.
    """
    try:
        from coordinator_service import replay_command
    except ModuleNotFoundError as missing:
        raise Refusal(f"{MISSING} ({missing})", exit_codes.FAULT) from None
    directory = data_dir or replay_command.data_dir_default()
    return await replay_command.replay_all(directory, namespace, from_snapshot=from_snapshot)
