"""Ownership: what a new owner says first, and what that does to those who spoke to the last one (D6)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from coordinator_service.core import claims, lock_queues, locks, reasons
from coordinator_service.core.answers import Done
from coordinator_service.core.events import Event, OwnerStarted
from coordinator_service.core.limits import Limits
from coordinator_service.core.values import NS_PER_MS

if TYPE_CHECKING:
    from coordinator_service.core.commands import StartOwner
    from coordinator_service.core.deciding import Deciding
    from coordinator_service.core.state import NamespaceState

LOG_FORMAT: Final = 1
"""What this version takes events to mean. It rises when a fold of old code over new events would come to another state:
a new kind of event, a field that counts, another rule in apply."""


class NewerLog(ValueError):  # noqa: N818 (it says what happened)
    """An owner of a later version wrote this log: what its events mean is not known here (D9)."""


def decide_start_owner(d: Deciding, command: StartOwner) -> Done:
    """The first event of an owner; only it may step namespace time forward (D2)."""
    event = d.emit(
        OwnerStarted(
            epoch=command.epoch,
            replica_id=command.replica_id,
            limits=command.limits.as_mapping(),
            log_format=LOG_FORMAT,
        ),
        reason=reasons.OWNER_CHANGED,
    )
    return Done(sequence=event.sequence)


def check_format(log_format: int) -> None:
    """Raises NewerLog for a log that this version must not guess at."""
    if log_format > LOG_FORMAT:
        raise NewerLog(f"it has log format {log_format}, this version knows formats up to {LOG_FORMAT}")


def apply_owner_started(state: NamespaceState, event: Event, payload: OwnerStarted) -> None:
    """Every session and every waiter is detached: nothing is assigned or granted to it until it comes back."""
    check_format(payload.log_format)
    state.epoch = payload.epoch
    state.log_format = payload.log_format
    state.owner_since_ns = event.time_ns
    state.limits = Limits.from_mapping(payload.limits)
    state.forget_at(event.time_ns)
    for agent in state.agents.values():
        agent.attached = False
    grace_until_ns = event.time_ns + state.limits.reattach_grace_ms * NS_PER_MS
    for waiter in state.waiters.values():
        if not waiter.session_id:
            waiter.grace_until_ns = grace_until_ns
            state.add_deadline(grace_until_ns, "reattach", waiter.request_sequence)
    lock_queues.hold_back(state)
    claims.sort_again(state)
    state.add_deadline(lock_queues.hold_until_ns(state), "hold")
    state.open_gates()


def end_hold(d: Deciding) -> None:
    """L6: from here on detached waiters block nobody."""
    locks.pump(d, sorted(d.state.index.lock_queues))
