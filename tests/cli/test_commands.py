"""What each command does, as a process against a real coordinator: output, JSON that parses, exit codes."""

from __future__ import annotations

import asyncio
import json
import shlex
import signal
from pathlib import Path
from typing import Any

import concert
import yaml

from .concert_command import COMMAND, Concert, until

HOSTILE = "x\x1b[31m\n[bold]<script>alert(1)</script>\u202e"


def run_file(directory: Path, **run: Any) -> str:
    """A run file; its path."""
    path = directory / "run.yaml"
    path.write_text(yaml.safe_dump(run))
    return str(path)


async def test_a_run_is_planned_submitted_watched_shown_and_read(run: Concert, labourer: str, tmp_path: Path) -> None:
    """The whole way of a run, for scripts and for people."""
    file = run_file(
        tmp_path,
        name="the harvest",
        tasks={
            "reap": {"capability": "labour", "input": {"says": "half of the field", "gives": {"sheaves": 3}}},
            "bind": {"capability": "labour", "depends_on": ["reap"], "input": {"gives": "bound"}},
        },
    )
    plan = await run("run", "plan", file, "-o", "json")
    assert (plan.code, plan.json["critical_path"]) == (0, ["reap", "bind"])
    assert [group["task_ids"] for group in plan.json["groups"]] == [["reap"], ["bind"]]
    watched = await run("run", "submit", file, "--run-id", "harvest", "--watch")
    assert watched.code == 0
    assert watched.out.splitlines()[-1] == "harvest SUCCEEDED"
    assert any("bind  SUCCEEDED" in line for line in watched.out.splitlines())
    shown = await run("run", "show", "harvest", "-o", "json")
    assert shown.json["status"] == "SUCCEEDED"
    assert [task["status"] for task in shown.json["tasks"]] == ["SUCCEEDED", "SUCCEEDED"]
    result = await run("run", "result", "harvest", "reap")
    assert json.loads(result.out) == {"sheaves": 3}
    listed = await run("run", "list", "--status", "succeeded")
    assert listed.out.splitlines()[1].split()[:5] == ["harvest", "the", "harvest", "SUCCEEDED", "2/2"]
    again = await run("run", "submit", file, "--run-id", "harvest")
    assert again.code == 5
    over = await run("run", "cancel", "harvest")
    assert over.code == 5


async def test_the_exit_code_of_a_watch_says_how_the_run_ended(run: Concert, labourer: str, tmp_path: Path) -> None:
    """A script need not read anything; each event is a line of JSON for one that does."""
    bad = {"capability": "labour", "input": {"fails": HOSTILE}}
    good = {"capability": "labour"}
    file = run_file(
        tmp_path, run_id="partly", tasks={"good": good, "bad": bad, "after": {**good, "depends_on": ["bad"]}}
    )
    partly = await run("run", "submit", file, "--watch", "-o", "json")
    assert partly.code == 10
    events = [json.loads(line) for line in partly.out.splitlines()]
    assert events[-1]["run_completed"]["status"] == "PARTIAL_FAILURE"
    shown = await run("run", "show", "partly")
    assert "NotRetryable: x\\x1b[31m\\n[bold]<script>alert(1)</script>\\u202e" in shown.out
    file = run_file(tmp_path, run_id="not-at-all", tasks={"bad": bad})
    assert (await run("run", "submit", file, "--watch", "-q")).code == 11
    file = run_file(tmp_path, run_id="stopped", tasks={"never": {"capability": "nobody has it"}})
    submitted = await run("run", "submit", file, "-q")
    assert (submitted.code, submitted.out) == (0, "stopped\n")
    assert (await run("run", "cancel", "stopped", "--watch")).code == 12


async def test_a_failure_is_shown_with_its_traceback(
    run: Concert, client: concert.Client, labourer: str, tmp_path: Path
) -> None:
    """Line by line, and whatever stands in it is text; of what did not fail there is none."""
    file = run_file(tmp_path, run_id="broken", tasks={"bad": {"capability": "labour", "input": {"fails": HOSTILE}}})
    await run("run", "submit", file, "--watch", "-q")
    failed, done = await client.events.list(types=["agent_failed", "run_completed"], run_ids=["broken"])
    shown = await run("events", "show", str(failed.sequence))
    assert "\nTraceback (most recent call last):\n" in shown.out
    assert '    raise NotRetryable(given["fails"])\n' in shown.out
    assert "\x1b" not in shown.out
    assert "Traceback" not in (await run("events", "show", str(done.sequence))).out


