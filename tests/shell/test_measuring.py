"""What is counted is read from the follower of the log: late to nobody, and in nobody's way."""

from __future__ import annotations

import asyncio

import pytest

from coordinator_service.core.figures import HealthStatus, MetricsView
from coordinator_service.core.monitor import MetricsAsked
from coordinator_service.core.rejections import NotFound, Unavailable
from coordinator_service.local_namespace import LocalNamespace, ShellLimits
from coordinator_service.log.base import LogError
from coordinator_service.snapshots import SnapshotLimits, recover
from tests.shell.bench import NAME, Asked, Bench, publish, refused, settle, submit


def custom(view: MetricsView) -> int:
    """How many custom events were counted."""
    return next((each.count for each in view.events if each.type.name == "CUSTOM"), 0)


async def test_what_is_not_durable_is_not_counted_and_what_is_acknowledged_is(bench: Bench) -> None:
    """M2, D4: a reading is of the committed log, whatever is under way."""
    port = await bench.open()
    await port.call(publish("a"), bench.caller())
    bench.disk.hold()
    pending = Asked(port, publish("b", "c"))
    await settle()
    view = await port.measure(MetricsAsked())
    assert (custom(view), view.sequence) == (1, bench.durable)
    bench.disk.release()
    await pending.final()
    assert custom(await port.measure(MetricsAsked())) == 3


async def test_snapshots_are_taken_as_ever_while_somebody_reads(bench: Bench) -> None:
    """M2, D9: readers move the fold on; what snapshots hold is still the fold of the log, metrics included."""
    bench.shell = ShellLimits(snapshots=SnapshotLimits(snapshot_events=8))
    port = await bench.open()
    count = 0
    while len(bench.place.records[NAME].snapshots) < 2:
        await port.call(publish("a"), bench.caller())
        count += 1
        if count % 3 == 0:
            assert custom(await port.measure(MetricsAsked())) == count
    again = await bench.reopen()
    assert custom(await again.measure(MetricsAsked())) == count
    bench.place.records[NAME].snapshots.clear()
    whole = await bench.reopen()
    assert custom(await whole.measure(MetricsAsked())) == count
    assert (await recover(whole._log)).state.sequence == bench.durable


async def test_a_reader_that_gives_up_leaves_the_others_theirs(bench: Bench) -> None:
    """M2: a cancelled call disturbs neither the fold nor whoever asks next."""
    port = await bench.open()
    await port.call(submit(*(f"t{number}" for number in range(3000))), bench.caller("SubmitRun"))
    asking = [asyncio.create_task(port.measure(MetricsAsked())) for _ in range(4)]
    await asyncio.sleep(0)
    asking[0].cancel()
    asking[2].cancel()
    found = await asyncio.gather(*asking, return_exceptions=True)
    assert [isinstance(each, asyncio.CancelledError) for each in found] == [True, False, True, False]
    assert (await port.measure(MetricsAsked(run_id="run"))).runs[0].tasks == 3000


async def test_others_have_their_turn_while_a_large_reading_is_made(bench: Bench) -> None:
    """M2: no decision waits for it: commands are decided and made durable between its steps."""
    port = await bench.open()
    tasks = [f"t{number}" for number in range(2500)]
    for number in range(8):
        await port.call(submit(*tasks, run_id=f"run-{number}"), bench.caller("SubmitRun"))
    await port.measure(MetricsAsked(runs_max=0))
    reading = asyncio.create_task(port.measure(MetricsAsked()))
    await asyncio.sleep(0)
    await port.call(publish("meanwhile"), bench.caller())
    assert not reading.done()
    view = await reading
    assert (len(view.runs), custom(view)) == (8, 0), "it is of the moment at which it was asked for"


async def test_who_asks_a_namespace_that_is_dropped_is_told(bench: Bench) -> None:
    """M1, M2: UNAVAILABLE, whether it was asked before or after; an unknown run is NOT_FOUND."""
    port = await bench.open()
    assert isinstance(await refused(port.measure(MetricsAsked(run_id="ghost"))), NotFound)  # type: ignore[arg-type]
    assert (await port.health())[0] is HealthStatus.HEALTHY
    before = asyncio.create_task(port.measure(MetricsAsked()))
    await asyncio.sleep(0)
    port.drop(Unavailable("gone"))
    with pytest.raises(Unavailable):
        await before
    with pytest.raises(Unavailable):
        await port.health()


async def test_a_fold_that_breaks_is_told_to_those_who_ask(bench: Bench) -> None:
    """M2: a log that cannot be read does not leave a reader waiting."""
    port: LocalNamespace = await bench.open()

    async def broken(*_: object, **__: object) -> None:
        raise OSError("the disk is gone")

    port._log.read = broken  # type: ignore[method-assign, assignment]
    await port.call(publish("a"), bench.caller())
    with pytest.raises(Unavailable):
        await port.measure(MetricsAsked())


async def test_a_read_that_failed_once_ends_no_counting(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """M2, D9: while the log cannot be read whoever asks is told so; then it is counted, and saved, as before."""
    bench.shell = ShellLimits(snapshots=SnapshotLimits(snapshot_events=8))
    port = await bench.open()
    await port.call(publish("a"), bench.caller())

    async def broken(*_: object, **__: object) -> None:
        raise LogError("a bad moment")

    with monkeypatch.context() as failing:
        failing.setattr(type(port._log), "read", broken)
        await refused(port.measure(MetricsAsked()))  # type: ignore[arg-type]
    await asyncio.sleep(30)
    assert not port.dropped
    assert custom(await port.measure(MetricsAsked())) == 1
    for _ in range(20):
        await port.call(publish("a"), bench.caller())
    await asyncio.sleep(30)
    assert bench.place.records[NAME].snapshots
