"""What the page does for operators, over HTTP: by the roles of the contract, and for nobody but the page itself."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import pytest
import pytest_asyncio
from concert.v1 import event_service_pb2

from coordinator_service.security.static_tokens import hash_of
from coordinator_service.server import CoordinatorServer
from coordinator_service.web.same_origin import TOKEN_SECONDS, PageTokens
from tests.rpc.peer import Peer
from tests.rpc.serving import serving
from tests.rpc.test_session_stream import Peer as SessionPeer
from tests.security.secured import ACCESS, OWN, POLL_SECONDS, known_as, peer_of, secured, token_of, until

from .acts import ACTS, CANCEL, DRAIN, RELEASE, RETRY, Answer, Script

pytestmark = pytest.mark.asyncio(loop_scope="module")
PAGE = "127.0.0.1:0"
_numbers = itertools.count(1)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[CoordinatorServer]:
    """One that wants to know who calls."""
    async with secured(tmp_path_factory.mktemp("acting"), web_listen=PAGE) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def agent(server: CoordinatorServer) -> AsyncIterator[Peer]:
    async with peer_of(server, "agent") as peer:
        yield peer


@pytest.fixture
def operator(server: CoordinatorServer, session: aiohttp.ClientSession) -> Script:
    return Script(session, server, "operator")


async def a_run(peer: Peer, namespace: str = OWN) -> str:
    """The id of a run that waits for ever."""
    run_id = f"waiting-{next(_numbers)}"
    await peer.submit("page", namespace=namespace, run_id=run_id)
    return run_id


async def event_of(peer: Peer, answer: Answer) -> Any:
    """The event that an act led to."""
    assert answer.status == 200, answer.body
    asked = event_service_pb2.GetEventRequest(namespace=OWN, sequence=int(answer.body["sequence"]))
    return (await peer.events.GetEvent(asked)).event


# What is done.


async def test_an_operator_acts_and_the_events_say_who(
    server: CoordinatorServer, agent: Peer, operator: Script
) -> None:
    """Cancel, retry, drain, release: each of another principal's, each an event with the operator as its principal."""
    run_id = await a_run(agent)
    cancelled = await operator.act(CANCEL, {"namespace": OWN, "runId": run_id, "requestId": "once"})
    again = await operator.act(CANCEL, {"namespace": OWN, "runId": run_id, "requestId": "once"})
    assert (again.body["sequence"], again.body["replayed"]) == (cancelled.body["sequence"], True)
    retried = await operator.act(RETRY, {"namespace": OWN, "runId": run_id})
    async with grpc.aio.insecure_channel(server.address) as channel:
        worker = SessionPeer(channel, known_as("agent"))
        await worker.hello("agent", "rendering", namespace=OWN)
        drained = await operator.act(DRAIN, {"namespace": OWN, "agentId": "agent"})
        held = (await agent.acquire("bucket", namespace=OWN)).grants[0].fencing_token
        request = {"namespace": OWN, "fencingTokens": [str(held)], "force": True}
        released = await operator.act(RELEASE, request)
        events = [await event_of(agent, each) for each in (cancelled, retried, drained, released)]
    assert {each.principal for each in events} == {"operator"}
    assert [each.WhichOneof("payload") for each in events] == [
        "run_cancelled",
        "run_retried",
        "agent_draining",
        "resource_released",
    ]
    assert events[-1].reason == "RELEASED_BY_FORCE"


async def test_an_agent_acts_on_what_is_its_own(server: CoordinatorServer, session: Any, agent: Peer) -> None:
    """As over gRPC; the page offers it nothing, since most of what it shows is others'."""
    mine, theirs = Script(session, server, "agent"), Script(session, server, "rival")
    run_id = await a_run(agent)
    refused = await theirs.act(CANCEL, {"namespace": OWN, "runId": run_id})
    assert (refused.status, refused.reason) == (403, "PERMISSION_DENIED")
    assert (await event_of(agent, await mine.act(CANCEL, {"namespace": OWN, "runId": run_id}))).principal == "agent"
    assert (await mine.me()).body["acts"] == []


