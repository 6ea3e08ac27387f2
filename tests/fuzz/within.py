"""A coordinator in this process, its servicers called as gRPC would call them: the fastest way to ask it anything."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

from coordinator_service.core.invariants import check_invariants
from coordinator_service.log.memory import MemoryStore
from coordinator_service.replay import replay
from coordinator_service.server import CoordinatorServer
from tests.fuzz.surface import RESPONSES_MAX, SETTINGS, STATUS, Heard, Metadata, Trouble, within_time
from tests.rpc.serving import settings


class _Aborted(Exception):  # noqa: N818 (it says what happened)
    pass


@dataclass
class _Context:
    """What servicers use of a grpc.aio.ServicerContext."""

    frames: AsyncIterator[bytes] | None = None
    metadata: tuple[tuple[str, str], ...] = ()
    hear: Callable[[bytes], None] = lambda _: None
    ended: Heard | None = None
    written: list[bytes] = field(default_factory=list)

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return self.metadata

    async def read(self) -> Any:
        assert self.frames is not None
        return await anext(self.frames, grpc.aio.EOF)

    async def write(self, message: bytes) -> None:
        self.written.append(message)
        self.hear(message)
        await asyncio.sleep(0)

    async def abort(self, code: grpc.StatusCode, details: str = "", trailing_metadata: Any = ()) -> None:
        status = next((value for key, value in trailing_metadata if key == STATUS), b"")
        self.ended = Heard(code.name, status=status, message=details)
        raise _Aborted

    def code(self) -> Any:
        return None


@dataclass(frozen=True, slots=True)
class _Call:
    method: str
    invocation_metadata: tuple[Any, ...] = ()


class _Faults(logging.Handler):
    """What the coordinator says of its own faults."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        formatter = logging.Formatter("%(name)s: %(message)s")
        self.said.append(formatter.format(record))


class Within:
    """A World."""

    def __init__(self, server: CoordinatorServer, store: MemoryStore) -> None:
        self._server = server
        self._store = store
        self._handlers = list(server._handlers())
        self.faults = _Faults()

    async def call(self, path: str, request: bytes, metadata: Metadata, seconds_max: float) -> Heard:
        """As of a World."""
        handler = self._handler(path)
        context = _Context(metadata=metadata)

        async def called() -> Heard:
            try:
                if handler.response_streaming:
                    await handler.unary_stream(request, context)
                else:
                    context.written.append(await handler.unary_unary(request, context))
            except _Aborted:
                assert context.ended is not None
                return context.ended
            return Heard("OK", context.written)

        heard = await within_time(called(), seconds_max)
        self._raise_faults()
        return Heard(heard.code, context.written[:RESPONSES_MAX], heard.status, heard.message)

    async def converse(self, frames: AsyncIterator[bytes], hear: Callable[[bytes], None], *, cut: bool) -> Heard:
        """As of a World."""
        handler = self._handler("/concert.v1.SessionService/Connect")
        last = asyncio.Event()

        async def all_of_them() -> AsyncIterator[bytes]:
            async for frame in frames:
                yield frame
            last.set()
            if cut:
                await asyncio.Future()

        context = _Context(frames=all_of_them(), hear=hear)
        serving = asyncio.ensure_future(handler.stream_stream(None, context))
        try:
            waiting = asyncio.ensure_future(last.wait())
            await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
            if cut and not serving.done():
                serving.cancel()
            await asyncio.wait({serving}, timeout=30)
            if not serving.done():
                raise Trouble("a session does not end")
            if serving.cancelled():
                return Heard("CUT")
            failure = serving.exception()
            if failure is not None and not isinstance(failure, _Aborted):
                raise Trouble(f"Connect: {type(failure).__name__}: {failure}") from failure
            return context.ended or Heard("OK")
        finally:
            serving.cancel()
            self._raise_faults()

    async def check(self) -> str:
        """Every log replays to the state that is there."""
        events = 0
        for port in self._server._namespaces.owned():
            check_invariants(port.sequencer.state)
            found = await replay(await self._store.open(port.namespace))
            if found.findings:
                raise Trouble(f"{port.namespace!r} does not replay: {found.findings}")
            events += found.last_sequence
        self._raise_faults()
        return f"{events} events replayed"

    def _handler(self, path: str) -> Any:
        for each in self._handlers:
            handler = each.service(_Call(path))  # type: ignore[arg-type]
            if handler is not None:
                return handler
        raise AssertionError(path)

    def _raise_faults(self) -> None:
        if self.faults.said:
            raise Trouble(self.faults.said[0])


@asynccontextmanager
async def within(directory: Path) -> AsyncIterator[Within]:
    """Started, and gone afterwards."""
    store = MemoryStore()
    loop = asyncio.get_running_loop()
    async with CoordinatorServer(settings(directory, **SETTINGS), store=store) as server:
        world = Within(server, store)
        logging.getLogger().addHandler(world.faults)
        loop.set_exception_handler(lambda _, told: world.faults.said.append(f"unhandled: {told}"))
        try:
            yield world
        finally:
            logging.getLogger().removeHandler(world.faults)
            loop.set_exception_handler(None)
