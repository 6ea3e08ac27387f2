"""The page on Explain shows what is printed, and the Python client asks for everything that can be explained."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import concert
import pytest
from concert.v1 import explanation_pb2

from tests.coordinator_process import coordinator_process

PAGE = Path(__file__).parents[2] / "docs/explain.md"


def test_the_example_prints_what_the_page_shows(tmp_path: Path) -> None:
    """X1: as it stands there, against a coordinator that nobody has spoken to."""
    text = PAGE.read_text()
    code = re.search(r"<!-- example -->\n```python\n(.*?)```", text, re.DOTALL)
    shown = re.search(r"<!-- output -->\n```text\n(.*?)```", text, re.DOTALL)
    assert code is not None
    assert shown is not None
    with coordinator_process(tmp_path, durable=False) as process:
        script = tmp_path / "example.py"
        script.write_text(code[1].replace("connect()", f"connect({process.address!r})"))
        run = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False)
    assert (run.stderr, run.stdout) == ("", shown[1])


def test_the_page_names_every_kind_of_wait() -> None:
    """X1: what is not explained on the page is not there."""
    text = PAGE.read_text()
    kinds = [name.removeprefix("WAIT_KIND_") for name in explanation_pb2.WaitKind.keys()[1:]]
    assert [kind for kind in kinds if f"`{kind}`" not in text] == []


async def test_everything_that_can_be_explained_can_be_asked_for(tmp_path: Path) -> None:
    """X1: a run, a task, a lock, an agent, a sequence; from a client and inside a session."""
    with coordinator_process(tmp_path, durable=False) as process:
        async with concert.connect(process.address) as client, client.session(agent_id="me") as session:
            await client.submit_run(run_id="r", tasks=[concert.task("t", capability="painting")])
            async with session.lock("door") as lock:
                for asking in (client, session):
                    assert (await asking.explain(run="r")).subject == "run r"
                    task = await asking.explain(run="r", task="t")
                    assert [step.type for step in task.causes] == [31, 30]
                    assert "no agent with the capability 'painting'" in str(task)
                    assert "(agent me)" in (await asking.explain(lock="door")).summary
                    assert "agent me is ATTACHED" in (await asking.explain(agent="me")).summary
                    token = await asking.explain(lock.fencing_token)
                    assert token.sequence >= lock.fencing_token
                    assert token.causes[0].sequence == lock.fencing_token
                    assert "door" in repr(token)
                with pytest.raises(concert.NotFound):
                    await client.explain(run="ghost")
                with pytest.raises(concert.CursorInFuture):
                    await client.explain(10**6)
            for wrong in ({}, {"run": "r", "lock": "door"}, {"task": "t"}):
                with pytest.raises(concert.InvalidArgument):
                    await client.explain(**wrong)  # type: ignore[arg-type]
