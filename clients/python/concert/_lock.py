"""Locks as scopes: `async with client.lock("bucket/blog") as lock`.

The body of a scope is cancelled, the way asyncio.timeout does it, the moment this client can no longer be
sure that it holds the lock: when the lease has not been renewed in time (counted from when the renewal was
sent, so before the coordinator gives the lock to somebody else), or when the session that the lock follows is
over. The scope then raises LockLost.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Mapping, Sequence
from types import TracebackType
from typing import Any, Literal, TypeAlias

from concert._backoff import Backoff
from concert._caller import Origin
from concert._limits import (
    CLOSE_SECONDS_MAX,
    LEASE_SHARE,
    LOCK_LEASE_SECONDS_DEFAULT,
    LOCK_WAIT_MARGIN_SECONDS,
    LOCK_WAIT_SECONDS_DEFAULT,
    LOCKS_PER_ACQUIRE_MAX,
)
from concert._methods import ACQUIRE, GET_LOCK, KEEP_ALIVE, LIST_LOCKS, RELEASE
from concert._pages import read_pages
from concert._time import Seconds, from_duration, seconds_of, to_duration
from concert._turns import Turns
from concert.errors import (
    ConcertError,
    InvalidArgument,
    LockLost,
    LockTimeout,
    NotHolder,
    SessionOver,
    StaleFence,
)
from concert.v1 import lock_pb2, lock_service_pb2

_log = logging.getLogger("concert.lock")

Mode: TypeAlias = Literal["exclusive", "shared"]

_MODES = {"exclusive": lock_pb2.LOCK_MODE_EXCLUSIVE, "shared": lock_pb2.LOCK_MODE_SHARED}


def lock_mode(mode: str) -> Any:
    """The contract's number. Raises InvalidArgument."""
    if mode not in _MODES:
        raise InvalidArgument(f"a lock is 'exclusive' or 'shared', not {mode!r}")
    return _MODES[mode]


class Lock:
    """Locks that are held: what a scope hands to its body."""

    def __init__(self, grants: Sequence[Any]) -> None:
        """Keeps the grants."""
        self.grants = tuple(grants)
        self.lost = False
        """Whether the scope has been told that the locks are gone."""

    @property
    def fencing_token(self) -> int:
        """Of the first lock. Strictly increases from grant to grant: send it along when touching what the
        lock protects.
        """
        return int(self.grants[0].fencing_token)

    @property
    def fencing_tokens(self) -> dict[str, int]:
        """By resource."""
        return {grant.resource: grant.fencing_token for grant in self.grants}

    @property
    def holder(self) -> str:
        """Who holds them, as the coordinator names it."""
        return str(self.grants[0].holder)


