"""`python -m coordinator_service telemetry`: exports decision spans from a process of its own.

For coordinators whose rate of decisions asks for it: they run with --tracing elsewhere, and this process reads their
history as anybody may. It may be stopped, killed and started at any time: its cursors are kept beside the logs.
Run one for each coordinator; two export the same spans twice. Exit codes: 0 after a stop, 1 when it cannot listen, 2
for arguments or OTEL_* variables that cannot be used.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
from collections.abc import Sequence
from importlib import metadata
from typing import Any

from coordinator_service.config import PROGRAM
from coordinator_service.telemetry import log_lines
from coordinator_service.telemetry.collector import CollectorFault, collector_from
from coordinator_service.telemetry.log_export import Pace
from coordinator_service.telemetry.metrics import Reading
from coordinator_service.telemetry.remote_exports import RemoteExports
from coordinator_service.telemetry.sampling import Sampling
from coordinator_service.web.http_server import CannotListenHttp, HttpServer
from coordinator_service.web.scrape import scrape

ADDRESS_DEFAULT = "127.0.0.1:7420"
STOPPED, CANNOT_LISTEN, MISUSED = range(3)
_PACE = Pace(share=1.0)
"""It has its loop for itself."""

_log = logging.getLogger("coordinator_service.telemetry")


def run(arguments: Sequence[str]) -> int:
    """The command; returns its exit code."""
    given = _parser().parse_args(arguments)
    log_lines.begin(given.log_level, given.log_format)
    try:
        asyncio.run(_export(given.coordinator, given.metrics_listen))
    except CollectorFault as fault:
        print(f"{PROGRAM} telemetry: {fault}", file=sys.stderr)
        return MISUSED
    except CannotListenHttp as fault:
        print(f"{PROGRAM} telemetry: {fault}", file=sys.stderr)
        return CANNOT_LISTEN
    return STOPPED


async def _export(coordinator: str, metrics_listen: str) -> None:
    collector = collector_from()
    if collector is None:
        raise CollectorFault("nothing to do: OTEL_EXPORTER_OTLP_ENDPOINT names no collector, or tracing is off")
    exports = RemoteExports(coordinator, collector, Sampling.from_environment(), _PACE)
    http = await _serve_metrics(exports, metrics_listen)
    running = asyncio.create_task(exports.run())
    asked = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, asked.set)
    _log.info("exporting decisions of %s to %s", coordinator, collector.target)
    stopping = asyncio.create_task(asked.wait())
    try:
        await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            running.result()
    finally:
        for task in (running, stopping):
            task.cancel()
        await asyncio.gather(running, stopping, return_exceptions=True)
        await exports.close()
        if http is not None:
            await http.stop()


async def _serve_metrics(exports: RemoteExports, listen: str) -> HttpServer | None:
    if not listen:
        return None

    async def read() -> Reading:
        return Reading(
            version=metadata.version("concert"),
            replica_id="telemetry",
            spans=exports.counts,
            span_lags=exports.lags(),
        )

    server = HttpServer(scrape(read), listen)
    await server.start()
    _log.info("metrics on http://%s", server.address)
    return server


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        print(f"{self.prog}: {message}", file=sys.stderr)
        sys.exit(MISUSED)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog=f"{PROGRAM} telemetry",
        description="Exports the decision spans of a coordinator that runs with --tracing elsewhere.",
        epilog="Where to, and what is sampled, the standard OTEL_* variables say: the same ones as the coordinator's.",
        allow_abbrev=False,
    )
    address = os.environ.get("CONCERT_ADDRESS") or ADDRESS_DEFAULT
    parser.add_argument(
        "--coordinator", default=address, metavar="HOST:PORT", help=f"where the coordinator is ({address})"
    )
    parser.add_argument(
        "--metrics-listen", default="", metavar="HOST:PORT", help="serve /metrics of the export; none: not served"
    )
    parser.add_argument("--log-level", default="info", choices=("debug", "info", "warning", "error"))
    parser.add_argument("--log-format", default="text", choices=("text", "json"))
    return parser
