"""YAML as a tree of nodes, each with the line where it is written, and how values are read from it.

The nodes are read rather than what YAML would make of them: a name that is given twice is still there twice, and
nothing is a number or a truth value that does not look like one (YAML 1.1 reads 010 as 8, 1:30 as 90 and `on` as true).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import yaml

from coordinator_service.rpc.validation import name_fault, quoted

FILE_BYTES_MAX = 256 * 1024

_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?")
_TAG = "tag:yaml.org,2002:"
_NUMBER_DIGITS_MAX = 18


class FileFault(Exception):  # noqa: N818 (it says what is wrong, in one line)
    """What is wrong with a file. line counts from 1, 0 where it is the file as a whole; field is a path."""

    def __init__(self, line: int, field: str, description: str) -> None:
        self.line = line
        self.field = field
        self.description = description
        where = [f"line {line}"] if line else []
        super().__init__(": ".join([*where, *([field] if field else []), description]))


class _Loader(yaml.SafeLoader):
    """Composes nodes, each where it is written: an alias would let a small file say more than fits in an event."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """The next node."""
        if self.check_event(yaml.AliasEvent):
            raise yaml.MarkedYAMLError(
                problem="an alias (*name) is not taken here",
                problem_mark=self.peek_event().start_mark,  # type: ignore[no-untyped-call]
            )
        return super().compose_node(parent, index)


def compose(content: bytes, needs: str, bytes_max: int = FILE_BYTES_MAX) -> yaml.Node:
    """The tree of nodes of the one document; needs says what must be there. Raises FileFault."""
    if len(content) > bytes_max:
        raise FileFault(0, "", f"has {len(content)} bytes, the limit is {bytes_max}")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        raise FileFault(content[: fault.start].count(b"\n") + 1, "", "is not UTF-8") from None
    try:
        root = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as fault:
        raise _syntax_fault(fault, text) from None
    except yaml.reader.ReaderError as fault:
        line = text[: fault.position].count("\n") + 1
        raise FileFault(line, "", f"has a character that YAML does not allow: #x{int(fault.character):04x}") from None
    except RecursionError:
        raise FileFault(0, "", "nests too deeply") from None
    if root is None:
        raise FileFault(1, "", f"is empty: must have {needs}")
    return root


def _syntax_fault(fault: yaml.MarkedYAMLError, text: str) -> FileFault:
    mark = fault.problem_mark or fault.context_mark
    line = mark.line + 1 if mark is not None else 0
    lines = text.split("\n")
    written = lines[line - 1] if 0 < line <= len(lines) else ""
    if "\t" in written[: len(written) - len(written.lstrip())]:
        return FileFault(line, "", "is indented with a tab: YAML takes spaces")
    problem = " ".join(str(fault.problem or fault.context or "is not YAML").split())
    return FileFault(line, "", f"is not YAML: {problem}")


def named(node: yaml.Node, path: str) -> Iterator[tuple[str, yaml.Node, yaml.Node, str]]:
    """The entries of a mapping whose keys are names."""
    for name, key, value, field in entries(node, path):
        check_name(key, path, name)
        yield name, key, value, field


def entries(node: yaml.Node, path: str, known: tuple[str, ...] = ()) -> Iterator[tuple[str, yaml.Node, yaml.Node, str]]:
    """Name, key, value and path of each entry of a mapping, each once, all of them among the known where there are."""
    if is_tag(node, "null"):
        return
    if not isinstance(node, yaml.MappingNode):
        raise fault_at(node, path, f"must be a mapping, not {kind_of(node)}")
    lines: dict[str, int] = {}
    for key, value in node.value:
        if not (isinstance(key, yaml.ScalarNode) and is_tag(key, "str")):
            raise fault_at(key, path, f"a name must be text, not {kind_of(key)}: put it in quotes")
        name = str(key.value)
        field = f"{path}.{name}" if path else name
        if known and name not in known:
            raise fault_at(key, path, f"there is no field {quoted(name)}, but {', '.join(known)}")
        if name in lines:
            raise fault_at(key, field, f"is given twice, first in line {lines[name]}")
        lines[name] = key.start_mark.line + 1
        yield name, key, value, field


def check_name(node: yaml.Node, field: str, name: str) -> None:
    """Raises FileFault."""
    fault = name_fault(name)
    if fault:
        raise fault_at(node, field, f"the name {quoted(name)} {fault}")


def read_number(node: yaml.Node, field: str) -> float:
    """Raises FileFault."""
    plain = isinstance(node, yaml.ScalarNode) and node.style is None
    if not (plain and _NUMBER.fullmatch(node.value) and len(node.value) <= _NUMBER_DIGITS_MAX):
        raise fault_at(node, field, f"must be a number, not {kind_of(node)}")
    return float(node.value)


def items(node: yaml.Node, path: str, count_max: int) -> list[tuple[yaml.Node, str]]:
    """The items of a list, each with its path. Raises FileFault."""
    if not isinstance(node, yaml.SequenceNode):
        raise fault_at(node, path, f"must be a list, not {kind_of(node)}")
    if len(node.value) > count_max:
        raise fault_at(node, path, f"has {len(node.value)} entries, the limit is {count_max}")
    return [(item, f"{path}[{number}]") for number, item in enumerate(node.value)]


def read_count(low: int, high: int) -> Callable[[yaml.Node, str], int]:
    """Reads a whole number between bounds. Raises FileFault."""

    def read(node: yaml.Node, field: str) -> int:
        number = read_number(node, field)
        if not (number.is_integer() and low <= number <= high):
            raise fault_at(node, field, f"must be a whole number from {low} to {high}, not {scalar_of(node)}")
        return int(number)

    return read


def scalar_of(node: yaml.Node) -> str:
    """What is written there."""
    return str(node.value)


def read_text(node: yaml.Node, field: str) -> str:
    """Raises FileFault."""
    if not (isinstance(node, yaml.ScalarNode) and is_tag(node, "str")):
        raise fault_at(node, field, f"must be text, not {kind_of(node)}")
    return str(node.value)


def read_truth(node: yaml.Node, field: str) -> bool:
    """Raises FileFault."""
    if isinstance(node, yaml.ScalarNode) and node.style is None and node.value in ("true", "false"):
        return bool(node.value == "true")
    raise fault_at(node, field, f"must be true or false, not {kind_of(node)}")


def is_tag(node: yaml.Node, tag: str) -> bool:
    """Whether YAML takes it for that."""
    return bool(node.tag == _TAG + tag)


def kind_of(node: yaml.Node) -> str:
    """What a node is, for people."""
    if isinstance(node, yaml.MappingNode):
        return "a mapping"
    if isinstance(node, yaml.SequenceNode):
        return "a list"
    if is_tag(node, "null"):
        return "nothing"
    return f"the text {quoted(node.value)}" if is_tag(node, "str") else quoted(node.value)


def fault_at(node: yaml.Node, field: str, description: str) -> FileFault:
    """What is wrong there."""
    return FileFault(node.start_mark.line + 1, field, description)


def either(names: Any) -> str:
    """Names, for people: one of them."""
    *most, last = names
    return f"{', '.join(most)} or {last}" if most else last
