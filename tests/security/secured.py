"""Coordinators that want to know who calls: static tokens for one principal of each role, unless told otherwise."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from coordinator_service.security.static_tokens import hash_of
from coordinator_service.server import CoordinatorServer
from tests.rpc.peer import Peer, Refusal, decode
from tests.rpc.serving import serving

POLL_SECONDS = 0.02
WAIT_SECONDS_MAX = 60
OWN, OTHER = "own", "other"

ACCESS = """
grants:
  - {principals: [viewer], role: viewer, namespaces: [own]}
  - {principals: [agent, rival], role: agent, namespaces: [own]}
  - {principals: [operator], role: operator, namespaces: [own]}
  - {principals: [admin], role: admin, namespaces: [own]}
  - {principals: ["jwt:*", "spiffe://example.org/*"], role: agent, namespaces: [own]}
"""
PRINCIPALS = ("viewer", "agent", "rival", "operator", "admin")


def token_of(principal: str) -> str:
    """Its static token."""
    return f"the-long-and-random-token-of-{principal}"


def hashes(*principals: str) -> str:
    """A file of their tokens."""
    rows = [f"  - {{principal: {name}, sha256: {hash_of(token_of(name))}}}" for name in principals]
    return "\n".join(["tokens:", *rows, ""]) if rows else "tokens: []\n"


def bearer(token: str) -> tuple[tuple[str, str], ...]:
    """The metadata of a call with a token."""
    return (("authorization", f"Bearer {token}"),)


def known_as(principal: str) -> tuple[tuple[str, str], ...]:
    """The same with its static token."""
    return bearer(token_of(principal))


@asynccontextmanager
async def secured(directory: Path, *, access: str = ACCESS, **changes: Any) -> AsyncIterator[CoordinatorServer]:
    """Serves, with static tokens of all principals; what changes is in the directory."""
    async with serving(directory, **{**files(directory, access), **changes}) as server:
        yield server


def files(directory: Path, access: str = ACCESS) -> dict[str, Any]:
    """The files, written, and the settings that name them."""
    directory.mkdir(exist_ok=True)
    (directory / "access.yaml").write_text(access)
    (directory / "tokens.yaml").write_text(hashes(*PRINCIPALS))
    return {
        "access_file": directory / "access.yaml",
        "token_hashes_file": directory / "tokens.yaml",
        "security_poll_seconds": POLL_SECONDS,
        "bookmark_seconds_max": 0.05,
    }


@asynccontextmanager
async def peer_of(
    server: CoordinatorServer, principal: str = "", credentials: grpc.ChannelCredentials | None = None, token: str = ""
) -> AsyncIterator[Peer]:
    """A bare peer, each of whose calls carries the token of a principal, or that token."""
    interceptors = _With.all_kinds(bearer(token) if token else known_as(principal)) if principal or token else []
    address = server.address.replace("127.0.0.1", "localhost")
    channel = (
        grpc.aio.insecure_channel(address, interceptors=interceptors)
        if credentials is None
        else grpc.aio.secure_channel(address, credentials, interceptors=interceptors)
    )
    async with channel:
        yield Peer(channel)


class _With:
    """Adds metadata to every call."""

    def __init__(self, metadata: tuple[tuple[str, str], ...]) -> None:
        self._metadata = metadata

    @staticmethod
    def all_kinds(metadata: tuple[tuple[str, str], ...]) -> list[Any]:
        return [_Unary(metadata), _Stream(metadata), _Bidi(metadata)]

    def _with(self, details: Any) -> Any:
        return details._replace(metadata=grpc.aio.Metadata(*(details.metadata or ()), *self._metadata))


class _Unary(_With, grpc.aio.UnaryUnaryClientInterceptor):
    async def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        return await continuation(self._with(details), request)


class _Stream(_With, grpc.aio.UnaryStreamClientInterceptor):
    async def intercept_unary_stream(self, continuation: Any, details: Any, request: Any) -> Any:
        return await continuation(self._with(details), request)


class _Bidi(_With, grpc.aio.StreamStreamClientInterceptor):
    async def intercept_stream_stream(self, continuation: Any, details: Any, requests: Any) -> Any:
        return await continuation(self._with(details), requests)


async def until(holds: Callable[[], Any]) -> Any:
    """Waits until what is asked holds, and returns it; it may be a coroutine function."""
    async with asyncio.timeout(WAIT_SECONDS_MAX):
        while True:
            found = holds()
            found = await found if asyncio.iscoroutine(found) else found
            if found:
                return found
            await asyncio.sleep(POLL_SECONDS)


async def verdict(call: Any) -> str:
    """OK, or the code that a unary call was refused with."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error.code().name
    return "OK"


async def stream_refusal(call: Any) -> Refusal:
    """How a stream ended that had to be refused; what came before is passed over."""

    async def read() -> None:
        async for _ in call:
            pass

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await asyncio.wait_for(read(), WAIT_SECONDS_MAX)
    return decode(caught.value)
