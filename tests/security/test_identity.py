"""Who calls: static tokens, JWTs and certificates, good and bad, and what is said to those that are not known."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import logging
from pathlib import Path
from typing import Any

import grpc
import jwt
import pytest
from concert.v1 import event_service_pb2, monitor_service_pb2
from cryptography.hazmat.primitives import serialization

from coordinator_service.security.static_tokens import hash_of
from tests.rpc.peer import Peer, publish, refused
from tests.security.authority import AUDIENCE, EXPIRED, ISSUER, Authority, Issued, Issuer, key_set
from tests.security.secured import (
    ACCESS,
    OWN,
    bearer,
    known_as,
    peer_of,
    secured,
    stream_refusal,
    token_of,
    until,
    verdict,
)

INFO = monitor_service_pb2.GetServerInfoRequest()


async def principal_told(peer: Peer) -> str:
    """Whom the log says a caller is."""
    (sequence,) = (await peer.publish("hello", namespace=OWN)).sequences
    found = await peer.events.GetEvent(event_service_pb2.GetEventRequest(namespace=OWN, sequence=sequence))
    return str(found.event.principal)


async def test_a_static_token_says_who_calls(tmp_path: Path) -> None:
    """The principal of a token is in the event that its call leads to."""
    async with secured(tmp_path) as server, peer_of(server, "agent") as peer:
        assert await principal_told(peer) == "agent"


@pytest.mark.parametrize(
    "metadata",
    [
        (),
        bearer("unknown"),
        bearer(""),
        bearer(hash_of(token_of("agent"))),
        (("authorization", token_of("agent")),),
        (("authorization", f"Basic {token_of('agent')}"),),
        (*known_as("agent"), *known_as("admin")),
        bearer("x" * 9000),
    ],
    ids=["none", "unknown", "empty", "hash", "bare", "basic", "twice", "oversized"],
)
async def test_whoever_is_not_known_is_told_so_and_nothing_is_stored(tmp_path: Path, metadata: Any) -> None:
    """UNAUTHENTICATED with its details, and the log of the namespace does not even exist."""
    async with secured(tmp_path) as server, peer_of(server) as peer, peer_of(server, "agent") as agent:
        told = await refused(peer.events.Publish(publish("hello", namespace=OWN), metadata=metadata))
        assert (told.code, told.reason) == ("UNAUTHENTICATED", "UNAUTHENTICATED")
        assert told.details["ErrorInfo"].metadata["credential"]
        assert await agent.last_sequence(OWN) == 0


async def test_no_credential_is_in_an_answer_or_in_the_log_lines(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What was refused is logged with its caller and why, and nothing of the token."""
    caplog.set_level(logging.DEBUG)
    async with secured(tmp_path) as server, peer_of(server) as peer:
        told = await refused(peer.monitor.GetServerInfo(INFO, metadata=bearer("my-secret.is.this")))
    assert "secret" not in told.message
    assert any("refused" in record.getMessage() for record in caplog.records)
    assert not any("my-secret" in record.getMessage() for record in caplog.records)


async def test_health_is_open_and_reflection_is_not(tmp_path: Path) -> None:
    """Probes have no token; what there is to call is shown to those that may view something."""
    from grpc_health.v1 import health_pb2, health_pb2_grpc
    from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

    async with secured(tmp_path) as server, peer_of(server) as peer:
        health: Any = health_pb2_grpc.HealthStub(peer.channel)
        assert (await health.Check(health_pb2.HealthCheckRequest())).status == health_pb2.HealthCheckResponse.SERVING
        reflection: Any = reflection_pb2_grpc.ServerReflectionStub(peer.channel)
        asked = [reflection_pb2.ServerReflectionRequest(list_services="")]
        told = await stream_refusal(reflection.ServerReflectionInfo(iter(asked)))
        assert told.code == "UNAUTHENTICATED"
        call = reflection.ServerReflectionInfo(iter(asked), metadata=known_as("viewer"))
        answer = await call.read()
        assert "concert.v1.EventService" in [each.name for each in answer.list_services_response.service]


