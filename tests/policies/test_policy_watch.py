"""A coordinator that follows its policy file: real files, a real server, links swapped as kubelet does."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from concert.v1 import event_pb2, event_service_pb2, lock_service_pb2, monitor_service_pb2, session_service_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc

from coordinator_service.core.commands import COORDINATOR, ChangePolicies
from coordinator_service.file_watch import FileUnusable
from coordinator_service.log.memory import MemoryStore
from coordinator_service.policy_file import digest_of, parse
from coordinator_service.server import CoordinatorServer
from tests.coordinator_process import coordinator_process
from tests.rpc.peer import Peer, decode, refused, submit
from tests.rpc.serving import serving, settings

EXAMPLE = Path(__file__).resolve().parents[2] / "deploy" / "agent_policies.yaml"
POLL_SECONDS = 0.02
WAIT_SECONDS_MAX = 20
NARROW = "coordination_policies: {default: {resource_timeout_seconds: 1}}\n"
WIDE = "coordination_policies: {default: {resource_timeout_seconds: 2}}\n"
BAD = "coordination_policies:\n  default:\n    resource_timeout_seconds: -1\n"
GUARDED = "agent_capabilities: {crew: {capabilities: [rendering], enforce: true}}\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A policy file."""
    path = tmp_path / "policies.yaml"
    path.write_text(NARROW)
    return path


@pytest.fixture
async def coordinator(tmp_path: Path, file: Path) -> AsyncIterator[CoordinatorServer]:
    async with serving(tmp_path, policy_file=file, policy_poll_seconds=POLL_SECONDS) as server:
        yield server


@pytest.fixture
async def peer(coordinator: CoordinatorServer) -> AsyncIterator[Peer]:
    async with grpc.aio.insecure_channel(coordinator.address) as channel:
        yield Peer(channel)


def digest(text: str) -> str:
    """Of a file with this text."""
    return digest_of(text.encode())


async def changes(peer: Peer, namespace: str = "") -> list[Any]:
    """The POLICY_CHANGED events of a namespace."""
    events = await peer.events_after(0, namespace)
    return [event for event in events if event.type == event_pb2.EVENT_TYPE_POLICY_CHANGED]


async def digests(peer: Peer, namespace: str = "") -> list[str]:
    """What was in force, one after another."""
    return [event.policy_changed.digest for event in await changes(peer, namespace)]


async def change_to(peer: Peer, wanted: str, namespace: str = "") -> Any:
    """The POLICY_CHANGED with a digest, once it is there."""
    filter_ = event_pb2.EventFilter(types=[event_pb2.EVENT_TYPE_POLICY_CHANGED])
    request = event_service_pb2.SubscribeRequest(namespace=namespace, after={"sequence": 0}, filter=filter_)
    call = peer.events.Subscribe(request)
    async with asyncio.timeout(WAIT_SECONDS_MAX):
        async for response in call:
            for event in response.events:
                if event.policy_changed.digest == wanted:
                    call.cancel()
                    return event
    raise AssertionError("the subscription ended")


async def status(peer: Peer) -> Any:
    """What GetServerInfo says of the file."""
    return (await peer.monitor.GetServerInfo(monitor_service_pb2.GetServerInfoRequest())).policy_file


async def status_when(peer: Peer, holds: Callable[[Any], bool]) -> Any:
    """The same, once something holds."""
    async with asyncio.timeout(WAIT_SECONDS_MAX):
        while True:
            found = await status(peer)
            if holds(found):
                return found
            await asyncio.sleep(POLL_SECONDS)


async def looks(coordinator: CoordinatorServer, count: int) -> None:
    """Lets the file be looked at so often."""
    watch = coordinator._policies
    assert watch is not None
    aim = watch.looks + count
    async with asyncio.timeout(WAIT_SECONDS_MAX):
        while True:
            if watch.looks >= aim:
                return
            await asyncio.sleep(0)


def put(path: Path, text: str) -> None:
    """Writes a file in place."""
    path.write_text(text)


async def test_the_missions_file_governs_from_the_start(tmp_path: Path) -> None:
    """P1, P2: its policies are an event of the default namespace before anybody calls, and tasks may name them."""
    async with serving(tmp_path, policy_file=EXAMPLE) as server, grpc.aio.insecure_channel(server.address) as channel:
        peer = Peer(channel)
        (event,) = await changes(peer)
        assert event.sequence == 2
        assert event.reason == "POLICY_INPUT"
        assert [policy.name for policy in event.policy_changed.policies] == ["default", "high_priority"]
        assert event.policy_changed.digest == digest_of(EXAMPLE.read_bytes())
        assert len(event.policy_changed.agent_capabilities) == 4
        request = submit("t", run_id="r")
        request.run.tasks[0].policy = "high_priority"
        await peer.runs.SubmitRun(request)


