"""What the Redis store does beyond the contract of all stores: conditions, fitness, losses, servers of other kinds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from coordinator_service.log.base import Cursor, Fenced, LogCorrupt, LogEnds, LogError, LogTooNew, Snapshot, TailLost
from coordinator_service.log.redis import RedisLog, RedisStore
from coordinator_service.log.redis_durability import Durability, durability_from
from coordinator_service.log.redis_facts import ServerFacts, UnfitServer
from coordinator_service.log.redis_options import RedisOptions
from coordinator_service.log.redis_scripts import COMMIT
from coordinator_service.log.redis_servers import Client, UrlFault, servers_from
from coordinator_service.log.verify import verify
from tests.log.batches import batch, fill, read_all
from tests.redis_process import RedisProcess

WAIT_SECONDS_MAX = 60.0


@pytest.fixture
def options(redis: RedisProcess, tmp_path: Path) -> RedisOptions:
    """A place of one's own on the server."""
    return RedisOptions(url=redis.url, prefix=str(tmp_path))


@pytest.fixture
async def store(options: RedisOptions) -> AsyncIterator[RedisStore]:
    """A store there."""
    opened = RedisStore(options)
    yield opened
    await opened.close()


@pytest.fixture
async def client(redis: RedisProcess) -> AsyncIterator[Redis]:
    """Somebody else who uses the server."""
    opened = Redis.from_url(redis.url)
    yield opened
    await opened.aclose()


@pytest.fixture
def own(tmp_path: Path) -> Iterator[RedisProcess]:
    """A server that the test may stop, lose and set differently."""
    server = RedisProcess(tmp_path / "own")
    yield server
    server.stop()


async def until(condition: Any) -> None:
    """Waits until a coroutine function says yes."""
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while not await condition():
        assert time.monotonic() < deadline, "it never came true"
        await asyncio.sleep(0.02)


# The fence.


async def test_two_claims_of_one_epoch_are_told_apart(store: RedisStore, client: Redis) -> None:
    """Invariant 12: a claim may be lost with a tail and its epoch come again: the nonce keeps the first owner out."""
    log = await store.open("blog")
    epoch = await log.claim("one")
    await log.append(batch(1), epoch)
    await client.hset(log._meta, mapping={"nonce": "another"})  # somebody claimed this epoch on a server without ours
    with pytest.raises(Fenced):
        await log.append(batch(2), epoch)
    with pytest.raises(Fenced):
        await log.confirm(epoch)


async def test_an_append_that_arrives_late_is_fenced(options: RedisOptions, store: RedisStore) -> None:
    """D3: what a paused owner sends after somebody else took over changes nothing, whatever it believes."""
    log = await store.open("blog")
    epoch = await log.claim("one")
    await fill(log, epoch, 3)
    other_store = RedisStore(options)
    other = await other_store.open("blog")
    new = await other.claim("two", after=epoch)
    await other.append(batch(4), new)
    for attempt in (log.append(batch(4), epoch), log.append(batch(5), epoch), log.confirm(epoch), log.release(epoch)):
        with pytest.raises(Fenced):
            await attempt
    assert (await read_all(other))[-1] == batch(4)
    assert await verify(other) == 4
    await other_store.close()


async def test_a_follower_elsewhere_is_woken(options: RedisOptions, store: RedisStore) -> None:
    """E2: a replica that does not own the log hears that it has grown, and reads what was appended."""
    log = await store.open("blog")
    epoch = await log.claim("one")
    other_store = RedisStore(options)
    other = await other_store.open("blog")
    growing = asyncio.ensure_future(other.grown(0))
    await log.append(batch(1, 3), epoch)
    assert await growing == 3
    assert await read_all(other) == [batch(1, 3)]
    await other_store.close()


# Conditions.


@pytest.mark.parametrize(("text", "replicas"), [("none", 0), ("wait:2", 2), ("waitaof:0", 0), ("waitaof:1", 1)])
def test_a_condition_is_read_as_it_is_shown(text: str, replicas: int) -> None:
    """What is configured is what is told."""
    condition = durability_from(text, 500)
    assert (condition.shown, condition.replicas, condition.wait_ms) == (text, replicas, 500)


