"""`concert lock run`: a lock held for as long as a command runs, and the command ended when the lock is lost."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import concert
import pytest

from tests.coordinator_process import coordinator_process

from .concert_command import Concert, on_terminal, until


async def test_the_command_runs_under_the_lock_and_its_exit_code_is_returned(run: Concert) -> None:
    """It is handed its input, its fencing token, and where it was taken."""
    script = 'read line; echo "$line $CONCERT_FENCING_TOKEN $CONCERT_NAMESPACE"; exit 7'
    ended = await run("lock", "run", "site", "--also", "cdn", "--", "sh", "-c", script, stdin="hello\n")
    assert ended.code == 7
    line, token, namespace = ended.out.split()
    assert (line, namespace) == ("hello", run.namespace)
    events = await run("events", "list", "--type", "resource_acquired", "--type", "resource_released", "-o", "json")
    kinds = [
        (event["type"], event.get("resource_acquired", event.get("resource_released"))["resource"])
        for event in events.json
    ]
    assert kinds == [(f"RESOURCE_{what}", name) for what in ("ACQUIRED", "RELEASED") for name in ("site", "cdn")]
    assert events.json[0]["sequence"] == int(token)


async def test_two_commands_under_one_lock_follow_each_other(run: Concert, tmp_path: Path) -> None:
    """What flock is for."""
    log = tmp_path / "log"
    script = f"echo in >> {log}; sleep 0.3; echo out >> {log}"
    ended = await asyncio.gather(*(run("lock", "run", "site", "--", "sh", "-c", script) for _ in range(3)))
    assert [each.code for each in ended] == [0, 0, 0]
    assert log.read_text().split() == ["in", "out"] * 3


async def test_what_cannot_be_run_has_the_codes_that_shells_use(run: Concert, client: concert.Client) -> None:
    """Not granted, not found, not executable, misused, unreachable: each its own code, and nothing is left locked."""
    assert (await run("lock", "run", "site", "--", "no-such-command")).code == 127
    assert (await run("lock", "run", "site", "--", "/tmp")).code == 126
    assert (await run("lock", "run", "site")).code == 2
    assert (await run("lock", "run", "site", "--address", "127.0.0.1:1", "--timeout", "1s", "--", "true")).code == 125
    async with client.lock("site"):
        held = await run("lock", "run", "site", "--wait", "0", "--", "true")
        assert (held.code, "not granted in time" in held.err) == (124, True)
        assert (await run("lock", "run", "site", "--wait", "0", "-E", "77", "--", "true")).code == 77
    assert await client.locks.list() == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1])
async def test_signals_are_passed_on_and_the_lock_is_released(
    run: Concert, client: concert.Client, number: signal.Signals
) -> None:
    """The command decides what a signal means; how it ends is how `lock run` ends."""
    script = f"trap 'echo got; exit 9' {number.name.removeprefix('SIG')}; echo ready; while :; do sleep 0.05; done"
    process = await run.start("lock", "run", "site", "--", "sh", "-c", script)
    assert process.stdout is not None
    assert await process.stdout.readline() == b"ready\n"
    process.send_signal(number)
    out, _ = await process.communicate()
    assert (process.returncode, out) == (9, b"got\n")
    assert await client.locks.list() == []


async def test_a_command_that_a_signal_ends_is_told_as_shells_do(run: Concert, client: concert.Client) -> None:
    """128 and the signal's number."""
    process = await run.start("lock", "run", "site", "--", "sleep", "60")
    await until(client.locks.list)
    process.send_signal(signal.SIGTERM)
    await process.communicate()
    assert process.returncode == 128 + signal.SIGTERM
    assert (await run("lock", "run", "site", "--", "sh", "-c", "kill -KILL $$")).code == 128 + signal.SIGKILL


async def test_a_signal_while_the_lock_is_waited_for_withdraws_the_request(
    run: Concert, client: concert.Client
) -> None:
    """Nobody is left standing in the queue."""
    async with client.lock("site"):
        process = await run.start("lock", "run", "site", "--wait", "1m", "--", "true")

        async def waits() -> bool:
            return bool((await client.locks.get("site")).waiters)

        async def withdrawn() -> bool:
            return not await waits()

        await until(waits)
        process.send_signal(signal.SIGINT)
        await process.communicate()
        assert process.returncode == 130
        await until(withdrawn)


async def test_the_command_and_its_children_are_ended_when_the_lease_is_lost(tmp_path: Path) -> None:
    """The coordinator is gone for longer than the lease: the command is ended before anybody else may hold the lock."""
    with coordinator_process(tmp_path, durable=False) as coordinator:
        run = Concert(coordinator.address, "default")
        script = "trap 'echo told' TERM; (trap '' TERM; exec sleep 120) & echo $!; while :; do sleep 0.05; done"
        process = await run.start(
            "lock", "run", "site", "--lease", "2s", "--kill-after", "500ms", "--", "sh", "-c", script
        )
        assert process.stdout is not None
        child = int(await process.stdout.readline())
        await asyncio.to_thread(coordinator.kill)
        out, err = await process.communicate()
        assert process.returncode == 123
        assert out == b"told\n"
        assert b"the lock was lost" in err

        async def gone() -> bool:
            return not _alive(child)

        await until(gone)


async def test_ctrl_c_on_a_terminal_reaches_the_command_once(run: Concert) -> None:
    """Both are in the foreground: the terminal tells the command, and it is not told again."""
    script = (
        "n=0; trap 'n=$((n+1))' INT; echo ready; for i in 1 2 3 4 5 6 7 8; do sleep 0.1; done; echo count $n; exit 3"
    )
    async with on_terminal(run, "lock", "run", "site", "--", "sh", "-c", script) as terminal:
        await terminal.until(lambda drawn: "ready" in drawn)
        terminal.type("\x03")
        assert await terminal.ended() == 3
        assert "count 1" in terminal.drawn


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat")
    return not state.exists() or state.read_text().rpartition(")")[2].split()[0] != "Z"
