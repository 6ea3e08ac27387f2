"""`concert state`: get, set."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any

import typer

import concert
from concert.cli import completing, exit_codes
from concert.cli.command import Call, Refusal, command
from concert.cli.place import default_writer
from concert.cli.reading import json_argument
from concert.cli.safe_text import in_json
from concert.cli.words import span

VALUE_LENGTH_MAX = 120
app = typer.Typer(help="Shared state: versioned values under paths.", no_args_is_help=True)

KeyArgument = Annotated[
    str,
    typer.Argument(
        metavar="KEY", help="A path such as site/pages.", autocompletion=completing.keys, show_default=False
    ),
]


class Strategy(StrEnum):
    """How an update joins what is there."""

    MERGE = "merge"
    REPLACE = "replace"
    APPEND = "append"


@command(app, "get")
async def get_state(
    call: Call,
    keys: Annotated[
        list[str],
        typer.Argument(metavar="KEY", help="Paths; none: everything there is.", autocompletion=completing.keys),
    ] = [],  # noqa: B006
    prefix: Annotated[str, typer.Option("--prefix", metavar="PATH", help="Everything at and under this path.")] = "",
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most so many of a prefix.")] = 1000,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the values and nothing else, as JSON.")] = False,
) -> int:
    """Reads shared state: some keys, everything under a prefix, or everything.

    A key that does not exist ends the command with code 4, after those that do have been printed.
    """
    if keys and prefix:
        raise Refusal("give keys or a --prefix")
    async with call.connect() as client:
        if keys:
            known = await client.state.get_many(keys)
            entries = [known[key] for key in dict.fromkeys(keys) if key in known]
        else:
            entries = await client.state.list(prefix, limit=limit)
    if quiet:
        for entry in entries:
            call.printer.raw(in_json(json.dumps(entry.value, ensure_ascii=False)) + "\n")
    elif call.printer.for_people:
        call.printer.table(("KEY", "REVISION", "WRITER", "AGE", "VALUE"), map(_row, entries), "nothing there")
    else:
        call.printer.value([_plain(entry) for entry in entries])
    missing = [key for key in keys if key not in {entry.key for entry in entries}]
    for key in missing:
        call.printer.remark(f"concert: no such key: {key}")
    return exit_codes.NOT_FOUND if missing else exit_codes.OK


@command(app, "set")
async def set_state(
    call: Call,
    key: KeyArgument,
    value: Annotated[
        str, typer.Argument(metavar="JSON", help="The value; @FILE reads a file, - standard input.", show_default=False)
    ],
    strategy: Annotated[
        Strategy, typer.Option("--strategy", help="How it joins what is there: maps merge, lists append.")
    ] = Strategy.REPLACE,
    base_revision: Annotated[
        int | None,
        typer.Option("--base-revision", metavar="REVISION", min=0, help="Refuse if it changed after this revision."),
    ] = None,
    text: Annotated[bool, typer.Option("--text", help="The value is text, not JSON.")] = False,
    writer: Annotated[
        str, typer.Option("--writer", metavar="NAME", help="Who writes ($CONCERT_WRITER, else user@host).")
    ] = "",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the revision and nothing else.")] = False,
) -> None:
    """Writes a key. What another writer changed less than a minute ago is not overwritten unawares: exit code 5.

    Read a revision with `state get`, and write with --base-revision, to be sure that nothing happened between.
    """
    written = value if text else json_argument(value, "the value")
    async with call.connect(writer or default_writer()) as client:
        revision = await client.state.update({key: written}, strategy=strategy.value, base_revision=base_revision)
    told_revision(call, key, revision, quiet=quiet)


def told_revision(call: Call, key: str, revision: int, *, quiet: bool) -> None:
    """Says what became of a write."""
    if quiet:
        call.printer.line(str(revision))
    elif call.printer.for_people:
        call.printer.line(f"{key} is at revision {revision}")
    else:
        call.printer.value({"key": key, "revision": revision})


def _row(entry: concert.StateEntry) -> tuple[str, ...]:
    value = json.dumps(entry.value, ensure_ascii=False)
    if len(value) > VALUE_LENGTH_MAX:
        value = value[:VALUE_LENGTH_MAX] + "…"
    return entry.key, str(entry.revision), entry.writer or "the platform", _age(entry), value


def _age(entry: concert.StateEntry) -> str:
    return span(max(0.0, (datetime.now(UTC) - entry.updated_at).total_seconds()))


def _plain(entry: concert.StateEntry) -> dict[str, Any]:
    return {
        "key": entry.key,
        "value": entry.value,
        "revision": entry.revision,
        "writer": entry.writer,
        "updated_at": entry.updated_at.isoformat().replace("+00:00", "Z"),
    }
