"""Hears from Redis which logs have grown, whoever appended: one subscription connection to each server.

What is published may be lost with a connection; whoever waits also looks by itself now and then.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from redis.exceptions import RedisError

from coordinator_service.log.base import LogError
from coordinator_service.log.redis_place import RedisPlace
from coordinator_service.log.redis_servers import Client

_log = logging.getLogger(__name__)

RECONNECT_SECONDS = 0.25
MESSAGE_SECONDS_MAX = 5.0

Heard = Callable[[bytes], None]


class RedisFeed:
    """Channels listened to."""

    def __init__(self, place: RedisPlace) -> None:
        self._place = place
        self._heard: dict[bytes, Heard] = {}
        self._keys: dict[bytes, str] = {}
        self._listening: dict[int, Any] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def listen(self, key: str, channel: str, heard: Heard) -> None:
        """From now on `heard` is called with what is published in a channel, on the server that has a key. Raises
        LogError."""
        name = channel.encode()
        self._heard[name] = heard
        self._keys[name] = key

        async def subscribe(client: Client) -> None:
            listening = self._listening.get(id(client))
            if listening is not None:
                await listening.subscribe(channel)
                return
            listening = self._listening[id(client)] = client.pubsub(ignore_subscribe_messages=True)
            try:
                await listening.subscribe(channel)
            except BaseException:
                del self._listening[id(client)]
                await listening.aclose()
                raise
            task = asyncio.get_running_loop().create_task(self._read(client, listening))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

        await self._place.using(key, subscribe)

    async def close(self) -> None:
        """Hears no more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _read(self, client: Client, listening: Any) -> None:
        try:
            while True:
                message = await listening.get_message(timeout=MESSAGE_SECONDS_MAX)
                if message is not None and message["type"] == "message":
                    heard = self._heard.get(message["channel"])
                    if heard is not None:
                        heard(message["data"])
        except (RedisError, OSError) as error:
            _log.debug("the subscription connection is gone: %s", error)
        finally:
            del self._listening[id(client)]
            await _close(listening)
        await self._again()

    async def _again(self) -> None:
        """Listens to everything once more, on whatever servers have it now."""
        waiting = dict(self._heard)
        while waiting:
            await asyncio.sleep(RECONNECT_SECONDS)
            for name, heard in list(waiting.items()):
                try:
                    await self.listen(self._keys[name], name.decode(), heard)
                except LogError:
                    break
                del waiting[name]


async def _close(listening: Any) -> None:
    try:
        await listening.aclose()
    except (RedisError, OSError) as error:
        _log.debug("a subscription connection was not closed: %s", error)
