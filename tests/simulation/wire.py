"""Requests as they travel: bytes, that whoever receives them checks and decodes as a servicer does, every time anew.

So the validation, the codecs and the digests of rpc/ are under simulation too, and the writing of every answer and
refusal; only gRPC is not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from coordinator_service.core.answers import Answer
from coordinator_service.core.commands import Caller, Command
from coordinator_service.core.rejections import Rejection
from coordinator_service.ports import Outcome
from coordinator_service.rpc import errors
from coordinator_service.rpc.operation import Operation, Scope


@dataclass(slots=True, eq=False)
class Asked:
    """A request of somebody. It stays the same however often it is made."""

    operation: Operation
    encoded: bytes
    principal: str
    session_id: int
    request_id: str
    attempt_token: int
    malformed: bool = False
    """It breaks a rule of the contract on purpose."""

    def prepare(self, namespace: str, log_id: str) -> tuple[Command, Caller, Scope]:
        """What a servicer makes of it. Raises InvalidField."""
        scope = Scope(namespace=namespace, log_id=log_id, principal=self.principal, session_id=self.session_id)
        command, caller = self.operation.prepare(self.operation.request.FromString(self.encoded), scope)
        return command, caller, scope

    def __str__(self) -> str:
        return f"{self.operation.method} {self.request_id or 'without an id'} of {self.principal}"


@dataclass(frozen=True, slots=True)
class Heard:
    """An answer as its caller gets it: response is the message, None for a refusal."""

    outcome: Outcome
    response: Any = None

    @property
    def refused(self) -> bool:
        """Whether it was."""
        return isinstance(self.outcome, Rejection)


def travel(operation: Operation, outcome: Outcome, scope: Scope) -> Heard:
    """Writes an answer as a servicer does, and reads it as a client does."""
    if isinstance(outcome, Rejection):
        errors.to_status(outcome).SerializeToString()
        return Heard(outcome)
    return Heard(outcome, _respond(operation, outcome, scope))


def _respond(operation: Operation, answer: Answer, scope: Scope) -> Any:
    written = operation.respond(answer, scope)
    return operation.response.FromString(written.SerializeToString())
