"""YAML in which every value knows its line and column, read by the core schema of YAML 1.2 (`no` and `on` are words).

Aliases are followed; a document that refers to itself, or that aliases would blow up, is refused.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from concert._limits import JSON_INTEGER_MAX
from concert._value import JSON

VALUES_MAX = 200_000
DEPTH_MAX = 64


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands, both from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong, and where."""

    place: Place
    message: str


class Unreadable(Exception):  # noqa: N818 - it says what happened
    """The text is no YAML, or not the kind that is read here."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.message)
        self.fault = fault


class _Loader(yaml.SafeLoader):
    """Null, true, false, integers and floats as in YAML 1.2's core schema; everything else is text."""


_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", list("tTfF")),
    ("int", r"^(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)$", list("-+0123456789")),
    (
        "float",
        r"^(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$",
        list("-+.0123456789"),
    ),
    ("merge", r"^(?:<<)$", ["<"]),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), _first)


class Node:
    """A value of the document. What cannot be read of it becomes a fault of the tree."""

    def __init__(self, node: Any, tree: Tree) -> None:
        self._node = node
        self._tree = tree

    @property
    def place(self) -> Place:
        """Where it begins."""
        return _place(self._node.start_mark)

    @property
    def kind(self) -> str:
        """mapping, list, text, number, true or false, or null."""
        if isinstance(self._node, yaml.MappingNode):
            return "mapping"
        if isinstance(self._node, yaml.SequenceNode):
            return "list"
        names = {"null": "null", "bool": "true or false", "int": "number", "float": "number"}
        return names.get(self._node.tag.rpartition(":")[2], "text")

    @property
    def text(self) -> str:
        """A scalar as it is written."""
        return str(self._node.value)

    def items(self) -> list[Node]:
        """The entries of a list."""
        return [Node(each, self._tree) for each in self._node.value]

    def pairs(self) -> Iterator[tuple[Node, Node]]:
        """The entries of a mapping; a key that stands twice is a fault."""
        seen: dict[str, Place] = {}
        for key_node, value_node in self._merged():
            key = Node(key_node, self._tree)
            if not isinstance(key_node, yaml.ScalarNode):
                self._tree.fault(key, "a key must be text")
                continue
            if key.text in seen:
                self._tree.fault(key, f"{key.text!r} stands here twice: first in line {seen[key.text].line}")
                continue
            seen[key.text] = key.place
            yield key, Node(value_node, self._tree)

    def json(self, depth: int = 0) -> JSON:
        """The value as JSON has it."""
        if not self._tree.count(self, depth):
            return None
        if isinstance(self._node, yaml.MappingNode):
            return {key.text: value.json(depth + 1) for key, value in self.pairs()}
        if isinstance(self._node, yaml.SequenceNode):
            return [each.json(depth + 1) for each in self.items()]
        return self._scalar()

    def _scalar(self) -> JSON:
        text, kind = self.text, self._node.tag.rpartition(":")[2]
        if kind == "null":
            return None
        if kind == "bool":
            return text.lower() == "true"
        if kind == "int":
            whole = int(text, 0) if text[:2] in ("0x", "0o") else int(text)
            if abs(whole) > JSON_INTEGER_MAX:
                self._tree.fault(self, "an integer beyond 2^53 would lose digits: write it in quotes")
            return whole
        if kind == "float":
            number = float(text.replace(".inf", "inf").replace(".nan", "nan")) if "n" in text.lower() else float(text)
            if not math.isfinite(number):
                self._tree.fault(self, f"{text} is no number that JSON has")
            return number
        if kind != "str":
            self._tree.fault(self, f"the tag !{kind} is not understood here")
        return text

    def _merged(self, depth: int = 0) -> list[tuple[Any, Any]]:
        """The pairs, with those that `<<` brings in behind its own: the first of a name counts."""
        own = [pair for pair in self._node.value if pair[0].tag != "tag:yaml.org,2002:merge"]
        names = {pair[0].value for pair in own if isinstance(pair[0], yaml.ScalarNode)}
        for key, value in self._node.value:
            if key.tag != "tag:yaml.org,2002:merge":
                continue
            for source in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                if not isinstance(source, yaml.MappingNode):
                    self._tree.fault(Node(source, self._tree), "<< takes a mapping, or a list of them")
                    continue
                if depth > DEPTH_MAX:
                    self._tree.fault(self, "<< refers to itself")
                    return own
                for pair in Node(source, self._tree)._merged(depth + 1):
                    if isinstance(pair[0], yaml.ScalarNode) and pair[0].value not in names:
                        names.add(pair[0].value)
                        own.append(pair)
        return own


class Tree:
    """A document, and what was found wrong with it so far."""

    def __init__(self, text: str) -> None:
        """Raises Unreadable."""
        self.faults: list[Fault] = []
        self._counted = 0
        loader = None
        try:
            loader = _Loader(text)
            node = loader.get_single_node()
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            said = " ".join(part for part in (error.problem, error.context) if part)
            raise Unreadable(Fault(_place(mark), said)) from None
        except yaml.reader.ReaderError as error:
            before = text[: error.position]
            place = Place(before.count("\n") + 1, len(before) - before.rfind("\n"))
            raise Unreadable(Fault(place, f"the character U+{error.character:04X} is not allowed")) from None
        except RecursionError:
            raise Unreadable(Fault(Place(1, 1), "it nests too deeply")) from None
        finally:
            if loader is not None:
                loader.dispose()
        if node is None:
            raise Unreadable(Fault(Place(1, 1), "it is empty"))
        self.root = Node(node, self)

    def fault(self, node: Node, message: str) -> None:
        """Notes a fault."""
        self.faults.append(Fault(node.place, message))

    def count(self, node: Node, depth: int) -> bool:
        """Counts a value; False, and one fault, where the document is too deep or too large."""
        self._counted += 1
        if depth > DEPTH_MAX:
            if self._counted <= VALUES_MAX:
                self.fault(node, f"it nests deeper than {DEPTH_MAX} levels, or refers to itself")
                self._counted = VALUES_MAX
            return False
        if self._counted == VALUES_MAX:
            self.fault(node, f"the document has more than {VALUES_MAX} values, aliases followed")
        return self._counted < VALUES_MAX


def _place(mark: Any) -> Place:
    return Place(mark.line + 1, mark.column + 1)