async def test_what_failed_is_tried_again_and_what_succeeded_is_not(
    run: Concert, client: concert.Client, labourer: str, tmp_path: Path
) -> None:
    """A run that is over runs again as a new try of the same run; one that is not, or that succeeded, is refused."""
    good = {"capability": "labour", "input": {"gives": "kept"}}
    bad = {"capability": "labour", "input": {"fails": "out of ink"}}
    file = run_file(tmp_path, run_id="again", tasks={"good": good, "bad": bad})
    assert (await run("run", "submit", file, "--watch", "-q")).code == 10
    retried = await run("run", "retry", "again", "--watch", "-o", "json")
    assert retried.code == 10
    assert json.loads(retried.out.splitlines()[-1])["run_completed"]["status"] == "PARTIAL_FAILURE"
    assigned = [each.task_id for each in await client.events.list(types=["task_assigned"], run_ids=["again"])]
    assert sorted(assigned) == ["bad", "bad", "good"]
    third = await run("run", "retry", "again")
    assert (third.code, third.out) == (0, "again runs again: try 3\n")
    file = run_file(tmp_path, run_id="waits", tasks={"never": {"capability": "nobody has it"}})
    await run("run", "submit", file, "-q")
    refused = await run("run", "retry", "waits")
    assert (refused.code, refused.out) == (5, "")
    assert "waits" in refused.err
    assert (await run("run", "retry", "nowhere")).code == 4
    await client.run("waits").cancel()


async def test_two_commands_lead_from_a_stuck_task_to_its_reason(run: Concert, tmp_path: Path) -> None:
    """Show names the reason beside the task; explain tells everything about it."""
    file = run_file(tmp_path, run_id="stuck", tasks={"poster": {"capability": "printing"}})
    await run("run", "submit", file, "-q")
    shown = await run("run", "show", "stuck")
    assert "no agent with the capability 'printing' is connected" in shown.out
    explained = await run("explain", "task", "stuck", "poster")
    assert "NO_AGENT     no agent with the capability 'printing' is connected" in explained.out
    told = await run("explain", "run", "stuck", "-o", "json")
    assert told.json["waiting"][0]["blockers"]
    assert (await run("explain", "task", "stuck")).code == 2
    named = await run("explain", "stuck")
    assert named.code == 2
    assert named.err.splitlines()[-1].strip() == "did you mean `concert explain run stuck`?"
    assert (await run("explain", "run", "nowhere")).code == 4
    planned = await run("run", "plan", file)
    assert "no agent is connected for capability printing" in planned.out


async def test_a_faulty_run_file_is_refused_by_line_and_column(run: Concert, tmp_path: Path) -> None:
    """Its own faults, and those that only the coordinator can find."""
    file = tmp_path / "run.yaml"
    file.write_text(
        "tasks:\n  a:\n    capability: c\n    depends_on: [b]\n  b:\n    capability: c\n    depends_on: [a]\n"
    )
    cycle = await run("run", "submit", str(file))
    assert cycle.code == 2
    assert cycle.err in (
        f"{file}:2:3: tasks depend on each other: a -> b -> a\n",
        f"{file}:5:3: tasks depend on each other: b -> a -> b\n",
    )
    file.write_text("tasks:\n  a: {capability: c, depends_on: [nobody]}\n")
    unknown = await run("run", "plan", str(file))
    assert f"{file}:2:35: task 'a' depends on 'nobody'" in unknown.err
    misspelt = await run("run", "plan", "-", stdin="tasks: {a: {capabilty: c}}")
    assert misspelt.code == 2
    assert "<stdin>:1:13: task 'a' has no field 'capabilty'" in misspelt.err
    file.write_bytes(b"tasks: {}\nname: \xff\n")
    assert f"{file}:2:7: this is not UTF-8" in (await run("run", "plan", str(file))).err
    missing = await run("run", "plan", str(tmp_path / "none.yaml"))
    assert (missing.code, "No such file" in missing.err) == (2, True)


async def test_facts_are_published_listed_shown_and_followed(run: Concert, client: concert.Client) -> None:
    """Names and bodies hold anything, and are text in every form."""
    published = await run("events", "publish", "stated", json.dumps({"text": HOSTILE}), "-m", "a=b", "-q")
    sequence = int(published.out)
    listed = await run("events", "list", "--name", "stated")
    assert "<script>" in listed.out
    assert "\x1b" not in listed.out
    assert len(listed.out.splitlines()) == 1
    told = await run("events", "list", "--type", "custom", "-o", "json")
    assert told.json[0]["custom"]["data"]["json"]["text"] == HOSTILE
    assert "\u202e" not in told.out
    shown = await run("events", "show", str(sequence), "-o", "yaml")
    assert yaml.safe_load(shown.out)["metadata"] == {"a": "b"}
    assert (await run("events", "show", "999999")).code in (2, 4)
    tail = await run.start("events", "tail", "--name", "later", "--limit", "2", "-o", "json", "--since", "1h")
    await client.publish("later", 1)
    await client.publish("later", 2)
    out, _ = await tail.communicate()
    assert [json.loads(line)["custom"]["data"]["json"] for line in out.splitlines()] == [1, 2]
    piped = await run("events", "publish", "read", "-", "-q", stdin='{"from": "stdin"}')
    assert int(piped.out) > sequence
    faulty = await run("events", "publish", "stated", "{not json")
    assert (faulty.code, "no JSON" in faulty.err) == (2, True)
    assert (await run("events", "list", "--type", "no_such_type")).code == 2