@pytest.mark.parametrize(
    ("principal", "offered"), [("viewer", []), ("agent", []), ("operator", list(ACTS)), ("admin", list(ACTS))]
)
async def test_the_page_is_told_who_asks_and_what_to_offer(
    server: CoordinatorServer, session: Any, principal: str, offered: list[str]
) -> None:
    """Nobody is told anything of a namespace that it may not view."""
    script = Script(session, server, principal)
    found = await script.me()
    assert (found.body["principal"], found.body["acts"]) == (principal, offered)
    assert (found.headers["Cache-Control"], found.headers["X-Frame-Options"]) == ("no-store", "DENY")
    assert (await script.me("other")).status == 403


# What is refused: by role and namespace.


@pytest.mark.parametrize("call", ACTS)
async def test_roles_and_namespaces_are_those_of_the_contract(
    server: CoordinatorServer, session: Any, agent: Peer, call: str
) -> None:
    """A viewer nowhere, an operator not in another namespace, whoever has no credential not at all; nothing happens."""
    run_id = await a_run(agent)
    held = (await agent.acquire(f"lock-of-{run_id}", namespace=OWN)).grants[0].fencing_token
    named = {"runId": run_id} if "Run" in call else {"agentId": "agent"} if call == DRAIN else {"fencingTokens": [held]}
    force = {"force": True} if call == RELEASE else {}
    before = await agent.last_sequence(OWN)
    for principal, namespace in (("viewer", OWN), ("viewer", "other"), ("operator", "other"), ("admin", "other")):
        script = Script(session, server, principal)
        refused = await script.act(call, {"namespace": namespace, **named, **force})
        assert (refused.status, refused.reason) == (403, "PERMISSION_DENIED"), (principal, namespace)
        assert refused.body["code"] == 7
    for authorization in (None, "Bearer wrong", "Basic !"):
        unknown = await Script(session, server, "operator").act(call, named, Authorization=authorization)
        assert unknown.status == 401
    assert await agent.last_sequence(OWN) == before


@pytest.mark.parametrize(
    ("call", "request_", "status", "reason"),
    [
        (CANCEL, {"runId": "nowhere"}, 404, "NOT_FOUND"),
        (RETRY, {"runId": "nowhere"}, 404, "NOT_FOUND"),
        (DRAIN, {"agentId": "nobody"}, 404, "NOT_FOUND"),
        (RELEASE, {"fencingTokens": ["999999"], "force": True}, 400, "NOT_HOLDER"),
        (RELEASE, {"fencingTokens": []}, 400, "INVALID_FIELD"),
        (CANCEL, {}, 400, "INVALID_FIELD"),
        (CANCEL, {"runId": "x", "surprise": 1}, 400, "INVALID_FIELD"),
        (CANCEL, {"runId": 7}, 400, "INVALID_FIELD"),
        (CANCEL, b"", 400, "INVALID_FIELD"),
        (CANCEL, b"\xff\xfe{", 400, "INVALID_FIELD"),
        (CANCEL, b"[" * 16_000, 400, "INVALID_FIELD"),
        (CANCEL, b'{"runId": "\\ud800"}', 400, "INVALID_FIELD"),
        (RELEASE, b'{"fencingTokens": [1e999]}', 400, "INVALID_FIELD"),
        (RELEASE, b'{"fencingTokens": [-1]}', 400, "INVALID_FIELD"),
        ("RunService/SubmitRun", {}, 404, "NO_SUCH_CALL"),
        ("StateService/DeleteState", {"keys": ["a"]}, 404, "NO_SUCH_CALL"),
        ("RunService/Nothing", {}, 404, "NO_SUCH_CALL"),
    ],
)
async def test_what_a_call_is_refused_with_is_said(
    operator: Script, call: str, request_: Any, status: int, reason: str
) -> None:
    """The contract's errors with their reasons; bytes that are no request are the caller's fault."""
    body = request_ if isinstance(request_, bytes) else {"namespace": OWN, **request_}
    refused = await operator.act(call, body)
    assert (refused.status, refused.reason) == (status, reason)
    assert refused.body["message"]


