"""The log of a namespace as it lies in its store, opened for reading beside the coordinators that write it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from coordinator_service.config import Settings
from coordinator_service.log.base import EventLog, LogError
from coordinator_service.log.sqlite_archive import SqliteArchive


@asynccontextmanager
async def stored_log(settings: Settings, namespace: str) -> AsyncIterator[EventLog]:
    """That of the store which the settings name. Raises LogError when there is none, LogTooNew, LogCorrupt."""
    if settings.event_store == "memory":
        raise LogError("events in memory are the coordinator's alone: name a data directory, or Redis")
    if settings.event_store == "sqlite":
        archive = SqliteArchive(settings.sqlite_path)
        try:
            yield await archive.open(namespace)
        finally:
            await archive.close()
        return
    from coordinator_service.log.redis import RedisStore

    store = RedisStore(settings.redis_options())
    try:
        if namespace not in await store.namespaces():
            raise LogError(f"there is no namespace {namespace!r}")
        yield await store.open(namespace)
    finally:
        await store.close()
