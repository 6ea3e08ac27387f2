"""How much: what one principal may have, and what holds before anybody is known."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import pytest
from concert.v1 import event_service_pb2, lock_service_pb2
from google.rpc import code_pb2
from pydantic import ValidationError

from coordinator_service.config import Settings
from coordinator_service.core.rejections import LimitReached
from coordinator_service.security.quotas import ENVELOPE_BYTES, Tally
from coordinator_service.security.roles import PrincipalLimits
from tests.rpc.peer import acquire, refused
from tests.rpc.serving import serving
from tests.rpc.test_session_stream import Peer as SessionPeer
from tests.security.secured import (
    ACCESS,
    OWN,
    WAIT_SECONDS_MAX,
    bearer,
    peer_of,
    secured,
    stream_refusal,
    token_of,
    until,
    verdict,
)
from tests.security.test_identity import INFO

SECOND_NS = 1_000_000_000


def limited(**limits: int) -> str:
    """An access file that limits the agent, and nobody else."""
    said = ", ".join(f"{name}: {value}" for name, value in limits.items())
    return f"{ACCESS}limits:\n  - {{principals: [agent], {said}}}\n"


def test_a_rate_is_a_bucket_that_fills() -> None:
    """As many at once as the burst, then as they come in; what was refused took nothing."""
    tally = Tally(PrincipalLimits(calls_per_second=10, calls_burst_max=3), 0)
    for _ in range(3):
        tally.begin_call(0)
    for _ in range(5):
        with pytest.raises(LimitReached) as refused_:
            tally.begin_call(0)
    assert refused_.value.retry_after_ms == 100
    tally.begin_call(SECOND_NS // 10)
    with pytest.raises(LimitReached):
        tally.begin_call(SECOND_NS // 10)
    assert tally.calls == 4


async def test_calls_beyond_the_rate_are_refused(tmp_path: Path) -> None:
    """RESOURCE_EXHAUSTED with the limit's name and when to try again; those of others are not."""
    async with secured(tmp_path, access=limited(calls_per_second=1, calls_burst_max=2)) as server:
        async with peer_of(server, "agent") as agent, peer_of(server, "rival") as rival:
            told = [verdict(agent.monitor.GetServerInfo(INFO)) for _ in range(8)]
            assert "RESOURCE_EXHAUSTED" in await asyncio.gather(*told)

            async def refusal() -> Any:
                try:
                    await agent.monitor.GetServerInfo(INFO)
                except grpc.aio.AioRpcError as error:
                    return error

            assert await until(refusal)
            refusal_ = await refused(_until_refused(agent))
            assert "principal calls_per_second" in refusal_.message
            assert refusal_.details["RetryInfo"].retry_delay.ToMilliseconds() > 0
            assert await verdict(rival.monitor.GetServerInfo(INFO)) == "OK"


async def _until_refused(peer: Any) -> None:
    async with asyncio.timeout(WAIT_SECONDS_MAX):
        while True:
            await peer.monitor.GetServerInfo(INFO)


async def test_a_session_beyond_the_rate_is_read_more_slowly(tmp_path: Path) -> None:
    """Nothing of it is refused: every command is answered, in its time."""
    async with secured(tmp_path, access=limited(calls_per_second=50, calls_burst_max=5)) as server:
        async with peer_of(server, "agent") as agent:
            session = SessionPeer(agent.channel)
            await session.hello("agent-1", namespace=OWN)
            began = asyncio.get_running_loop().time()
            for _ in range(30):
                assert (await session.ask(publish={"events": [{"custom": {"name": "x"}}]})).HasField("publish")
            assert asyncio.get_running_loop().time() - began > 0.3


