"""What an agent is: a role with capabilities that can be given tasks."""

# ruff: noqa: N818 - they say what happened, as the contract's words do
from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from concert.v1 import agent_pb2

if TYPE_CHECKING:
    from concert.agent.context import TaskContext


class PreconditionFailed(Exception):
    """Raise it from validate_preconditions: the task fails with PRECONDITION_FAILED, for good."""


class NotRetryable(Exception):
    """Raise it from execute, or derive from it: the task fails and is not tried again."""


@dataclass(frozen=True, slots=True)
class Capability:
    """Something an agent can do, as tasks ask for it by name (1 to 128 bytes)."""

    name: str
    version: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)


class Agent:
    """Derive from it and write `execute`; everything else has a default.

    One instance serves all tasks of its role in this process, up to `slots` at once, so what belongs to one
    task belongs in the TaskContext. The methods run on the event loop that `run_agents` was called on. An
    execute that blocks it holds up the other tasks of the process, but not the heartbeats, which have a
    thread of their own; long CPU work is best left to `asyncio.to_thread` or a subprocess all the same, so
    that a cancel can reach it.
    """

    name: str = ""
    """The role, 1 to 128 bytes. Empty means the class name in snake_case, without a trailing `_agent`."""
    agent_id: str = ""
    """This instance, 1 to 128 bytes: only one session lives under it. Empty means the role and a random
    suffix.
    """
    capabilities: Sequence[str | Capability] = ()
    """What tasks can ask of it. Empty means its role: a session without any capability takes no tasks."""
    depends_on: Sequence[str | agent_pb2.Dependency] = ()
    """For runs made of agents: what has to have succeeded first. `concert.on_agent(name)`,
    `concert.on_capability(name)`.
    """
    after: Sequence[str | agent_pb2.Dependency] = ()
    """For runs made of agents: what has to be over first, whatever the outcome."""
    slots: int = 1
    """How many tasks it takes at once, 1 to 1000."""
    labels: Mapping[str, str] = MappingProxyType({})
    """Annotations."""

    async def validate_preconditions(self, context: TaskContext) -> bool | None:
        """Raise PreconditionFailed (or return False) to refuse the task for good. Runs before execute."""

    async def execute(self, context: TaskContext) -> Any:
        """Do the work. Returns the result: JSON, bytes, a Payload, or None for none; at most 1 MiB encoded,
        together with what was staged with `context.set_state`. An exception fails the attempt, which the
        policy may try again.
        """
        raise NotImplementedError

    async def cleanup(self, context: TaskContext) -> None:
        """Give back what the attempt took. Runs once per attempt, whatever happened, also after a cancel;
        before the report, so that the attempt's locks still stand. Bounded by 30 s and its failure is logged,
        not reported.
        """

    @property
    def role(self) -> str:
        """`name`, or what stands for it."""
        return self.name or _snake_case(type(self).__name__)

    def capability_list(self) -> list[Capability]:
        """`capabilities`, each as a Capability."""
        named = self.capabilities or (self.role,)
        return [each if isinstance(each, Capability) else Capability(each) for each in named]


def _snake_case(class_name: str) -> str:
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", class_name).lower()
    return words.removesuffix("_agent") or words
