"""What the world outside was told, so that the log can be held to it at the end."""

from __future__ import annotations

from dataclasses import dataclass, field

from coordinator_service.core.answers import StateRead
from coordinator_service.core.commands import Caller, Command, GetState
from coordinator_service.core.invariants import InvariantBroken
from coordinator_service.ports import Outcome


@dataclass(slots=True)
class Told:
    """A command and its final answer."""

    caller: Caller
    command: Command
    outcome: Outcome


@dataclass(slots=True)
class Ledger:
    """Everything that was told. told is the highest sequence that anybody has heard of."""

    told: int = 0
    answers: list[Told] = field(default_factory=list)
    reads: list[tuple[GetState, StateRead]] = field(default_factory=list)
    executed: set[int] = field(default_factory=set)

    def note(self, caller: Caller, command: Command, outcome: Outcome) -> None:
        """Somebody was told."""
        self.answers.append(Told(caller, command, outcome))
        if isinstance(command, GetState) and isinstance(outcome, StateRead):
            self.reads.append((command, outcome))

    def execute(self, attempt_token: int) -> None:
        """An agent begins to execute an attempt: never twice (A5)."""
        if attempt_token in self.executed:
            raise InvariantBroken(f"A5: attempt {attempt_token} is executed twice")
        self.executed.add(attempt_token)
