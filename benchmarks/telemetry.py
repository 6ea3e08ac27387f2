"""What tracing costs a coordinator, and how fast an exporter of its own is, in CPU time: neighbours do not lengthen it.

Runs of empty tasks, one after another, on coordinators that differ in what they trace: nothing, one trace in a hundred,
everything; the exporter in the coordinator's own process, or elsewhere. All that a coordinator does until the last
span has left counts.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
from concert.v1 import event_service_pb2, event_service_pb2_grpc

from benchmarks import collector, past, servers
from benchmarks.figure import Figure, Sample, Target
from benchmarks.load import Load
from benchmarks.rounds import put_on
from benchmarks.servers import Server
from benchmarks.settings import Settings

TASKS = 150
EVENTS = 60_000
"""Of the log that an exporter of its own is measured on."""
SETTLE_SECONDS = 2.5
"""After this the cursor of an export that has nothing left to do is at the end of its log."""
SETTLE_SECONDS_MAX = 120.0
SUBSCRIPTION = "concert.telemetry"
UNTRACED = "tracing off"

_ALL = {"OTEL_TRACES_SAMPLER": "parentbased_always_on"}
_HUNDREDTH = {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.01"}


def measure(settings: Settings) -> list[Figure]:
    """CPU of the coordinator for each task, beside one that traces nothing; spans a second of an exporter."""
    with servers.serving("benchmarks.collector", []) as receiving:
        return [*_measure_added(settings, receiving), _measure_exporter(settings, receiving)]


def _measure_added(settings: Settings, receiving: Server) -> list[Figure]:
    figures = [
        _figure("traces sampled at 1 %", Target(floor=1.03, goal=1.01, lower_is_better=True)),
        _figure("all traces", Target(floor=1.10, goal=1.05, lower_is_better=True)),
        _figure("all traces, exported elsewhere", None),
    ]
    ways = (_HUNDREDTH, _ALL, {**_ALL, "CONCERT_TRACING": "elsewhere"})
    with contextlib.ExitStack() as stack:
        untraced = stack.enter_context(_coordinator(settings, {"CONCERT_TRACING": "off"}))
        traced = [stack.enter_context(_coordinator(settings, {**_endpoint(receiving), **way})) for way in ways]
        stack.enter_context(_exporter(traced[-1], receiving))
        for number in range(settings.rounds):
            load = Load(
                kind="chain", address="", namespace="default", prefix=f"telemetry-{number}", seconds=0, tasks=TASKS
            )
            beside = _cpu_us(untraced, load, settings.loop)
            for figure, server in zip(figures, traced, strict=True):
                figure.samples.append(Sample(concert=_cpu_us(server, load, settings.loop), ceiling=beside))
    return figures


def _figure(way: str, target: Target | None) -> Figure:
    return Figure(name=f"telemetry, {way}", unit="µs of CPU a task", ceiling=UNTRACED, target=target)


def _cpu_us(server: Server, load: Load, loop: str) -> float:
    """CPU of a server for a task, the export of its spans included."""
    before = server.cpu_seconds()
    put_on(server, dataclasses.replace(load, address=server.address), loop)
    time.sleep(SETTLE_SECONDS)
    _settled(server.address)
    return (server.cpu_seconds() - before) * 1e6 / load.tasks


def _settled(address: str) -> None:
    """Waits until the export of a log, where there is one, is at its end."""
    with grpc.insecure_channel(address) as channel:
        stub = event_service_pb2_grpc.EventServiceStub(channel)
        give_up_at = time.monotonic() + SETTLE_SECONDS_MAX
        while time.monotonic() < give_up_at:
            page = stub.ListSubscriptions(event_service_pb2.ListSubscriptionsRequest())
            if not any(each.name == SUBSCRIPTION and each.lag_events for each in page.subscriptions):
                return
            time.sleep(SETTLE_SECONDS / 5)
    raise servers.ServerFailed(f"spans of the coordinator at {address} did not leave")


def _measure_exporter(settings: Settings, receiving: Server) -> Figure:
    """On the past of core decisions, all of it to be exported."""
    figure = Figure(
        name="telemetry, exporter of its own",
        unit="spans/s on one core",
        target=Target(floor=3_000, goal=8_000, of="concert"),
    )
    for _ in range(settings.rounds):
        with tempfile.TemporaryDirectory(prefix="concert-bench-", dir=servers.disk()) as directory:
            past.write(Path(directory), EVENTS)
            with (
                _coordinator(settings, {**_ALL, "CONCERT_TRACING": "elsewhere"}, Path(directory)) as coordinator,
                _exporter(coordinator, receiving) as exporter,
            ):
                before = collector.count(receiving.address)
                time.sleep(SETTLE_SECONDS)
                _exported(coordinator.address)
                spans = collector.count(receiving.address) - before
                seconds = exporter.cpu_seconds()
        figure.samples.append(Sample(concert=spans / seconds, details={"spans": spans, "cpu_seconds": seconds}))
    return figure


def _exported(address: str) -> None:
    """Waits until there is an export, and until it is at its end."""
    with grpc.insecure_channel(address) as channel:
        stub = event_service_pb2_grpc.EventServiceStub(channel)
        give_up_at = time.monotonic() + SETTLE_SECONDS_MAX
        while time.monotonic() < give_up_at:
            page = stub.ListSubscriptions(event_service_pb2.ListSubscriptionsRequest())
            if any(each.name == SUBSCRIPTION for each in page.subscriptions):
                _settled(address)
                return
            time.sleep(0.2)
    raise servers.ServerFailed(f"nothing exports the spans of the coordinator at {address}")


def _endpoint(receiving: Server) -> dict[str, str]:
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{receiving.address}"}


@contextlib.contextmanager
def _coordinator(settings: Settings, environment: dict[str, str], data: Path | None = None) -> Iterator[Server]:
    with contextlib.ExitStack() as stack:
        if data is None:
            data = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="concert-bench-", dir=servers.disk())))
        arguments = ["--listen", "127.0.0.1:0", "--data-dir", str(data)]
        given = {"CONCERT_EVENT_LOOP": settings.loop, **environment}
        yield stack.enter_context(servers.serving("coordinator_service", arguments, given))


@contextlib.contextmanager
def _exporter(coordinator: Server, receiving: Server) -> Iterator[Server]:
    command = [sys.executable, "-m", "coordinator_service", "telemetry", "--coordinator", coordinator.address]
    environment = {**os.environ, **_ALL, **_endpoint(receiving)}
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    try:
        yield Server(process, "")
    finally:
        servers.stop(process)