# JWTs.


def jwt_settings(directory: Path, *issuers: Issuer) -> dict[str, Any]:
    """A coordinator that takes JWTs of those issuers."""
    (directory / "keys.json").write_text(key_set(*issuers))
    settings = {"jwt_keys": str(directory / "keys.json"), "jwt_issuer": ISSUER, "jwt_audience": AUDIENCE}
    return {**settings, "jwt_algorithms": "ES256,RS256", "jwt_leeway_seconds": 1.0}


async def test_a_jwt_says_who_calls(tmp_path: Path) -> None:
    """Its subject, with the prefix that keeps issuers from naming the principals of others."""
    issuer = Issuer()
    settings = jwt_settings(tmp_path, issuer)
    async with secured(tmp_path, **settings) as server, peer_of(server, token=issuer.token("alice")) as peer:
        assert await principal_told(peer) == "jwt:alice"


def _unsigned(issuer: Issuer) -> str:
    claims = jwt.decode(issuer.token(), options={"verify_signature": False})
    return jwt.encode(claims, None, algorithm="none", headers={"kid": issuer.key_id})  # type: ignore[arg-type]


def _signed_with_the_public_key(issuer: Issuer) -> str:
    """The classic: an HMAC whose secret is what everybody knows."""
    public = issuer.private.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    signed = _with_header(issuer, alg="HS256").rpartition(".")[0]
    mac = hmac.digest(public, signed.encode(), "sha256")
    return f"{signed}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}"


def _with_header(issuer: Issuer, **header: Any) -> str:
    first, *rest = issuer.token().split(".")
    said = {**json.loads(base64.urlsafe_b64decode(first + "==")), **header}
    return ".".join([base64.urlsafe_b64encode(json.dumps(said).encode()).decode().rstrip("="), *rest])


def _changed(issuer: Issuer) -> str:
    head, body, signature = issuer.token("alice").split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    forged = base64.urlsafe_b64encode(json.dumps({**claims, "sub": "admin"}).encode()).decode().rstrip("=")
    return f"{head}.{forged}.{signature}"


BAD_TOKENS = {
    "expired": (lambda issuer: issuer.token(seconds=-60), "has expired"),
    "not yet valid": (lambda issuer: issuer.token(nbf=4_000_000_000), "is not valid yet"),
    "another audience": (lambda issuer: issuer.token(aud="elsewhere"), "is for another audience"),
    "another issuer": (lambda issuer: issuer.token(iss="https://mallory.example"), "is of another issuer"),
    "no audience": (lambda issuer: issuer.token(aud=None), "lacks a claim"),
    "no expiry": (lambda issuer: issuer.token(exp=None), "lacks a claim"),
    "no subject": (lambda issuer: issuer.token(subject=None), "lacks a claim"),
    "empty subject": (lambda issuer: issuer.token(""), "names nobody"),
    "control characters": (lambda issuer: issuer.token("a\nb"), "names nobody"),
    "unsigned": (_unsigned, "is signed by an algorithm that is not accepted"),
    "alg swapped to HMAC": (_signed_with_the_public_key, "is signed by an algorithm that is not accepted"),
    "alg swapped to RSA": (lambda issuer: _with_header(issuer, alg="RS256"), "an algorithm that its key is not for"),
    "alg of another kind": (lambda issuer: _with_header(issuer, alg=5), "is"),
    "another key": (lambda _: Issuer("key-1").token(), "has a signature that is not right"),
    "unknown key": (lambda issuer: issuer.token(header={"kid": "key-9"}), "is signed by a key that is not known"),
    "changed": (_changed, "has a signature that is not right"),
    "critical": (lambda issuer: _with_header(issuer, crit=["x"]), "the token"),
    "no JSON": (lambda _: "bm8.bm8.bm8", "is no JWT"),
    "oversized": (lambda issuer: issuer.token(padding="x" * 9000), "has more than 8192 bytes"),
}


