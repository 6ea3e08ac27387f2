"""The deployment client's own arithmetic and words, on runs as the coordinator reports them."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest
from concert.v1 import event_pb2, run_pb2, task_pb2
from google.protobuf.timestamp_pb2 import Timestamp
from rich.console import Console

from agent_service.deployment import ADVICE, TaskView, _see, failure_report
from agent_service.live_view import LiveView
from agent_service.timing import critical_path, timing_of


def at(seconds: float) -> Timestamp:
    """A moment."""
    return Timestamp(seconds=1000 + int(seconds), nanos=round(seconds % 1 * 1e9))


def task(name: str, ready: float, assigned: float, finished: float, *depends_on: str) -> task_pb2.Task:
    """A task that succeeded."""
    return task_pb2.Task(
        task_id=name,
        status=task_pb2.TASK_STATUS_SUCCEEDED,
        depends_on=depends_on,
        ready_at=at(ready),
        assigned_at=at(assigned),
        finished_at=at(finished),
    )


def test_waiting_executing_and_the_longest_chain_are_told_apart() -> None:
    """A diamond whose right side takes longer, with half a second of waiting before its end."""
    quality = task("quality", 4.0, 4.5, 5.0, "infrastructure", "content")
    quality.after.append("security")
    run = run_pb2.Run(
        submitted_at=at(0),
        finished_at=at(5.0),
        tasks=[
            quality,
            task("security", 1.0, 1.0, 2.0, "infrastructure"),
            task("content", 1.0, 1.25, 4.0, "infrastructure"),
            task("infrastructure", 0.0, 0.0, 1.0),
        ],
    )
    timing = timing_of(run)
    assert timing.critical_path == ["infrastructure", "content", "quality"]
    assert timing.critical_path_seconds == 4.25
    assert timing.makespan_seconds == 5.0
    assert timing.speed_up == pytest.approx((1 + 1 + 2.75 + 0.5) / 5, abs=1e-3)
    assert (timing.tasks["quality"].wait_seconds, timing.tasks["quality"].execution_seconds) == (0.5, 0.5)


def test_a_task_that_never_ran_has_no_times() -> None:
    """None is not zero."""
    run = run_pb2.Run(tasks=[task_pb2.Task(task_id="a", status=task_pb2.TASK_STATUS_SKIPPED)])
    timing = timing_of(run)
    assert timing.tasks["a"].execution_seconds is None
    assert (timing.makespan_seconds, timing.speed_up) == (0.0, 0.0)


def test_after_counts_for_the_longest_chain_like_depends_on() -> None:
    """Waiting is waiting."""
    assert critical_path({"a": 1, "b": 1}, {"b": ["a"]}) == ["a", "b"]
    assert critical_path({}, {}) == []


def test_a_failure_report_names_cause_consequences_and_remedy() -> None:
    """What was skipped is told with the failure that began it, however long the chain."""

    def skipped(name: str, cause: str) -> task_pb2.Task:
        error = task_pb2.TaskError(error_type="DEPENDENCY_FAILED", cause_task_id=cause)
        return task_pb2.Task(task_id=name, status=task_pb2.TASK_STATUS_SKIPPED, error=error)

    run = run_pb2.Run(
        status=run_pb2.RUN_STATUS_FAILED,
        tasks=[
            task_pb2.Task(
                task_id="infrastructure",
                agent_name="infrastructure",
                status=task_pb2.TASK_STATUS_FAILED,
                attempts=1,
                error=task_pb2.TaskError(error_type="PRECONDITION_FAILED", message="OwnershipNotProven: no"),
            ),
            skipped("content", "infrastructure"),
            skipped("quality_assurance", "content"),
        ],
    )
    report = failure_report(run)
    assert report["run_status"] == "FAILED"
    (failure,) = report["failures"]
    assert failure["agent"] == "infrastructure"
    assert (failure["error_type"], failure["message"]) == ("PRECONDITION_FAILED", "OwnershipNotProven: no")
    assert failure["skipped_because_of_it"] == ["content", "quality_assurance"]
    assert failure["what_to_do"] == ADVICE["PRECONDITION_FAILED"]


def test_progress_is_followed_event_by_event() -> None:
    """Assigned, half done, failed, tried again."""
    views: dict[str, TaskView] = {}
    seen = []
    for event in (
        event_pb2.Event(type=event_pb2.EVENT_TYPE_TASK_ADDED, task_id="content"),
        event_pb2.Event(type=event_pb2.EVENT_TYPE_TASK_ASSIGNED, task_id="content", agent_id="content-1"),
        event_pb2.Event(
            type=event_pb2.EVENT_TYPE_TASK_PROGRESSED,
            task_id="content",
            task_progressed=task_pb2.TaskProgressed(progress=task_pb2.Progress(fraction=0.5, message="half")),
        ),
        event_pb2.Event(
            type=event_pb2.EVENT_TYPE_AGENT_FAILED,
            task_id="content",
            agent_failed=task_pb2.AgentFailed(error=task_pb2.TaskError(error_type="OSError", message="disk")),
        ),
        event_pb2.Event(type=event_pb2.EVENT_TYPE_TASK_RETRY_SCHEDULED, task_id="content"),
    ):
        _see(event, views)
        seen.append((views["content"].state, views["content"].text))
    assert seen == [
        ("PENDING", ""),
        ("RUNNING", ""),
        ("RUNNING", "half"),
        ("FAILED", "OSError: disk"),
        ("BACKING_OFF", "OSError: disk"),
    ]


def test_without_a_terminal_each_change_is_one_line() -> None:
    """And what did not change is not repeated."""
    console = Console(file=io.StringIO(), force_terminal=False, width=120)
    with LiveView(console) as view:
        views = {"content": TaskView(task_id="content", state="RUNNING", fraction=0.5, text="half\nof it")}
        view.show(views)
        view.show(views)
        views["content"].state = "SUCCEEDED"
        view.show(views)
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert lines == ["content            RUNNING      50%  half", "content            SUCCEEDED    50%  half"]


def test_on_a_terminal_there_is_a_table() -> None:
    """One row a task, with its bar."""
    console = Console(file=io.StringIO(), force_terminal=True, width=120)
    with LiveView(console) as view:
        view.show({"content": TaskView(task_id="content", state="RUNNING", agent="content-1", fraction=0.5)})
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "content-1" in shown
    assert "━" in shown


@pytest.mark.parametrize(
    ("content", "told"),
    [(None, "No such file"), ("{", "truncated"), ("[]", "object"), ('{"domain": "a.test"}', "content_sources")],
)
def test_bad_input_is_told_and_exits_with_2(tmp_path: Path, content: str | None, told: str) -> None:
    """Before anything is started; standard output stays empty."""
    path = tmp_path / "input.json"
    if content is not None:
        path.write_text(content)
    ran = subprocess.run(
        [sys.executable, "-m", "agent_service", "demo", "--input", str(path), "--var", str(tmp_path / "var")],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (ran.returncode, ran.stdout) == (2, "")
    assert told in ran.stderr
    assert not (tmp_path / "var").exists()
