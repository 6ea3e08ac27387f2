"""Members in Redis: one hash, a field for each process, renewed and read by one script; words by publish and subscribe.

Leases are counted by the clock of the Redis server, so that replicas need not agree on the time.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from coordinator_service.cluster.members import Member
from coordinator_service.log.redis import RedisStore
from coordinator_service.log.redis_scripts import Script
from coordinator_service.log.redis_servers import Client

_BEAT = Script("""
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f ', now + tonumber(ARGV[2])) .. ARGV[3])
local living = {}
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  local ends, told = string.match(all[i + 1], '^(%d+) (.*)$')
  if ends and tonumber(ends) > now then
    living[#living + 1] = told
  else
    redis.call('HDEL', KEYS[1], all[i])
  end
end
return living
""")
"""ARGV: incarnation, how long the lease is, in milliseconds, and what the replica says of itself, as JSON."""


class RedisMembers:
    """The replicas under the prefix of a store."""

    def __init__(self, store: RedisStore) -> None:
        self._place = store.place
        self._feed = store.feed
        self._key = store.place.replicas_key
        self._channel = f"{self._key}:words"

    async def beat(self, member: Member, lease_ms: int) -> tuple[Member, ...]:
        """Makes this replica's lease whole again; all whose leases stand. Raises LogError."""
        said = msgspec.json.encode(member)
        living = await self._place.run(_BEAT, (self._key,), (member.replica.incarnation, lease_ms, said))
        return tuple(msgspec.json.decode(each, type=Member) for each in living)

    async def leave(self, member: Member) -> None:
        """Ends its lease. Raises LogError."""

        async def remove(client: Client) -> None:
            await client.hdel(self._key, member.replica.incarnation)

        await self._place.using(self._key, remove, again=True)

    async def tell(self, word: str) -> None:
        """Says something to all of them. It may be lost. Raises LogError."""

        async def publish(client: Client) -> None:
            await client.publish(self._channel, word)

        await self._place.using(self._key, publish, again=True)

    async def listen(self, heard: Callable[[str], None]) -> None:
        """Has `heard` called with whatever is told from now on. Raises LogError."""
        await self._feed.listen(self._key, self._channel, lambda word: heard(word.decode()))
