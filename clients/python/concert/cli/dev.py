"""`concert dev`: a coordinator in this process with its live page, to try things with, and its events as they happen.

The coordinator is an optional dependency of this package: only this file, replaying.py and the test kit know it.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import aclosing
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from concert._poller import quiet_poller
from concert.cli import event_words, exit_codes
from concert.cli.command import Call, Refusal, command
from concert.cli.place import Place
from concert.cli.plain_values import plain

PAGE_DEFAULT = "127.0.0.1:8080"
MISSING = "the coordinator is not installed beside this command: install the package that has coordinator_service"


def register(app: typer.Typer) -> None:
    """Adds the command."""
    command(app, "dev", calls=False)(dev)


async def dev(
    call: Call,
    listen: Annotated[
        str, typer.Option("--listen", metavar="HOST:PORT", help="Where to serve; port 0 picks one.")
    ] = "127.0.0.1:7420",
    web_listen: Annotated[
        str | None,
        typer.Option(
            "--web-listen",
            metavar="HOST:PORT",
            help="Where to serve the live page; none: 127.0.0.1:8080, or another port where that is taken.",
        ),
    ] = None,
    data_dir: Annotated[
        Path | None,
        typer.Option("--data-dir", metavar="DIRECTORY", help="Keep events there; else they are gone with the process."),
    ] = None,
    policy_file: Annotated[
        Path | None, typer.Option("--policy-file", metavar="FILE", help="Policies, followed while the file changes.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Do not show events.")] = False,
) -> int:
    """Serves a coordinator and its live page until Ctrl-C, and shows every event of the namespace default.

    For trying things out. Every other setting of the coordinator is taken from the environment, as CONCERT_ and its
    name in capitals.
    """
    try:
        from coordinator_service.config import ConfigError, load
        from coordinator_service.file_watch import FileUnusable
        from coordinator_service.log.base import LogError
        from coordinator_service.server import CannotListen, CoordinatorServer
    except ModuleNotFoundError as missing:
        raise Refusal(f"{MISSING} ({missing})", exit_codes.FAULT) from None
    given = ["--listen", listen, "--web-listen", web_listen or _free(PAGE_DEFAULT)]
    given += ["--event-store", "sqlite" if data_dir else "memory"]
    given += ["--data-dir", str(data_dir)] if data_dir else []
    given += ["--policy-file", str(policy_file)] if policy_file else []
    quiet_poller(asyncio.get_running_loop())
    try:
        async with CoordinatorServer(load(given)) as server:
            await _show(
                call, server.address, server.web_address, f"in {data_dir}" if data_dir else "in memory", quiet=quiet
            )
    except (ConfigError, FileUnusable) as fault:
        raise Refusal(str(fault)) from None
    except CannotListen as fault:
        cure = "use the one that listens there, or serve elsewhere with --listen 127.0.0.1:0"
        raise Refusal(str(fault), exit_codes.UNREACHABLE, cure) from None
    except LogError as fault:
        raise Refusal(str(fault), exit_codes.FAULT) from None
    return exit_codes.OK


def _free(address: str) -> str:
    """An address, or another port of the same host where it is taken."""
    host, _, port = address.rpartition(":")
    with socket.socket() as trying:
        trying.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trying.bind((host, int(port)))
        except OSError:
            return f"{host}:0"
    return address


async def _show(call: Call, address: str, page: str, where: str, *, quiet: bool) -> None:
    if call.printer.for_people:
        call.printer.line(Text.assemble("a coordinator serves on ", (address, "bold"), f", events {where}"))
        call.printer.line(Text.assemble("its live page is ", (f"http://{page}/", "bold")))
        call.printer.remark("Ctrl-C ends it; `concert monitor` in another terminal shows what goes on")
    else:
        call.printer.following({"address": address, "page": f"http://{page}/"})
    if quiet:
        await asyncio.Event().wait()
    async with Place(address).connect() as client:
        subscription = client.subscribe(start="earliest")
        async with subscription, aclosing(aiter(subscription)) as events:
            async for event in events:
                if call.printer.for_people:
                    call.printer.line(event_words.line(event))
                else:
                    call.printer.following(plain(event))
