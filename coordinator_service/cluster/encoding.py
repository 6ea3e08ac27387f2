"""Commands, answers and rejections of the core as bytes, for the way between two replicas.

Replicas speak the core's own values, not the contract's messages: a request is decoded and checked once, where it came
in, and its answer encoded once, where it goes out. Unknown fields are passed over and new ones have defaults, so that
replicas of two neighbouring releases understand each other while one replaces the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, get_args

import msgspec

from coordinator_service.cluster.messages import UNREADABLE
from coordinator_service.core import answers, rejections, specs
from coordinator_service.core.answers import Answer
from coordinator_service.core.commands import Command
from coordinator_service.core.rejections import Fault, Rejection

_ELSEWHERE: Final = (answers.Recall, answers.FromLog, answers.PastFromLog)
"""Answers that the owner reads from its log first: what leaves it is what was read."""

_encode = msgspec.msgpack.Encoder().encode


def _decoders(*classes: Any) -> dict[str, msgspec.msgpack.Decoder[Any]]:
    return {each.__name__: msgspec.msgpack.Decoder(each) for each in classes}


_COMMANDS = _decoders(*get_args(Command))
_ANSWERS = _decoders(*(each for each in get_args(Answer) if each not in _ELSEWHERE))
_REJECTIONS: Mapping[str, type[Rejection]] = {
    name: each
    for name, each in vars(rejections).items()
    if isinstance(each, type) and issubclass(each, Rejection) and each is not Rejection
}
_PARTS = _decoders(specs.LockGrant, specs.LockWait, specs.ConflictingKey)
"""What a rejection may hand over beside text and numbers."""
_ATTRIBUTES = msgspec.msgpack.Decoder(dict[str, Any])


class Unspoken(Exception):  # noqa: N818 (it says what it is)
    """A word that this release does not know: the other replica is of a later one."""


def command_to_bytes(command: Command) -> tuple[str, bytes]:
    """A command: its name, and what it says."""
    return type(command).__name__, _encode(command)


def command_from_bytes(name: str, encoded: bytes) -> Command:
    """The command again. Raises Unspoken."""
    command: Command = _decoded(_COMMANDS, name, encoded)
    return command


def answer_to_bytes(answer: Answer) -> tuple[str, bytes]:
    """An answer: its name, and what it says."""
    return type(answer).__name__, _encode(answer)


def answer_from_bytes(name: str, encoded: bytes) -> Answer:
    """The answer again. Raises Unspoken."""
    answer: Answer = _decoded(_ANSWERS, name, encoded)
    return answer


def rejection_to_bytes(rejection: Rejection) -> tuple[str, bytes]:
    """A rejection: the name of its kind, and its attributes."""
    return type(rejection).__name__, _encode({name: _taken_apart(each) for name, each in vars(rejection).items()})


def rejection_from_bytes(name: str, encoded: bytes) -> Rejection:
    """The rejection again; of a kind that this release does not know, a Fault that says what it said. So is one that
    cannot be read.
    """
    try:
        attributes = {key: _put_together(each) for key, each in _ATTRIBUTES.decode(encoded).items()}
    except (*UNREADABLE, Unspoken) as fault:
        return Fault(f"{name}, and more that is not understood: {fault}")
    kind = _REJECTIONS.get(name)
    if kind is None:
        return Fault(str(attributes.get("message", name)))
    rejection = kind.__new__(kind, attributes.get("message", ""))
    vars(rejection).update(attributes)
    return rejection


def _decoded(decoders: dict[str, msgspec.msgpack.Decoder[Any]], name: str, encoded: bytes) -> Any:
    decoder = decoders.get(name)
    if decoder is None:
        raise Unspoken(name)
    try:
        return decoder.decode(encoded)
    except UNREADABLE as fault:
        raise Unspoken(f"{name}: {fault}") from None


def _taken_apart(each: Any) -> Any:
    """Tuples become lists on the way, and values name their class."""
    if isinstance(each, tuple):
        return [_taken_apart(item) for item in each]
    name = type(each).__name__
    return {name: _encode(each)} if name in _PARTS else each


def _put_together(each: Any) -> Any:
    if isinstance(each, list):
        return tuple(_put_together(item) for item in each)
    if isinstance(each, dict):
        if len(each) != 1:
            raise Unspoken("a part has one name")
        ((name, encoded),) = each.items()
        return _decoded(_PARTS, name, encoded)
    return each
