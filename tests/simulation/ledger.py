"""What the world outside was told, so that the log can be held to it at the end."""

from __future__ import annotations

from dataclasses import dataclass, field

from coordinator_service.core.commands import Caller, Command
from coordinator_service.core.invariants import InvariantBroken
from coordinator_service.ports import Outcome
from tests.simulation.wire import Asked


@dataclass(frozen=True, slots=True)
class Told:
    """A request, what was made of it, and its final answer."""

    asked: Asked
    caller: Caller
    command: Command
    outcome: Outcome


@dataclass(slots=True)
class Ledger:
    """Everything that was told. told is the highest sequence that anybody has heard of."""

    told: int = 0
    answers: list[Told] = field(default_factory=list)
    executed: set[int] = field(default_factory=set)

    def note(self, asked: Asked, caller: Caller, command: Command, outcome: Outcome) -> None:
        """Somebody was told, whether or not they listened: what was said has to be true."""
        self.answers.append(Told(asked, caller, command, outcome))

    def execute(self, attempt_token: int) -> None:
        """An agent begins to execute an attempt: never twice (A5)."""
        if attempt_token in self.executed:
            raise InvariantBroken(f"A5: attempt {attempt_token} is executed twice")
        self.executed.add(attempt_token)
