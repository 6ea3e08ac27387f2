"""Whatever breaks behind an answer, whoever waits for it is told so: nobody is left waiting."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from coordinator_service.core.answers import StateRead
from coordinator_service.core.commands import Command, GetRun, GetState, UpdateState
from coordinator_service.core.limits import Limits
from coordinator_service.core.rejections import Fault, Rejection, Unavailable
from coordinator_service.core.specs import StateChange, StateUpdate
from coordinator_service.local_namespace import LocalNamespace, ShellLimits
from coordinator_service.log.base import LogError
from coordinator_service.log.memory import MemoryLog
from tests.shell.bench import Asked, Bench, publish, settle, submit, until

SHORT = Limits(state_history_ms=1, run_retention_ms=1)
FIRST_VALUE = 4
TAIL_BYTES_MAX = 1

FAULTS = pytest.mark.parametrize(
    ("fault", "told"), [(KeyError("a slip"), Fault), (LogError("it has no room"), Unavailable)], ids=["slip", "log"]
)


def write(value: float) -> UpdateState:
    return UpdateState(change=StateChange(updates=(StateUpdate(key="k", value=value),)), writer="tester")


async def begun(bench: Bench) -> LocalNamespace:
    """A namespace that has forgotten whatever it may: a value of a key, an answer, a run."""
    bench.limits, bench.shell = SHORT, ShellLimits(tail_bytes_max=TAIL_BYTES_MAX)
    port = await bench.open()
    ended = submit("t", run_id="over")
    await port.call(replace(ended, spec=replace(ended.spec, timeout_ns=10**9)), bench.caller("SubmitRun"))
    for value in (1.0, 2.0):
        await port.call(write(value), bench.caller("UpdateState"))
    await asyncio.sleep(30)
    await port.call(publish("later"), bench.caller())
    return port


async def forgotten(bench: Bench, port: LocalNamespace, what: str) -> tuple[Command, Any]:
    """A question whose answer is in the log alone, and who asks it."""
    if what == "past":
        return GetState(keys=("k",), revision=FIRST_VALUE), bench.caller("GetState")
    if what == "evicted":
        return GetRun(run_id="over"), bench.caller("GetRun")
    once = bench.caller("UpdateState", request_id="once")
    await port.call(write(3.0), once)
    await port.call(publish("later"), bench.caller())
    return write(3.0), once


@FAULTS
@pytest.mark.parametrize("what", ["past", "evicted", "first answer"])
async def test_an_answer_that_cannot_be_read_back_is_a_refusal(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, what: str, fault: Exception, told: type[Rejection]
) -> None:
    """S1, D8, D5: found by fuzzing: a slip in reading the log left a GetState of the past without an answer for ever.
    The next one is answered again."""
    port = await begun(bench)
    command, caller = await forgotten(bench, port, what)
    with monkeypatch.context() as broken:
        broken.setattr(MemoryLog, "read", _raising(fault))
        assert isinstance(await Asked(port, command, caller).final(), told)
    assert not isinstance(await Asked(port, command, caller).final(), Rejection)


@FAULTS
async def test_a_cursor_that_cannot_be_kept_is_a_refusal(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, fault: Exception, told: type[Rejection]
) -> None:
    """E5: whoever waits for it is told, and the namespace is opened again: what is durable is not known."""
    port = await bench.open()
    monkeypatch.setattr(MemoryLog, "save_cursors", _raising(fault))
    with pytest.raises(told):
        await port.create_subscription("s", 0, "", "")
    assert port.dropped


@FAULTS
async def test_agents_are_not_left_on_a_stream_that_nothing_follows(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, fault: Exception, told: type[Rejection]
) -> None:
    """A5: they come again, to a hub that follows the log anew."""
    stream = await bench.connect(lease_ms=60_000)
    await settle()
    await stream.next_frame()
    port, hub = await bench.open(), await bench.hub()
    with monkeypatch.context() as broken:
        broken.setattr(type(hub), "_route", _failing(fault))
        Asked(port, submit("t"), bench.caller("SubmitRun"))
        await until(lambda: stream.closed is not None)
    assert isinstance(stream.closed, told)
    assert hub.over
    assert stream.opened is not None
    back = await bench.resume(stream.opened.session_id)
    assert b"\n" in await back.next_frame()


def _raising(fault: Exception) -> Any:
    async def broken(*_: object, **__: object) -> None:
        raise fault

    return broken


def _failing(fault: Exception) -> Any:
    def broken(*_: object) -> None:
        raise fault

    return broken


async def test_a_read_of_the_past_is_not_put_off_for_every_batch(bench: Bench) -> None:
    """S1: found by fuzzing: it gave way after each batch, so that on a busy loop one of some hundred small batches took
    seconds, and those that waited for their turn behind it had no answer within a minute."""
    port = await begun(bench)
    for value in range(500):
        await port.call(write(value), bench.caller("UpdateState"))
    begin = bench.durable - 1
    await asyncio.sleep(30)
    await port.call(publish("later"), bench.caller())
    asked, turns = Asked(port, GetState(keys=("k",), revision=begin)), 0
    while not asked.finals:
        turns += 1
        assert turns < 100
        await asyncio.sleep(0)
    (read,) = asked.finals
    assert isinstance(read, StateRead)
    assert read.entries[0].revision == begin
