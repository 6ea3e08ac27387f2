"""The blog deployment's makespan against its own critical path, as `make demo` deploys it.

Both by the coordinator's clock, and a task executes from its assignment to its completion: what lies between the tasks
shows here, what lies within them (handing over a task, reporting it) does not; task_overhead measures that.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.figure import Figure, Sample, Target
from benchmarks.settings import Settings

SECONDS_MAX = 120.0
ROUNDS_MAX = 5


class DeploymentFailed(Exception):  # noqa: N818
    """The demonstration did not end well. The text is the end of what it said."""


def measure(settings: Settings) -> list[Figure]:
    """Seconds from the submission of the run to its end, by what the tasks on its critical path take in all."""
    figure = Figure(
        name="makespan, the blog",
        unit="s",
        ceiling="critical path",
        target=Target(floor=1.05, goal=1.01, lower_is_better=True),
    )
    for _ in range(min(settings.rounds, ROUNDS_MAX)):
        summary = deploy()
        figure.samples.append(
            Sample(
                concert=summary["makespan_seconds"],
                ceiling=summary["critical_path_seconds"],
                details={"critical_path": summary["critical_path"]},
            )
        )
    return [figure]


def deploy() -> dict[str, Any]:
    """Deploys once and returns the summary."""
    with tempfile.TemporaryDirectory(prefix="concert-bench-") as directory:
        done = subprocess.run(
            [sys.executable, "-m", "agent_service", "demo", "--var", str(Path(directory, "var"))],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS_MAX,
            check=False,
        )
    if done.returncode != 0:
        raise DeploymentFailed((done.stdout + done.stderr)[-4000:])
    return dict(json.loads(done.stdout[done.stdout.index("\n{") + 1 if "\n{" in done.stdout else 0 :]))