async def test_what_is_open_at_a_time_is_limited(tmp_path: Path) -> None:
    """Calls, sessions, subscriptions, namespaces; what has ended makes room."""
    access = limited(calls_open_max=3, sessions_max=1, subscriptions_max=1, namespaces_max=1).replace(
        "namespaces: [own]}\n  - {principals: [operator]", "namespaces: ['*']}\n  - {principals: [operator]"
    )
    async with secured(tmp_path, access=access) as server, peer_of(server, "agent") as agent:
        await agent.publish("x", namespace=OWN)
        assert "namespaces_max" in (await refused(agent.publish("x", namespace="second"))).message
        request = event_service_pb2.SubscribeRequest(namespace=OWN)
        follows = agent.events.Subscribe(request)
        assert await follows.read()
        assert "subscriptions_max" in (await stream_refusal(agent.events.Subscribe(request))).message
        session, other = SessionPeer(agent.channel), SessionPeer(agent.channel)
        await session.hello("agent-1", namespace=OWN)
        assert (await other.refusal())[0] is grpc.StatusCode.RESOURCE_EXHAUSTED
        await agent.acquire("bucket", namespace=OWN, holder="one")
        waits = asyncio.ensure_future(agent.locks.Acquire(acquire("bucket", wait_seconds=60, namespace=OWN)))

        async def full() -> bool:
            return await verdict(agent.monitor.GetServerInfo(INFO)) == "RESOURCE_EXHAUSTED"

        await until(full)
        waits.cancel()
        follows.cancel()

        async def room() -> bool:
            again = agent.events.Subscribe(request)
            try:
                return bool(await again.read())
            except grpc.aio.AioRpcError:
                return False
            finally:
                again.cancel()

        await until(room)


# Before anybody is known.