async def test_a_tail_ends_when_nobody_reads_it_any_more(run: Concert, client: concert.Client) -> None:
    """`concert events tail | head -1` ends with head, not with the next event, and without a complaint."""
    await client.publish("one")
    command = f"{shlex.join(COMMAND)} events tail --from-start; echo code $? >&2"
    shell = await asyncio.create_subprocess_shell(
        f"({command}) | head -1",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=run.environment(),
    )
    async with asyncio.timeout(60):
        out, err = await shell.communicate()
    assert out.decode().split()[0] == "1"
    assert err.decode() == "code 141\n"


async def test_ctrl_c_ends_a_tail_with_the_code_of_the_signal(run: Concert) -> None:
    """As the shell expects."""
    for number in (signal.SIGINT, signal.SIGTERM):
        tail = await run.start("events", "tail", "--from-start")
        assert tail.stdout is not None
        await tail.stdout.readline()
        tail.send_signal(number)
        _, err = await tail.communicate()
        assert (tail.returncode, err) == (128 + number, b"")


async def test_agents_are_listed_shown_and_drained(run: Concert, labourer: str) -> None:
    """Who is there, with what; and out."""
    listed = await run("agents", "list", "--capability", "labour")
    assert listed.out.splitlines()[1].split()[:4] == [labourer, "labourer", "ATTACHED", "0/4"]
    shown = await run("agents", "show", labourer, "-o", "json")
    assert shown.json["spec"]["slots"] == 4
    assert "capabilities: labour" in (await run("agents", "show", labourer)).out
    drained = await run("agents", "drain", labourer, "--wait")
    assert (drained.code, drained.out) == (0, f"{labourer} has left\n")
    assert (await run("agents", "list")).err == "no agents are connected\n"
    assert "DISCONNECTED" in (await run("agents", "list", "--all")).out
    assert (await run("agents", "show", "nobody")).code == 4


async def test_locks_are_acquired_renewed_listed_and_released(run: Concert) -> None:
    """Tokens go from one command to the next."""
    token = (await run("lock", "acquire", "site", "--lease", "1m", "--holder", HOSTILE[:1] + "me", "-q")).out.strip()
    listed = await run("lock", "list")
    assert listed.out.splitlines()[1].split() == ["site", "held", "exclusive", "xme", token]
    refused = await run("lock", "acquire", "site", "--wait", "0")
    assert refused.code == 6
    assert "by xme" in refused.err
    waiting = await run.start("lock", "acquire", "site", "other", "--wait", "1m", "-o", "json")

    async def waits() -> bool:
        return "waits" in (await run("lock", "list", "si")).out

    await until(waits)
    assert (await run("lock", "renew", token)).code == 0
    assert (await run("lock", "release", token)).code == 0
    out, _ = await waiting.communicate()
    assert [grant["resource"] for grant in json.loads(out)] == ["site", "other"]
    assert (await run("lock", "release", token)).code == 5
    assert (await run("lock", "renew", token)).code == 5
    named = await run("lock", "release", "site")
    assert named.code == 2
    assert "a fencing token is a number, not 'site': `concert lock list` shows it" in named.err


async def test_a_lock_is_taken_by_force(run: Concert, client: concert.Client) -> None:
    """However often its holder has it; a plain release gives it back once."""
    tokens = [(await run("lock", "acquire", "site", "--holder", "me", "-q")).out.strip() for _ in range(3)]
    assert len(set(tokens)) == 1
    assert (await run("lock", "release", tokens[0])).code == 0
    assert len(await client.locks.list("site")) == 1
    assert (await run("lock", "release", "--force", tokens[0])).code == 0
    assert await client.locks.list("site") == []


async def test_state_is_written_read_and_never_overwritten_unawares(run: Concert, client: concert.Client) -> None:
    """Two writes of one person are no conflict; another's are, and the way out is told."""
    first = await run("state", "set", "site/pages", "[1]", "-q")
    second = await run("state", "set", "site/pages", "[2]", "--strategy", "append", "-q")
    assert int(second.out) > int(first.out)
    assert (await run("state", "get", "site/pages", "-q")).out == "[1, 2]\n"
    conflict = await run("state", "set", "site/pages", "3", "--writer", "somebody else")
    assert conflict.code == 5
    assert "--base-revision" in conflict.err
    based = await run(
        "state", "set", "site/pages", "3", "--writer", "b", "--base-revision", second.out.strip(), "-o", "json"
    )
    assert based.json["key"] == "site/pages"
    text = await run("state", "set", "note", HOSTILE, "--text", "-q")
    assert text.code == 0
    everything = await run("state", "get", "-o", "json")
    assert {entry["key"]: entry["value"] for entry in everything.json} == {"note": HOSTILE, "site/pages": 3}
    table = await run("state", "get", "--prefix", "note")
    assert len(table.out.splitlines()) == 2
    missing = await run("state", "get", "note", "nothing", "-q")
    assert (missing.code, len(missing.out.splitlines())) == (4, 1)


