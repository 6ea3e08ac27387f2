"""Locks: taking, giving back, keeping and looking."""

from __future__ import annotations

from typing import Any

from concert.v1 import lock_service_pb2 as pb

from coordinator_service.core.answers import Acquired, Done, LockRead, LocksRead
from coordinator_service.core.commands import Acquire, GetLock, ListLocks, Release
from coordinator_service.core.rejections import NotFound, NotHolder
from coordinator_service.core.specs import LockRequest
from coordinator_service.core.values import LockMode
from coordinator_service.log.mirror import fill as mirror_fill
from coordinator_service.log.mirror import fill_duration, read_duration
from coordinator_service.rpc import limits
from coordinator_service.rpc.operation import Operation, Scope
from coordinator_service.rpc.page_tokens import page_size, read_token, write_token
from coordinator_service.rpc.validation import (
    Faults,
    check_metadata,
    check_tokens,
    count_fault,
    duration_fault,
    given_name_fault,
    optional_name_fault,
    optional_path_fault,
    priority_fault,
    resource_fault,
)

_MODES = {0: LockMode.EXCLUSIVE, 1: LockMode.EXCLUSIVE, 2: LockMode.SHARED}


def decode_acquire(request: Any, _scope: Scope, faults: Faults) -> Acquire:
    requests = request.requests
    faults.add("requests", count_fault(requests, limits.LOCKS_PER_ACQUIRE_MAX, count_min=1))
    if len(requests) > limits.LOCKS_PER_ACQUIRE_MAX:
        requests = requests[: limits.LOCKS_PER_ACQUIRE_MAX]
    return Acquire(requests=tuple(_read_request(each, faults, number) for number, each in enumerate(requests)))


def _read_request(request: Any, faults: Faults, number: int) -> LockRequest:
    resource, holder, guards, metadata = request.resource, request.holder, request.guards, request.metadata
    fault = resource_fault(resource)
    if fault:
        faults.add(f"requests[{number}].resource", fault)
    if holder:
        faults.add(f"requests[{number}].holder", given_name_fault(holder))
    if guards:
        faults.add(f"requests[{number}].guards", optional_path_fault(guards))
    if metadata:
        check_metadata(faults, f"requests[{number}].metadata", metadata)
    return LockRequest(
        resource=resource,
        mode=read_mode(faults, request.mode, f"requests[{number}].mode"),
        holder=holder,
        lease_ns=_read_lease(request, faults, number),
        wait_timeout_ns=_read_wait(request, faults, number),
        priority=_read_priority(request, faults, number),
        guards=guards,
        metadata=dict(sorted(metadata.items())) if metadata else {},
    )


def read_mode(faults: Faults, number: int, field: str) -> LockMode:
    """EXCLUSIVE when unset."""
    mode = _MODES.get(number)
    if mode is None:
        faults.add(field, f"{number} is no value that this version knows")
        return LockMode.EXCLUSIVE
    return mode


def _read_lease(request: Any, faults: Faults, number: int) -> int | None:
    if not request.HasField("lease"):
        return None
    fault = duration_fault(request.lease, limits.LOCK_LEASE_MS_MIN, limits.LOCK_LEASE_MS_MAX)
    if fault:
        faults.add(f"requests[{number}].lease", fault)
        return None
    return read_duration(request.lease)


def _read_wait(request: Any, faults: Faults, number: int) -> int | None:
    if not request.HasField("wait_timeout"):
        return None
    fault = duration_fault(request.wait_timeout, 0, limits.LOCK_WAIT_MS_MAX)
    if fault:
        faults.add(f"requests[{number}].wait_timeout", fault)
        return None
    return read_duration(request.wait_timeout)


def _read_priority(request: Any, faults: Faults, number: int) -> int | None:
    if not request.HasField("priority"):
        return None
    priority: int = request.priority
    fault = priority_fault(priority)
    if fault:
        faults.add(f"requests[{number}].priority", fault)
    return priority


def fill_acquired(answer: Acquired, _scope: Scope, response: Any) -> None:
    for grant in answer.grants:
        added = response.grants.add(
            resource=grant.resource, mode=int(grant.mode), holder=grant.holder, fencing_token=grant.fencing_token
        )
        if grant.lease_ns is not None:
            fill_duration(grant.lease_ns, added.lease)
    response.request_sequence = answer.request_sequence
    if answer.replayed:
        response.replayed = True


