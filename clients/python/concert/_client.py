"""The front door: connect, and what it gives."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping

import grpc

from concert._caller import Origin
from concert._connection import Connection
from concert._credentials import Tls, TokenSource
from concert._limits import CALL_SECONDS_DEFAULT, RETRY_SECONDS_DEFAULT, SESSION_LEASE_SECONDS_DEFAULT
from concert._session import SessionStream
from concert._surface import Surface
from concert._time import Seconds, seconds_of
from concert.errors import SessionOver
from concert.v1 import agent_pb2

ADDRESS_DEFAULT = "127.0.0.1:7420"


class Client(Surface):
    """Calls to a coordinator, each an rpc of its own. Made by `connect`; for one event loop."""

    def __init__(self, connection: Connection, writer: str) -> None:
        """Over `connection`, which it closes with itself."""
        super().__init__(Origin(connection, writer=writer))
        self.address = connection.address
        self.namespace = connection.namespace or "default"
        self._connection = connection

    async def __aenter__(self) -> Client:
        """Connects with the first call, not here."""
        return self

    async def __aexit__(self, *_exc: object) -> None:
        """Closes."""
        await self.close()

    async def close(self) -> None:
        """Closes the connection; calls still open are cancelled."""
        await self._connection.close()

    def session(
        self,
        *,
        agent_id: str = "",
        agent_name: str = "",
        lease: Seconds = SESSION_LEASE_SECONDS_DEFAULT,
        takeover: bool = False,
        labels: Mapping[str, str] | None = None,
    ) -> Session:
        """A session, to be entered with `async with`: one stream that carries every call, and one lease over
        its locks.

        `lease`: 2 s to 5 min. `takeover` ends the session that lives under the `agent_id`. Agents that take
        tasks are hosted with `concert.agent` instead.
        """
        spec = agent_pb2.AgentSpec(agent_id=agent_id, agent_name=agent_name, labels=labels or {})
        return Session(SessionStream(self._connection, spec, lease=seconds_of(lease), takeover=takeover))


class Session(Surface):
    """Calls that travel as frames of one stream, many at a time. Everything raises SessionOver once it is
    over.
    """

    def __init__(self, stream: SessionStream) -> None:
        """Over `stream`, which it opens and closes with itself."""
        super().__init__(Origin(stream))
        self._stream = stream

    async def __aenter__(self) -> Session:
        """Opens it. Raises AlreadyExists when an agent lives under the id."""
        await self._stream.open()
        return self

    async def __aexit__(self, *_exc: object) -> None:
        """Says goodbye."""
        await self.close()

    @property
    def session_id(self) -> int:
        """The sequence of its AGENT_REGISTERED event."""
        return self._stream.session_id

    @property
    def agent_id(self) -> str:
        """The id it is under."""
        return self._stream.agent_id

    @property
    def lease_seconds(self) -> float:
        """How long it outlives its stream."""
        return self._stream.lease_seconds

    @property
    def limits(self) -> Mapping[str, int]:
        """Every limit of the coordinator by name, its unit last."""
        return self._stream.limits

    @property
    def over(self) -> SessionOver | None:
        """Why it is over; None while it lives."""
        return self._stream.over

    async def wait_over(self) -> SessionOver:
        """Waits until it is over and says why."""
        return await self._stream.wait_over()

    def on_lost(self, lost: Callable[[], None]) -> Callable[[], None]:
        """Has `lost` called when it is over; returns what takes that back."""
        return self._stream.on_lost(lost)

    async def close(self, reason: str = "closed") -> None:
        """Says goodbye: its locks are released at once."""
        await self._stream.close(reason)


def connect(
    address: str | Iterable[str] = ADDRESS_DEFAULT,
    *,
    namespace: str = "",
    writer: str = "",
    metadata: Mapping[str, str] | Iterable[tuple[str, str]] = (),
    credentials: grpc.ChannelCredentials | Tls | None = None,
    token: TokenSource | None = None,
    call_seconds: float = CALL_SECONDS_DEFAULT,
    retry_seconds: float = RETRY_SECONDS_DEFAULT,
) -> Client:
    """A client for a coordinator: `async with concert.connect("127.0.0.1:7420") as client`.

    Of several addresses one is used until it does not answer, then the next. `namespace`: "default" when empty.
    `writer` names this client where it writes shared state outside a session, at most 128 bytes; a random name when
    empty, so that its own writes are not taken for somebody else's. `metadata` goes with every call. `credentials`:
    those of `tls`, or any of grpc's; without them nothing is encrypted. `token`: the bearer token of every call, or a
    function, perhaps async, that gives the one that is valid now, such as `token_file`. `call_seconds`:
    how long a call may take that does not say otherwise. `retry_seconds`: how long a call that is UNAVAILABLE is tried
    again, under one request id.
    """
    connection = Connection(
        address,
        namespace=namespace,
        metadata=dict(metadata),
        credentials=credentials,
        token=token,
        call_seconds=call_seconds,
        retry_seconds=retry_seconds,
    )
    return Client(connection, writer or f"client-{secrets.token_hex(8)}")
