"""`concert log`: what only an operator may do to a log. It works on the store itself, with the coordinator's code."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from concert.cli import exit_codes
from concert.cli.command import Call, Refusal, command
from concert.cli.dev import MISSING

app = typer.Typer(help="Look after the logs in the store.", no_args_is_help=True)


async def accept_loss(
    call: Call,
    namespace: Annotated[str, typer.Argument(metavar="NAMESPACE", help="Whose log it is.")],
    acknowledged: Annotated[
        int,
        typer.Option(metavar="SEQUENCE", min=0, help="All up to here may have been told."),
    ] = 0,
    data_dir: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Of a SQLite store, instead of Redis; no coordinator may run.")
    ] = None,
) -> int:
    """Has a namespace go on whose store lost acknowledged events: what is left becomes the beginning of a new log.

    For a namespace that is answered DATA_LOSS (LOG_TAIL_LOST), or whose store was restored from a back-up: then say
    with --acknowledged a sequence beyond all that anybody was told of. The store is that of REDIS_URL and the
    coordinator's other settings in the environment, or a data directory. What is lost stays lost; cursors of the old
    log are refused until they are reset.
    """
    try:
        from coordinator_service.accept_loss import accept_loss as accept
        from coordinator_service.config import ConfigError, load
        from coordinator_service.log.base import LogError
        from coordinator_service.log.redis import RedisStore
        from coordinator_service.log.sqlite import SqliteStore
    except ModuleNotFoundError as missing:
        raise Refusal(f"{MISSING} ({missing})", exit_codes.FAULT) from None
    try:
        store: SqliteStore | RedisStore
        if data_dir is None:
            store = RedisStore(load([]).redis_options())
        else:
            file = load(["--data-dir", str(data_dir)]).sqlite_path
            if not file.is_file():
                raise LogError(f"there is no log at {file}")
            store = SqliteStore(file)
        try:
            accepted = await accept(store, namespace, acknowledged=acknowledged)
        finally:
            await store.close()
    except (ConfigError, LogError) as fault:
        raise Refusal(str(fault), exit_codes.FAULT) from None
    if accepted is None:
        call.printer.line(f"{namespace}: nothing is lost")
        return exit_codes.OK
    call.printer.line(
        f"{namespace}: log {accepted.old_log_id} ends at {accepted.kept_until}; what was acknowledged up to"
        f" {accepted.acknowledged} is lost. It goes on as log {accepted.new_log_id} after {accepted.begins_after}"
    )
    return exit_codes.OK


command(app, "accept-loss", calls=False)(accept_loss)
