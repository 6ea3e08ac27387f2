"""The JWK Set of an issuer at an address: fetched at the start, again and again, and when a token names an unknown key.

Whoever sends tokens with made-up key ids cannot have it fetched more often than ONCE_IN_SECONDS.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

import aiohttp

from coordinator_service.clock import Clock
from coordinator_service.core.rejections import Unavailable
from coordinator_service.core.values import NS_PER_SECOND
from coordinator_service.security.key_set import KEY_SET_BYTES_MAX, KeySet, KeysUnusable, read_key_set

_log = logging.getLogger(__name__)

ONCE_IN_SECONDS: Final = 5.0
FETCH_SECONDS_MAX: Final = 5.0


class KeyFetching:
    """Of one address. `begin`, then `newest` whenever a key is missed, `close` at the end."""

    def __init__(self, url: str, clock: Clock, refresh_seconds: float) -> None:
        self.fault = ""
        """Why the last fetch failed."""
        self.name = f"keys {url}"
        self.failing_since_ns = 0
        self._url = url
        self._clock = clock
        self._refresh_seconds = refresh_seconds
        self._keys = KeySet()
        self._content = b""
        self._fetched_ns: int | None = None
        self._one_at_a_time = asyncio.Lock()
        self._refreshing: asyncio.Task[None] | None = None

    def begin(self, taken: Callable[[KeySet], None]) -> None:
        """Fetches now and from time to time, and hands over what has changed."""
        self._refreshing = asyncio.get_running_loop().create_task(self._refresh(taken))

    async def close(self) -> None:
        """Fetches no more."""
        if self._refreshing is not None:
            self._refreshing.cancel()
            await asyncio.gather(self._refreshing, return_exceptions=True)

    async def newest(self) -> KeySet:
        """The keys, fetched unless that was just done. Raises Unavailable when there are none yet."""
        async with self._one_at_a_time:
            now_ns = self._clock.monotonic_ns()
            if self._fetched_ns is None or now_ns - self._fetched_ns >= ONCE_IN_SECONDS * NS_PER_SECOND:
                self._fetched_ns = now_ns
                await self._fetch()
        if not self._keys.by_id:
            raise Unavailable("the keys that tokens are verified with cannot be had", retry_after_ms=2000)
        return self._keys

    async def _refresh(self, taken: Callable[[KeySet], None]) -> None:
        known = self._keys
        while True:
            try:
                newest = await self.newest()
                if newest is not known:
                    known = newest
                    taken(newest)
            except Unavailable:
                pass
            await asyncio.sleep(self._refresh_seconds if self._keys.by_id else ONCE_IN_SECONDS)

    async def _fetch(self) -> None:
        try:
            content = await self._get()
            if content != self._content:
                self._keys, self._content = read_key_set(content), content
        except (aiohttp.ClientError, TimeoutError, OSError, KeysUnusable) as fault:
            said = str(fault) or type(fault).__name__
            if said != self.fault:
                _log.error("%s: %s; the ones of before stay", self.name, said)
            self.fault = said
            self.failing_since_ns = self.failing_since_ns or self._clock.wall_ns()
            return
        self.fault, self.failing_since_ns = "", 0

    async def _get(self) -> bytes:
        timeout = aiohttp.ClientTimeout(total=FETCH_SECONDS_MAX)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(self._url, allow_redirects=False) as response,
        ):
            if response.status != 200:
                raise KeysUnusable(f"answered {response.status}")
            content = await response.content.read(KEY_SET_BYTES_MAX + 1)
            while len(content) <= KEY_SET_BYTES_MAX and (more := await response.content.read(KEY_SET_BYTES_MAX)):
                content += more
            return content
