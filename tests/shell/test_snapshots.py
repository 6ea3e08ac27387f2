"""Snapshots and recovery: what is recovered is what the log says, or nothing is."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from dataclasses import replace

import pytest

from coordinator_service import snapshots
from coordinator_service.core.apply import apply
from coordinator_service.core.commands import UpdateState
from coordinator_service.core.fold import restored
from coordinator_service.core.invariants import check_invariants
from coordinator_service.core.rejections import Unavailable
from coordinator_service.core.specs import StateChange, StateUpdate
from coordinator_service.core.state import NamespaceState
from coordinator_service.local_namespace import LocalNamespace, ShellLimits
from coordinator_service.log.base import Batch, LogCorrupt, StoredBatch
from coordinator_service.log.codec import decode_event, split
from coordinator_service.snapshots import FORMAT, SnapshotLimits, decode_tables, encode_tables, recover
from tests.shell.bench import NAME, Asked, Bench, acquire, publish, settle, submit


@pytest.fixture
async def port(bench: Bench) -> LocalNamespace:
    """A namespace that has something of everything, and two snapshots on the way."""
    bench.shell = ShellLimits(snapshots=SnapshotLimits(snapshot_events=8))
    port = await bench.open()
    await bench.connect("agent", slots=2)
    number = 0
    while len(bench.place.records[NAME].snapshots) < 2:
        number += 1
        update = StateUpdate(key=f"k/{number}", value={"n": float(number)})
        change = UpdateState(change=StateChange(updates=(update,)))
        asked = [
            Asked(port, publish("a", event_id=f"e{number}"), bench.caller()),
            Asked(port, change, bench.caller("UpdateState")),
            Asked(port, submit("t", "u", run_id=f"run-{number}"), bench.caller("SubmitRun")),
            Asked(port, acquire(f"r{number % 3}"), bench.caller("Acquire")),
        ]
        await asked[2].final()
        port.renew_session(2)
        await settle()
    return port


def folded(bench: Bench) -> NamespaceState:
    state = NamespaceState(NAME)
    for stored in bench.place.records[NAME].batches:
        for encoded in split(stored.batch.events):
            apply(state, decode_event(encoded))
    return state


async def test_recovery_from_a_snapshot_is_recovery_from_the_beginning(bench: Bench, port: LocalNamespace) -> None:
    """Invariant 7: live state, fold of the log, and newest snapshot with what follows are the same, byte for byte."""
    live = encode_tables(port.sequencer.state.tables())
    assert encode_tables(folded(bench).tables()) == live
    recovered = await recover(port._log)
    assert encode_tables(recovered.state.tables()) == live
    check_invariants(recovered.state)
    bench.place.records[NAME].snapshots.clear()
    assert encode_tables((await recover(port._log)).state.tables()) == live


async def test_a_snapshot_holds_the_fold_of_the_committed_log(bench: Bench, port: LocalNamespace) -> None:
    """D9: named by its sequence and anchored by the hash there."""
    for snapshot in bench.place.records[NAME].snapshots:
        tables = decode_tables(snapshot.data)
        assert tables.sequence == snapshot.sequence
        batch = next(
            each for each in bench.place.records[NAME].batches if each.batch.last_sequence == snapshot.sequence
        )
        assert batch.hash == snapshot.hash


async def test_equal_tables_are_equal_bytes_and_come_back(bench: Bench, port: LocalNamespace) -> None:
    """D9: encoding loses nothing."""
    data = encode_tables(port.sequencer.state.tables())
    assert encode_tables(decode_tables(data)) == data
    assert encode_tables(restored(NAME, decode_tables(data)).tables()) == data


def damage(data: bytes, how: str) -> bytes:
    return {
        "one bit": data[:-20] + bytes([data[-20] ^ 1]) + data[-19:],
        "another key": data.replace(b"k/1", b"k/!", 1),
        "cut off": data[:-1],
        "empty": b"",
        "of another format": bytes([FORMAT + 1]) + data[1:],
    }[how]


@pytest.mark.parametrize("how", ["one bit", "another key", "cut off", "empty", "of another format"])
async def test_a_damaged_snapshot_is_passed_over(bench: Bench, port: LocalNamespace, how: str) -> None:
    """D9: the older one, else the log itself, has everything."""
    live = encode_tables(port.sequencer.state.tables())
    record = bench.place.records[NAME]
    for position in range(2):
        record.snapshots[position] = replace(
            record.snapshots[position], data=damage(record.snapshots[position].data, how)
        )
        assert encode_tables((await recover(port._log)).state.tables()) == live


async def test_a_snapshot_that_is_not_of_this_log_is_passed_over(bench: Bench, port: LocalNamespace) -> None:
    """D9: one that lies beyond the end, or says another sequence than it holds."""
    live = encode_tables(port.sequencer.state.tables())
    record = bench.place.records[NAME]
    whole = record.snapshots[0]
    for wrong in (whole.sequence + 10_000, whole.sequence - 1):
        record.snapshots[0] = replace(whole, sequence=wrong)
        assert encode_tables((await recover(port._log)).state.tables()) == live


async def test_a_trimmed_log_without_a_readable_snapshot_is_refused(bench: Bench, port: LocalNamespace) -> None:
    """D9: a state folded from the middle of a log would be wrong; none is."""
    record = bench.place.records[NAME]
    await port._log.trim(record.snapshots[1].sequence, record.epoch)
    oldest = record.base_sequence + 1
    assert oldest > 1
    live = encode_tables(port.sequencer.state.tables())
    assert encode_tables((await recover(port._log)).state.tables()) == live
    for position in range(2):
        record.snapshots[position] = replace(record.snapshots[position], data=b"")
    with pytest.raises(LogCorrupt) as damage:
        await recover(port._log)
    assert damage.value.sequence == oldest


async def test_a_damaged_log_is_refused_by_its_sequence(bench: Bench, port: LocalNamespace) -> None:
    """D9: an edited event is found, its sequence named to whoever asks, and nothing is served or written."""
    record = bench.place.records[NAME]
    record.snapshots.clear()
    position = len(record.batches) // 2
    edited = record.batches[position]
    events = edited.batch.events
    record.batches[position] = StoredBatch(
        batch=Batch(
            first_sequence=edited.batch.first_sequence,
            last_sequence=edited.batch.last_sequence,
            time_ns=edited.batch.time_ns,
            events=events[:-1] + bytes([events[-1] ^ 1]),
        ),
        hash=edited.hash,
    )
    end = bench.durable
    with pytest.raises(Unavailable) as refusal:
        await bench.reopen()
    assert f"sequence {edited.batch.first_sequence}:" in str(refusal.value)
    assert bench.durable == end


async def test_a_snapshot_that_cannot_be_saved_costs_nothing_else(bench: Bench) -> None:
    """Architecture, decision 9: the log has everything; the next snapshot may succeed."""
    bench.shell = ShellLimits(snapshots=SnapshotLimits(snapshot_events=8))
    port = await bench.open()

    async def fail(*_: object) -> None:
        raise LogCorrupt("no")

    port._log.save_snapshot, save = fail, port._log.save_snapshot  # type: ignore[method-assign, assignment]
    for _ in range(20):
        await port.call(publish("a"), bench.caller())
    await asyncio.sleep(0)
    assert bench.place.records[NAME].snapshots == []
    port._log.save_snapshot = save  # type: ignore[method-assign]
    while not bench.place.records[NAME].snapshots:
        await port.call(publish("a"), bench.caller())
        await settle()
    assert not port.dropped


@pytest.mark.usefixtures("port")
async def test_a_new_owner_serves_before_it_reads_a_snapshot_for_the_next_one(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading one holds everybody up: it is put off until there is something to fold, or somebody looks."""
    read: list[int] = []
    decode = snapshots.decode_folds

    def counted(data: bytes) -> snapshots.Folds:
        read.append(len(data))
        return decode(data)

    monkeypatch.setattr(snapshots, "decode_folds", counted)
    again = await bench.reopen()
    await Asked(again, publish("served"), bench.caller()).final()
    await settle()
    assert len(read) == 1, "the owner's own recovery, and nothing else"

    def sequence(state: NamespaceState, _metrics: object, _now_ns: int) -> Generator[None, None, int]:
        yield
        return state.sequence

    assert await again.look(sequence) == bench.durable
    assert len(read) == 2