@pytest.mark.parametrize("name", BAD_TOKENS)
async def test_a_jwt_that_is_not_right_is_refused(tmp_path: Path, name: str) -> None:
    """UNAUTHENTICATED, saying what is wrong with it."""
    issuer = Issuer()
    make, said = BAD_TOKENS[name]
    token = make(issuer)
    async with secured(tmp_path, **jwt_settings(tmp_path, issuer)) as server, peer_of(server) as peer:
        told = await refused(peer.monitor.GetServerInfo(INFO, metadata=bearer(token)))
        assert told.code == "UNAUTHENTICATED"
        assert said in told.message
        assert token not in told.message


async def test_a_jwt_that_was_taken_is_refused_once_it_has_expired(tmp_path: Path) -> None:
    """What is remembered of a token is remembered until it expires."""
    issuer = Issuer()
    async with secured(tmp_path, **jwt_settings(tmp_path, issuer)) as server, peer_of(server) as peer:
        metadata = bearer(issuer.token(seconds=1.5))
        assert await verdict(peer.monitor.GetServerInfo(INFO, metadata=metadata)) == "OK"

        async def is_refused() -> bool:
            return await verdict(peer.monitor.GetServerInfo(INFO, metadata=metadata)) == "UNAUTHENTICATED"

        await until(is_refused)


async def test_a_key_set_that_changes_counts_without_a_restart(tmp_path: Path) -> None:
    """A new key is taken up; tokens of one that has gone count no more."""
    old, new = Issuer("old"), Issuer("new")
    async with secured(tmp_path, **jwt_settings(tmp_path, old)) as server, peer_of(server) as peer:
        assert await verdict(peer.monitor.GetServerInfo(INFO, metadata=bearer(old.token()))) == "OK"
        assert await verdict(peer.monitor.GetServerInfo(INFO, metadata=bearer(new.token()))) == "UNAUTHENTICATED"
        (tmp_path / "keys.json").write_text(key_set(new))
        token = new.token()

        async def taken() -> bool:
            return await verdict(peer.monitor.GetServerInfo(INFO, metadata=bearer(token))) == "OK"

        await until(taken)
        assert await verdict(peer.monitor.GetServerInfo(INFO, metadata=bearer(old.token()))) == "UNAUTHENTICATED"


async def test_keys_of_an_address_are_fetched_again_for_a_key_that_is_not_known(tmp_path: Path) -> None:
    """An issuer that rotates its keys is followed; one that cannot be reached is UNAVAILABLE, not a refusal."""
    from aiohttp import web

    issuer = Issuer()
    served, fetches = [503], 0

    async def keys(_request: web.Request) -> web.Response:
        nonlocal fetches
        fetches += 1
        return web.Response(status=served[0], text=key_set(issuer))

    application = web.Application()
    application.router.add_get("/keys", keys)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    settings = jwt_settings(tmp_path, issuer)
    settings["jwt_keys"] = f"http://127.0.0.1:{runner.addresses[0][1]}/keys"
    try:
        async with secured(tmp_path, **settings) as server, peer_of(server) as peer:
            metadata = bearer(issuer.token())
            assert await verdict(peer.monitor.GetServerInfo(INFO, metadata=metadata)) == "UNAVAILABLE"
            served[0] = 200

            async def taken() -> bool:
                return await verdict(peer.monitor.GetServerInfo(INFO, metadata=metadata)) == "OK"

            await until(taken)
            before = fetches
            unknown = [bearer(Issuer(f"made-up-{number}").token()) for number in range(20)]
            told = await asyncio.gather(*(verdict(peer.monitor.GetServerInfo(INFO, metadata=each)) for each in unknown))
            assert set(told) == {"UNAUTHENTICATED"}
            assert fetches - before <= 3, "whoever makes up key ids has the keys fetched again and again"
    finally:
        await runner.cleanup()