async def test_without_a_file_nothing_is_told(tmp_path: Path) -> None:
    """P1: none is configured by default; the built-in policies hold, and SIGHUP's reload does nothing."""
    async with serving(tmp_path) as server, grpc.aio.insecure_channel(server.address) as channel:
        peer = Peer(channel)
        server.reload()
        assert await changes(peer) == []
        info = await peer.monitor.GetServerInfo(monitor_service_pb2.GetServerInfoRequest())
        assert not info.HasField("policy_file")


async def test_a_change_reaches_every_namespace_that_is_owned(peer: Peer, file: Path) -> None:
    """P2: POLICY_CHANGED with the file's digest, in each."""
    for namespace in ("one", "two"):
        await peer.publish("hello", namespace=namespace)
    put(file, WIDE)
    for namespace in ("", "one", "two"):
        event = await change_to(peer, digest(WIDE), namespace)
        assert event.policy_changed.policies[0].resource_timeout.seconds == 2
        assert await digests(peer, namespace) == [digest(NARROW), digest(WIDE)]


async def test_a_namespace_that_is_opened_later_begins_with_the_file(peer: Peer, file: Path) -> None:
    """P2: ahead of the first command that is decided there."""
    put(file, WIDE)
    await change_to(peer, digest(WIDE))
    await peer.publish("hello", namespace="later")
    first, second, third = (await peer.events_after(0, "later"))[:3]
    assert first.type == event_pb2.EVENT_TYPE_OWNER_STARTED
    assert second.policy_changed.digest == digest(WIDE)
    assert third.type == event_pb2.EVENT_TYPE_CUSTOM


async def test_what_a_wait_may_take_changes_with_the_file(peer: Peer, file: Path) -> None:
    """R17, P1: the values in force when decided; no code and no restart in between."""
    put(file, "coordination_policies: {default: {resource_timeout_seconds: 0}}\n")
    await status_when(peer, lambda found: found.digest != digest(NARROW))
    await change_to(peer, (await status(peer)).digest)
    await peer.acquire("bucket")
    request = lock_service_pb2.AcquireRequest()
    request.requests.add(resource="bucket", holder="somebody-else")
    refusal = await refused(peer.locks.Acquire(request))
    assert refusal.code == "DEADLINE_EXCEEDED"


class Mount:
    """A directory as kubelet mounts a ConfigMap: file -> ..data/file, ..data -> ..<time>, swapped by one rename."""

    def __init__(self, directory: Path, text: str) -> None:
        self.directory = directory
        self.directory.mkdir()
        self._versions = 0
        self.swap(text)
        self.file = directory / "agent_policies.yaml"
        self.file.symlink_to("..data/agent_policies.yaml")

    def swap(self, text: str) -> None:
        """A new version in the place of the one before, which goes."""
        data = self.directory / "..data"
        before = data.resolve() if data.is_symlink() else None
        self._versions += 1
        version = self.directory / f"..2026_11_22_10_00_{self._versions:02}.{self._versions}"
        version.mkdir()
        (version / "agent_policies.yaml").write_text(text)
        fresh = self.directory / "..data_tmp"
        fresh.symlink_to(version.name)
        os.rename(fresh, data)
        if before is not None:
            (before / "agent_policies.yaml").unlink()
            before.rmdir()