async def test_state_is_deleted_watched_and_its_past_is_read(run: Concert) -> None:
    """Each change once, with who made it; what is gone can be read in the past."""
    watch = await run.start("state", "watch", "--prefix", "site", "--limit", "4", "-o", "json")
    await run("state", "set", "other", "0")
    first = int((await run("state", "set", "site/a", json.dumps(HOSTILE), "-q")).out)
    await run("state", "set", "site/b", "[1]", "-q")
    gone = await run("state", "delete", "site/a")
    assert (gone.code, gone.out.startswith("deleted site/a, by revision ")) == (0, True)
    await run("state", "delete", "--prefix", "site", "-q")
    out, _ = await watch.communicate()
    told = [json.loads(line) for line in out.splitlines()]
    assert [(each["key"], each["kind"]) for each in told] == [
        ("site/a", "set"),
        ("site/b", "set"),
        ("site/a", "deleted"),
        ("site", "cleared"),
    ]
    assert told[0]["value"] == HOSTILE
    past = await run("state", "history", "--prefix", "site", "-o", "json")
    assert [each["revision"] for each in past.json] == sorted(each["revision"] for each in past.json)
    assert past.json[0]["updates"] == {"site/a": HOSTILE}
    table = await run("state", "history", "site/a")
    assert [line.split()[0] for line in table.out.splitlines()[1:3]] == [str(first), str(told[2]["revision"])]
    assert "(deleted)" in table.out
    assert "\x1b" not in table.out
    seen = await run("state", "watch", "site/a", "--after", str(first), "--limit", "1")
    assert "site/a is gone" in seen.out
    assert (await run("state", "delete", "site/a")).code == 4
    assert (await run("state", "delete")).code == 2
    assert (await run("state", "watch", "a", "--prefix", "b")).code == 2


async def test_options_are_taken_before_a_command_and_after_it(run: Concert) -> None:
    """The one after it wins, and either wins over the environment."""
    nowhere = "127.0.0.1:1"
    assert (await run("--address", run.address, "run", "list", CONCERT_ADDRESS=nowhere)).code == 0
    assert (await run("--address", nowhere, "run", "list", "--address", run.address)).code == 0
    assert (await run("-o", "json", "run", "list")).json == []
    assert (await run("run", "list", "-o", "yaml", CONCERT_OUTPUT="json")).out == "[]\n"
    assert (await run("run", "list", "--timeout", "soon")).code == 2
    assert (await run("run", "lits")).code == 2
    assert (await run("run", "list", "--namespace", "a\nb")).code == 2


async def test_nobody_there_is_told_in_time_with_what_to_do(run: Concert) -> None:
    """Refused, silent or no address at all: a sentence, within the deadline, and exit code 3."""

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    silent = await asyncio.start_server(hold, "127.0.0.1", 0)
    loop = asyncio.get_running_loop()
    async with silent:
        for address in (
            "127.0.0.1:1",
            f"127.0.0.1:{silent.sockets[0].getsockname()[1]}",
            "no.such.host.invalid:7420",
        ):
            for command in (("run", "list"), ("events", "tail")):
                begun = loop.time()
                ended = await run(*command, "--address", address, "--timeout", "2s")
                assert loop.time() - begun < 2 + 8, "starting Python and gRPC takes the rest"
                assert ended.code in (3, 6), ended
                assert f"no coordinator answered at {address}" in ended.err
                assert "concert dev" in ended.err
                assert ended.out == ""


async def test_a_shell_completes_commands_and_names(run: Concert, labourer: str) -> None:
    """Runs, agents, locks and keys come from the coordinator, quickly or not at all."""
    words = {"_CONCERT_COMPLETE": "complete_bash", "COMP_CWORD": "3"}
    known = await run(COMP_WORDS="concert agents show ", **words)
    assert known.out.split() == [labourer]
    unreachable = await run(COMP_WORDS="concert agents show ", CONCERT_ADDRESS="127.0.0.1:1", **words)
    assert (unreachable.code, unreachable.out.strip()) == (0, "")
    commands = await run(COMP_WORDS="concert run s", **{**words, "COMP_CWORD": "2"})
    assert commands.out.split() == ["submit", "show"]
