"""D7, L7: leases of sessions and locks."""

from __future__ import annotations

import asyncio

import pytest

from coordinator_service.core.answers import Acquired
from coordinator_service.core.commands import EndSession, ExpireLock
from coordinator_service.core.reasons import LEASE_EXPIRED
from coordinator_service.core.values import NS_PER_SECOND
from coordinator_service.leases import SWEEP_MS, LeaseKey, Leases
from tests.shell.bench import Asked, Bench, acquire, settle, until

KEY: LeaseKey = ("lock", 7)
SWEEP_SECONDS = SWEEP_MS / 1000


class Watched:
    """Leases, and when each was said to have ended."""

    def __init__(self, bench: Bench) -> None:
        self.ended: list[tuple[float, LeaseKey]] = []
        self.loop = asyncio.get_running_loop()
        self.leases = Leases(bench.clock, lambda key: self.ended.append((self.loop.time(), key)))


async def test_a_lease_ends_when_its_time_is_over(bench: Bench) -> None:
    """D7: not before, and at most a sweep after."""
    watched = Watched(bench)
    watched.leases.grant(KEY, 3 * NS_PER_SECOND)
    await asyncio.sleep(2.95)
    assert not watched.ended
    await until(lambda: bool(watched.ended))
    assert watched.ended[0][0] == pytest.approx(3.0, abs=2 * SWEEP_SECONDS)
    watched.leases.close()


async def test_a_renewal_makes_a_lease_whole(bench: Bench) -> None:
    """L7: from the moment of the renewal on."""
    watched = Watched(bench)
    watched.leases.grant(KEY, 3 * NS_PER_SECOND)
    for _ in range(5):
        await asyncio.sleep(2.5)
        assert watched.leases.renew(KEY) == 3 * NS_PER_SECOND
    await until(lambda: bool(watched.ended))
    assert watched.ended[0][0] == pytest.approx(15.5, abs=2 * SWEEP_SECONDS)
    watched.leases.close()


async def test_a_lease_that_is_gone_cannot_be_renewed(bench: Bench) -> None:
    """L7: whoever asks is told so."""
    watched = Watched(bench)
    watched.leases.grant(KEY, 3 * NS_PER_SECOND)
    watched.leases.drop(KEY)
    assert watched.leases.renew(KEY) == watched.leases.left_ns(KEY) == 0


async def test_a_stall_extends_every_lease_by_as_much(bench: Bench) -> None:
    """D7: while the process stood still nobody could be heard, so that time does not count."""
    watched = Watched(bench)
    watched.leases.grant(KEY, 3 * NS_PER_SECOND)
    await asyncio.sleep(1)
    bench.clock.stall(10)
    await asyncio.sleep(1.8)
    assert not watched.ended
    await until(lambda: bool(watched.ended))
    assert watched.ended[0][0] == pytest.approx(3.0, abs=2 * SWEEP_SECONDS)  # of the time in which anybody could speak
    watched.leases.close()


async def test_a_lease_whose_end_came_to_nothing_is_looked_at_again(bench: Bench) -> None:
    """D7: nothing is kept for ever because a command was lost."""
    watched = Watched(bench)
    watched.leases.grant(KEY, NS_PER_SECOND)
    await until(lambda: len(watched.ended) == 2)
    assert watched.ended[1][0] == pytest.approx(2.0, abs=4 * SWEEP_SECONDS)
    watched.leases.close()


async def test_a_renewal_before_the_decision_wins(bench: Bench) -> None:
    """D7: the end of a lease is a command, checked again when its turn comes."""
    port = await bench.open()
    held = await port.call(acquire("kept", "lost", lease_ms=1050), bench.caller("Acquire"))
    assert isinstance(held, Acquired)
    kept, lost = (grant.fencing_token for grant in held.grants)
    await asyncio.sleep(1.06)  # over, and not swept yet
    for token in (kept, lost):
        port._lease_ended(("lock", token))
    await port.keep_alive((kept,))
    await settle()
    assert list(port.sequencer.state.grants) == [kept]
    await until(lambda: not port.sequencer.state.grants)