@pytest.mark.parametrize(("size", "allowed"), [(7_000, True), (20_000, False)])
async def test_metadata_has_a_limit(tmp_path: Path, size: int, allowed: bool) -> None:
    """Up to it a call is served; beyond it the transport refuses it."""
    async with serving(tmp_path, metadata_bytes_max=8 * 1024) as server, peer_of(server) as peer:
        metadata = [(f"x-{number}", "y" * 1000) for number in range(size // 1000)]
        told = await verdict(peer.monitor.GetServerInfo(INFO, metadata=metadata))
        assert told == ("OK" if allowed else "RESOURCE_EXHAUSTED")


@pytest.mark.parametrize("opening", [b"", b"PRI * HTTP/2.0\r\n\r\nSM", b"GET / HTTP/1.1\r\n"])
async def test_a_connection_that_does_not_get_on_is_closed(tmp_path: Path, opening: bytes) -> None:
    """Slow loris: what does not speak HTTP/2 in time loses its connection; others are served meanwhile."""
    async with serving(tmp_path, handshake_ms_max=300) as server, peer_of(server) as peer:
        host, _, port = server.address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(opening)
        assert await verdict(peer.monitor.GetServerInfo(INFO)) == "OK"
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            while await reader.read(1024):
                pass
        writer.close()


async def test_connections_beyond_those_of_all_are_closed(tmp_path: Path) -> None:
    """Before a word is said: whoever connects is not known then. What has ended makes room."""
    async with serving(tmp_path, connections_max=2) as server:
        host, _, port = server.address.rpartition(":")
        idle = [await asyncio.open_connection(host, int(port)) for _ in range(2)]
        for reader, _ in idle:
            assert await reader.read(9)  # the server's settings: it is accepted
        async with peer_of(server) as peer:
            assert await verdict(peer.monitor.GetServerInfo(INFO, timeout=1)) in ("UNAVAILABLE", "DEADLINE_EXCEEDED")
        for _, writer in idle:
            writer.close()

        async def served() -> bool:
            async with peer_of(server) as peer:
                return await verdict(peer.monitor.GetServerInfo(INFO, timeout=10)) == "OK"

        await until(served)


def test_what_is_stored_is_a_bucket_that_fills_in_an_hour() -> None:
    """A request counts with what the coordinator stores around it; what was refused took nothing; a principal that owes
    is not forgotten, one whose hour is over is."""
    limit = 10 * (ENVELOPE_BYTES + 744)
    tally = Tally(PrincipalLimits(stored_bytes_per_hour=limit), 0)
    for _ in range(10):
        tally.store(744, 0)
    for _ in range(5):
        with pytest.raises(LimitReached, match="principal stored_bytes_per_hour") as refused_:
            tally.store(744, 0)
    assert refused_.value.retry_after_ms == 360_000
    tally.store(744, 360 * SECOND_NS)
    assert not tally.idle(3600 * SECOND_NS)
    assert tally.idle(2 * 3600 * SECOND_NS)
    with pytest.raises(LimitReached):
        tally.store(limit, 9 * 3600 * SECOND_NS)


async def test_what_a_principal_stores_is_limited(tmp_path: Path) -> None:
    """Unary and in a session, from one share; reads and giving up go on, others are not held up, and it is counted."""
    access = limited(stored_bytes_per_hour=4000)
    async with (
        secured(tmp_path, access=access, metrics_listen="127.0.0.1:0") as server,
        peer_of(server, "agent") as agent,
        peer_of(server, "rival") as rival,
        aiohttp.ClientSession() as http,
    ):
        session = SessionPeer(agent.channel)
        await session.hello("agent-1", namespace=OWN)
        held = await agent.acquire("bucket", namespace=OWN)
        large = {"updates": [{"key": "k", "value": {"string_value": "x" * 3000}}]}
        assert (await session.ask(update_state={"change": large})).HasField("update_state")
        refusal = await refused(agent.update("k", "y" * 3000, namespace=OWN))
        assert (refusal.code, refusal.reason) == ("RESOURCE_EXHAUSTED", "LIMIT_REACHED")
        assert refusal.details["QuotaFailure"].violations[0].subject == "principal stored_bytes_per_hour"
        assert refusal.details["RetryInfo"].retry_delay.ToMilliseconds() > 1000
        reply = await session.ask(update_state={"change": large})
        assert reply.error.code == code_pb2.RESOURCE_EXHAUSTED
        assert (await session.ask(get_state={"keys": ["k"]})).HasField("get_state")
        token = held.grants[0].fencing_token
        await agent.locks.Release(lock_service_pb2.ReleaseRequest(namespace=OWN, fencing_tokens=[token]))
        await rival.update("mine", "y" * 3000, namespace=OWN)
        await verdict(agent.update("k", namespace="other"))
        async with http.get(f"http://{server.metrics_address}/metrics") as response:
            told = await response.text()
        counts = {
            reason: f'concert_refusals_total{{reason="{reason}"}} {count}.0' in told
            for reason, count in (("quota", 2), ("permission_denied", 1), ("rate", 0), ("unauthenticated", 0))
        }
        assert all(counts.values()), told


async def test_a_quota_of_what_is_stored_that_is_new_counts_for_sessions_that_are_there(tmp_path: Path) -> None:
    """The access file is taken up as it changes."""
    async with secured(tmp_path) as server, peer_of(server, "agent") as agent:
        session = SessionPeer(agent.channel)
        await session.hello("agent-1", namespace=OWN)
        change = {"updates": [{"key": "k", "value": {"string_value": "x" * 1000}}]}
        assert (await session.ask(update_state={"change": change})).HasField("update_state")
        (tmp_path / "access.yaml").write_text(limited(stored_bytes_per_hour=100))
        server.reload()

        async def limited_now() -> bool:
            return (await session.ask(update_state={"change": change})).error.code == code_pb2.RESOURCE_EXHAUSTED

        await until(limited_now)


async def test_calls_beyond_those_of_all_are_refused(tmp_path: Path) -> None:
    """The transport answers RESOURCE_EXHAUSTED, and serves again when one has ended."""
    async with serving(tmp_path, calls_max=2) as server, peer_of(server) as peer:
        request = event_service_pb2.SubscribeRequest()
        calls = [peer.events.Subscribe(request) for _ in range(2)]
        for call in calls:
            assert await call.read()
        assert await verdict(peer.monitor.GetServerInfo(INFO)) == "RESOURCE_EXHAUSTED"
        for call in calls:
            call.cancel()

        async def served() -> bool:
            return await verdict(peer.monitor.GetServerInfo(INFO)) == "OK"

        await until(served)


# The page.


async def test_the_page_is_for_those_that_may_view(tmp_path: Path) -> None:
    """Health is open; the page asks for a token, as a password too, and shows a namespace to its viewers alone."""
    async with secured(tmp_path, web_listen="127.0.0.1:0") as server, aiohttp.ClientSession() as session:

        async def status(path: str, **headers: str) -> int:
            async with session.get(f"http://{server.web_address}{path}", headers=headers) as response:
                return response.status

        def token(principal: str) -> dict[str, str]:
            return {"Authorization": bearer(token_of(principal))[0][1]}

        assert [await status(path) for path in ("/health", "/", "/live?topic=view%3Doverview&namespace=own")] == [
            200,
            401,
            401,
        ]
        assert await status("/", **token("viewer")) == 200
        assert await status("/", Authorization=aiohttp.encode_basic_auth("me", token_of("viewer"))) == 200
        assert await status("/", Authorization=aiohttp.encode_basic_auth("me", "wrong")) == 401
        assert await status("/", Authorization="Basic !") == 401
        for path in ("/events?topic=view%3Devents&before=9", "/event?sequence=1", "/live?topic=view%3Doverview"):
            assert await status(f"{path}&namespace=other", **token("viewer")) == 403
        assert await status("/event?sequence=1&namespace=own", **token("viewer")) == 404
        live = f"http://{server.web_address}/live?topic=view%3Doverview&namespace=own"
        async with peer_of(server, "agent") as agent:
            await agent.publish("x", namespace=OWN)
        async with session.get(live, headers=token("viewer")) as response:
            assert response.status == 200
            told = b""
            while b'"namespaces":' not in told:
                told += await response.content.readany()
            assert b'"namespaces":[]' in told
            (tmp_path / "tokens.yaml").write_text("tokens: []\n")

            async def read_on() -> None:
                while await response.content.readany():
                    pass
                raise aiohttp.ClientPayloadError("it ended")

            with pytest.raises((aiohttp.ClientError, ConnectionError)):
                await asyncio.wait_for(read_on(), WAIT_SECONDS_MAX)


# What is refused at the start.


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"listen": "0.0.0.0:0"}, "plain text"),
        ({"listen": "[::]:0"}, "plain text"),
        ({"tls_certificate": "a.pem"}, "go together"),
        ({"tls_client_ca": "a.pem"}, "needs tls_certificate"),
        ({"token_hashes_file": "a.yaml"}, "access_file is missing"),
        ({"access_file": "a.yaml"}, "else nobody is known"),
        ({"jwt_keys": "a.json", "access_file": "a.yaml"}, "jwt_issuer"),
        ({"jwt_keys": "http://issuer.example/keys"}, "must be https"),
        ({"jwt_algorithms": "HS256"}, "must be some of"),
        ({"jwt_algorithms": "none"}, "must be some of"),
        ({"web_hosts": "board.example:80"}, "without ports"),
        ({"web_hosts": "*"}, "names of machines"),
        ({"access_file": "a", "token_hashes_file": "b", "event_store": "redis"}, "cluster_secret_file"),
    ],
)
def test_what_would_not_be_safe_is_refused_at_the_start(given: dict[str, Any], said: str) -> None:
    """A configuration that says half of it, or that lets in more than it seems to."""
    with pytest.raises(ValidationError, match=said):
        Settings(**given)