# Certificates.


def tls_settings(directory: Path, authority: Authority, *, mutual: bool = True) -> dict[str, Any]:
    """A coordinator with a certificate for localhost."""
    certificate, key = authority.issue(hosts=["localhost"]).write(directory, "server")
    (directory / "ca.pem").write_bytes(authority.certificate)
    client_ca = {"tls_client_ca": directory / "ca.pem"} if mutual else {}
    return {"listen": "localhost:0", "tls_certificate": certificate, "tls_private_key": key, **client_ca}


@pytest.mark.parametrize(
    ("issue", "principal"),
    [
        ({"uris": ["spiffe://example.org/agents/content"]}, "spiffe://example.org/agents/content"),
        ({"uris": ["spiffe://example.org/a"], "hosts": ["b.example.org"]}, "spiffe://example.org/a"),
        ({"hosts": ["agent.example.org", "other.example.org"]}, "agent.example.org"),
    ],
    ids=["spiffe", "spiffe before dns", "dns"],
)
async def test_a_certificate_says_who_calls(tmp_path: Path, issue: Any, principal: str) -> None:
    """Mutual TLS: the URI of the certificate, else its first DNS name."""
    authority = Authority()
    access = f"grants: [{{principals: ['{principal}'], role: agent, namespaces: [own]}}]\n"
    async with secured(tmp_path, access=access, **tls_settings(tmp_path, authority)) as server:
        async with peer_of(server, credentials=authority.credentials(authority.issue(**issue))) as peer:
            assert await principal_told(peer) == principal
            metadata = known_as("viewer")  # a token, where there is one, says who calls
            assert await verdict(peer.events.Publish(publish("x", namespace=OWN), metadata=metadata)) == (
                "PERMISSION_DENIED"
            )


@pytest.mark.parametrize(
    ("issue", "said"),
    [
        ({"common_name": "admin"}, "no subject alternative name"),
        ({"uris": ["spiffe://example.org/a", "spiffe://example.org/b"]}, "more than one URI"),
        ({"uris": ["spiffe://example.org"]}, "no SPIFFE id"),
        ({"uris": ["spiffe://example.org/a/../b"]}, "no SPIFFE id"),
        ({"uris": ["spiffe://Example.org/a"]}, "no SPIFFE id"),
    ],
    ids=["common name alone", "two URIs", "no workload", "dots", "capitals"],
)
async def test_a_certificate_that_names_nobody_is_refused(tmp_path: Path, issue: Any, said: str) -> None:
    """UNAUTHENTICATED, although the authority vouches for it."""
    authority = Authority()
    async with secured(tmp_path, **tls_settings(tmp_path, authority)) as server:
        async with peer_of(server, credentials=authority.credentials(authority.issue(**issue))) as peer:
            told = await refused(peer.monitor.GetServerInfo(INFO))
            assert told.code == "UNAUTHENTICATED"
            assert said in told.message


async def test_a_certificate_that_does_not_count_gets_no_connection(tmp_path: Path) -> None:
    """Mutual TLS: none, an expired one, one of another authority, a server of another name, plain text."""
    authority, other = Authority(), Authority("other")
    agent = {"uris": ["spiffe://example.org/a"]}
    async with secured(tmp_path, **tls_settings(tmp_path, authority)) as server:
        for issued in (None, authority.issue(**agent, life=EXPIRED), other.issue(**agent)):
            async with peer_of(server, credentials=authority.credentials(issued)) as peer:
                assert await verdict(peer.monitor.GetServerInfo(INFO)) == "UNAVAILABLE"
        good = authority.issue(**agent)
        async with peer_of(server, credentials=other.credentials(good)) as peer:
            assert await verdict(peer.monitor.GetServerInfo(INFO)) == "UNAVAILABLE"
        async with peer_of(server) as peer:
            assert await verdict(peer.monitor.GetServerInfo(INFO)) == "UNAVAILABLE"
        elsewhere = server.address.replace("localhost", "127.0.0.1")  # its certificate is for localhost
        async with grpc.aio.secure_channel(elsewhere, authority.credentials(good)) as channel:
            assert await verdict(Peer(channel).monitor.GetServerInfo(INFO)) == "UNAVAILABLE"


