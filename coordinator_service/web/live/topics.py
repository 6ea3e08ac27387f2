"""Topics: what a viewer may watch, as a query names it. Whoever names the same watches the same feed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, get_args
from urllib.parse import parse_qsl

from coordinator_service.core.commands import Explain
from coordinator_service.core.events import EventType
from coordinator_service.subscriptions import Selector

View = Literal["overview", "runs", "agents", "locks", "keys", "run", "events", "explain"]
VIEWS: Final = frozenset(get_args(View))
TOPIC_BYTES_MAX: Final = 4096
NAME_BYTES_MAX: Final = 512
TYPES_MAX: Final = 64
_SEQUENCE_DIGITS_MAX: Final = 19
_NAMES: Final = frozenset(("match", "run_id", "task_id", "agent_id", "resource", "sequence", "types"))


class NoTopic(Exception):  # noqa: N818 (it says what was given)
    """What was asked for is nothing that can be watched; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """Something that can be watched. key is the text that named it."""

    key: str
    view: View
    match: str = ""
    run_id: str = ""
    task_id: str = ""
    agent_id: str = ""
    resource: str = ""
    sequence: int = 0
    types: frozenset[EventType] = frozenset()

    @property
    def selector(self) -> Selector:
        """The events that it is about."""
        return Selector(
            types=self.types,
            agent_ids=frozenset((self.agent_id,) if self.agent_id else ()),
            run_ids=frozenset((self.run_id,) if self.run_id else ()),
            task_ids=frozenset((self.task_id,) if self.task_id else ()),
        )

    @property
    def explain(self) -> Explain:
        """What is to be explained."""
        return Explain(
            run_id=self.run_id,
            task_id=self.task_id,
            resource=self.resource,
            agent_id=self.agent_id,
            sequence=self.sequence,
        )


def read_topic(text: str) -> Topic:
    """The topic of a query such as view=run&run_id=nightly. Raises NoTopic."""
    if len(text) > TOPIC_BYTES_MAX:
        raise NoTopic(f"a topic has at most {TOPIC_BYTES_MAX} characters")
    try:
        pairs = parse_qsl(text, keep_blank_values=True, strict_parsing=True, max_num_fields=8)
    except ValueError as fault:
        raise NoTopic(f"a topic is a query: {fault}") from None
    given = dict(pairs)
    view = given.pop("view", "")
    if view not in VIEWS:
        raise NoTopic("view names none of " + ", ".join(sorted(VIEWS)))
    unknown = given.keys() - _NAMES
    if unknown or len(given) + 1 != len(pairs):
        raise NoTopic("a topic names each of " + ", ".join(sorted(_NAMES)) + " once at most")
    for name in given.keys() - {"types"}:
        if len(given[name].encode(errors="replace")) > NAME_BYTES_MAX:
            raise NoTopic(f"{name} has at most {NAME_BYTES_MAX} bytes")
    topic = Topic(
        key=text,
        view=view,  # type: ignore[arg-type]
        types=_types(given),
        sequence=read_sequence(given.get("sequence", "")),
        **{name: given[name] for name in given.keys() - {"types", "sequence"}},
    )
    _check(topic)
    return topic


def _check(topic: Topic) -> None:
    if topic.view == "run" and not topic.run_id:
        raise NoTopic("run_id is missing")
    if topic.view == "explain":
        named = [bool(topic.run_id), bool(topic.resource), bool(topic.agent_id), bool(topic.sequence)]
        if sum(named) != 1 or (topic.task_id and not topic.run_id):
            raise NoTopic("exactly one of run_id, resource, agent_id and sequence is explained")


def _types(given: Mapping[str, str]) -> frozenset[EventType]:
    names = [name for name in given.get("types", "").split(",") if name]
    if len(names) > TYPES_MAX or any(name not in EventType.__members__ for name in names):
        raise NoTopic("types names something that is no type of event")
    return frozenset(EventType[name] for name in names)


def read_sequence(text: str) -> int:
    """A sequence, 0 when there is none. Raises NoTopic."""
    if not text:
        return 0
    if not (text.isascii() and text.isdigit() and len(text) <= _SEQUENCE_DIGITS_MAX):
        raise NoTopic("sequence is a number")
    return int(text)
