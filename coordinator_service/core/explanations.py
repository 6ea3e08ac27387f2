"""Explanations: what a reader is told of why something is as it is (X1).

Each class mirrors the message of its name in protos/concert/v1/explanation.proto, as those of specs.py do.
"""

from __future__ import annotations

from enum import IntEnum

from coordinator_service.core.events import EventType
from coordinator_service.core.specs import LockGrant
from coordinator_service.core.values import TaskStatus, value


class WaitKind(IntEnum):
    """What something waits for."""

    DEPENDENCY = 1
    BACK_OFF = 2
    NO_AGENT = 3
    SLOTS = 4
    DETACHED = 5
    DRAINING = 6
    CIRCUIT = 7
    LIMIT = 8
    LOCK = 9
    QUEUE = 10
    EXECUTION = 11
    CANCELLATION = 12
    TASKS = 13
    OPEN = 14
    WORK = 15


class CandidateVerdict(IntEnum):
    """Why an agent that answers to a task's target does not have it. The smaller, the nearer it is to having it."""

    AVAILABLE = 1
    NO_SLOT = 2
    DETACHED = 3
    DRAINING = 4
    CIRCUIT_OPEN = 5
    DISCONNECTED = 6


@value
class TaskRefView:
    """A task, in whichever run."""

    run_id: str
    task_id: str


@value
class BlockerView:
    """One thing that stands in the way."""

    kind: WaitKind
    text: str
    tasks: tuple[TaskRefView, ...] = ()
    agents: tuple[str, ...] = ()
    resource: str = ""
    holders: tuple[LockGrant, ...] = ()
    requests: tuple[int, ...] = ()
    position: int = 0
    limit: str = ""
    limit_max: int = 0
    in_use: int = 0
    until_ns: int = 0
    sequence: int = 0


@value
class CandidateView:
    """An agent that answers to a task's target."""

    agent_id: str
    agent_name: str
    verdict: CandidateVerdict
    text: str
    slots: int
    attempts_running: int


@value
class WaitingView:
    """Something that waits, and everything that stands in its way."""

    text: str
    blockers: tuple[BlockerView, ...]
    run_id: str = ""
    task_id: str = ""
    request_sequence: int = 0
    holder: str = ""
    agent_id: str = ""
    status: TaskStatus | None = None
    since_ns: int = 0
    candidates: tuple[CandidateView, ...] = ()


@value
class CauseStepView:
    """An event as a step of a chain of causes."""

    sequence: int
    type: EventType
    reason: str
    cause: int
    timestamp_ns: int
    text: str
    agent_id: str = ""
    agent_name: str = ""
    run_id: str = ""
    task_id: str = ""
    traceparent: str = ""
    principal: str = ""


@value
class ExplanationView:
    """What led to something, and what it waits for."""

    subject: str
    summary: str
    waiting: tuple[WaitingView, ...] = ()
    waiting_total: int = 0
    causes: tuple[CauseStepView, ...] = ()
    earlier_cause: int = 0
    effects: tuple[CauseStepView, ...] = ()
    sequence: int = 0