def test_plain_text_elsewhere_is_asked_for_by_name() -> None:
    """And on the loopback address it needs not be."""
    assert Settings(listen="0.0.0.0:0", allow_plaintext=True).listen == "0.0.0.0:0"
    assert Settings(listen="localhost:0").allow_plaintext is False


ROWS = {
    "grants: []\nother: 1\n": "there is no field",
    "limits: []\n": "must have grants",
    "grants: [{principals: [a], namespaces: [b]}]\n": "role: must be given",
    "grants: [{principals: [a], namespaces: [b], role: root}]\n": "must be viewer, agent, operator or admin",
    "grants: [{principals: a, namespaces: [b], role: agent}]\n": "must be a list",
    "grants: [{principals: ['*****'], namespaces: [b], role: agent}]\n": "more than 4 stars",
    "grants: [{principals: [a], namespaces: [b], role: viewer, agents: [c]}]\n": "a viewer is no agent",
    "grants: []\nlimits: [{principals: [a], sessions_max: 0}]\n": "a whole number from 1",
}


@pytest.mark.parametrize("text", ROWS)
def test_a_bad_access_file_is_named_by_line_and_field(text: str) -> None:
    """So that a slip of the pen grants nothing."""
    from coordinator_service.access_file import parse
    from coordinator_service.yaml_nodes import FileFault

    with pytest.raises(FileFault, match=ROWS[text]):
        parse([text.encode()])


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("{principal: a}", "sha256: must be given"),
        ("{principal: a, sha256: my-secret-token}", "must be the SHA-256"),
        (f"{{principal: '', sha256: {'a' * 64}}}", "is empty"),
        (f"{{principal: a, sha256: {'a' * 64}, expires: soon}}", "must be a time"),
        (f"{{principal: a, sha256: {'a' * 64}, expires: '2027-01-01T00:00:00'}}", "with its zone"),
    ],
)
def test_a_bad_token_file_is_named_and_not_repeated(row: str, said: str) -> None:
    """A token that was written where its hash should be is not in the log."""
    from coordinator_service.token_file import parse
    from coordinator_service.yaml_nodes import FileFault

    with pytest.raises(FileFault, match=said) as caught:
        parse([f"tokens: [{row}]\n".encode()])
    assert "secret" not in str(caught.value)