async def test_a_session_renewed_before_the_decision_goes_on(bench: Bench) -> None:
    """D7: the same for the lease of a session."""
    kept, lost = [
        (await bench.connect(agent_id, lease_ms=1050)).opened.session_id  # type: ignore[union-attr]
        for agent_id in ("kept", "lost")
    ]
    port = await bench.open()
    await asyncio.sleep(1.06)
    for session_id in (kept, lost):
        port._lease_ended(("session", session_id))
    assert port.renew_session(kept)
    await settle()
    assert list(port.sequencer.state.index.sessions) == [kept]


async def test_an_expired_lock_goes_to_the_next_in_line_in_the_same_decision(bench: Bench) -> None:
    """L7: RESOURCE_RELEASED and the grant are one batch, and the reason says why."""
    port = await bench.open()
    await port.call(acquire("r", lease_ms=1000), bench.caller("Acquire"))
    waiting = Asked(port, acquire("r", lease_ms=60_000), bench.caller("Acquire"))
    granted = await waiting.final()
    assert isinstance(granted, Acquired)
    follower = await port.follow(granted.grants[0].fencing_token - 2)
    released, acquired = (each.event for each in await follower.read())
    assert (released.reason, acquired.sequence) == (LEASE_EXPIRED, granted.grants[0].fencing_token)
    last = bench.place.records["tested"].batches[-1].batch
    assert (last.first_sequence, last.last_sequence) == (released.sequence, acquired.sequence)


async def test_keep_alive_says_which_locks_are_gone(bench: Bench) -> None:
    """L7: no error of the call; a lock is kept as long as it is asked for."""
    port = await bench.open()
    held = await port.call(acquire("a", "b", lease_ms=1000), bench.caller("Acquire"))
    assert isinstance(held, Acquired)
    kept, dropped = (grant.fencing_token for grant in held.grants)
    for _ in range(5):
        await asyncio.sleep(0.7)
        await port.keep_alive((kept,))
    assert await port.keep_alive((kept, dropped, 99)) == [NS_PER_SECOND, 0, 0]


async def test_one_request_more_for_a_lock_does_not_shorten_its_lease(bench: Bench) -> None:
    """L5, L7: the same grant has one lease, the one that its first request was granted, and the next makes it whole."""
    port = await bench.open()
    held = await port.call(acquire("r", holder="h", lease_ms=5000), bench.caller("Acquire"))
    await asyncio.sleep(4)
    again = await port.call(acquire("r", holder="h", lease_ms=1000), bench.caller("Acquire"))
    assert isinstance(held, Acquired)
    assert isinstance(again, Acquired)
    assert again.grants == held.grants
    await asyncio.sleep(4)
    assert await port.keep_alive((held.grants[0].fencing_token,)) == [5 * NS_PER_SECOND]


async def test_a_lock_of_a_session_stands_as_long_as_the_session(bench: Bench) -> None:
    """L7: its KeepAlive says how long that is, and does not renew it: only the session's own stream does."""
    stream = await bench.connect(lease_ms=3000)
    session_id = stream.opened.session_id  # type: ignore[union-attr]
    port = await bench.open()
    held = await port.call(acquire("r"), bench.caller("Acquire", session_id=session_id))
    assert isinstance(held, Acquired)
    await asyncio.sleep(2)
    (left_ns,) = await port.keep_alive((held.grants[0].fencing_token,))
    assert left_ns == pytest.approx(NS_PER_SECOND, rel=0.05)
    await until(lambda: not port.sequencer.state.grants, seconds_max=1.5)


async def test_the_end_of_what_is_over_already_is_nothing(bench: Bench) -> None:
    """D7: a lease that ends late does no harm."""
    port = await bench.open()
    before = bench.durable
    await port.call(ExpireLock(fencing_token=99), bench.caller(""))
    asked = Asked(port, EndSession(session_id=99, reason=LEASE_EXPIRED))
    await asked.final()
    assert bench.durable == before


async def test_what_is_remembered_grows_with_the_leases_that_stand(bench: Bench) -> None:
    """D8: not with those that were given back long before their end."""
    watched = Watched(bench)
    for token in range(50_000):
        watched.leases.grant(("lock", token), 3600 * NS_PER_SECOND)
        watched.leases.drop(("lock", token))
    assert len(watched.leases._order) < 5_000
    watched.leases.close()
