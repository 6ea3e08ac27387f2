"""A real coordinator over a socket: it lives, what it holds stays bounded, and after SIGKILL its log replays."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
from concert._poller import quiet_poller
from concert.v1 import monitor_service_pb2, monitor_service_pb2_grpc

from tests.coordinator_process import CoordinatorProcess, coordinator_process
from tests.fuzz.surface import RESPONSES_MAX, SETTINGS, STATUS, Heard, Metadata, Trouble

GROWTH_BYTES_MAX = 256 * 1024 * 1024
DESCRIPTORS_MORE_MAX = 16
"""Beyond those of a coordinator that was just started: its store may open more as it goes on."""
SETTLE_SECONDS_MAX = 60.0
DEADLINE_SLACK_SECONDS = 0.1
_WRITTEN_TOO_LATE = "Internal error from Core"
"""What grpc.aio on this side says where a write meets a stream that has just ended."""
_OF_OUR_FAULTS = ("a fault", "broke", "could not be written", "/coordinator_service/")
"""grpc.aio logs calls that were cancelled as tracebacks of its own; none of ours has anything to say without these."""
_CONNECT = "/concert.v1.SessionService/Connect"


class Process:
    """A World."""

    def __init__(self, coordinator: CoordinatorProcess, directory: Path) -> None:
        self._coordinator = coordinator
        self._directory = directory
        self._channel = grpc.aio.insecure_channel(coordinator.address)
        self._descriptors = _descriptors(coordinator.pid)
        self._resident = _resident_bytes(coordinator.pid)

    async def call(self, path: str, request: bytes, metadata: Metadata, seconds_max: float) -> Heard:
        """As of a World."""
        until = time.monotonic() + seconds_max
        call: Any = self._channel.unary_stream(path)(request, timeout=seconds_max, metadata=metadata)
        responses: list[bytes] = []
        try:
            while len(responses) < RESPONSES_MAX and (response := await call.read()) is not grpc.aio.EOF:
                responses.append(response)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.CANCELLED and time.monotonic() > until - DEADLINE_SLACK_SECONDS:
                return Heard("CUT", responses)  # by the deadline, which the other end met first
            return _heard(error, responses)
        finally:
            call.cancel()
        return Heard("OK", responses)

    async def converse(self, frames: AsyncIterator[bytes], hear: Callable[[bytes], None], *, cut: bool) -> Heard:
        """As of a World."""
        call: Any = self._channel.stream_stream(_CONNECT)()
        hearing = asyncio.create_task(_hear(call, hear))
        try:
            async for frame in frames:
                try:
                    await call.write(frame)
                except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
                    break
            if cut:
                return Heard("CUT")
            try:
                await call.done_writing()
            except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
                pass
            async with asyncio.timeout(SETTLE_SECONDS_MAX):
                return await hearing
        finally:
            call.cancel()
            hearing.cancel()
            await asyncio.gather(hearing, return_exceptions=True)

    async def check(self) -> str:
        """It answers, has let go of what it held for us, said nothing of faults, and left a log that replays."""
        await self._channel.close()
        await self._answers()
        pid = self._coordinator.pid
        descriptors = await _settled(lambda: _descriptors(pid), self._descriptors + DESCRIPTORS_MORE_MAX, "descriptors")
        grown = _resident_bytes(pid) - self._resident
        if grown > GROWTH_BYTES_MAX:
            raise Trouble(f"the coordinator has grown by {grown / 2**20:.0f} MiB")
        said = self._coordinator.log()
        if any(word in said for word in _OF_OUR_FAULTS):
            raise Trouble(f"the coordinator says: {said[-4000:]}")
        await asyncio.to_thread(self._coordinator.kill)
        command = [sys.executable, "-m", "coordinator_service", "replay", "--data-dir", str(self._directory / "data")]
        replayed = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
        if replayed.returncode:
            raise Trouble(f"the log does not replay: {replayed.stdout}{replayed.stderr}")
        await asyncio.to_thread(self._coordinator.start)
        await self._answers()
        return f"grew by {grown / 2**20:.0f} MiB, {descriptors} descriptors, {self._descriptors} at first; it replays"

    async def _answers(self) -> None:
        async with grpc.aio.insecure_channel(self._coordinator.address) as channel:
            stub: Any = monitor_service_pb2_grpc.MonitorServiceStub(channel)
            await stub.GetServerInfo(monitor_service_pb2.GetServerInfoRequest(), wait_for_ready=True, timeout=60)


@asynccontextmanager
async def process(directory: Path) -> AsyncIterator[Process]:
    """Started, and gone afterwards."""
    quiet_poller(asyncio.get_running_loop())
    options = [each for name, value in SETTINGS.items() for each in (f"--{name.replace('_', '-')}", str(value))]
    with coordinator_process(directory, options=options) as coordinator:
        world = Process(coordinator, directory)
        await world._answers()
        yield world


async def _hear(call: Any, hear: Callable[[bytes], None]) -> Heard:
    try:
        while (frame := await call.read()) is not grpc.aio.EOF:
            hear(frame)
    except grpc.aio.AioRpcError as error:
        return _heard(error, [])
    code = await call.code()
    return Heard(code.name)


def _heard(error: grpc.aio.AioRpcError, responses: list[bytes]) -> Heard:
    status = next((value for key, value in error.trailing_metadata() or () if key == STATUS), b"")
    code = error.code().name
    if not status and (code == "DEADLINE_EXCEEDED" or error.details() == _WRITTEN_TOO_LATE):
        code = "CUT"
    return Heard(code, responses, bytes(status), error.details() or "")


async def _settled(count: Callable[[], int], most: int, what: str) -> int:
    deadline = time.monotonic() + SETTLE_SECONDS_MAX
    while (found := count()) > most:
        if time.monotonic() > deadline:
            raise Trouble(f"the coordinator holds {found} {what}, at most {most} were expected")
        await asyncio.sleep(0.05)
    return found


def _descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def _resident_bytes(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
