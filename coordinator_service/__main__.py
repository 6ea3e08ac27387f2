"""`python -m coordinator_service`: serves until it is told to stop. `replay` instead proves a log (replay_command.py),
`telemetry` exports spans from a process of its own (telemetry_command.py), `token` makes a bearer token
(token_command.py).

SIGTERM or SIGINT ends it gracefully, a second one at once; SIGHUP has the policy file, certificates, tokens and
access read again. Exit codes: 0 after a
stop, 1 when it cannot serve, 2 for a configuration or a policy file that cannot be used.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import signal
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from coordinator_service.config import PROGRAM, ConfigError, Settings, load
from coordinator_service.file_watch import FileUnusable
from coordinator_service.log.base import LogError
from coordinator_service.server import CannotListen, CoordinatorServer
from coordinator_service.telemetry import log_lines
from coordinator_service.telemetry.collector import CollectorFault

_log = logging.getLogger("coordinator_service")

GC_THRESHOLDS = (50_000, 20, 1_000)
"""What a decision leaves behind is remembered, not garbage in circles: by default Python would walk through it again
and again, a sixth of the time under load, and stop everything for as long as a walk through all state takes."""


def main() -> None:
    """The command."""
    if sys.argv[1:2] in (["replay"], ["token"], ["telemetry"]):  # what one of them needs the others do not load
        command = import_module(f"coordinator_service.{sys.argv[1]}_command")
        sys.exit(command.run(sys.argv[2:]))
    try:
        settings = load(sys.argv[1:])
    except ConfigError as fault:
        print(f"{PROGRAM}: {fault}", file=sys.stderr)
        sys.exit(2)
    log_lines.begin(settings.log_level, settings.log_format)
    try:
        with asyncio.Runner(loop_factory=_loop_factory(settings)) as runner:
            runner.run(_serve(settings))
    except (FileUnusable, CollectorFault) as fault:
        print(f"{PROGRAM}: {fault}", file=sys.stderr)
        sys.exit(2)
    except (CannotListen, LogError, OSError) as fault:
        print(f"{PROGRAM}: {fault}", file=sys.stderr)
        sys.exit(1)


def _loop_factory(settings: Settings) -> Callable[[], asyncio.AbstractEventLoop] | None:
    if settings.event_loop == "asyncio":
        return None
    try:
        import uvloop
    except ImportError:
        if settings.event_loop == "uvloop":
            raise OSError("uvloop is not installed") from None
        return None
    return uvloop.new_event_loop


def _allow_connections() -> None:
    """As many open files as the system allows: each agent, subscriber and viewer is a connection."""
    try:
        import resource
    except ImportError:  # no Unix
        return
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    except (OSError, ValueError):
        _log.info("the limit of open files stays as it is")


async def _serve(settings: Settings) -> None:
    _allow_connections()
    gc.set_threshold(*GC_THRESHOLDS)
    server = CoordinatorServer(settings)
    await server.start()
    gc.freeze()
    stopping = _Stopping()
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, server.reload)
    for name, address in (("page", server.web_address), ("metrics", server.metrics_address)):
        if address:
            _log.info("%s on http://%s", name, address)
    store = str(settings.sqlite_path) if settings.event_store == "sqlite" else settings.event_store
    _log.info("serving on %s as %s, events in %s", server.address, settings.replica_id, store)
    if settings.ready_file is not None:
        _write_ready(settings.ready_file, server)
    try:
        await stopping.asked.wait()
        _log.info("stopping: sessions and calls have %g s; a second signal stops at once", settings.drain_grace_seconds)
        await _stop(server, stopping)
    finally:
        if settings.ready_file is not None:
            settings.ready_file.unlink(missing_ok=True)
    _log.info("stopped")


class _Stopping:
    """What signals ask for."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.at_once = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._ask)

    def _ask(self) -> None:
        if self.asked.is_set():
            self.at_once.set()
        self.asked.set()


async def _stop(server: CoordinatorServer, stopping: _Stopping) -> None:
    settings = server.settings
    graceful = asyncio.create_task(
        server.stop(notice_seconds=settings.drain_notice_seconds, grace_seconds=settings.drain_grace_seconds)
    )
    hurried = asyncio.create_task(stopping.at_once.wait())
    await asyncio.wait({graceful, hurried}, return_when=asyncio.FIRST_COMPLETED)
    hurried.cancel()
    if not graceful.done():
        graceful.cancel()
        await asyncio.gather(graceful, return_exceptions=True)
        await server.stop_at_once()
    elif graceful.exception() is not None:
        graceful.result()


def _write_ready(path: Path, server: CoordinatorServer) -> None:
    """Whole or not at all: whoever waits for the file reads it the moment it is there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    served = {"address": server.address, "web": server.web_address, "metrics": server.metrics_address}
    said = {name: address for name, address in served.items() if address}
    partial.write_text(json.dumps({**said, "pid": os.getpid()}) + "\n")
    partial.replace(path)


if __name__ == "__main__":
    main()
