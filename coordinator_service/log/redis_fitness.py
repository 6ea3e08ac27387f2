"""Whether a Redis server may keep logs: found out before the first log is opened on it, and again after it changed."""

from __future__ import annotations

from typing import Any

from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    BusyLoadingError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)

from coordinator_service.log.base import LogError
from coordinator_service.log.redis_facts import ServerFacts, UnfitServer
from coordinator_service.log.redis_servers import Client

VERSION_MIN = (6, 2)


async def facts_of(client: Client) -> ServerFacts:
    """Asks a server. Raises redis.exceptions.RedisError."""
    told: dict[str, Any] = await client.info()
    valkey = "valkey_version" in told
    version = str(told["valkey_version"] if valkey else told["redis_version"])
    try:
        appendfsync = (await client.config_get("appendfsync")).get("appendfsync", "")
    except ResponseError:  # hosted servers do not let themselves be asked
        appendfsync = ""
    return ServerFacts(
        run_id=str(told["run_id"]),
        name="Valkey" if valkey else "Redis",
        version=tuple(int(part) for part in version.split(".") if part.isdigit()),
        primary=told["role"] == "master",
        replicas=sum(1 for name, each in told.items() if _is_replica(name) and each.get("state") == "online"),
        eviction=str(told.get("maxmemory_policy", "noeviction")),
        appends_only=bool(told["aof_enabled"]),
        appendfsync=appendfsync,
    )


def _is_replica(name: str) -> bool:
    return name.startswith("slave") and name[5:].isdigit()


def check_fit(facts: ServerFacts) -> None:
    """Raises UnfitServer."""
    if facts.version < VERSION_MIN:
        raise UnfitServer(f"{facts.shown} is too old: 6.2 is needed")
    if not facts.primary:
        raise UnfitServer("the server is a read-only replica: REDIS_URL must name the primary, or its Sentinels")
    if facts.eviction != "noeviction":
        raise UnfitServer(f"maxmemory-policy is {facts.eviction}: a log may not be evicted, noeviction is required")


def described(error: Exception) -> LogError:
    """What went wrong, in words that say what to do."""
    if isinstance(error, LogError):
        return error
    if isinstance(error, AuthenticationError | AuthorizationError):
        return UnfitServer(f"Redis refuses the user or the password: {error}")
    if isinstance(error, NoPermissionError):
        return UnfitServer(f"Redis does not permit it: {error}")
    if isinstance(error, ReadOnlyError):
        return LogError("Redis is a read-only replica here; it may have been demoted")
    if isinstance(error, OutOfMemoryError) or "OOM command not allowed" in str(error):  # as scripts say it
        return LogError("Redis is full (maxmemory): nothing more can be appended")
    if isinstance(error, BusyLoadingError):
        return LogError("Redis is still loading what it keeps")
    if isinstance(error, RedisError):
        return LogError(f"Redis: {str(error) or type(error).__name__}")
    return LogError(f"Redis cannot be reached: {error}")
