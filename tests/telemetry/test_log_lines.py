"""The coordinator's own log."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from pathlib import Path
from typing import Any

import concert
import pytest

from coordinator_service.telemetry.log_lines import DECISIONS, JsonLines
from tests.coordinator_process import coordinator_process
from tests.rpc.serving import serving


def line(message: str, *arguments: Any, failure: bool = False) -> Any:
    """A record as it is written."""
    error = None
    if failure:
        try:
            raise ValueError(message)
        except ValueError:
            error = sys.exc_info()
    record = logging.LogRecord("some.where", logging.WARNING, __file__, 1, message, arguments, error)
    written = JsonLines().format(record)
    assert "\n" not in written
    written.encode()
    return json.loads(written)


@pytest.mark.parametrize("text", ['quotes " and \\', "line\nbreak", "<script>", "ünï", "\ud800 half", "x" * 1_048_576])
def test_whatever_is_logged_is_one_line_of_json(text: str) -> None:
    """T1: what was said comes back, and an attacker's line break begins no line."""
    said = line("it said %s", text)
    assert said["message"] == f"it said {text}".encode(errors="replace").decode()
    assert (said["level"], said["logger"]) == ("warning", "some.where")


def test_a_failure_is_logged_with_its_stack() -> None:
    """T1: in the same line."""
    assert "ValueError: broken" in line("broken", failure=True)["exception"]


async def test_at_debug_every_decision_is_a_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """T1: with namespace, sequence, reason and trace."""
    caplog.set_level(logging.DEBUG, DECISIONS)
    async with serving(tmp_path) as server, concert.connect(server.address) as client:
        revision = await client.state.update({"a": 1})
        [event] = [each for each in await client.events.list() if each.sequence == revision]
        while not (lines := [each.concert for each in caplog.records if each.name == DECISIONS]):  # noqa: ASYNC110 (nothing tells)
            await asyncio.sleep(0.01)
        while lines[-1]["sequence"] < revision:
            await asyncio.sleep(0.01)
            lines = [each.concert for each in caplog.records if each.name == DECISIONS]
    assert [each["sequence"] for each in lines] == list(range(1, len(lines) + 1))
    said = lines[revision - 1]
    assert (said["namespace"], said["event"], said["reason"]) == ("default", "STATE_UPDATED", event.reason)


async def test_at_info_it_is_quiet(tmp_path: Path) -> None:
    """T1: decisions are not logged, whatever their number; what is logged is JSON where that is asked for."""
    with coordinator_process(tmp_path, options=["--log-format", "json"]) as process:
        async with concert.connect(process.address) as client:
            for number in range(50):
                await client.state.update({"k": number})
        process.terminate()
        lines = [json.loads(each) for each in (tmp_path / "coordinator.log").read_text().splitlines()]
    assert 0 < len(lines) < 10
    assert {"time", "level", "logger", "message"} <= lines[0].keys()