@pytest.mark.parametrize("text", ["", "wait", "wait:0", "wait:-1", "waitaof:", "wait:x", "always"])
def test_a_condition_that_is_none_is_refused(text: str) -> None:
    """A word that is not understood does not become `none`."""
    with pytest.raises(ValueError, match="must be none, wait:N"):
        durability_from(text, 500)


async def test_an_append_that_too_few_replicas_have_is_not_acknowledged(options: RedisOptions) -> None:
    """Invariant 6: without its replicas the condition is not met, and readers do not see what was appended."""
    alone = RedisStore(_with(options, durability=Durability(kind="wait", replicas=1, wait_ms=50)))
    log = await alone.open("blog")
    with pytest.raises(LogError, match="0 of 1 replicas"):
        await log.claim("one")
    await alone.close()


async def test_with_replicas_an_acknowledged_batch_is_on_them(own: RedisProcess, tmp_path: Path) -> None:
    """Invariant 6: wait:1 acknowledges what one replica has, and fails as soon as that is gone."""
    own.start()
    replica = RedisProcess(tmp_path / "replica", "--replicaof", "127.0.0.1", str(own.port)).start()
    try:
        options = RedisOptions(url=own.url, durability=Durability(kind="wait", replicas=1, wait_ms=20_000))
        store = RedisStore(options)
        log = await store.open("blog")
        epoch = await log.claim("one")
        await fill(log, epoch, 3)
        reading = Redis.from_url(replica.url)
        assert await reading.xlen(log._stream) == 3
        await log.confirm(epoch)
        await until(lambda: _is(log, 3))
        with pytest.raises(LogError, match="read-only"):
            await _checked(RedisOptions(url=replica.url))
        await reading.aclose()
        replica.pause()
        hurried = RedisStore(_with(options, durability=Durability(kind="wait", replicas=1, wait_ms=50)))
        cut_off = await hurried.open("blog")
        with pytest.raises(LogError, match="did not make it durable"):
            await cut_off.append(batch(4), epoch)
        with pytest.raises(LogError, match="did not make it durable"):
            await cut_off.confirm(epoch)
        assert [each.last_sequence for each in await read_all(cut_off)] == [1, 2, 3]
        replica.resume()
        taken = await log.claim("two")  # what the owner before left behind is made durable by the next
        assert await log.grown(3) == 4
        await log.append(batch(5), taken)
        await hurried.close()
        await store.close()
    finally:
        replica.stop()


@pytest.mark.parametrize(
    ("condition", "facts", "required", "says"),
    [
        ("none", {}, True, "appendonly no"),
        ("none", {"appends_only": True, "appendfsync": "everysec"}, True, "appendfsync everysec"),
        ("none", {"appends_only": True, "appendfsync": "always"}, True, ""),
        ("none", {}, False, ""),
        ("wait:2", {"replicas": 1}, True, "only 1"),
        ("wait:2", {"replicas": 2}, True, ""),
        ("waitaof:0", {"appends_only": True}, False, "needs Redis 7.2"),
        ("waitaof:0", {"version": (7, 2, 1)}, False, "needs appendonly yes"),
        ("waitaof:0", {"version": (7, 2, 1), "appends_only": True}, True, ""),
        ("waitaof:0", {"name": "Valkey", "version": (8, 0), "appends_only": True}, True, ""),
    ],
)
def test_a_condition_that_a_server_cannot_keep_is_refused(
    condition: str, facts: dict[str, Any], required: bool, says: str
) -> None:
    """Invariant 6: with require_durable a coordinator starts only where an acknowledgement is worth something."""
    plain: dict[str, Any] = {
        "run_id": "r", "name": "Redis", "version": (6, 2, 5), "primary": True, "replicas": 0,
        "eviction": "noeviction", "appends_only": False, "appendfsync": "",
    }  # fmt: skip
    server = ServerFacts(**plain | facts)
    if says:
        with pytest.raises(UnfitServer, match=says):
            durability_from(condition, 1).check(server, required=required)
    else:
        durability_from(condition, 1).check(server, required=required)


