"""Every command of `concert` with its options, as docs/cli.md has to describe them."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import typer
from concert.cli.root import app

SHARED = ("address", "namespace", "timeout", "output")


@dataclass(frozen=True, slots=True)
class Described:
    """A command, or the root (whose path is empty), and its parameters."""

    path: str
    help: str
    parameters: tuple[Any, ...]


def commands() -> Iterator[Described]:
    """All of them, in the order of the help."""
    yield from _walk(typer.main.get_command(app), ())


def _walk(command: Any, path: tuple[str, ...]) -> Iterator[Described]:
    below = getattr(command, "commands", None)
    if below is None or not path:
        yield Described(" ".join(path), inspect.cleandoc(command.help or ""), tuple(command.params))
    for name, each in (below or {}).items():
        yield from _walk(each, (*path, name))


def heading(command: Described) -> str:
    """Of the command's section."""
    return f"### concert {command.path}".rstrip()


def rows(command: Described) -> list[str]:
    """A row of the table for each of its own parameters."""
    found = []
    for each in command.parameters:
        shared = command.path and each.name in SHARED and each.help in _shared_helps()
        if each.name in ("help", "install_completion", "show_completion") or shared:
            continue
        found.append(f"| {_usage(each)} | {each.help}{_default(each)} |")
    return found


def _shared_helps() -> set[str]:
    from concert.cli import command

    return {command.ADDRESS_HELP, command.NAMESPACE_HELP, command.TIMEOUT_HELP, command.OUTPUT_HELP}


def _usage(parameter: Any) -> str:
    metavar = parameter.metavar or ""
    if parameter.param_type_name == "argument":
        return f"`{metavar}{'...' if parameter.nargs == -1 else ''}`"
    names = ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))
    annotation = parameter.type_descriptor.annotation
    choices = [each.value for each in annotation] if isinstance(annotation, type(StrEnum)) else ()
    kind = "" if parameter.is_flag else metavar or ("\\|".join(map(str, choices)) if choices else "NUMBER")
    return f"{names} {kind}".strip()


def _default(parameter: Any) -> str:
    default = parameter.default
    if parameter.param_type_name == "argument" or parameter.is_flag or not default or callable(default):
        return ""
    if isinstance(default, list | tuple):
        return ""
    return f" Default: {getattr(default, 'value', default)}."