def decode_release(request: Any, _scope: Scope, faults: Faults) -> Release:
    check_tokens(faults, "fencing_tokens", request.fencing_tokens, limits.TOKENS_PER_RELEASE_MAX)
    return Release(fencing_tokens=tuple(request.fencing_tokens), force=request.force)


def fill_done(answer: Done, _scope: Scope, response: Any) -> None:
    """For every response of sequence and replayed."""
    response.sequence = answer.sequence
    if answer.replayed:
        response.replayed = True


def _nothing_held(command: Release) -> Done:
    raise NotHolder(command.fencing_tokens[0])


def read_keep_alive(request: Any) -> tuple[int, ...]:
    """The fencing tokens of a KeepAliveRequest. Raises InvalidField."""
    faults = Faults()
    check_tokens(faults, "fencing_tokens", request.fencing_tokens, limits.TOKENS_PER_KEEP_ALIVE_MAX)
    faults.settle()
    return tuple(request.fencing_tokens)


def fill_leases(response: Any, tokens: tuple[int, ...], left_ns: list[int]) -> None:
    """Writes how leases stand into a KeepAliveResponse."""
    for token, ns in zip(tokens, left_ns, strict=True):
        lease = response.leases.add(fencing_token=token)
        if ns > 0:
            fill_duration(ns, lease.time_left)


def _no_command(*_: Any) -> Any:
    raise TypeError("KeepAlive is no command: leases live beside the log (D7)")


def decode_get_lock(request: Any, _scope: Scope, faults: Faults) -> GetLock:
    faults.add("resource", resource_fault(request.resource))
    return GetLock(resource=request.resource)


def fill_lock(answer: LockRead, _scope: Scope, response: Any) -> None:
    mirror_fill(answer.lock, response.lock)
    response.sequence = answer.sequence


def _no_lock(command: GetLock) -> LockRead:
    raise NotFound("lock", command.resource)


def decode_list_locks(request: Any, _scope: Scope, faults: Faults) -> ListLocks:
    faults.add("prefix", optional_name_fault(request.prefix, limits.RESOURCE_BYTES_MAX))
    return ListLocks(
        prefix=request.prefix,
        after_resource=read_token(faults, "locks", request.page_token),
        count_max=page_size(faults, request.page_size),
    )


def fill_locks(answer: LocksRead, _scope: Scope, response: Any) -> None:
    for lock in answer.locks:
        mirror_fill(lock, response.locks.add())
    response.sequence = answer.sequence
    response.next_page_token = write_token("locks", answer.next_resource)


ACQUIRE = Operation(
    method="Acquire",
    service="LockService",
    frame="acquire",
    request=pb.AcquireRequest,
    response=pb.AcquireResponse,
    decode=decode_acquire,
    fill=fill_acquired,
)
KEEP_ALIVE = Operation(
    method="KeepAlive",
    service="LockService",
    frame="keep_alive",
    request=pb.KeepAliveRequest,
    response=pb.KeepAliveResponse,
    decode=_no_command,
    fill=_no_command,
)
"""Its name and its types only: read_keep_alive, NamespacePort.keep_alive and fill_leases do the work."""
RELEASE = Operation(
    method="Release",
    service="LockService",
    frame="release",
    request=pb.ReleaseRequest,
    response=pb.ReleaseResponse,
    decode=decode_release,
    fill=fill_done,
    in_absence=_nothing_held,
)
GET_LOCK = Operation(
    method="GetLock",
    service="LockService",
    request=pb.GetLockRequest,
    response=pb.GetLockResponse,
    decode=decode_get_lock,
    fill=fill_lock,
    in_absence=_no_lock,
)
LIST_LOCKS = Operation(
    method="ListLocks",
    service="LockService",
    request=pb.ListLocksRequest,
    response=pb.ListLocksResponse,
    decode=decode_list_locks,
    fill=fill_locks,
    in_absence=lambda _: LocksRead(locks=(), sequence=0),
)