# Servers that must not keep logs.


async def test_a_server_that_evicts_is_refused(own: RedisProcess, client: Redis) -> None:
    """noeviction is required: a log may not lose what is in its middle."""
    own._options = ("--maxmemory-policy", "allkeys-lru")
    own.start()
    with pytest.raises(UnfitServer, match="allkeys-lru"):
        await _checked(RedisOptions(url=own.url))


async def test_a_full_server_refuses_and_goes_on_when_there_is_room(own: RedisProcess) -> None:
    """An append that does not fit is not acknowledged; nothing is lost, and the next owner goes on."""
    own.start()
    store = RedisStore(RedisOptions(url=own.url))
    log = await store.open("blog")
    epoch = await log.claim("one")
    await fill(log, epoch, 3)
    admin = Redis.from_url(own.url)
    await admin.config_set("maxmemory", "1")
    with pytest.raises(LogError, match="full"):
        await log.append(batch(4), epoch)
    await admin.config_set("maxmemory", "0")
    await log.append(batch(4), epoch)
    assert await verify(log) == 4
    await admin.aclose()
    await store.close()


async def test_a_wrong_password_is_said(own: RedisProcess) -> None:
    """Whoever reads the log learns what to mend, and not the password."""
    own._options = ("--requirepass", "right")
    own.start()
    url = own.url.replace("redis://", "redis://:wrong@")
    with pytest.raises(UnfitServer, match="password") as fault:
        await _checked(RedisOptions(url=url))
    assert "wrong@" not in str(fault.value)
    await _checked(RedisOptions(url=own.url.replace("redis://", "redis://:right@")))


async def test_foreign_keys_are_left_alone(store: RedisStore, client: Redis) -> None:
    """A key of somebody else is named, and neither read nor changed."""
    prefix = store.place.options.prefix
    for part, put in (("meta", client.set), ("log", client.set)):
        key = f"{prefix}:{{{part}}}:{part}"
        await put(key, "mine")
        with pytest.raises(LogCorrupt, match="none of Concert's"):
            await store.open(part)
        assert await client.get(key) == b"mine"
    await client.hset(f"{prefix}:{{hash}}:meta", "field", "mine")
    with pytest.raises(LogCorrupt, match="none of Concert's"):
        await store.open("hash")


async def test_a_later_layout_is_refused_by_name(store: RedisStore, options: RedisOptions, client: Redis) -> None:
    """This version does not guess what a later one means: neither of a log nor of the whole prefix."""
    log = await store.open("blog")
    await client.hset(log._meta, "format", "2")
    with pytest.raises(LogTooNew, match="layout 2"):
        await store.open("blog")
    await client.hset(f"{options.prefix}:cluster", "format", "7")
    with pytest.raises(LogTooNew, match="layout 7"):
        await _checked(options)


async def test_two_clusters_on_one_prefix_are_kept_apart(store: RedisStore, options: RedisOptions) -> None:
    """The second is refused with the name of the first."""
    await store.check()
    with pytest.raises(UnfitServer, match="belongs to the cluster 'concert'"):
        await _checked(_with(options, cluster_name="staging"))
    await _checked(options)


async def test_a_server_that_is_away_is_a_plain_fault_and_comes_back(own: RedisProcess) -> None:
    """Redis may be away at the start and later: whoever asks is told, and it works again by itself."""
    own.start()
    own.stop()
    store = RedisStore(RedisOptions(url=own.url, timeout_ms=2_000))
    with pytest.raises(LogError) as fault:
        await store.check()
    assert not isinstance(fault.value, UnfitServer)
    own.start()
    log = await store.open("blog")
    epoch = await log.claim("one")
    await fill(log, epoch, 2)
    own.stop()
    with pytest.raises(LogError):
        await log.append(batch(3), epoch)
    own.start()
    await log.append(batch(3), await _claimed(log))
    assert await verify(log) == 3
    await store.close()


