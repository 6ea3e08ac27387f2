"""LockService on the wire: waiting, giving up, callers that vanish, leases."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
from concert.v1 import event_pb2, lock_pb2, lock_service_pb2, run_service_pb2

from coordinator_service.core.answers import Waiting
from coordinator_service.core.commands import Acquire, Caller, WithdrawRequest
from coordinator_service.rpc.lock_servicer import _Turn
from coordinator_service.server import CoordinatorServer
from tests.relay import relaying

from .peer import Peer, acquire, event_of, refused, update

WITHDRAWN = event_pb2.EVENT_TYPE_RESOURCE_REQUEST_WITHDRAWN
REQUESTED = event_pb2.EVENT_TYPE_RESOURCE_REQUESTED


async def test_a_waiter_is_granted_when_the_holder_releases(peer: Peer) -> None:
    """L2, L8: the call that waits returns with a larger fencing token."""
    held = (await peer.acquire("bucket/blog")).grants[0]
    waiting = asyncio.ensure_future(peer.acquire("bucket/blog", wait_seconds=30))
    await event_of(peer, REQUESTED, held.fencing_token)
    await peer.locks.Release(lock_service_pb2.ReleaseRequest(fencing_tokens=[held.fencing_token]))
    granted = (await waiting).grants[0]
    assert granted.fencing_token > held.fencing_token
    assert granted.lease.seconds == 30


async def test_a_lock_not_granted_in_time_names_its_holders(peer: Peer) -> None:
    """L6: DEADLINE_EXCEEDED with the holders and the place in the queue, whether it waited or would not."""
    held = (await peer.acquire("bucket/blog", holder="content-1")).grants[0]
    for seconds in (0, 0.05):
        refusal = await refused(peer.acquire("bucket/blog", wait_seconds=seconds))
        assert (refusal.code, refusal.reason) == ("DEADLINE_EXCEEDED", "LOCK_TIMEOUT")
        contention = refusal.details["LockContention"]
        assert [holder.fencing_token for holder in contention.holders] == [held.fencing_token]
        assert (contention.holders[0].holder, contention.position) == ("content-1", 1)


async def test_a_request_that_would_close_a_cycle_is_refused_with_the_cycle(peer: Peer) -> None:
    """L4: ABORTED, naming who waits for whom; recorded as an event; whoever was in it before waits on."""
    tokens = [(await peer.acquire(name, holder=name)).grants[0].fencing_token for name in "ab"]
    waiting = asyncio.ensure_future(peer.acquire("b", holder="a", wait_seconds=30))
    first = await event_of(peer, REQUESTED, tokens[1])
    refusal = await refused(peer.acquire("a", holder="b", wait_seconds=30))
    assert (refusal.code, refusal.reason) == ("ABORTED", "DEADLOCK")
    deadlock = refusal.details["Deadlock"]
    steps = [(each.holder, each.resource, each.request_sequence, each.fencing_token) for each in deadlock.cycle]
    assert steps == [("b", "a", deadlock.request_sequence, tokens[0]), ("a", "b", first.sequence, tokens[1])]
    assert deadlock.length == 2
    recorded = await event_of(peer, event_pb2.EVENT_TYPE_RESOURCE_REQUEST_REFUSED, first.sequence)
    assert recorded.reason == "DEADLOCK"
    assert list(recorded.resource_request_refused.cycle) == list(deadlock.cycle)
    await peer.locks.Release(lock_service_pb2.ReleaseRequest(fencing_tokens=[tokens[1]]))
    assert (await waiting).grants[0].holder == "a"


async def test_a_stale_fence_refuses_a_command_whatever_is_asked(peer: Peer) -> None:
    """L8: nothing is stored, and the refusal names the token that counts now."""
    old = (await peer.acquire("bucket/blog")).grants[0]
    await peer.locks.Release(lock_service_pb2.ReleaseRequest(fencing_tokens=[old.fencing_token]))
    now = (await peer.acquire("bucket/blog")).grants[0]
    fence = lock_pb2.Fence(resource="bucket/blog", fencing_token=old.fencing_token)
    for call in (
        peer.publish("built", fences=[fence]),
        peer.state.UpdateState(update("key", fences=[fence])),
        peer.locks.Acquire(lock_service_pb2.AcquireRequest(requests=[{"resource": "other"}], fences=[fence])),
        peer.runs.CancelRun(run_service_pb2.CancelRunRequest(run_id="run", fences=[fence])),
    ):
        refusal = await refused(call)
        assert (refusal.code, refusal.reason) == ("ABORTED", "STALE_FENCE")
        stale = refusal.details["StaleToken"]
        assert (stale.token, stale.current, stale.resource) == (old.fencing_token, now.fencing_token, "bucket/blog")
    listed = await peer.locks.ListLocks(lock_service_pb2.ListLocksRequest())
    assert [lock.resource for lock in listed.locks] == ["bucket/blog"]


async def test_a_client_that_vanishes_while_it_waits_leaves_the_queue(peer: Peer) -> None:
    """L6: a cancelled call withdraws its request, so that nobody waits behind it."""
    held = (await peer.acquire("bucket/blog")).grants[0]
    call = peer.locks.Acquire(acquire("bucket/blog", wait_seconds=60))
    requested = await event_of(peer, REQUESTED, held.fencing_token)
    call.cancel()
    withdrawn = await event_of(peer, WITHDRAWN, requested.sequence)
    assert withdrawn.resource_request_withdrawn.request_sequence == requested.sequence
    lock = (await peer.locks.GetLock(lock_service_pb2.GetLockRequest(resource="bucket/blog"))).lock
    assert (len(lock.holders), len(lock.waiters)) == (1, 0)


async def test_a_channel_that_breaks_withdraws_too(coordinator: CoordinatorServer, peer: Peer) -> None:
    """L6: so does a connection that is lost."""
    held = (await peer.acquire("bucket/blog")).grants[0]
    async with relaying(coordinator.address) as relay, grpc.aio.insecure_channel(relay.address) as channel:
        call = Peer(channel).locks.Acquire(acquire("bucket/blog", wait_seconds=60))
        requested = await event_of(peer, REQUESTED, held.fencing_token)
        relay.break_connections()
        withdrawn = await event_of(peer, WITHDRAWN, requested.sequence)
        call.cancel()
    assert withdrawn.resource_request_withdrawn.request_sequence == requested.sequence


class RecordingPort:
    """Records what is submitted, and answers when told to."""

    def __init__(self) -> None:
        self.submitted: list[Any] = []
        self.responds: list[Any] = []

    def submit(self, command: Any, caller: Caller, respond: Any) -> None:
        self.submitted.append(command)
        self.responds.append(respond)

    def withdraw(self, request_sequence: int, respond: Any) -> None:
        assert respond is self.responds[0]
        self.submitted.append(WithdrawRequest(request_sequence=request_sequence))


@pytest.mark.parametrize("waits_first", [True, False])
async def test_a_turn_that_is_left_is_withdrawn_whichever_comes_first(waits_first: bool) -> None:
    """L6: also when the caller goes before it is decided that the request has to wait."""
    port = RecordingPort()
    turn = _Turn(port)  # type: ignore[arg-type]
    turn.ask(Acquire(requests=()), Caller())
    steps = [lambda: port.responds[0](Waiting(request_sequence=7)), turn.leave]
    for step in steps if waits_first else reversed(steps):
        step()
    assert port.submitted[1:] == [WithdrawRequest(request_sequence=7)]


async def test_who_does_not_hold_a_lock_cannot_release_it(peer: Peer) -> None:
    """FAILED_PRECONDITION (NOT_HOLDER), also in a namespace that is not there."""
    for namespace in ("", "blog"):
        request = lock_service_pb2.ReleaseRequest(namespace=namespace, fencing_tokens=[999])
        refusal = await refused(peer.locks.Release(request))
        assert (refusal.code, refusal.reason) == ("FAILED_PRECONDITION", "NOT_HOLDER")
        assert refusal.details["PreconditionFailure"].violations[0].subject == "fencing token 999"


async def test_a_stronger_mode_is_refused(peer: Peer) -> None:
    """L5: FAILED_PRECONDITION (LOCK_UPGRADE) naming the resource."""
    shared = acquire("bucket/blog", holder="content-1")
    shared.requests[0].mode = 2
    await peer.locks.Acquire(shared)
    refusal = await refused(peer.acquire("bucket/blog", holder="content-1"))
    assert (refusal.code, refusal.reason) == ("FAILED_PRECONDITION", "LOCK_UPGRADE")
    assert refusal.details["PreconditionFailure"].violations[0].subject == "bucket/blog"


async def test_a_grant_that_is_gone_cannot_be_replayed(peer: Peer) -> None:
    """D5: FAILED_PRECONDITION (LOCK_LOST) rather than a grant that no longer stands."""
    held = (await peer.acquire("bucket/blog", request_id="r-1")).grants[0]
    await peer.locks.Release(lock_service_pb2.ReleaseRequest(fencing_tokens=[held.fencing_token]))
    refusal = await refused(peer.acquire("bucket/blog", request_id="r-1"))
    assert (refusal.code, refusal.reason) == ("FAILED_PRECONDITION", "LOCK_LOST")


async def test_a_lease_is_kept_alive_and_a_lost_one_is_named(peer: Peer) -> None:
    """L7: time_left for each lock that stands, none for one that is gone; that is no error of the call."""
    token = (await peer.acquire("bucket/blog")).grants[0].fencing_token
    request = lock_service_pb2.KeepAliveRequest(fencing_tokens=[token, 999])
    stands, gone = (await peer.locks.KeepAlive(request)).leases
    assert (stands.fencing_token, gone.fencing_token) == (token, 999)
    assert 29 <= stands.time_left.ToTimedelta().total_seconds() <= 30
    assert not gone.HasField("time_left")
    request.namespace = "blog"
    assert not any(lease.HasField("time_left") for lease in (await peer.locks.KeepAlive(request)).leases)


async def test_locks_are_listed_by_name_in_pages(peer: Peer) -> None:
    """A stable order, and a token as long as there is more."""
    for name in ("a/3", "b/1", "a/1", "a/2"):
        await peer.acquire(name)
    request = lock_service_pb2.ListLocksRequest(prefix="a/", page_size=2)
    first = await peer.locks.ListLocks(request)
    request.page_token = first.next_page_token
    second = await peer.locks.ListLocks(request)
    assert [lock.resource for lock in (*first.locks, *second.locks)] == ["a/1", "a/2", "a/3"]
    assert not second.next_page_token
