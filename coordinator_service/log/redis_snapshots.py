"""The snapshots of a log in Redis: lists of parts, each written behind the fence, and a hash that says which count.

A snapshot counts once its last part lies there. What a broken-off one leaves goes by itself after PART_TTL_MS.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from coordinator_service.log.base import Snapshot
from coordinator_service.log.packing import unpack
from coordinator_service.log.redis_place import RedisPlace
from coordinator_service.log.redis_servers import Client

SNAPSHOTS_KEPT = 2
PART_BYTES = 256 * 1024
PARTS_AT_ONCE = 16
PART_TTL_MS = 3_600_000


class StoredSnapshots:
    """Those of one namespace."""

    def __init__(self, place: RedisPlace, namespace: str) -> None:
        self._place = place
        self._namespace = namespace
        self.key = place.key(namespace, "snapshots")

    def parts_key(self, name: str) -> str:
        """Where the parts of one lie."""
        return self._place.key(self._namespace, f"snapshot:{name}")

    async def read(self) -> list[Snapshot]:
        """Newest first, at most two; with empty data where parts are missing. Raises LogError."""
        return await self._place.using(self.key, self._read, again=True)

    async def newest(self) -> int:
        """The sequence of the newest, 0 for none. Raises LogError."""

        async def keys(client: Client) -> list[bytes]:
            return list(await client.hkeys(self.key))

        return max((int(each) for each in await self._place.using(self.key, keys, again=True)), default=0)

    async def drop(self, described: Sequence[bytes]) -> None:
        """Frees those of which `snapshots` said so. Raises LogError."""
        keys = [self.parts_key(each.split()[0].decode()) for each in described]

        async def unlink(client: Client) -> None:
            if keys:
                await client.unlink(*keys)

        await self._place.using(self.key, unlink, again=True)

    async def _read(self, client: Client) -> list[Snapshot]:
        listed = await client.hgetall(self.key)
        newest = sorted(((int(sequence), told) for sequence, told in listed.items()), reverse=True)
        found = []
        for sequence, told in newest[:SNAPSHOTS_KEPT]:
            name, count, digest = told.decode().split()
            parts: list[bytes] = []
            for start in range(0, int(count), PARTS_AT_ONCE):
                parts += await client.lrange(self.parts_key(name), start, start + PARTS_AT_ONCE - 1)
            data = unpack(b"".join(parts)) if len(parts) == int(count) else b""
            found.append(Snapshot(sequence=sequence, hash=bytes.fromhex(digest), data=data))
        return found


def snapshot_name() -> str:
    """A name that no other has."""
    return secrets.token_hex(8)


def parts_of(packed: bytes) -> list[bytes]:
    """What is stored, in parts."""
    return [packed[start : start + PART_BYTES] for start in range(0, len(packed), PART_BYTES)]


def told_of(name: str, parts: Sequence[bytes], digest: bytes) -> str:
    """What `snapshots` says of one."""
    return f"{name} {len(parts)} {digest.hex()}"
