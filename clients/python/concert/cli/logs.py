"""`concert log`: what only an operator may do to a log. It works on the store itself, with the coordinator's code."""

from __future__ import annotations

from typing import Annotated

import typer

from concert.cli import exit_codes
from concert.cli.command import Call, Refusal, command
from concert.cli.dev import MISSING

app = typer.Typer(help="Look after the logs in the store.", no_args_is_help=True)


async def accept_loss(
    call: Call,
    namespace: Annotated[str, typer.Argument(metavar="NAMESPACE", help="Whose log it is.")],
) -> int:
    """Has a namespace go on whose store lost acknowledged events: what is left becomes the beginning of a new log.

    For a namespace that is answered DATA_LOSS (LOG_TAIL_LOST). The store is that of REDIS_URL and the coordinator's
    other settings in the environment. What is lost stays lost; cursors of the old log are refused until they are reset.
    """
    try:
        from coordinator_service.accept_loss import accept_loss as accept
        from coordinator_service.config import ConfigError, load
        from coordinator_service.log.base import LogError
        from coordinator_service.log.redis import RedisStore
    except ModuleNotFoundError as missing:
        raise Refusal(f"{MISSING} ({missing})", exit_codes.FAULT) from None
    try:
        store = RedisStore(load([]).redis_options())
        try:
            accepted = await accept(store, namespace)
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
