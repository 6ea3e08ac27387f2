"""The table of permissions, measured: every rpc and every command of a session, by every role, in a namespace that is
the caller's and in one that is not. What there is to call is read from the descriptors, so that nothing is forgotten.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from concert.v1 import session_service_pb2
from google.protobuf import message_factory

from coordinator_service import server as server_module
from coordinator_service.server import CoordinatorServer
from tests.rpc.test_session_stream import Peer as SessionPeer
from tests.security.secured import OTHER, OWN, known_as

NOBODY = "nobody"
CALLERS = (NOBODY, "viewer", "agent", "operator", "admin")
REFUSED = ("UNAUTHENTICATED", "PERMISSION_DENIED")
ANSWER_SECONDS_MAX = 60
DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "security.md"
BEGIN, END = "<!-- permissions: measured by tests/security/table.py -->", "<!-- end of permissions -->"


@dataclass(frozen=True)
class Rpc:
    """One of the contract's."""

    service: str
    method: Any

    @property
    def path(self) -> str:
        return f"/concert.v1.{self.service}/{self.method.name}"

    @property
    def name(self) -> str:
        return f"{self.service}.{self.method.name}"

    def request(self, namespace: str) -> bytes:
        """An empty request for that namespace, as far as it names one."""
        request = message_factory.GetMessageClass(self.method.input_type)()
        if "namespace" in self.method.input_type.fields_by_name:
            request.namespace = namespace
        encoded: bytes = request.SerializeToString()
        return encoded


def rpcs() -> Iterator[Rpc]:
    """All that the server serves of concert.v1."""
    modules = [each for name, each in vars(server_module).items() if name.endswith("_service_pb2")]
    for module in modules:
        for service in module.DESCRIPTOR.services_by_name.values():
            for method in service.methods:
                yield Rpc(service.name, method)


def commands() -> list[str]:
    """Every request that a session may carry; goodbye last."""
    (oneof,) = (each for each in session_service_pb2.Command.DESCRIPTOR.oneofs if each.name == "request")
    return sorted((field.name for field in oneof.fields), key="goodbye".__eq__)


def metadata_of(caller: str) -> Any:
    return () if caller == NOBODY else known_as(caller)


async def allowed(channel: grpc.aio.Channel, rpc: Rpc, caller: str, namespace: str) -> bool:
    """Whether the call gets past whoever guards it: it may well be refused for what it says, or rather does not."""
    metadata = metadata_of(caller)
    try:
        async with asyncio.timeout(ANSWER_SECONDS_MAX):
            if rpc.method.client_streaming:
                await SessionPeer(channel, metadata).hello(caller, namespace=namespace)
            elif rpc.method.server_streaming:
                call = channel.unary_stream(rpc.path)(rpc.request(namespace), metadata=metadata)
                await call.read()
                call.cancel()
            else:
                await channel.unary_unary(rpc.path)(rpc.request(namespace), metadata=metadata)
    except grpc.aio.AioRpcError as error:
        return error.code().name not in REFUSED
    return True


async def allowed_commands(channel: grpc.aio.Channel, caller: str) -> dict[str, bool]:
    """Which commands get past in a session of the caller's own namespace; none where it may have no session."""
    peer = SessionPeer(channel, metadata_of(caller))
    if not await allowed(channel, next(each for each in rpcs() if each.method.client_streaming), caller, OWN):
        return dict.fromkeys(commands(), False)
    await peer.hello(f"{caller}-commands", namespace=OWN)
    found = {}
    for name in commands():
        request: dict[str, Any] = {name: {}}
        reply = await peer.ask(**request)
        found[name] = grpc.StatusCode.PERMISSION_DENIED.value[0] != reply.error.code
    return found


async def measure(server: CoordinatorServer) -> list[tuple[str, list[tuple[bool, bool]]]]:
    """A row for each rpc and each command: by each caller, in its own namespace and in another."""
    rows = []
    async with grpc.aio.insecure_channel(server.address) as channel:
        for rpc in rpcs():
            cells = [
                (await allowed(channel, rpc, each, OWN), await allowed(channel, rpc, each, OTHER)) for each in CALLERS
            ]
            rows.append((rpc.name, cells))
        by_caller = {caller: await allowed_commands(channel, caller) for caller in CALLERS}
        # A session is of one namespace, that of its Hello: whatever a command says, it is about that one.
        rows += [(f"session: {name}", [(by_caller[each][name], False) for each in CALLERS]) for name in commands()]
    return rows


def as_markdown(rows: list[tuple[str, list[tuple[bool, bool]]]]) -> str:
    """For the document."""
    lines = [f"| rpc or command of a session | {' | '.join(CALLERS)} |", "| --- |" + " :---: |" * len(CALLERS)]
    lines += [f"| {name} | {' | '.join(_cell(*cell) for cell in cells)} |" for name, cells in rows]
    return "\n".join(lines)


def in_document() -> str:
    """What the document says."""
    return DOCUMENT.read_text().partition(BEGIN)[2].partition(END)[0].strip()


def write(table: str) -> None:
    """Puts it into the document."""
    before, _, rest = DOCUMENT.read_text().partition(BEGIN)
    DOCUMENT.write_text(f"{before}{BEGIN}\n{table}\n{END}{rest.partition(END)[2]}")


def _cell(own: bool, other: bool) -> str:
    return f"{'yes' if own else '–'} / {'yes' if other else '–'}"
