"""Shared state: changing and reading keys."""

from __future__ import annotations

from typing import Any

from concert.v1 import state_service_pb2 as pb

from coordinator_service.core.answers import Done, StateRead
from coordinator_service.core.commands import DeleteState, GetState, UpdateState
from coordinator_service.core.rejections import CursorInFuture
from coordinator_service.core.specs import StateChange, StateUpdate
from coordinator_service.core.values import MergeStrategy
from coordinator_service.log.mirror import fill as mirror_fill
from coordinator_service.rpc import limits
from coordinator_service.rpc.operation import Operation, Scope
from coordinator_service.rpc.page_tokens import page_size, read_token, write_token
from coordinator_service.rpc.payloads import read_value
from coordinator_service.rpc.validation import (
    Faults,
    count_fault,
    given_name_fault,
    optional_path_fault,
    path_fault,
    priority_fault,
    quoted,
)

_STRATEGIES = {0: MergeStrategy.MERGE, **{int(each): each for each in MergeStrategy}}


def decode_update(request: Any, _scope: Scope, faults: Faults) -> UpdateState:
    _check_writer(request, faults)
    change = read_change(faults, "change", request.change)
    return UpdateState(change=change, writer=request.writer, priority=request.priority)


def _check_writer(request: Any, faults: Faults) -> None:
    if request.writer:
        faults.add("writer", given_name_fault(request.writer))
    faults.add("priority", priority_fault(request.priority))


def decode_delete(request: Any, _scope: Scope, faults: Faults) -> DeleteState:
    _check_writer(request, faults)
    if not request.prefix:
        faults.add("keys", count_fault(request.keys, limits.UPDATES_PER_CHANGE_MAX, count_min=1))
    return DeleteState(
        keys=_read_deletes(faults, "keys", request.keys, set()),
        prefix=read_prefix(request, faults),
        base_revision=request.base_revision if request.HasField("base_revision") else None,
        writer=request.writer,
        priority=request.priority,
    )


def read_prefix(request: Any, faults: Faults) -> str:
    """The prefix of a request that has keys instead, or neither."""
    prefix: str = request.prefix
    if prefix and request.keys:
        faults.add("prefix", "is given together with keys")
    faults.add("prefix", optional_path_fault(prefix))
    return prefix


def _read_deletes(faults: Faults, field: str, keys: Any, written: set[str]) -> tuple[str, ...]:
    """Keys that go, each once, none of them also written."""
    for number, key in enumerate(keys[: limits.UPDATES_PER_CHANGE_MAX]):
        if faults.full:
            break
        faults.add(f"{field}[{number}]", path_fault(key))
        if key in written:
            faults.add(f"{field}[{number}]", f"{quoted(key)} is named twice")
        written.add(key)
    return tuple(keys)


def read_change(faults: Faults, field: str, change: Any) -> StateChange:
    """A StateChange; field is its path in the request."""
    size = change.ByteSize()
    if size > limits.CHANGE_BYTES_MAX:
        faults.add(field, f"has {size} bytes, the limit is {limits.CHANGE_BYTES_MAX}")
        return StateChange()
    updates, deletes, prefix = change.updates, change.deletes, change.prefix
    if len(updates) + len(deletes) > limits.UPDATES_PER_CHANGE_MAX:
        counted = f"has {len(updates) + len(deletes)} entries, with deletes"
        faults.add(f"{field}.updates", f"{counted}, the limit is {limits.UPDATES_PER_CHANGE_MAX}")
        return StateChange()
    if prefix:
        faults.add(f"{field}.prefix", optional_path_fault(prefix))
    elif not updates and not deletes:
        faults.add(f"{field}.updates", "must have at least one entry, or a prefix to replace, or deletes")
    strategy = _STRATEGIES.get(change.strategy)
    if strategy is None:
        faults.add(f"{field}.strategy", f"{change.strategy} is no value that this version knows")
        strategy = MergeStrategy.MERGE
    if prefix and strategy is not MergeStrategy.REPLACE:
        faults.add(f"{field}.prefix", "goes with the strategy REPLACE only")
    if prefix and deletes:
        faults.add(f"{field}.prefix", "is given together with deletes")
    return StateChange(
        updates=_read_updates(faults, field, updates),
        strategy=strategy,
        prefix=prefix,
        base_revision=change.base_revision if change.HasField("base_revision") else None,
        deletes=_read_deletes(faults, f"{field}.deletes", deletes, {each.key for each in updates}) if deletes else (),
    )


def _read_updates(faults: Faults, field: str, updates: Any) -> tuple[StateUpdate, ...]:
    taken: list[StateUpdate] = []
    for update in updates:
        if faults.full:
            break
        number = len(taken)
        fault = path_fault(update.key)
        if fault:
            faults.add(f"{field}.updates[{number}].key", fault)
        value = update.value
        if value.WhichOneof("kind") is None:
            faults.add(f"{field}.updates[{number}].value", "must be set; null is a value too")
        taken.append(StateUpdate(key=update.key, value=read_value(faults, f"{field}.updates[{number}].value", value)))
    return tuple(taken)


def fill_revision(answer: Done, _scope: Scope, response: Any) -> None:
    response.revision = answer.sequence
    if answer.replayed:
        response.replayed = True


def decode_get(request: Any, _scope: Scope, faults: Faults) -> GetState:
    keys = request.keys
    faults.add("keys", count_fault(keys, limits.KEYS_PER_READ_MAX))
    prefix = read_prefix(request, faults)
    check_keys(faults, keys)
    after_key = read_token(faults, "state", request.page_token)
    if keys and max(keys) <= after_key:
        faults.add("page_token", "is not one that these keys gave out")
    return GetState(
        keys=tuple(key for key in keys if key > after_key),
        prefix=prefix,
        after_key=after_key,
        count_max=page_size(faults, request.page_size),
        revision=request.revision,
    )


def check_keys(faults: Faults, keys: Any) -> None:
    """The keys that a read names."""
    for number, key in enumerate(keys[: limits.KEYS_PER_READ_MAX]):
        if faults.full:
            break
        fault = path_fault(key)
        if fault:
            faults.add(f"keys[{number}]", fault)


def fill_state(answer: StateRead, _scope: Scope, response: Any) -> None:
    """As many entries as a frame may hold, at least one; the others are for the next page."""
    size = 0
    key = ""
    next_key = answer.next_key
    for entry in answer.entries:
        added = response.entries.add()
        mirror_fill(entry, added)
        size += added.ByteSize()
        if size > limits.FRAME_BYTES_MAX and key:
            del response.entries[-1]
            next_key = key
            break
        key = entry.key
    response.sequence = answer.sequence
    response.next_page_token = write_token("state", next_key)


def _nothing_yet(command: GetState) -> StateRead:
    if command.revision:
        raise CursorInFuture(("revision", f"is {command.revision}, there is no log yet"))
    return StateRead(entries=(), sequence=0)


UPDATE_STATE = Operation(
    method="UpdateState",
    service="StateService",
    frame="update_state",
    request=pb.UpdateStateRequest,
    response=pb.UpdateStateResponse,
    decode=decode_update,
    fill=fill_revision,
)
DELETE_STATE = Operation(
    method="DeleteState",
    service="StateService",
    frame="delete_state",
    request=pb.DeleteStateRequest,
    response=pb.DeleteStateResponse,
    decode=decode_delete,
    fill=fill_revision,
)
GET_STATE = Operation(
    method="GetState",
    service="StateService",
    frame="get_state",
    request=pb.GetStateRequest,
    response=pb.GetStateResponse,
    decode=decode_get,
    fill=fill_state,
    in_absence=_nothing_yet,
)
