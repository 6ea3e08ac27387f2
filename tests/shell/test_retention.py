"""Retention: the log is cut from its oldest end, by age, number or size, and never from under anybody who needs it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from coordinator_service.core.commands import GetRun
from coordinator_service.core.limits import Limits
from coordinator_service.core.rejections import CursorCompacted
from coordinator_service.local_namespace import LocalNamespace, ShellLimits
from coordinator_service.log.verify import verify
from coordinator_service.replay import replay
from coordinator_service.retention import MEASURED_EVENTS, Retention, RetentionLimits
from coordinator_service.snapshots import SnapshotLimits, encode_tables, recover
from tests.log.batches import batch
from tests.shell.bench import NAME, Bench, publish, settle, submit

SHORT = Limits(run_retention_ms=1000, request_window_ms=1000)


def shell(**retention: int) -> ShellLimits:
    """A namespace that takes snapshots often and keeps nothing in memory that the log has."""
    return ShellLimits(
        snapshots=SnapshotLimits(snapshot_events=10),
        tail_bytes_max=1,
        retention=RetentionLimits(trim_interval_ms=100, **retention),
    )


@pytest.fixture(autouse=True)
def by_number_of_events_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Snapshots are due after so many events, however large the tables are that every version adds to."""
    monkeypatch.setattr("coordinator_service.snapshots.SNAPSHOT_BYTES_PER_EVENT", 10**9)


async def work(bench: Bench, port: LocalNamespace, events: int, *, seconds: float = 0.1) -> None:
    """So many events, some time apart, and whoever follows them done."""
    for _ in range(events):
        await port.call(publish("a"), bench.caller())
        await asyncio.sleep(seconds)
    await settle()


async def oldest(port: LocalNamespace) -> int:
    return (await port.ends()).oldest_sequence


async def test_by_default_everything_is_kept(bench: Bench) -> None:
    """D8: what nobody asked to be dropped is not dropped."""
    bench.limits, bench.shell = SHORT, shell()
    port = await bench.open()
    await work(bench, port, 100, seconds=10)
    assert await oldest(port) == 1


@pytest.mark.parametrize("by", ["age", "number"])
async def test_the_oldest_go(bench: Bench, by: str) -> None:
    """D8: by age or by number; what is kept begins below the bound by less than a snapshot or two."""
    bench.limits = SHORT
    bench.shell = shell(log_retention_ms=3000) if by == "age" else shell(log_events_max=30)
    port = await bench.open()
    await work(bench, port, 100)
    end = bench.durable
    assert end - 30 - 20 <= await oldest(port) <= end - 29
    for _ in range(100):  # by age they go although nothing happens, up to what snapshots cover
        await asyncio.sleep(0.1)
    kept = (await oldest(port), bench.place.records[NAME].snapshots[-1].sequence)
    assert kept[0] == kept[1] + 1 if by == "age" else kept[0] <= end - 29


async def test_by_size(bench: Bench) -> None:
    """D8: the oldest go when the log is too large, measured in steps."""
    log = await bench.start()._store.open("large")
    epoch = await log.claim("replica")
    for first in range(1, 40_001, 1000):
        await log.append(batch(first, 1000), epoch)
    per_event = await log.measure(0, 40_000) // 40_000
    limits = RetentionLimits(log_bytes_max=15_000 * per_event)
    trimming = Retention(log, epoch, limits, now_ns=lambda: 0, needed=lambda: 10**9, acknowledged=lambda: None)
    wanted: list[int] = []

    async def trim(below: int, _epoch: int) -> int:
        wanted.append(below)
        return below

    log.trim = trim  # type: ignore[method-assign]
    await trimming.trim()
    await log.append(batch(40_001, 1000), epoch)
    await trimming.trim()
    assert wanted == [30_001, 30_001]
    assert 15_000 - MEASURED_EVENTS <= 40_000 - wanted[0] + 1 <= 15_000


async def test_what_is_trimmed_is_out_of_range_and_the_rest_is_whole(bench: Bench) -> None:
    """E4, D9: a cursor below is told the oldest sequence; the chain verifies from the anchor that is left, the state is
    recovered to the last byte, and replay agrees."""
    bench.limits, bench.shell = SHORT, shell(log_events_max=30)
    port = await bench.open()
    await work(bench, port, 100)
    begin = await oldest(port)
    assert begin > 50
    with pytest.raises(CursorCompacted) as compacted:
        await port.follow(begin - 2)
    assert compacted.value.oldest_sequence == begin
    follower = await port.follow(begin - 1)
    assert (await follower.read())[0].sequence == begin
    assert await verify(port._log) == bench.durable
    live = encode_tables(port.sequencer.state.tables())
    assert encode_tables((await recover(port._log)).state.tables()) == live
    replayed = await replay(port._log)
    assert (replayed.findings, replayed.first_sequence, replayed.last_sequence) == ([], begin, bench.durable)
    assert replayed.snapshots
    port = await bench.reopen()
    assert await oldest(port) == begin