async def test_a_follower_goes_on_after_its_connection_broke(own: RedisProcess) -> None:
    """E2: what was published while the server was away is seen by looking, what comes later is heard again."""
    own.start()
    options = RedisOptions(url=own.url)
    store, other_store = RedisStore(options), RedisStore(options)
    log, other = await store.open("blog"), await other_store.open("blog")
    epoch = await log.claim("one")
    await log.append(batch(1), epoch)
    assert await other.grown(0) == 1
    own.stop()
    own.start()
    epoch = await _claimed(log)
    await log.append(batch(2), epoch)
    assert await other.grown(1) == 2
    await log.append(batch(3), epoch)
    assert await other.grown(2) == 3
    await store.close()
    await other_store.close()


# A tail that is lost.


async def test_a_log_that_lost_its_tail_cannot_be_claimed(
    store: RedisStore, options: RedisOptions, client: Redis
) -> None:
    """Invariant 6: what was acknowledged here and is gone there is found by whoever was told, and stays found."""
    log = await store.open("blog")
    epoch = await log.claim("one")
    await fill(log, epoch, 2)
    kept = await _saved(client, log)
    await fill(log, epoch, 3)
    await _restore(client, log, kept)
    with pytest.raises(LogError) as lost:
        await log.append(batch(6), epoch)
    assert isinstance(lost.value, TailLost)
    assert (lost.value.last_sequence, lost.value.acknowledged) == (2, 5)
    other_store = RedisStore(options)
    other = await other_store.open("blog")
    for attempt in (log.claim("one"), other.claim("two"), other.claim("two")):
        with pytest.raises(TailLost):
            await attempt
    assert await read_all(other) == [batch(1), batch(2)]
    await other_store.close()


async def test_a_log_that_went_another_way_is_found(store: RedisStore, options: RedisOptions, client: Redis) -> None:
    """Invariant 6: an owner that knew nothing of the lost tail has written over it; whoever was told of it finds out,
    and the log has no owner any more."""
    log = await store.open("blog")
    epoch = await log.claim("one")
    await fill(log, epoch, 2)
    kept = await _saved(client, log)
    await fill(log, epoch, 2)
    await _restore(client, log, kept)
    unaware_store = RedisStore(options)
    unaware = await unaware_store.open("blog")
    new = await unaware.claim("two")
    await unaware.append(batch(3, 5, text="another"), new)
    with pytest.raises(TailLost):
        await log.append(batch(5), epoch)
    with pytest.raises(LogError):
        await unaware.append(batch(8), new)
    with pytest.raises(TailLost):
        await unaware.claim("two")
    await unaware_store.close()


async def _opened_again(store: RedisStore) -> LogEnds:
    return await (await store.open("blog")).ends()


@pytest.mark.parametrize("reads_on", [True, False])
async def test_a_follower_finds_out_that_the_log_went_another_way(
    store: RedisStore, options: RedisOptions, client: Redis, reads_on: bool
) -> None:
    """Invariant 6: whoever only read what is lost finds out, too: as it reads on, or when it opens the log again."""
    log = await store.open("blog")
    epoch = await log.claim("one")
    await fill(log, epoch, 2)
    kept = await _saved(client, log)
    await fill(log, epoch, 2)
    following_store, unaware_store = RedisStore(options), RedisStore(options)
    following = await following_store.open("blog")
    assert len(await read_all(following)) == 4
    await _restore(client, log, kept)
    unaware = await unaware_store.open("blog")
    new = await unaware.claim("two")
    await unaware.append(batch(3, 1, text="another"), new)
    await unaware.append(batch(4, 5, text="another"), new)
    with pytest.raises(TailLost):
        await (following.read(4) if reads_on else _opened_again(following_store))
    with pytest.raises(LogError):
        await unaware.append(batch(9), new)
    await following_store.close()
    await unaware_store.close()


