"""A minute of fuzzing, from seeds that stay; `make fuzz` goes on for as long as one likes."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from coordinator_service.core.rejections import InvalidField
from coordinator_service.rpc.calls import Calls
from tests.fuzz import surface, targets
from tests.fuzz.runner import Plan, case_of, check_cases, replay, run
from tests.fuzz.surface import Trouble, fuzz_surface, replay_surface, rpcs
from tests.fuzz.targets import CORPUS, TARGETS, Target, corpus

CASES = 1000
MESSAGES_WITHIN = 4000
MESSAGES_TO_A_PROCESS = 2000


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_what_takes_bytes_takes_any(target: Target) -> None:
    """D9, D5, P1: bad input: codecs and parsers raise what they say they raise, and nothing else."""
    check_cases(target, seed=7, cases=CASES)


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_what_is_in_the_corpus_is_taken(target: Target) -> None:
    """Inputs that found something once, and those that others are made of."""
    for content in corpus(target.name):
        if target.name != "audit_file":
            target.check(content)


def test_the_corpus_is_of_targets() -> None:
    """No folder is forgotten, and it stays small."""
    assert {path.name for path in CORPUS.iterdir()} <= {target.name for target in TARGETS}
    assert sum(path.stat().st_size for path in CORPUS.glob("*/*")) < 200_000


def test_a_case_is_the_same_whenever_it_is_asked_for() -> None:
    """A seed and a number name an input."""
    for target in TARGETS:
        assert case_of(target, 3, 5) == case_of(target, 3, 5)
        assert len({case_of(target, 3, number) for number in range(50)}) > 10


async def test_any_requests_are_answered_by_the_contract(tmp_path: Path) -> None:
    """D4, D5: bad input: every rpc and session, in any order, several at once: statuses of the error table with
    their details, nothing INTERNAL, state that its log replays to. Most rpcs are answered OK at least once."""
    told = await fuzz_surface("within", 11, MESSAGES_WITHIN, tmp_path)
    silent = told.partition("never OK: ")[2].partition(";")[0].split(", ")
    assert len(silent) < len(rpcs()) / 3, told


async def test_a_real_coordinator_survives_them(tmp_path: Path) -> None:
    """D3, D4: the same over a socket: it lives, holds no more than before, and after SIGKILL replays and serves."""
    await fuzz_surface("process", 12, MESSAGES_TO_A_PROCESS, tmp_path)


@pytest.mark.parametrize("how", ["no answer", "a fault in answering GetLock"])
async def test_a_fault_put_in_on_purpose_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, how: str) -> None:
    """What the fuzzer says of an rpc that breaks, or never answers; and its journal says it again."""
    perform = Calls._perform

    async def breaking(calls: Calls, operation: Any, request: Any, context: Any) -> bytes:
        if operation.method != "GetLock":
            return await perform(calls, operation, request, context)
        if how == "no answer":
            await asyncio.Future()
        raise KeyError(request.resource)

    monkeypatch.setattr(Calls, "_perform", breaking)
    if how == "no answer":
        monkeypatch.setattr(surface, "ANSWER_SECONDS_MAX", 3.0)
    with pytest.raises(Trouble, match=how) as caught:
        await fuzz_surface("within", 5, 2000, tmp_path)
    lines = caught.value.journal.splitlines()
    with pytest.raises(Trouble, match=how):
        await replay_surface("within", b"\n".join(line for line in lines if b"GetLock" in line), tmp_path)


def test_what_fails_is_kept_and_replayed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command names a file, the file fails again by itself, and the exit code says so."""

    def check(content: bytes) -> None:
        if b"\n" in content:
            raise InvalidField(("x", "planted"))

    planted = Target("traceparent", targets.from_corpus("traceparent"), check)
    monkeypatch.setattr("tests.fuzz.runner.TARGETS", (planted,))
    plan = Plan(seed=1, cases=400, until=None, only=("traceparent",), failures=tmp_path)
    assert run(plan) == 1
    kept = sorted(tmp_path.glob("traceparent-1-*.input"))
    assert kept
    assert f"make fuzz REPLAY={kept[0]}" in capsys.readouterr().out
    with pytest.raises(InvalidField):
        replay(kept[0])
