"""What a key of shared state and a lock are to their callers, as models for linearizability.py."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.judging.linearizability import Model


@dataclass(frozen=True, slots=True)
class Read:
    """It had this value; none: it was not there."""

    value: str | None


@dataclass(frozen=True, slots=True)
class Write:
    """It was written, whatever was there. No two writes are of one value."""

    value: str


@dataclass(frozen=True, slots=True)
class Exchange:
    """It was to be written if it still had the value that had been read, and was, or was refused for a conflict."""

    expected: str
    value: str
    done: bool = True


@dataclass(frozen=True, slots=True)
class Delete:
    """It was deleted, or was not there."""

    found: bool = True


class Key(Model[str, Read | Write | Exchange | Delete]):
    """S1, S3, D4: a key, by its value; the empty text: it is not there."""

    beginning = ""

    def step(self, state: str, call: Read | Write | Exchange | Delete) -> str | None:
        """See Model."""
        if isinstance(call, Read):
            return state if state == (call.value or "") else None
        if isinstance(call, Write):
            return call.value
        if isinstance(call, Delete):
            return "" if call.found == bool(state) else None
        if (state == call.expected) is not call.done:
            return None
        return call.value if call.done else state


@dataclass(frozen=True, slots=True)
class Acquire:
    """It was granted under a fencing token. Requests that were not granted, or whose answer was lost, ask nothing of
    anybody else: they need not be told."""

    token: int
    shared: bool = False


@dataclass(frozen=True, slots=True)
class Free:
    """It was released, or its lease was over and somebody else could have it."""

    token: int


@dataclass(frozen=True, slots=True)
class Held:
    """A lock: its last token, and who has it."""

    last_token: int = 0
    exclusive: int = 0
    shared: frozenset[int] = field(default_factory=frozenset)


class Lock(Model[Held, Acquire | Free]):
    """L1, L8, invariants 1 and 2."""

    beginning = Held()

    def step(self, state: Held, call: Acquire | Free) -> Held | None:
        """See Model."""
        if isinstance(call, Free):
            if call.token == state.exclusive:
                return Held(state.last_token)
            if call.token in state.shared:
                return Held(state.last_token, shared=state.shared - {call.token})
            return None
        if state.exclusive or call.token <= state.last_token or (state.shared and not call.shared):
            return None
        if call.shared:
            return Held(call.token, shared=state.shared | {call.token})
        return Held(call.token, exclusive=call.token)