async def test_a_live_run_and_a_remembered_request_hold_the_log(bench: Bench) -> None:
    """D8, R15, D5: nothing that a run in memory refers to goes, nor the first answer of a request that is remembered;
    once they are over, it does."""
    bench.limits, bench.shell = SHORT, shell(log_events_max=5)
    port = await bench.open()
    await work(bench, port, 10, seconds=1)
    accepted = await port.call(submit("t", run_id="lives"), bench.caller("SubmitRun"))
    await work(bench, port, 60, seconds=1)
    assert await oldest(port) <= accepted.sequence  # type: ignore[union-attr]
    assert await oldest(port) > accepted.sequence - 25  # type: ignore[union-attr]
    run = port.sequencer.state.runs["lives"]
    await asyncio.sleep((run.deadline_ns - port.sequencer.state.time_ns) / 1e9 + 20)
    await work(bench, port, 60, seconds=1)
    assert await oldest(port) > accepted.sequence  # type: ignore[union-attr]
    first = await port.call(publish("once"), bench.caller(request_id="again"))
    for _ in range(30):
        await port.call(publish("a"), bench.caller())
    await asyncio.sleep(0.5)
    again = await port.call(publish("once"), bench.caller(request_id="again"))
    assert again.sequences == first.sequences  # type: ignore[union-attr]


async def test_an_evicted_run_is_told_while_the_log_has_it(bench: Bench) -> None:
    """D8, E4: afterwards OUT_OF_RANGE with the oldest sequence kept, until nothing is known of it."""
    bench.limits, bench.shell = SHORT, shell(log_events_max=60)
    port = await bench.open()
    asked = submit("t", run_id="over")
    await port.call(replace(asked, spec=replace(asked.spec, timeout_ns=10**9)), bench.caller("SubmitRun"))
    await asyncio.sleep(30)
    await work(bench, port, 20, seconds=0.2)
    assert "over" in port.sequencer.state.evicted
    read = await port.call(GetRun(run_id="over"), bench.caller("GetRun"))
    assert read.run.status.name == "TIMED_OUT"  # type: ignore[union-attr]
    await work(bench, port, 150, seconds=0.2)
    assert await oldest(port) > port.sequencer.state.evicted["over"].last_sequence
    with pytest.raises(CursorCompacted):
        await port.call(GetRun(run_id="over"), bench.caller("GetRun"))


async def test_named_subscriptions_hold_the_log_up_to_a_bound(bench: Bench) -> None:
    """D8, E5: what is not acknowledged stays, but not more than subscription_hold_events_max beyond retention: then the
    subscription is OUT_OF_RANGE, as every cursor below the oldest."""
    bench.limits, bench.shell = SHORT, shell(log_events_max=20, subscription_hold_events_max=60)
    port = await bench.open()
    await work(bench, port, 5)
    await port.create_subscription("slow", 5, "", "")
    await port.create_subscription("quick", 5, "", "")
    await work(bench, port, 60)
    await port.acknowledge("quick", port.log_id, bench.durable, reset=False)
    assert await oldest(port) <= 6
    await port.acknowledge("slow", port.log_id, 30, reset=False)
    await work(bench, port, 20)
    assert 6 < await oldest(port) <= 31
    await work(bench, port, 120)
    begin = await oldest(port)
    assert bench.durable - 20 - 60 - 20 <= begin <= bench.durable - 20 - 60 + 1
    cursor = await port.named_subscription("slow")
    assert cursor.sequence == 30
    with pytest.raises(CursorCompacted):
        await port.follow(cursor.sequence, cursor.log_id)
    await port.delete_subscription("slow")
    await port.acknowledge("quick", port.log_id, bench.durable, reset=False)
    await work(bench, port, 20)
    assert await oldest(port) > begin


async def test_a_trim_that_fails_costs_nothing_else(bench: Bench) -> None:
    """D8: whoever is no longer the owner trims nothing; a failing trim is tried again."""
    bench.limits, bench.shell = SHORT, shell(log_events_max=10)
    port = await bench.open()
    await work(bench, port, 60)
    begin = await oldest(port)
    assert begin > 1
    await port._log.claim("another replica")
    await asyncio.sleep(1)
    assert not port.dropped
    assert await oldest(port) == begin


def test_the_hold_and_the_window_are_stated(tmp_path: Path) -> None:
    """D5, D8: bad input: a retention below the window of repeated requests is refused by name."""
    from coordinator_service.config import ConfigError, load

    with pytest.raises(ConfigError, match="--log-retention-ms: must be 0 or at least request_window_ms, 600000"):
        load(["--log-retention-ms", "1000"])
    reported = load(["--log-retention-ms", "600000"]).reported_limits()
    for name in ("request_window_ms", "requests_max", "log_retention_ms", "subscription_hold_events_max"):
        assert reported[name] > 0
