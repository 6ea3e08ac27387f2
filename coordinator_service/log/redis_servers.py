"""The Redis servers behind a REDIS_URL: one server, one behind Sentinels, or a Cluster. All that knows which it is.

| URL | servers |
| --- | --- |
| `redis://[USER:PASSWORD@]HOST:PORT/DB`, `unix://PATH` | one |
| `rediss://...` | the same over TLS; redis-py's options in the query (`?ssl_ca_certs=ca.pem`) |
| `redis+sentinel://[USER:PASSWORD@]HOST:PORT,HOST:PORT/SERVICE[/DB]` | the primary that Sentinels name |
| `redis+cluster://[USER:PASSWORD@]HOST:PORT,HOST:PORT` | a Cluster; `rediss+...` of both over TLS |

Whichever it is, a key has one primary, and everything of a namespace lies on the same one (its keys share a hash tag).
So the rest speaks to an ordinary client of one server, on which a script and the WAIT behind it go over one connection.
"""

from __future__ import annotations

from typing import Any, Protocol, TypeAlias
from urllib.parse import parse_qsl, unquote, urlsplit

from redis.asyncio import Redis, RedisCluster
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff

PORT = 6379
SENTINEL_PORT = 26379

Client: TypeAlias = Any
"""A redis.asyncio.Redis that decodes nothing; its annotations say of every answer that it may be text, too."""


class UrlFault(ValueError):  # noqa: N818 (it says what is wrong)
    """A URL that names no servers; the text says why, without the password."""


class RedisServers(Protocol):
    """The servers."""

    @property
    def shown(self) -> str:
        """Where they are, for people: without the password."""

    async def primary_of(self, key: str) -> Client:
        """A client of the server that has a key. Raises redis.exceptions.RedisError."""

    async def forget(self) -> None:
        """Where keys lie may have changed: looks again at the next call."""

    async def close(self) -> None:
        """Closes every connection."""


def servers_from(url: str, *, timeout_seconds: float) -> RedisServers:
    """The servers that a URL names. Nothing is connected yet. Raises UrlFault."""
    options: dict[str, Any] = {
        "socket_timeout": timeout_seconds,
        "socket_connect_timeout": timeout_seconds,
        # A command that was sent may have been carried out: whoever sent it looks what became of it.
        "retry": Retry(NoBackoff(), 0),
    }
    scheme, _, kind = url.partition("://")[0].partition("+")
    if "://" not in url or scheme not in ("redis", "rediss", "unix") or kind not in ("", "sentinel", "cluster"):
        raise UrlFault("must begin with redis://, rediss://, unix://, redis+sentinel:// or redis+cluster://")
    try:
        if not kind:
            return _OneServer(url, options)
        return _many(url, scheme, kind, options)
    except ValueError as fault:
        raise UrlFault(str(fault)) from None


def _many(url: str, scheme: str, kind: str, options: dict[str, Any]) -> RedisServers:
    parts = urlsplit(url)
    credentials, _, hosts = parts.netloc.rpartition("@")
    username, _, password = credentials.partition(":")
    options |= dict(parse_qsl(parts.query))
    if scheme == "rediss":
        options["ssl"] = True
    if password:
        options |= {"username": unquote(username) or None, "password": unquote(password)}
    port = SENTINEL_PORT if kind == "sentinel" else PORT
    addresses = [_address(each, port) for each in hosts.split(",")]
    shown = f"{scheme}+{kind}://{hosts}{parts.path}"
    if kind == "cluster":
        return _Cluster(shown, addresses, options)
    service, _, database = parts.path.strip("/").partition("/")
    if not service:
        raise UrlFault("must name the service: redis+sentinel://HOST:PORT/SERVICE")
    return _Sentinels(shown, addresses, service, options | {"db": int(database or 0)})


def _address(text: str, port_default: int) -> tuple[str, int]:
    host, _, port = text.rpartition(":") if ":" in text else (text, "", str(port_default))
    if not host or not port.isdigit():
        raise UrlFault(f"{text!r} is not HOST:PORT")
    return host, int(port)


class _OneServer:
    def __init__(self, url: str, options: dict[str, Any]) -> None:
        parts = urlsplit(url)
        self._shown = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
        self._client = Redis.from_url(url, **options)

    @property
    def shown(self) -> str:
        return self._shown

    async def primary_of(self, key: str) -> Client:  # noqa: ARG002 (all of them)
        return self._client

    async def forget(self) -> None:
        await self._client.connection_pool.disconnect(inuse_connections=False)

    async def close(self) -> None:
        await self._client.aclose()


class _Sentinels:
    def __init__(self, shown: str, addresses: list[tuple[str, int]], service: str, options: dict[str, Any]) -> None:
        self._shown = shown
        timeouts = {name: options[name] for name in ("socket_timeout", "socket_connect_timeout")}
        self._sentinels: Any = Sentinel(  # type: ignore[no-untyped-call]
            addresses, sentinel_kwargs=timeouts, **options
        )
        self._client: Client = self._sentinels.master_for(service)

    @property
    def shown(self) -> str:
        return self._shown

    async def primary_of(self, key: str) -> Client:  # noqa: ARG002 (all of them)
        return self._client

    async def forget(self) -> None:
        await self._client.connection_pool.disconnect(inuse_connections=False)

    async def close(self) -> None:
        await self._client.aclose()
        for each in self._sentinels.sentinels:
            await each.aclose()


class _Cluster:
    """redis-py's client finds out who has which slot; commands go through a client of that one server."""

    def __init__(self, shown: str, addresses: list[tuple[str, int]], options: dict[str, Any]) -> None:
        self._shown = shown
        self._addresses = addresses
        self._options = options
        self._map: RedisCluster | None = None
        self._clients: dict[str, Client] = {}

    @property
    def shown(self) -> str:
        return self._shown

    async def primary_of(self, key: str) -> Client:
        if self._map is None:
            nodes = [ClusterNode(host, port) for host, port in self._addresses]
            found = RedisCluster(startup_nodes=nodes, **self._options)
            try:
                await found.initialize()
            except BaseException:
                await found.aclose()
                raise
            self._map = found
        node = self._map.get_node_from_key(key)
        if node is None:
            await self.forget()
            raise UrlFault("no server has the slot")
        client = self._clients.get(node.name)
        if client is None:
            client = self._clients[node.name] = Redis(host=node.host, port=int(node.port), **self._options)
        return client

    async def forget(self) -> None:
        for client in self._clients.values():
            await client.connection_pool.disconnect(inuse_connections=False)
        known, self._map = self._map, None
        if known is not None:
            await known.aclose()

    async def close(self) -> None:
        await self.forget()
        for client in self._clients.values():
            await client.aclose()
        self._clients.clear()