async def test_a_run_that_is_over_is_not_cancelled(agent: Peer, operator: Script) -> None:
    """The precondition and its subject come along."""
    run_id = await a_run(agent)
    request = {"namespace": OWN, "runId": run_id}
    assert (await operator.act(CANCEL, request)).status == 200
    refused = await operator.act(CANCEL, request)
    assert (refused.status, refused.reason) == (400, "RUN_OVER")
    violations = [each for each in refused.body["details"] if each["@type"].endswith("PreconditionFailure")]
    assert violations[0]["violations"][0]["subject"] == run_id


# What is refused: whatever the page itself did not ask for.


@pytest.mark.parametrize(
    ("headers", "status", "reason"),
    [
        ({"X_CSRF_Token": None}, 403, "PAGE_TOKEN"),
        ({"X_CSRF_Token": "1.2.3"}, 403, "PAGE_TOKEN"),
        ({"X_CSRF_Token": "x" * 4000}, 403, "PAGE_TOKEN"),
        ({"Sec_Fetch_Site": "cross-site"}, 403, "CROSS_SITE"),
        ({"Sec_Fetch_Site": "same-site"}, 403, "CROSS_SITE"),
        ({"Sec_Fetch_Site": "none"}, 403, "CROSS_SITE"),
        ({"Sec_Fetch_Site": None}, 403, "CROSS_SITE"),
        ({"Sec_Fetch_Site": None, "Origin": "null"}, 403, "CROSS_SITE"),
        ({"Sec_Fetch_Site": None, "Origin": "http://evil.example"}, 403, "CROSS_SITE"),
        ({"Sec_Fetch_Site": None, "Origin": "http://127.0.0.1:1"}, 403, "CROSS_SITE"),
        ({"Sec_Fetch_Site": None, "Origin": "http://[::1"}, 403, "CROSS_SITE"),
        ({"Content_Type": None}, 415, "CONTENT_TYPE"),
        ({"Content_Type": "text/plain"}, 415, "CONTENT_TYPE"),
        ({"Content_Type": "application/x-www-form-urlencoded"}, 415, "CONTENT_TYPE"),
        ({"Content_Type": "multipart/form-data; boundary=x"}, 415, "CONTENT_TYPE"),
        ({"Content_Type": "application/jsonp"}, 415, "CONTENT_TYPE"),
    ],
    ids=repr,
)
async def test_what_another_site_can_send_is_refused(
    agent: Peer, operator: Script, headers: dict[str, str | None], status: int, reason: str
) -> None:
    """Though the browser adds the operator's credential to it: any one of the three marks that is missing will do."""
    run_id = await a_run(agent)
    before = await agent.last_sequence(OWN)
    refused = await operator.act(CANCEL, {"namespace": OWN, "runId": run_id}, **headers)
    assert (refused.status, refused.reason) == (status, reason)
    assert await agent.last_sequence(OWN) == before


