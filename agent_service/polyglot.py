"""Agents of the deployment that are written in other languages: `clients/LANGUAGE/demo/agent.yaml` says which, and how
they are built and started.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from agent_service.tracing.exporting import is_wanted, spans_exported

ROOT = Path(__file__).resolve().parent.parent
BUILD_SECONDS_MAX = 900
BUILD_LINES_TOLD_MAX = 20


class ForeignAgentFailed(Exception):  # noqa: N818 - it says what happened
    """One of them cannot be had. The text says why."""


class ForeignAgent(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A program that hosts one of the agents; its `command` is followed by HOST:PORT."""

    agent: str
    language: str
    requires: list[str]
    directory: str
    build: list[str]
    command: list[str]

    @property
    def place(self) -> Path:
        """Where it is built and started."""
        return ROOT / self.directory

    def missing(self) -> list[str]:
        """Programs it needs that are not here."""
        return [program for program in self.requires if shutil.which(program) is None]

    def make(self) -> None:
        """Builds it. Blocking. Raises ForeignAgentFailed with what the build said."""
        if missing := self.missing():
            raise ForeignAgentFailed(f"the {self.agent} agent in {self.language} needs {', '.join(missing)}")
        done = subprocess.run(
            self.build, cwd=self.place, capture_output=True, text=True, timeout=BUILD_SECONDS_MAX, check=False
        )
        if done.returncode:
            said = "\n".join((done.stdout + done.stderr).splitlines()[-BUILD_LINES_TOLD_MAX:])
            raise ForeignAgentFailed(f"the {self.agent} agent in {self.language} is not built:\n{said}")


def foreign_agents() -> dict[str, ForeignAgent]:
    """Those there are, by the name of their agent. Raises msgspec.ValidationError naming a field at fault."""
    found = [
        msgspec.yaml.decode(file.read_bytes(), type=ForeignAgent)
        for file in sorted(ROOT.glob("clients/*/demo/agent.yaml"))
    ]
    return {each.agent: each for each in found}


@contextmanager
def one_trace(name: str) -> Iterator[None]:
    """Runs its body in a span that the trace of its run begins with. Where no collector is named nobody sees the span,
    and it only carries the trace from process to process.
    """
    with spans_exported("deployment"):
        if not is_wanted():
            trace.set_tracer_provider(TracerProvider())
        with trace.get_tracer("agent_service").start_as_current_span(name):
            yield