async def test_an_owner_finds_out_by_the_next_read_that_its_tail_is_lost(
    store: RedisStore, options: RedisOptions, client: Redis
) -> None:
    """Invariant 6: an owner to whom nobody writes, too: a read is confirmed by the store, as is letting go."""
    log = await store.open("blog")
    epoch = await log.claim("one")
    await fill(log, epoch, 2)
    kept = await _saved(client, log)
    await fill(log, epoch, 1)
    await log.confirm(epoch)
    await _restore(client, log, kept)
    with pytest.raises(TailLost):
        await log.confirm(epoch)
    await _restore(client, log, kept)
    with pytest.raises(TailLost):
        await log.release(epoch)


async def test_what_was_never_acknowledged_may_be_gone(store: RedisStore, options: RedisOptions, client: Redis) -> None:
    """D3: another owner's log that is as long as what was acknowledged here is no loss."""
    log = await store.open("blog")
    epoch = await log.claim("one")
    await fill(log, epoch, 2)
    other_store = RedisStore(options)
    other = await other_store.open("blog")
    new = await other.claim("two", after=epoch)
    await other.append(batch(3), new)
    with pytest.raises(Fenced):
        await log.append(batch(3, text="mine"), epoch)
    again = await log.claim("one")
    await log.append(batch(4), again)
    await other_store.close()


@pytest.mark.parametrize("beside", ["snapshots", "cursors"])
async def test_a_loss_that_nobody_lives_to_tell_of_is_found_by_what_lies_beside_the_log(
    store: RedisStore, options: RedisOptions, client: Redis, beside: str
) -> None:
    """Everybody who was told is gone, and the log came back shorter than a snapshot or a cursor of it."""
    log = await store.open("blog")
    epoch = await log.claim("one")
    await fill(log, epoch, 2)
    kept = await _saved(client, log)
    await fill(log, epoch, 3)
    if beside == "snapshots":
        await log.save_snapshot(Snapshot(sequence=5, hash=(await log.ends()).hash, data=b"folded"), epoch)
    else:
        log_id = (await log.ends()).log_id
        await log.save_cursors([Cursor(name="mail", log_id=log_id, sequence=4, created_at_ns=1)], epoch)
    await _restore(client, log, kept)
    unaware_store = RedisStore(options)
    unaware = await unaware_store.open("blog")
    with pytest.raises(TailLost) as lost:
        await unaware.claim("two")
    assert lost.value.last_sequence == 2
    assert lost.value.acknowledged == {"snapshots": 5, "cursors": 4}[beside]
    assert await unaware.claim("an operator", accepting=True)
    await unaware_store.close()


async def test_a_stream_without_its_end_is_damage(store: RedisStore, client: Redis) -> None:
    """D9: somebody deleted entries; the log is refused by the sequence where it parts."""
    log = await store.open("blog")
    await fill(log, await log.claim("one"), 3)
    await client.xdel(log._stream, "3-0")
    with pytest.raises(LogCorrupt) as damage:
        await store.open("blog")
    assert damage.value.sequence == 3


# Other kinds of servers.


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://localhost", "must begin with"),
        ("redis+cluster://", "HOST:PORT"),
        ("redis+sentinel://localhost:26379", "must name the service"),
        ("redis+sentinel://localhost:x/main", "HOST:PORT"),
        ("localhost:6379", "must begin with"),
    ],
)
def test_a_url_that_names_no_servers_is_refused(url: str, says: str) -> None:
    """What is wrong is said, in words of the URL."""
    with pytest.raises(UrlFault, match=says):
        servers_from(url, timeout_seconds=1)


@pytest.mark.parametrize(
    "url",
    [
        "redis://user:secret@localhost:1/2",
        "rediss://:secret@localhost/0?ssl_cert_reqs=none",
        "redis+sentinel://:secret@one:1,two:2/main/3",
        "rediss+cluster://user:secret@one:1,two",
    ],
)
async def test_a_password_is_not_shown(url: str) -> None:
    """Where the store lies can be logged."""
    servers = servers_from(url, timeout_seconds=1)
    assert "secret" not in servers.shown
    await servers.close()