async def test_a_mounted_config_map_is_followed(tmp_path: Path) -> None:
    """P1, P2: the swap of a directory behind a link, again and again; a bad version, and a good one after it."""
    mount = Mount(tmp_path / "config", NARROW)
    async with (
        serving(tmp_path, policy_file=mount.file, policy_poll_seconds=POLL_SECONDS) as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        peer = Peer(channel)
        mount.swap(WIDE)
        await change_to(peer, digest(WIDE))
        mount.swap(BAD)
        await status_when(peer, lambda found: bool(found.fault))
        mount.swap(NARROW)
        await status_when(peer, lambda found: not found.fault)
        mount.swap(GUARDED)
        await change_to(peer, digest(GUARDED))
        assert await digests(peer) == [digest(text) for text in (NARROW, WIDE, NARROW, GUARDED)]


async def test_a_bad_file_leaves_the_last_good_one_and_is_seen(
    peer: Peer, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """P1: line and field in the log, once, and in GetServerInfo for as long as it lasts; health stays SERVING."""
    good = await status(peer)
    assert (good.digest, good.fault, good.HasField("failing_since")) == (digest(NARROW), "", False)
    put(file, BAD)
    line = "line 3: coordination_policies.default.resource_timeout_seconds: must be 0 to 86400 seconds, not -1"
    bad = await status_when(peer, lambda found: bool(found.fault))
    assert (bad.fault, bad.digest, bad.HasField("failing_since")) == (line, digest(NARROW), True)
    stub: Any = health_pb2_grpc.HealthStub(peer.channel)
    assert (await stub.Check(health_pb2.HealthCheckRequest())).status == health_pb2.HealthCheckResponse.SERVING
    assert [line in record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == [True]
    put(file, NARROW)
    mended = await status_when(peer, lambda found: not found.fault)
    assert not mended.HasField("failing_since")
    assert await digests(peer) == [digest(NARROW)]


def replace_by(file: Path, kind: str) -> None:
    """Nothing, or something that is no file, in the place of a file."""
    file.unlink()
    if kind == "directory":
        file.mkdir()
    elif kind == "pipe":
        os.mkfifo(file)


@pytest.mark.parametrize("kind", ["gone", "directory", "pipe"])
async def test_a_file_that_is_not_there_leaves_the_last_good_one(peer: Peer, file: Path, kind: str) -> None:
    """P1, bad input: a missing file, a directory, a pipe that nobody writes to."""
    replace_by(file, kind)
    said = (await status_when(peer, lambda found: bool(found.fault))).fault
    assert said == ("cannot be read: No such file or directory" if kind == "gone" else "is not a file")
    assert await digests(peer) == [digest(NARROW)]


async def test_half_of_a_file_does_not_count(coordinator: CoordinatorServer, peer: Peer, file: Path) -> None:
    """P1: a content has to be there at two looks in a row, however often it changes until then."""
    for number in range(5):
        put(file, f"{WIDE}# {number}\n")
        await looks(coordinator, 1)
    put(file, WIDE)
    await change_to(peer, digest(WIDE))
    assert await digests(peer) == [digest(NARROW), digest(WIDE)]


async def test_a_superseded_file_is_not_applied_by_a_replica_that_starts_later(tmp_path: Path) -> None:
    """P2: the log says that its digest was replaced; putting the file back, though, counts."""
    store = _Kept()
    old, new = tmp_path / "old.yaml", tmp_path / "new.yaml"
    old.write_text(NARROW)
    new.write_text(WIDE)
    said: list[list[str]] = []
    for path in (old, new, old, new):
        async with (
            serving(tmp_path, store=store, policy_file=path, policy_poll_seconds=POLL_SECONDS) as server,
            grpc.aio.insecure_channel(server.address) as channel,
        ):
            said.append(await digests(Peer(channel)))
    first, second = digest(NARROW), digest(WIDE)
    assert said == [[first], [first, second], [first, second], [first, second]]
    os.utime(old)
    async with (
        serving(tmp_path, store=store, policy_file=old, policy_poll_seconds=POLL_SECONDS) as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        assert await digests(Peer(channel)) == [first, second, first]


class _Kept(MemoryStore):
    """A store that outlives the server, as one in another process does."""

    async def close(self) -> None:
        """It stays."""


async def test_a_file_that_is_put_back_while_a_replica_runs_counts(peer: Peer, file: Path) -> None:
    """P2: its own file changed since."""
    for text in (WIDE, NARROW, WIDE):
        put(file, text)
        await status_when(peer, lambda found, text=text: found.digest == digest(text))  # type: ignore[misc]
    await change_to(peer, digest(NARROW))
    assert await digests(peer) == [digest(text) for text in (NARROW, WIDE, NARROW, WIDE)]


async def test_a_file_that_is_mended_to_what_it_was_is_no_change(
    coordinator: CoordinatorServer, peer: Peer, file: Path
) -> None:
    """P2: what another replica's newer file said in the meantime stands."""
    newer = parse(WIDE.encode())
    (namespace,) = coordinator._namespaces.owned()
    await namespace.call(ChangePolicies(policies=newer.policies, digest=newer.digest), COORDINATOR)
    put(file, BAD)
    await status_when(peer, lambda found: bool(found.fault))
    put(file, NARROW)
    await status_when(peer, lambda found: not found.fault)
    assert await digests(peer) == [digest(NARROW), digest(WIDE)]


async def test_a_file_that_stays_is_told_once(coordinator: CoordinatorServer, peer: Peer, file: Path) -> None:
    """P2: touching it, or writing the same again, is no change."""
    os.utime(file)
    await looks(coordinator, 3)
    put(file, NARROW)
    await looks(coordinator, 3)
    coordinator.reload()
    await looks(coordinator, 3)
    assert await digests(peer) == [digest(NARROW)]


async def test_a_claim_outside_of_the_list_is_denied_on_the_wire(peer: Peer, file: Path) -> None:
    """A3: PERMISSION_DENIED for Hello and for UpdateAgent; what is allowed passes, so does another name."""
    put(file, GUARDED)
    await change_to(peer, digest(GUARDED))
    assert (await said_hello(peer, "crew", "rendering")).HasField("welcome")
    assert (await said_hello(peer, "others", "mining")).HasField("welcome")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await said_hello(peer, "crew", "rendering", "mining")
    refusal = decode(caught.value)
    assert (refusal.code, refusal.reason) == ("PERMISSION_DENIED", "PERMISSION_DENIED")
    assert "'mining'" in refusal.message
    stream = peer.sessions.Connect()
    await stream.write(session_service_pb2.ConnectRequest(messages=[hello("crew", "rendering")]))
    await stream.read()
    command = session_service_pb2.ClientMessage()
    command.command.correlation_id = 1
    command.command.update_agent.agent.capabilities.add(name="mining")
    await stream.write(session_service_pb2.ConnectRequest(messages=[command]))
    reply = (await stream.read()).messages[0].reply
    assert reply.error.code == grpc.StatusCode.PERMISSION_DENIED.value[0]
    stream.cancel()


def hello(name: str, *capabilities: str) -> Any:
    """The first message of a session."""
    message = session_service_pb2.ClientMessage()
    message.hello.agent.agent_name = name
    for capability in capabilities:
        message.hello.agent.capabilities.add(name=capability)
    return message


async def said_hello(peer: Peer, name: str, *capabilities: str) -> Any:
    """What a session that begins so is answered."""
    stream = peer.sessions.Connect()
    await stream.write(session_service_pb2.ConnectRequest(messages=[hello(name, *capabilities)]))
    answer = await stream.read()
    if answer is grpc.aio.EOF:
        raise AssertionError("the stream ended")
    stream.cancel()
    return answer.messages[0]


async def test_a_bad_file_keeps_a_server_from_starting(tmp_path: Path) -> None:
    """P1: before the store is opened."""
    path = tmp_path / "policies.yaml"
    put(path, BAD)
    server = CoordinatorServer(settings(tmp_path, policy_file=path, event_store="sqlite"))
    with pytest.raises(FileUnusable, match=r"policies\.yaml: line 3: coordination_policies\.default"):
        await server.start()
    assert os.listdir(tmp_path) == ["policies.yaml"]


@pytest.mark.parametrize("text", [BAD, None], ids=["bad", "missing"])
def test_the_command_says_one_line_and_ends_with_code_2(tmp_path: Path, text: str | None) -> None:
    """P1: at start-up a bad file refuses to start with one clear line."""
    path = tmp_path / "policies.yaml"
    if text is not None:
        path.write_text(text)
    command = [sys.executable, "-m", "coordinator_service", "--event-store", "memory", "--listen", "127.0.0.1:0"]
    ended = subprocess.run(
        [*command, "--policy-file", str(path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 2
    assert ended.stderr.startswith(f"python -m coordinator_service: policy file {path}: ")
    assert len(ended.stderr.splitlines()) == 1


async def test_sighup_has_the_file_read_at_once(tmp_path: Path, file: Path) -> None:
    """P1: without waiting for the next look, and without a second one."""
    options = ("--policy-file", str(file), "--policy-poll-seconds", "3600")
    with coordinator_process(tmp_path, durable=False, options=options) as process:
        async with grpc.aio.insecure_channel(process.address) as channel:
            peer = Peer(channel)
            assert await digests(peer) == [digest(NARROW)]
            put(file, WIDE)
            os.kill(process.pid, signal.SIGHUP)
            await change_to(peer, digest(WIDE))
        assert process.terminate() == 0