class LockScope:
    """Takes locks, all or none, and gives them back. For one `async with`."""

    def __init__(
        self,
        origin: Origin,
        resources: Sequence[str],
        *,
        mode: Mode = "exclusive",
        lease: Seconds | None = None,
        wait: Seconds | None = None,
        guards: str = "",
        holder: str = "",
        priority: int | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        """See Client.lock."""
        if not 0 < len(resources) <= LOCKS_PER_ACQUIRE_MAX:
            raise InvalidArgument(f"a scope takes 1 to {LOCKS_PER_ACQUIRE_MAX} locks, not {len(resources)}")
        self._origin = origin
        self._resources = tuple(resources)
        self._shared = lock_mode(mode) == lock_pb2.LOCK_MODE_SHARED
        self._wait_seconds = None if wait is None else seconds_of(wait)
        self._request = _lock_request(mode, lease, guards, holder, priority, metadata)
        follows = origin.caller.lock_identity
        self._follows_session = bool(follows)
        place = origin.caller.place
        attempt = f"{place}/attempt/{origin.attempt_token}" if origin.attempt_token else ""
        self._holder = attempt or follows or (f"{place}/holder/{holder}" if holder else "")
        self._turns: Turns | None = None
        self._lock: Lock | None = None
        self._body: asyncio.Task[Any] | None = None
        self._cancelling = 0
        self._keeper: asyncio.Task[None] | None = None
        self._forget_session = _nothing
        self._lost_because = ""

    async def __aenter__(self) -> Lock:
        """Waits for the locks. Raises LockTimeout, LockUpgrade, SessionOver and what else a call raises."""
        if self._turns is not None:
            raise RuntimeError("a lock scope is entered once: ask for another one")
        loop = asyncio.get_running_loop()
        self._turns = Turns(self._holder, self._resources, shared=self._shared)
        begun = loop.time()
        await self._take_turns()
        try:
            asked_at = loop.time()
            response = await self._acquire(asked_at - begun)
            self._lock = Lock(response.grants)
            await self._guard(asked_at)
        except BaseException:
            if self._lock is not None:
                await _finish(self._release_quietly())
            self._turns.leave()
            raise
        return self._lock

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """Gives the locks back. Raises LockLost when they were lost, instead of the cancellation that this
        caused.
        """
        assert self._turns is not None
        assert self._body is not None
        self._forget_session()
        if self._keeper is not None:
            self._keeper.cancel()
        try:
            if self._lost_because:
                left = self._body.uncancel()
                if not self._follows_session:
                    await _finish(self._release_quietly())
                ours = kind is not None and issubclass(kind, asyncio.CancelledError) and left <= self._cancelling
                if kind is None or ours:
                    raise LockLost(self._lost_because) from error
            else:
                await self._give_back(raising=kind is None)
        finally:
            self._turns.leave()

    async def _take_turns(self) -> None:
        assert self._turns is not None
        wait = LOCK_WAIT_SECONDS_DEFAULT if self._wait_seconds is None else self._wait_seconds
        try:
            async with asyncio.timeout(wait):
                await self._turns.enter()
        except TimeoutError:
            raise LockTimeout("another scope of this process kept the lock for longer than the wait") from None

    async def _acquire(self, waited: float) -> Any:
        left = None if self._wait_seconds is None else max(0.0, self._wait_seconds - waited)
        request = _acquire_request(self._origin, self._resources, self._request, left)
        timeout = math.inf if self._wait_seconds is None else self._wait_seconds + LOCK_WAIT_MARGIN_SECONDS
        if self._follows_session:
            return await self._origin.caller.call(ACQUIRE, request)
        return await self._origin.caller.call(ACQUIRE, request, timeout=timeout)

    async def _guard(self, asked_at: float) -> None:
        """Has the body cancelled when the locks are lost, from here on."""
        assert self._lock is not None
        self._body = asyncio.current_task()
        if self._body is None:
            raise RuntimeError("a lock scope needs a task to cancel")
        self._cancelling = self._body.cancelling()
        if self._follows_session:
            self._forget_session = self._origin.caller.on_lost(lambda: self._lose("the session is over"))
            return
        lease = from_duration(self._lock.grants[0].lease) or LOCK_LEASE_SECONDS_DEFAULT
        loop = asyncio.get_running_loop()
        until = asked_at + lease * LEASE_SHARE
        if loop.time() - asked_at > lease * (
            1 - LEASE_SHARE
        ):  # it was queued: when the lease began is not known, renew it
            until = await self._renew(lease)
        self._keeper = asyncio.create_task(self._keep(lease, until), name="concert lock")

    async def _keep(self, lease: float, until: float) -> None:
        """Renews the leases every third of their time, until that has not worked for too long."""
        loop = asyncio.get_running_loop()
        backoff = Backoff()
        pause = lease / 3
        while True:
            try:
                async with asyncio.timeout_at(until):
                    await asyncio.sleep(pause)
                    until = await self._renew(lease)
                backoff.reset()
                pause = lease / 3
            except (TimeoutError, LockLost) as error:
                self._lose(str(error) or "the lease ran out without a renewal being answered")
                return
            except ConcertError as error:
                _log.info("keeping %s alive failed: %s", self._resources, error)
                pause = min(backoff.pause_seconds(), max(0.0, until - loop.time()))

    async def _renew(self, lease: float) -> float:
        """Until when the locks stand for sure, on this loop's clock. Raises LockLost when one is gone."""
        assert self._lock is not None
        sent_at = asyncio.get_running_loop().time()
        tokens = [grant.fencing_token for grant in self._lock.grants]
        request = lock_service_pb2.KeepAliveRequest(fencing_tokens=tokens)
        response = await self._origin.caller.call(KEEP_ALIVE, request, timeout=lease)
        if len(response.leases) < len(tokens) or not all(each.HasField("time_left") for each in response.leases):
            raise LockLost("the coordinator says that the lock is gone")
        return sent_at + min(from_duration(each.time_left) for each in response.leases) * LEASE_SHARE

    def _lose(self, because: str) -> None:
        assert self._lock is not None
        assert self._body is not None
        if not self._lost_because:
            self._lost_because = because
            self._lock.lost = True
            self._body.cancel()

    async def _give_back(self, *, raising: bool) -> None:
        try:
            await _finish(self._release())
        except (NotHolder, StaleFence, SessionOver) as error:
            if raising:
                raise LockLost(f"the lock was gone when it was to be released: {error}") from error
        except ConcertError as error:  # the body has run under the lock; what is left of it ends with its lease
            _log.warning("releasing %s failed: %s", self._resources, error)

    async def _release(self) -> None:
        assert self._lock is not None
        request = lock_service_pb2.ReleaseRequest(
            attempt_token=self._origin.attempt_token,
            fencing_tokens=[grant.fencing_token for grant in self._lock.grants],
        )
        await self._origin.caller.call(RELEASE, request)

    async def _release_quietly(self) -> None:
        try:
            async with asyncio.timeout(CLOSE_SECONDS_MAX):
                await self._release()
        except (TimeoutError, ConcertError) as error:
            _log.debug("releasing %s failed: %s", self._resources, error)


class Locks:
    """The locks of a namespace: as a reader sees them, and taken without a scope."""

    def __init__(self, origin: Origin) -> None:
        """Asks as `origin`."""
        self._origin = origin

    async def acquire(
        self,
        *resources: str,
        mode: Mode = "exclusive",
        lease: Seconds | None = None,
        wait: Seconds | None = None,
        guards: str = "",
        holder: str = "",
        priority: int | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> Lock:
        """Takes 1 to 64 locks, all or none, and leaves them to the caller: nothing renews them, nothing gives them
        back, and nobody is told when they are lost. `Client.lock` does all three; the parameters are the same.
        """
        template = _lock_request(mode, lease, guards, holder, priority, metadata)
        seconds = None if wait is None else seconds_of(wait)
        request = _acquire_request(self._origin, resources, template, seconds)
        timeout = math.inf if seconds is None else seconds + LOCK_WAIT_MARGIN_SECONDS
        return Lock((await self._origin.caller.call(ACQUIRE, request, timeout=timeout)).grants)

    async def release(self, *fencing_tokens: int, force: bool = False) -> int:
        """Gives 1 to 64 locks back, all or none; the sequence of the first event. With force, for operators, they are
        taken from whoever holds them, who is fenced. Raises NotHolder, PermissionDenied."""
        request = lock_service_pb2.ReleaseRequest(
            attempt_token=self._origin.attempt_token, fencing_tokens=fencing_tokens, force=force
        )
        return int((await self._origin.caller.call(RELEASE, request)).sequence)

    async def keep_alive(self, *fencing_tokens: int) -> dict[int, float | None]:
        """Makes the leases of up to 1000 locks whole again: how many seconds each stands from now, by its token;
        None for one that is gone.
        """
        request = lock_service_pb2.KeepAliveRequest(fencing_tokens=fencing_tokens)
        response = await self._origin.caller.call(KEEP_ALIVE, request)
        return {
            each.fencing_token: from_duration(each.time_left) if each.HasField("time_left") else None
            for each in response.leases
        }

    async def list(self, prefix: str = "", *, limit: int | None = None) -> list[Any]:
        """Locks that are held or waited for, by name."""
        request = lock_service_pb2.ListLocksRequest(prefix=prefix)
        return await read_pages(self._origin.caller, LIST_LOCKS, request, "locks", limit)

    async def get(self, resource: str) -> Any:
        """One lock. Raises NotFound when nobody holds it or waits for it."""
        request = lock_service_pb2.GetLockRequest(resource=resource)
        return (await self._origin.caller.call(GET_LOCK, request)).lock


def _lock_request(
    mode: Mode,
    lease: Seconds | None,
    guards: str,
    holder: str,
    priority: int | None,
    metadata: Mapping[str, str] | None,
) -> lock_pb2.LockRequest:
    """What the requests of one call have in common. Raises InvalidArgument."""
    request = lock_pb2.LockRequest(
        mode=lock_mode(mode), holder=holder, guards=guards, priority=priority, metadata=metadata or {}
    )
    if lease is not None:
        request.lease.CopyFrom(to_duration(lease))
    return request


def _acquire_request(
    origin: Origin, resources: Sequence[str], template: lock_pb2.LockRequest, wait_seconds: float | None
) -> lock_service_pb2.AcquireRequest:
    request = lock_service_pb2.AcquireRequest(attempt_token=origin.attempt_token)
    for resource in resources:
        one = request.requests.add()
        one.CopyFrom(template)
        one.resource = resource
        if wait_seconds is not None:
            one.wait_timeout.CopyFrom(to_duration(wait_seconds))
    return request


def _nothing() -> None:
    return None


async def _finish(what: Awaitable[None]) -> None:
    """Awaits something to its end even when the caller is cancelled; the cancellation follows then."""
    task = asyncio.ensure_future(what)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task], timeout=CLOSE_SECONDS_MAX)
        if not task.done():
            task.cancel()
        elif not task.cancelled():
            task.exception()  # seen; the cancellation counts more
        raise
