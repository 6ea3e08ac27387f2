"""The export of a coordinator's logs from a process of its own (T1)."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import concert
import pytest

from coordinator_service.core.rejections import CursorCompacted, LogMismatch, NotFound, Unavailable
from coordinator_service.telemetry.log_export import SUBSCRIPTION
from coordinator_service.telemetry.remote_log import Coordinator, RemoteLog
from coordinator_service.telemetry_command import Misused, _coordinator, _parser
from tests.rpc.serving import serving
from tests.security.authority import Authority
from tests.security.secured import OWN, peer_of, secured, token_of

from .logs import platform_sequences
from .receiver import Receiver


@asynccontextmanager
async def coordinator(server: Any) -> AsyncIterator[Coordinator]:
    """As an exporter sees it."""
    connected = Coordinator(server.address)
    try:
        yield connected
    finally:
        await connected.close()


async def exporting(address: str, *options: str) -> asyncio.subprocess.Process:
    """The exporter, as it is started."""
    command = (sys.executable, "-m", "coordinator_service", "telemetry", "--coordinator", address, *options)
    return await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)


async def log_of(connected: Coordinator, namespace: str = "default") -> RemoteLog:
    """The log of a namespace."""
    async for each in connected.namespaces():
        if each.namespace == namespace:
            return RemoteLog(connected, namespace, each.log_id, each.last_sequence)
    raise AssertionError(f"no namespace {namespace}")


async def test_it_exports_every_namespace_and_leaves_its_cursor_at_the_end(receiver: Receiver, tmp_path: Path) -> None:
    """T1: those too that are made while it runs; when it is told to stop it has acknowledged all that it exported."""
    async with serving(tmp_path, tracing="elsewhere") as server, concert.connect(server.address) as client:
        await client.state.update({"a": 1})
        process = await exporting(server.address)
        wanted = await platform_sequences(client)
        await receiver.until(lambda: {each.sequence for each in receiver.decisions()} >= wanted)
        async with concert.connect(server.address, namespace="later") as other:
            revision = await other.state.update({"b": 1})
        await receiver.until(lambda: any(each.sequence == revision for each in receiver.decisions("later")))
        process.send_signal(signal.SIGTERM)
        _, said = await process.communicate()
        assert process.returncode == 0, said.decode()
        exported = max(each.sequence for each in receiver.decisions())
        [cursor] = [each for each in await client.subscriptions.list() if each.name == SUBSCRIPTION]
        assert cursor.cursor.sequence >= exported


async def test_it_says_who_it_is(receiver: Receiver, tmp_path: Path) -> None:
    """T1: where callers are authenticated: TLS and a token, with the role agent for its cursors."""
    authority = Authority()
    certificate, key = authority.issue(hosts=["localhost", "127.0.0.1"]).write(tmp_path, "server")
    ca, token = tmp_path / "ca.pem", tmp_path / "token"
    ca.write_bytes(authority.certificate)
    token.write_text(token_of("agent"))
    options = {"tls_certificate": certificate, "tls_private_key": key, "tracing": "elsewhere"}
    async with secured(tmp_path, **options) as server:
        credentials = authority.credentials()
        async with peer_of(server, "agent", credentials=credentials) as agent:
            sequence = (await agent.update("k", namespace=OWN)).revision
            process = await exporting(server.address, "--tls-ca", str(ca), "--token-file", str(token))
            await receiver.until(lambda: any(each.sequence == sequence for each in receiver.decisions(OWN)))
            process.terminate()
            _, said = await process.communicate()
            assert process.returncode == 0, said.decode()


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (("--token-file", __file__, "--coordinator", "192.0.2.1:7420"), "in plain text"),
        (("--token-file", "/nowhere"), "cannot be read"),
        (("--tls-cert", __file__), "go together"),
    ],
)
async def test_what_it_cannot_show_is_refused_at_the_start(given: tuple[str, ...], why: str) -> None:
    """A token in plain text to another machine, too."""
    with pytest.raises(Misused, match=why):
        _coordinator(_parser().parse_args(given))


async def test_it_says_how_it_does(receiver: Receiver, tmp_path: Path) -> None:
    """M2: the counts of spans and the lag, for the same alerts; nothing is said of a coordinator's own figures."""
    async with serving(tmp_path, tracing="elsewhere") as server:
        process = await exporting(server.address, "--metrics-listen", "127.0.0.1:0")
        assert process.stderr is not None
        async for line in process.stderr:
            if b"metrics on " in line:
                break
        await receiver.until(lambda: receiver.decisions())
        url = line.decode().split("metrics on ")[1].strip()
        async with aiohttp.ClientSession() as session:
            text = ""
            while 'concert_span_lag_events{namespace="default"} 0.0' not in text:
                async with session.get(f"{url}/metrics") as response:
                    text = await response.text()
        assert "concert_spans_exported_total" in text
        assert "concert_namespace_up" not in text
        process.terminate()
        await process.communicate()


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        ((), 2, "names no collector"),
        (("--what",), 2, "--what"),
    ],
)
async def test_what_cannot_be_used_is_said(arguments: tuple[str, ...], code: int, says: str) -> None:
    """In one line, with an exit code."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    command = (sys.executable, "-m", "coordinator_service", "telemetry", *arguments)
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE, env=environment)
    _, said = await process.communicate()
    assert (process.returncode, len(said.splitlines())) == (code, 1)
    assert says in said.decode()


async def test_a_log_is_read_in_order_without_a_gap(tmp_path: Path) -> None:
    """E2: from any position, and further when it is heard to have grown."""
    async with (
        serving(tmp_path, tracing="off") as server,
        concert.connect(server.address) as client,
        coordinator(server) as connected,
    ):
        async with client.session() as session:
            for _ in range(12):
                await session.publish_many([concert.draft("x", "y" * 50) for _ in range(1_000)])
        log = await log_of(connected)
        follower = await log.follow(7)
        first = await follower.read(events_max=10)
        assert [each.sequence for each in first] == list(range(8, 18))
        assert follower.ready()
        last = (await log.ends()).last_sequence
        seen = 17
        while seen < last:
            for each in await follower.read():
                seen += 1
                assert each.sequence == each.event.sequence == seen
        assert not follower.ready()
        reading = asyncio.create_task(follower.read())
        revision = await client.state.update({"more": 1})
        log.heard(revision)
        assert [each.sequence for each in await reading] == [last + 1]
        follower.close()


async def test_what_is_wrong_with_a_position_is_told(tmp_path: Path) -> None:
    """E4: an export tells a log that was cut from one that was replaced, and from a coordinator that is gone."""
    async with serving(tmp_path, tracing="off") as server, coordinator(server) as connected:
        log = await log_of(connected)
        with pytest.raises(NotFound):
            await log.named_subscription("none")
        follower = await log.follow(0, "another-log")
        with pytest.raises(LogMismatch):
            await follower.read()
        follower.close()
        made, _ = await log.create_subscription(SUBSCRIPTION, 0, log.log_id, SUBSCRIPTION)
        assert made.sequence == 0
        assert (await log.acknowledge(SUBSCRIPTION, log.log_id, 1, reset=False)).sequence == 1
        assert (await log.named_subscription(SUBSCRIPTION)).sequence == 1
        follower = await log.follow(log.last_sequence)
        reading = asyncio.create_task(follower.read())
        await server.stop()
        log.heard(log.last_sequence + 1)
        with pytest.raises(Unavailable):
            await reading
        with pytest.raises(Unavailable):
            await log.ends()
        follower.close()


async def test_a_log_that_was_cut_says_where_it_begins(tmp_path: Path) -> None:
    """E4: and so an export knows how many spans it lost."""
    bounds = {
        "log_events_max": 50,
        "snapshot_events": 50,
        "trim_interval_ms": 50,
        "request_window_ms": 1,
        "tail_bytes_max": 1,
    }
    async with (
        serving(tmp_path, event_store="sqlite", tracing="off", **bounds) as server,
        concert.connect(server.address) as client,
        coordinator(server) as connected,
    ):
        log = await log_of(connected)
        number = 0
        while (await log.ends()).oldest_sequence == 1:
            number += 1
            await client.state.update({"k": number})
        follower = await log.follow(0)
        with pytest.raises(CursorCompacted) as cut:
            await follower.read()
        assert cut.value.oldest_sequence > 1
        follower.close()
