"""Rounds: the same load on a ceiling and on Concert, in turn, so that both meet the same weather."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from benchmarks import servers
from benchmarks.figure import Sample
from benchmarks.load import Load, put
from benchmarks.servers import Server
from benchmarks.settings import Settings


def interleaved(
    settings: Settings, name: str, load: Load, value: str = "rate", *, answers: bool = False
) -> Iterator[Sample]:
    """A sample a round. `load` has neither address nor namespace yet; `value` is what of its outcome counts; `answers`
    has the ceiling answer every command instead of echoing frames.
    """
    with servers.ceiling(settings.loop, answers=answers) as bare, servers.concert(settings.loop) as coordinator:
        for number in range(settings.rounds):
            namespace = settings.namespace(name, number)
            above = put_on(bare, dataclasses.replace(load, namespace=namespace, echoed=True), settings.loop)
            below = put_on(coordinator, dataclasses.replace(load, namespace=namespace), settings.loop)
            yield sample(below, above, value)


def put_on(server: Server, load: Load, loop: str) -> dict[str, Any]:
    """Puts a load on a server, and adds the server's CPU time for each answer, in µs."""
    before = server.cpu_seconds()
    measured = put(dataclasses.replace(load, address=server.address), loop)
    spent = server.cpu_seconds() - before
    return {**measured, "server_cpu_us": spent * 1e6 / max(1, measured["total"])}


def sample(concert: dict[str, Any], ceiling: dict[str, Any], value: str) -> Sample:
    """One round, with all that both sides told."""
    details = {"concert_measured": concert, "ceiling_measured": ceiling}
    return Sample(concert=concert[value], ceiling=ceiling[value], details=details)
