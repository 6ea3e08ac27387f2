"""An operation: one thing that a client may ask of a namespace, the same over a unary call and over a session."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from google.protobuf.message import Message

from coordinator_service.core.answers import Answer
from coordinator_service.core.commands import Caller, Command
from coordinator_service.core.specs import Fence
from coordinator_service.rpc import limits
from coordinator_service.rpc.validation import (
    Faults,
    count_fault,
    optional_name_fault,
    resource_fault,
    usable_traceparent,
)

DIGEST_BYTES = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Where and by whom a request is made: the same for all requests of a session. session_id is 0 outside one."""

    namespace: str
    log_id: str
    principal: str = ""
    session_id: int = 0
    own_only: bool = False
    """Caller.own_only."""


Decode: TypeAlias = Callable[[Any, Scope, Faults], Command]
"""Request to command. Notes what is wrong instead of raising; the command then is not used and may be anything."""
Fill: TypeAlias = Callable[[Any, Scope, Any], None]
"""Writes an answer into an empty response message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """A row of the dispatch table.

    service is empty for what exists in sessions only, frame (its name in Command.request) for what exists as an rpc
    only. in_absence answers a command where its namespace does not exist, so that asking does not create one; it may
    raise NotFound.
    """

    method: str
    request: type[Message]
    response: type[Message]
    decode: Decode
    fill: Fill
    service: str = ""
    frame: str = ""
    in_absence: Callable[[Any], Answer] | None = None
    reply_field: str = field(init=False)
    """Its name in Reply.outcome."""
    names_request: bool = field(init=False)
    in_attempt: bool = field(init=False)
    takes_fences: bool = field(init=False)

    def __post_init__(self) -> None:
        fields = self.request.DESCRIPTOR.fields_by_name
        object.__setattr__(self, "reply_field", self.frame if self.service else "reported")
        object.__setattr__(self, "names_request", "request_id" in fields)
        object.__setattr__(self, "in_attempt", bool(self.service) and "attempt_token" in fields)
        object.__setattr__(self, "takes_fences", "fences" in fields)

    def prepare(self, request: Any, scope: Scope, traceparent: str = "") -> tuple[Command, Caller]:
        """The command that a parsed request asks for, and who asks. Raises InvalidField with every fault found."""
        faults = Faults()
        request_id = request.request_id if self.names_request else ""
        if request_id and (fault := optional_name_fault(request_id)):
            faults.add("request_id", fault)
        fences = read_fences(request.fences, faults) if self.takes_fences and request.fences else ()
        command = self.decode(request, scope, faults)
        if faults:
            faults.settle()
        return command, Caller(
            principal=scope.principal,
            session_id=scope.session_id,
            attempt_token=request.attempt_token if self.in_attempt else 0,
            method=self.method,
            request_id=request_id,
            digest=request_digest(request) if request_id else b"",
            traceparent=usable_traceparent(traceparent) if traceparent else "",
            fences=fences,
            own_only=scope.own_only,
        )

    def respond(self, answer: Answer, scope: Scope) -> Any:
        """The response message of an answer."""
        response = self.response()
        self.fill(answer, scope, response)
        return response


def read_fences(fences: Any, faults: Faults) -> tuple[Fence, ...]:
    """The locks that a request relies on (L8)."""
    faults.add("fences", count_fault(fences, limits.FENCES_PER_COMMAND_MAX))
    taken = []
    for number, fence in enumerate(fences[: limits.FENCES_PER_COMMAND_MAX]):
        faults.add(f"fences[{number}].resource", resource_fault(fence.resource))
        if not fence.fencing_token:
            faults.add(f"fences[{number}].fencing_token", "0 is no token")
        taken.append(Fence(resource=fence.resource, fencing_token=fence.fencing_token))
    return tuple(taken)


def request_digest(request: Any) -> bytes:
    """Of the request in canonical form, whatever its namespace is called in it (D5)."""
    namespace = getattr(request, "namespace", "")
    if namespace:
        request.ClearField("namespace")
    canonical = request.SerializeToString(deterministic=True)
    if namespace:
        request.namespace = namespace
    return hashlib.blake2b(canonical, digest_size=DIGEST_BYTES).digest()