async def test_a_cluster_keeps_each_namespace_on_one_of_its_servers(tmp_path: Path) -> None:
    """The contract's essentials hold where namespaces lie on two servers."""
    servers = [RedisProcess(tmp_path / str(number), "--cluster-enabled", "yes").start() for number in range(2)]
    try:
        clients = [Redis.from_url(server.url) for server in servers]
        await clients[0].execute_command("CLUSTER", "ADDSLOTS", *range(8192))
        await clients[1].execute_command("CLUSTER", "ADDSLOTS", *range(8192, 16384))
        await clients[1].execute_command("CLUSTER", "SET-CONFIG-EPOCH", 2)
        await clients[0].execute_command("CLUSTER", "MEET", "127.0.0.1", servers[1].port)
        for each in clients:
            await until(lambda each=each: _cluster_is_up(each))
        store = RedisStore(RedisOptions(url=f"redis+cluster://127.0.0.1:{servers[0].port}"))
        names = [f"n{number}" for number in range(8)]
        for name in names:
            log = await store.open(name)
            epoch = await log.claim("one")
            await fill(log, epoch, 3)
            await log.save_cursors([], epoch)
            growing = asyncio.ensure_future(log.grown(3))
            await log.append(batch(4), epoch)
            assert await growing == 4
            assert await verify(log) == 4
        assert await store.namespaces() == names
        assert all([await each.dbsize() > 2 for each in clients])
        await store.close()
        for each in clients:
            await each.aclose()
    finally:
        for server in servers:
            server.stop()


async def test_connections_to_what_is_no_primary_any_more_are_given_up(own: RedisProcess, redis: RedisProcess) -> None:
    """Whoever meets a read-only server asks anew where the primary is, also where only a script met it."""
    own.start()
    store = RedisStore(RedisOptions(url=own.url))
    log = await store.open("blog")

    async def connection(client: Client) -> int:
        return int(await client.client_id())

    before = await store.place.using(log._meta, connection)
    async with Redis.from_url(own.url) as operator:
        await operator.execute_command("REPLICAOF", "127.0.0.1", redis.port)
        with pytest.raises(LogError):
            await log.claim("one")
        await operator.execute_command("REPLICAOF", "NO", "ONE")
    assert await store.place.using(log._meta, connection) != before
    await store.close()


async def test_whoever_is_cancelled_at_whatever_moment_ends(redis: RedisProcess) -> None:
    """Where a call is cancelled just as its command has been sent, the cancellation is not lost."""
    store = RedisStore(RedisOptions(url=redis.url, prefix="cancelled"))
    await store.open("blog")

    async def ask_for_ever() -> None:
        while True:
            await store.namespaces()

    for steps in range(40):
        asking = asyncio.ensure_future(ask_for_ever())
        for _ in range(steps):
            await asyncio.sleep(0)
        asking.cancel()
        ended, _ = await asyncio.wait([asking], timeout=5.0)
        asking.cancel()
        assert ended, f"cancelled after {steps} steps, it goes on"
    await store.close()


async def test_sentinels_lead_to_the_promoted_replica(tmp_path: Path) -> None:
    """Invariant 6: with wait:1 the primary may die; on the promoted replica the log goes on with all that was
    acknowledged."""
    primary = RedisProcess(tmp_path / "primary").start()
    replica = RedisProcess(tmp_path / "replica", "--replicaof", "127.0.0.1", str(primary.port)).start()
    config = tmp_path / "sentinel.conf"
    config.write_text(
        f"sentinel monitor main 127.0.0.1 {primary.port} 1\n"
        "sentinel down-after-milliseconds main 500\nsentinel failover-timeout main 3000\n"
    )
    sentinel = RedisProcess(tmp_path / "sentinel", sentinel=config).start()
    try:
        asking = Redis.from_url(sentinel.url)
        await until(lambda: _knows_replica(asking))
        await asking.aclose()
        options = RedisOptions(
            url=f"redis+sentinel://127.0.0.1:{sentinel.port}/main",
            durability=Durability(kind="wait", replicas=1, wait_ms=20_000),
            timeout_ms=2_000,
        )
        store = RedisStore(options)
        log = await store.open("blog")
        epoch = await log.claim("one")
        await fill(log, epoch, 5)
        await store.close()
        primary.kill()
        store = RedisStore(_with(options, durability=Durability()))  # there is no replica left to wait for
        log = RedisLog(store, "blog")
        await _claimed(log)
        assert [each.last_sequence for each in await read_all(log)] == [1, 2, 3, 4, 5]
        await store.close()
    finally:
        for server in (sentinel, replica, primary):
            server.stop()