async def test_an_origin_will_do_where_a_browser_says_no_more(agent: Peer, operator: Script) -> None:
    """Over plain http beyond localhost browsers send no Fetch Metadata."""
    run_id = await a_run(agent)
    origin = f"http://{operator.server.web_address}"
    done = await operator.act(CANCEL, {"namespace": OWN, "runId": run_id}, Sec_Fetch_Site=None, Origin=origin)
    assert done.status == 200


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"])
async def test_nothing_is_done_but_by_post(agent: Peer, operator: Script, method: str) -> None:
    """405, and no word that another origin might ask (CORS)."""
    run_id = await a_run(agent)
    token = (await operator.me()).body["token"]
    asking = {"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}
    refused = await operator.ask(
        method,
        f"/call/{CANCEL}?namespace=own&runId={run_id}",
        b"" if method in ("GET", "HEAD") else b"{}",
        {**operator.headers, **asking, "X-CSRF-Token": token},
    )
    assert refused.status == 405
    assert not [name for name in refused.headers if name.startswith("Access-Control")]


async def test_a_request_has_a_size(operator: Script) -> None:
    """413 beyond 16 KiB, compressed or not; a larger one is not read."""
    for size in (17_000, 1_000_000):
        refused = await operator.act(CANCEL, b'{"runId": "' + b"x" * size + b'"}')
        assert (refused.status, refused.reason) == (413, "REQUEST_SIZE")


async def test_a_token_is_of_one_principal_and_for_some_hours(
    server: CoordinatorServer, session: Any, agent: Peer, operator: Script
) -> None:
    """That of another's page is none, nor that of a page of yesterday."""
    run_id = await a_run(agent)
    other = (await Script(session, server, "admin").me()).body["token"]
    refused = await operator.act(CANCEL, {"namespace": OWN, "runId": run_id}, X_CSRF_Token=other)
    assert (refused.status, refused.reason) == (403, "PAGE_TOKEN")

    class Wall:
        now_ns = 1_000_000_000

        def wall_ns(self) -> int:
            return self.now_ns

    wall: Any = Wall()
    tokens, replica, stranger = PageTokens(wall, "shared"), PageTokens(wall, "shared"), PageTokens(wall)
    token = tokens.issue("olivia")
    assert (replica.accept(token, "olivia"), replica.accept(token, "oscar")) == (True, False)
    assert not stranger.accept(token, "olivia")
    for spoilt in (token[:-1], "9" + token, token.replace(".", "", 1), "", "..", "ä" * 20):
        assert not tokens.accept(spoilt, "olivia")
    wall.now_ns += TOKEN_SECONDS * 1_000_000_000
    assert not tokens.accept(token, "olivia")


async def test_what_an_operator_may_ends_with_its_role(tmp_path: Path, session: Any) -> None:
    """At the next request, with a token that the page was given before."""
    async with secured(tmp_path, web_listen=PAGE) as server, peer_of(server, "agent") as agent:
        operator = Script(session, server, "operator")
        run_id = await a_run(agent)
        token = (await operator.me()).body["token"]
        (tmp_path / "access.yaml").write_text(ACCESS.replace("role: operator", "role: viewer"))

        async def offered() -> bool:
            return (await operator.me()).body["acts"] == []

        await until(offered)
        refused = await operator.act(CANCEL, {"namespace": OWN, "runId": run_id}, X_CSRF_Token=token)
        assert (refused.status, refused.reason) == (403, "PERMISSION_DENIED")


async def test_limits_of_a_principal_hold_on_the_page(tmp_path: Path, session: Any) -> None:
    """Acts are calls: they count as such."""
    limits = "limits:\n  - {principals: [operator], calls_per_second: 1, calls_burst_max: 2}\n"
    async with secured(tmp_path, access=ACCESS + limits, web_listen=PAGE) as server:
        operator = Script(session, server, "operator")
        found = [await operator.act(CANCEL, {"namespace": OWN, "runId": "nowhere"}) for _ in range(8)]
    assert {(each.status, each.reason) for each in found} >= {(404, "NOT_FOUND"), (429, "LIMIT_REACHED")}


# Where callers are not authenticated.


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def alone(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[CoordinatorServer]:
    """One that serves whoever is on this machine."""
    async with serving(tmp_path_factory.mktemp("alone"), web_listen=PAGE, web_hosts="board.example") as running:
        yield running


async def test_on_loopback_whoever_is_on_the_machine_acts(alone: CoordinatorServer, session: Any) -> None:
    """As over gRPC; the page itself has to ask all the same."""
    async with peer_of(alone) as peer:
        anybody = Script(session, alone)
        assert (await anybody.me("default")).body["acts"] == list(ACTS)
        run_id = await a_run(peer, "default")
        for headers in ({"X_CSRF_Token": None}, {"Sec_Fetch_Site": "cross-site"}, {"Content_Type": "text/plain"}):
            assert (await anybody.act(CANCEL, {"runId": run_id}, **headers)).status in (403, 415)
        done = await anybody.act(CANCEL, {"runId": run_id}, Origin=f"http://{alone.web_address}")
        assert done.status == 200


@pytest.mark.parametrize("named", ["Host", "Origin"])
@pytest.mark.parametrize("name", ["evil.example", "localhost.evil.example", "10.0.0.1", "127.0.0.1.evil.example", "["])
async def test_a_name_that_was_turned_to_this_machine_is_refused(
    alone: CoordinatorServer, session: Any, named: str, name: str
) -> None:
    """DNS rebinding: neither done nor shown, though to the browser it is one origin. Probes are not asked."""
    anybody = Script(session, alone)
    given = {"Host": f"{name}:8080"} if named == "Host" else {"Origin": f"http://{name}:8080"}
    assert (await anybody.act(CANCEL, {"runId": "x"}, **given)).status == 403
    assert (await anybody.me("default", **given)).status == 403
    for path, status in (
        ("/", 403),
        ("/event?sequence=1", 403),
        ("/live?topic=view%3Doverview", 403),
        ("/health", 200),
    ):
        assert (await anybody.ask("GET", path, b"", given)).status == status


@pytest.mark.parametrize(
    "name", ["localhost", "LOCALHOST:1", "127.0.0.1", "[::1]:80", "a.localhost:8", "board.example"]
)
async def test_names_of_this_machine_will_do(alone: CoordinatorServer, session: Any, name: str) -> None:
    """And those that are given with --web-hosts."""
    anybody = Script(session, alone)
    assert (await anybody.me("default", Host=name)).status == 200
    done = await anybody.act(CANCEL, {"runId": "nowhere"}, Host=name, Origin=f"http://{name.lower()}")
    assert (done.status, done.reason) == (404, "NOT_FOUND")


@pytest.mark.parametrize(
    "given",
    [{"web_listen": "0.0.0.0:0"}, {"web_listen": PAGE, "web_read_only": True}],
    ids=["for other machines", "read only"],
)
async def test_a_page_may_only_show(tmp_path: Path, session: Any, given: dict[str, Any]) -> None:
    """Where it cannot know who asks and others reach it, and where that is asked for; it offers nothing then."""
    async with serving(tmp_path, **given) as server, peer_of(server) as peer:
        server.web_address = server.web_address.replace("0.0.0.0", "127.0.0.1")
        anybody = Script(session, server)
        assert (await anybody.me("default")).body["acts"] == []
        run_id = await a_run(peer, "default")
        refused = await anybody.act(CANCEL, {"runId": run_id})
        assert (refused.status, refused.reason) == (403, "PAGE_READ_ONLY")


async def test_a_credential_that_is_withdrawn_ends_it(tmp_path: Path, session: Any) -> None:
    """Also for a page that was loaded before."""
    async with secured(tmp_path, web_listen=PAGE, security_poll_seconds=POLL_SECONDS) as server:
        operator = Script(session, server, "operator")
        token = (await operator.me()).body["token"]
        row = f"  - {{principal: viewer, sha256: {hash_of(token_of('viewer'))}}}"
        (tmp_path / "tokens.yaml").write_text(f"tokens:\n{row}\n")

        async def refused() -> bool:
            return (await operator.act(CANCEL, {"runId": "x"}, X_CSRF_Token=token)).status == 401

        await until(refused)
