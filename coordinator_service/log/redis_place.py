"""Where the logs of a cluster lie in Redis: its keys, and how a script is run on the server that has them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from redis.exceptions import (
    AskError,
    ClusterDownError,
    ConnectionError,
    MovedError,
    NoScriptError,
    ReadOnlyError,
    RedisError,
    TimeoutError,
)

from coordinator_service.log.base import LogCorrupt, LogError, LogTooNew
from coordinator_service.log.redis_facts import ServerFacts, UnfitServer
from coordinator_service.log.redis_fitness import check_fit, described, facts_of
from coordinator_service.log.redis_options import RedisOptions
from coordinator_service.log.redis_scripts import Script
from coordinator_service.log.redis_servers import Client, RedisServers, UrlFault, servers_from

_log = logging.getLogger(__name__)

T = TypeVar("T")

FORMAT = 1
"""Version of the layout (redis_scripts.py)."""
_MOVED = (MovedError, AskError, ClusterDownError, ReadOnlyError)
_READ_ONLY = "-READONLY"
"""Before Redis 7 a script that meets this says it amid a text of its own."""
_LOST = (ConnectionError, TimeoutError, OSError)


class RedisPlace:
    """The servers, checked before they are used, and the keys there."""

    def __init__(self, options: RedisOptions) -> None:
        self.options = options
        waits_ms = options.durability.wait_ms if options.durability.waits else 0
        try:
            self.servers: RedisServers = servers_from(
                options.url, timeout_seconds=(options.timeout_ms + waits_ms) / 1000
            )
        except UrlFault as fault:
            raise LogError(f"REDIS_URL: {fault}") from None
        self._checked: set[int] = set()
        self._named = False
        self.closed = False

    @property
    def index_key(self) -> str:
        """A set of the names of all namespaces."""
        return f"{self.options.prefix}:namespaces"

    @property
    def cluster_key(self) -> str:
        """A hash: format and name of the cluster that the prefix belongs to."""
        return f"{self.options.prefix}:cluster"

    @property
    def replicas_key(self) -> str:
        """A hash of the replicas that live (cluster/redis_members.py)."""
        return f"{self.options.prefix}:replicas"

    def key(self, namespace: str, part: str) -> str:
        """A key of a namespace; all of one namespace lie on one server."""
        tag = namespace.replace("%", "%25").replace("{", "%7B").replace("}", "%7D")
        return f"{self.options.prefix}:{{{tag}}}:{part}"

    async def check(self) -> ServerFacts:
        """Raises UnfitServer, LogTooNew and LogCorrupt where logs must not be kept there, LogError when it cannot be
        told."""
        return await self.using(self.cluster_key, self._check)

    async def using(self, key: str, work: Callable[[Client], Awaitable[T]], *, again: bool = False) -> T:
        """What `work` returns, given a client of the server that has a key. Raises LogError.

        With `again` a connection that turns out to be gone is replaced once: for what may be done twice.
        """
        task = asyncio.current_task()
        cancelled_before = 0 if task is None else task.cancelling()
        try:
            return await self._using(key, work, again=again)
        finally:
            # asyncio.wait_for, with which redis-py sends, may swallow a cancellation (Python 3.11).
            if task is not None and task.cancelling() > cancelled_before:
                raise asyncio.CancelledError

    async def _using(self, key: str, work: Callable[[Client], Awaitable[T]], *, again: bool) -> T:
        if self.closed:
            raise LogError("the store is closed")
        try:
            client = await self.servers.primary_of(key)
            if id(client) not in self._checked and work != self._check:
                await self._check(client)
            return await work(client)
        except (RedisError, OSError, UrlFault) as error:
            if isinstance(error, (*_MOVED, *_LOST)) or _READ_ONLY in str(error):
                self._checked.clear()
                await self._forget()
                if again:
                    return await self._using(key, work, again=False)
            raise described(error) from error

    async def run(self, script: Script, keys: Sequence[str], args: Sequence[Any], *, durable: bool = False) -> Any:
        """What a script answers. With `durable` once the condition is met for all that was written on that server
        until then. Raises LogError."""
        wait = durable and self.options.durability.waits

        async def work(client: Client) -> Any:
            try:
                return await self._evaluate(client, script, keys, args, wait)
            except NoScriptError:
                await client.script_load(script.body)
                return await self._evaluate(client, script, keys, args, wait)

        return await self.using(keys[0], work)

    async def close(self) -> None:
        """Closes every connection."""
        self.closed = True
        await self.servers.close()

    async def _evaluate(
        self, client: Client, script: Script, keys: Sequence[str], args: Sequence[Any], wait: bool
    ) -> Any:
        command = ("EVALSHA", script.sha, len(keys), *keys, *args)
        if not wait:
            return await client.execute_command(*command)
        durability = self.options.durability
        both = client.pipeline(transaction=False)
        both.execute_command(*command)
        both.execute_command(*durability.command())
        answer, waited = await both.execute(raise_on_error=False)
        for each in (answer, waited):
            if isinstance(each, Exception):
                raise each
        fault = durability.fault(waited)
        if fault:
            raise LogError(f"Redis did not make it durable within {durability.wait_ms} ms: {fault}")
        return answer

    async def _check(self, client: Client) -> ServerFacts:
        facts = await facts_of(client)
        check_fit(facts)
        self.options.durability.check(facts, required=self.options.require_durable)
        if not self._named:
            await self._check_name()
            self._named = True
        self._checked.add(id(client))
        _log.info(
            "%s at %s, %s, redis_durability %s",
            facts.shown,
            self.servers.shown,
            facts.persistence,
            self.options.durability.shown,
        )
        return facts

    async def _check_name(self) -> None:
        client = await self.servers.primary_of(self.cluster_key)
        key, name = self.cluster_key, self.options.cluster_name
        kind = await client.type(key)
        if kind not in (b"none", b"hash"):
            raise LogCorrupt(f"the key {key} is none of Concert's: choose another redis_prefix")
        await client.hsetnx(key, "name", name)
        await client.hsetnx(key, "format", str(FORMAT))
        found, version = await client.hmget(key, "name", "format")
        if not found or not version or not version.isdigit():
            raise LogCorrupt(f"the key {key} is none of Concert's: choose another redis_prefix")
        check_format(int(version), key)
        if found.decode() != name:
            raise UnfitServer(
                f"the prefix {self.options.prefix} belongs to the cluster {found.decode()!r}, this replica is of"
                f" {name!r}: choose another redis_prefix"
            )

    async def _forget(self) -> None:
        try:
            await self.servers.forget()
        except (RedisError, OSError) as error:
            _log.debug("connections were not closed: %s", error)


def check_format(version: int, key: str) -> None:
    """Raises LogTooNew for a layout that this version must not guess."""
    if version > FORMAT:
        raise LogTooNew(f"the key {key} has layout {version}, this version knows {FORMAT}")
