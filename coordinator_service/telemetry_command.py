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
from coordinator_service.config_texts import is_loopback
from coordinator_service.core.rejections import Unavailable
from coordinator_service.telemetry import log_lines
from coordinator_service.telemetry.collector import CollectorFault, collector_from
from coordinator_service.telemetry.log_export import Pace
from coordinator_service.telemetry.metrics import Reading
from coordinator_service.telemetry.remote_exports import RemoteExports
from coordinator_service.telemetry.remote_log import Coordinator
from coordinator_service.telemetry.sampling import Sampling
from coordinator_service.web.http_server import CannotListenHttp, HttpServer
from coordinator_service.web.scrape import scrape

ADDRESS_DEFAULT = "127.0.0.1:7420"
STOPPED, CANNOT_LISTEN, MISUSED = range(3)
_PACE = Pace(share=1.0)
"""It has its loop for itself."""

_CREDENTIALS = {
    "tls_ca": "CONCERT_TLS_CA",
    "tls_cert": "CONCERT_TLS_CERT",
    "tls_key": "CONCERT_TLS_KEY",
    "token_file": "CONCERT_TOKEN_FILE",
}
"""Options, and the variables that stand for them: those of every client."""
_MEANINGS = {
    "tls_ca": "the authorities that the coordinator's certificate is trusted from",
    "tls_cert": "its own certificate, for mutual TLS",
    "tls_key": "the key of that",
    "token_file": "its bearer token; the file is read again once it has changed",
}

_log = logging.getLogger("coordinator_service.telemetry")


def run(arguments: Sequence[str]) -> int:
    """The command; returns its exit code."""
    given = _parser().parse_args(arguments)
    log_lines.begin(given.log_level, given.log_format)
    try:
        asyncio.run(_export(given))
    except (CollectorFault, Misused) as fault:
        print(f"{PROGRAM} telemetry: {fault}", file=sys.stderr)
        return MISUSED
    except CannotListenHttp as fault:
        print(f"{PROGRAM} telemetry: {fault}", file=sys.stderr)
        return CANNOT_LISTEN
    return STOPPED


class Misused(Exception):  # noqa: N818 (it says what happened)
    """An argument or a file that it names cannot be used."""


def _coordinator(given: argparse.Namespace) -> Coordinator:
    """As whom it is asked: what the options of the clients say, with the same variables behind them. Raises Misused."""
    from concert import InvalidArgument, credentials_from_environment, token_file

    said = {variable: getattr(given, option) for option, variable in _CREDENTIALS.items() if getattr(given, option)}
    environment = {**os.environ, **said}
    file = environment.get(_CREDENTIALS["token_file"])
    read = token_file(file) if file else None

    def token() -> str:
        assert read is not None
        try:
            return read()
        except InvalidArgument as fault:
            raise Unavailable(str(fault)) from None

    try:
        tls = credentials_from_environment(environment)["credentials"]
        credentials = None if tls is None else tls.channel_credentials()
        if read is not None:
            read()
    except InvalidArgument as fault:
        raise Misused(str(fault)) from None
    if read is not None and credentials is None and not is_loopback(given.coordinator):
        raise Misused(f"a token is not sent to {given.coordinator} in plain text: give --tls-ca")
    return Coordinator(given.coordinator, credentials, None if read is None else token)


async def _export(given: argparse.Namespace) -> None:
    collector = collector_from()
    if collector is None:
        raise CollectorFault("nothing to do: OTEL_EXPORTER_OTLP_ENDPOINT names no collector, or tracing is off")
    coordinator = _coordinator(given)
    exports = RemoteExports(coordinator, collector, Sampling.from_environment(), _PACE)
    http = await _serve_metrics(exports, given.metrics_listen)
    running = asyncio.create_task(exports.run())
    asked = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, asked.set)
    _log.info("exporting decisions of %s to %s", coordinator.address, collector.target)
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
    for option, variable in _CREDENTIALS.items():
        name = f"--{option.replace('_', '-')}"
        parser.add_argument(name, metavar="FILE", help=f"{_MEANINGS[option]} (${variable})")
    parser.add_argument(
        "--metrics-listen", default="", metavar="HOST:PORT", help="serve /metrics of the export; none: not served"
    )
    parser.add_argument("--log-level", default="info", choices=("debug", "info", "warning", "error"))
    parser.add_argument("--log-format", default="text", choices=("text", "json"))
    return parser
