"""`concert monitor`: a screen that shows what goes on in a namespace, and what stands in whose way."""

from __future__ import annotations

import asyncio
import os
import sys
import termios
import tty
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from typing import Annotated, Any

import typer
from rich.live import Live

import concert
from concert.cli.command import Call, command
from concert.cli.monitor_reading import Reading
from concert.cli.monitor_screen import MonitorScreen
from concert.cli.plain_values import plain
from concert.cli.words import duration

PICTURES_PER_SECOND = 4
INTERVAL_SECONDS_MIN = 0.2
EVENTS_BEFORE = 100


def register(app: typer.Typer) -> None:
    """Adds the command."""
    command(app, "monitor")(monitor)


async def monitor(
    call: Call,
    once: Annotated[bool, typer.Option("--once", help="Print it once and end.")] = False,
    interval: Annotated[
        float, typer.Option("--interval", metavar="DURATION", help="Between two readings.", parser=duration)
    ] = 1.0,
) -> None:
    """Shows what goes on: health, runs, agents, locks and their queues, what waits and why, failures, events.

    Live on a terminal, until q or Ctrl-C. Elsewhere, and with --output json, it is printed once.
    """
    async with call.connect() as client:
        reading = Reading(call.place.address, call.place.namespace or "default")
        await reading.read(client)
        reading.remember(reversed(await client.events.list(descending=True, limit=EVENTS_BEFORE)))
        if not call.printer.for_people:
            call.printer.value({name: plain(each) for name, each in reading.messages().items()})
        elif once or not call.printer.live:
            call.printer.console.print(MonitorScreen(reading, whole=True))
        else:
            await _live(call, client, reading, max(interval, INTERVAL_SECONDS_MIN))


async def _live(call: Call, client: concert.Client, reading: Reading, interval: float) -> None:
    screen = MonitorScreen(reading)
    live = Live(screen, console=call.printer.console, screen=True, refresh_per_second=PICTURES_PER_SECOND)
    quitting = asyncio.Event()
    with live, _keys(quitting):
        tasks = [
            asyncio.create_task(_read(client, reading, interval)),
            asyncio.create_task(_follow(client, reading)),
            asyncio.create_task(quitting.wait()),
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()


async def _read(client: concert.Client, reading: Reading, interval: float) -> None:
    """Reads again and again; a coordinator that is gone is told on the screen, and asked again."""
    while True:
        await asyncio.sleep(interval)
        try:
            await reading.read(client)
            reading.fault = ""
        except concert.ConcertError as error:
            reading.fault = str(error)


async def _follow(client: concert.Client, reading: Reading) -> None:
    while True:
        try:
            subscription = client.subscribe(after=reading.sequence)
            async with subscription, aclosing(subscription.batches()) as batches:
                async for events in batches:
                    reading.remember(events)
        except (concert.CursorCompacted, concert.LogMismatch, concert.CursorInFuture):
            reading.sequence = None  # another log, or one that was cut: what comes from now on is shown
        except concert.Unavailable as error:
            reading.fault = str(error)
            await asyncio.sleep(1)


@contextmanager
def _keys(quitting: asyncio.Event) -> Iterator[None]:
    """Keys count at once, without Enter, and are not shown; the terminal is as before afterwards."""
    loop = asyncio.get_running_loop()
    if not sys.stdin.isatty():
        yield
        return
    descriptor = sys.stdin.fileno()
    before: Any = termios.tcgetattr(descriptor)

    def pressed() -> None:
        if os.read(descriptor, 64).lower() in (b"q", b"\x1b", b"\x04", b""):
            quitting.set()

    tty.setcbreak(descriptor)
    loop.add_reader(descriptor, pressed)
    try:
        yield
    finally:
        loop.remove_reader(descriptor)
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