def _with(options: RedisOptions, **changed: Any) -> RedisOptions:
    fields = {name: getattr(options, name) for name in RedisOptions.__dataclass_fields__}
    return RedisOptions(**fields | changed)


async def _checked(options: RedisOptions) -> None:
    store = RedisStore(options)
    try:
        await store.check()
    finally:
        await store.close()


async def _is(log: RedisLog, committed: int) -> bool:
    return int((await log._fields("committed"))[0]) == committed


async def _saved(client: Redis, log: RedisLog) -> list[tuple[str, bytes]]:
    """What is kept of a log now, as a replica that lags would have it."""
    return [(key, bytes(await client.dump(key))) for key in (log._meta, log._stream)]


async def _restore(client: Redis, log: RedisLog, kept: list[tuple[str, bytes]]) -> None:
    for key, dumped in kept:
        await client.restore(key, 0, dumped, replace=True)


async def _cluster_is_up(client: Redis) -> bool:
    told = await client.execute_command("CLUSTER INFO")
    return told["cluster_state"] == "ok" and told["cluster_slots_ok"] == "16384"


async def _knows_replica(sentinel: Redis) -> bool:
    return bool(await sentinel.execute_command("SENTINEL", "REPLICAS", "main"))


async def _claimed(log: RedisLog) -> int:
    """An epoch, once the server can be reached again."""
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while True:
        try:
            await log.open()
            return await log.claim("two")
        except LogError:
            assert time.monotonic() < deadline, "it could not be claimed"
            await asyncio.sleep(0.1)


async def test_what_was_appended_is_told_elsewhere_though_the_word_of_it_was_lost(
    options: RedisOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """E2: a connection breaks after an append is durable, before readers are told; nothing else is appended."""
    waiting = _with(options, durability=Durability(kind="wait", replicas=0))
    store, other_store = RedisStore(waiting), RedisStore(waiting)
    log, other = await store.open("blog"), await other_store.open("blog")
    epoch = await log.claim("one")
    run, lost = store.place.run, []

    async def once_lost(script: Any, *args: Any, **how: Any) -> Any:
        if script is COMMIT and not lost:
            lost.append(script)
            raise LogError("Redis: Connection reset by peer")
        return await run(script, *args, **how)

    monkeypatch.setattr(store.place, "run", once_lost)
    await log.append(batch(1), epoch)
    async with asyncio.timeout(10):
        assert await other.grown(0) == 1
    assert lost
    await store.close()
    await other_store.close()


async def test_a_page_is_no_larger_than_it_was_asked_to_be(own: RedisProcess) -> None:
    """E3: small batches before large ones do not have all of these sent at once."""
    own.start()
    store = RedisStore(RedisOptions(url=own.url))
    log = await store.open("blog")
    epoch = await log.claim("one")
    await fill(log, epoch, 40)
    for number in range(400):
        await log.append(batch(41 + number, data_bytes=128 * 1024), epoch)
    assert len(await log.read(0)) > 1
    async with Redis.from_url(own.url) as asking:
        before = (await asking.info("stats"))["total_net_output_bytes"]
        found = await log.read(38)
        sent = (await asking.info("stats"))["total_net_output_bytes"] - before
    assert sum(len(each.batch.events) for each in found) <= 2 * 1024 * 1024
    assert sent < 8 * 1024 * 1024
    await store.close()