async def test_a_new_certificate_counts_without_a_restart(tmp_path: Path) -> None:
    """The server's, and the authorities that clients are trusted from: for every new connection."""
    old, new = Authority("old"), Authority("new")
    agent = {"uris": ["spiffe://example.org/a"]}
    async with secured(tmp_path, **tls_settings(tmp_path, old)) as server:
        async with peer_of(server, credentials=old.credentials(old.issue(**agent))) as peer:
            assert await verdict(peer.monitor.GetServerInfo(INFO)) == "OK"
            issued = new.issue(hosts=["localhost"])
            (tmp_path / "server.pem").write_bytes(issued.certificate)  # half of it: not taken
            (tmp_path / "server.key").write_bytes(issued.key)
            (tmp_path / "ca.pem").write_bytes(new.certificate)

            async def taken() -> bool:
                async with peer_of(server, credentials=new.credentials(new.issue(**agent))) as fresh:
                    return await verdict(fresh.monitor.GetServerInfo(INFO)) == "OK"

            await until(taken)
            assert await verdict(peer.monitor.GetServerInfo(INFO)) == "OK", "a connection that is there stays"
        async with peer_of(server, credentials=old.credentials(old.issue(**agent))) as peer:
            assert await verdict(peer.monitor.GetServerInfo(INFO)) == "UNAVAILABLE"


async def test_a_bad_certificate_on_disk_changes_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A key that is not the certificate's is named in the log, and the pair of before serves on."""
    authority = Authority()
    async with secured(tmp_path, **tls_settings(tmp_path, authority)) as server:
        (tmp_path / "server.key").write_bytes(authority.issue(hosts=["localhost"]).key)
        await until(lambda: any("is not the one of the certificate" in each.getMessage() for each in caplog.records))
        issued: Issued = authority.issue(uris=["spiffe://example.org/a"])
        async with peer_of(server, credentials=authority.credentials(issued)) as peer:
            assert await verdict(peer.monitor.GetServerInfo(INFO)) == "OK"


# Reloading.


async def test_tokens_and_access_count_without_a_restart(tmp_path: Path) -> None:
    """A token that is withdrawn is refused, one that is new is taken, a role that is taken away is gone."""
    from tests.security.secured import hashes

    async with secured(tmp_path) as server, peer_of(server) as peer:

        async def told(principal: str, wanted: str) -> bool:
            request = publish("x", namespace=OWN)
            return await verdict(peer.events.Publish(request, metadata=known_as(principal))) == wanted

        assert await told("agent", "OK")
        assert await told("newcomer", "UNAUTHENTICATED")
        (tmp_path / "tokens.yaml").write_text(hashes("newcomer", "rival"))
        await until(lambda: told("newcomer", "PERMISSION_DENIED"))
        assert await told("agent", "UNAUTHENTICATED")
        (tmp_path / "access.yaml").write_text(ACCESS.replace("agent, rival", "newcomer"))
        await until(lambda: told("newcomer", "OK"))
        assert await told("rival", "PERMISSION_DENIED")
        (tmp_path / "access.yaml").write_text("grants: [{principals: [newcomer]}]\n")  # bad: the last good one stays
        server.reload()

        async def warns() -> bool:
            health = await peer.monitor.GetHealth(
                monitor_service_pb2.GetHealthRequest(namespace=OWN), metadata=known_as("newcomer")
            )
            return any(each.name == "access_file" and "role" in each.fault for each in health.components)

        await until(warns)
        assert await told("newcomer", "OK")
