"""Event filters: from the contract's EventFilter to the Selector that subscriptions use."""

from __future__ import annotations

from typing import Any

from coordinator_service.core.events import EventType
from coordinator_service.rpc import limits
from coordinator_service.rpc.validation import Faults, check_names, count_fault
from coordinator_service.subscriptions import Selector

_TYPES = {int(each): each for each in EventType}
_NAMES = ("agent_ids", "agent_names", "run_ids", "task_ids", "custom_names")


def read_selector(faults: Faults, message: Any) -> Selector:
    """The selector of a request's field `filter`."""
    for name in _NAMES:
        check_names(faults, f"filter.{name}", getattr(message, name), limits.FILTER_ENTRIES_MAX)
    return Selector(
        types=frozenset(_read_types(faults, message.types)),
        agent_ids=frozenset(message.agent_ids),
        agent_names=frozenset(message.agent_names),
        run_ids=frozenset(message.run_ids),
        task_ids=frozenset(message.task_ids),
        custom_names=frozenset(message.custom_names),
    )


def _read_types(faults: Faults, numbers: Any) -> list[EventType]:
    faults.add("filter.types", count_fault(numbers, limits.FILTER_ENTRIES_MAX))
    found = []
    for position, number in enumerate(numbers[: limits.FILTER_ENTRIES_MAX]):
        known = _TYPES.get(number)
        if known is not None:
            found.append(known)
        elif number:
            faults.add(f"filter.types[{position}]", f"{number} is no type that this version knows")
        else:
            faults.add(f"filter.types[{position}]", "UNSPECIFIED is no type")
    return found
