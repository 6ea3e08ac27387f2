"""`concert state`: get, set, delete, history, watch."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import aclosing
from dataclasses import asdict
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.text import Text

import concert
from concert.cli import completing, exit_codes
from concert.cli.command import Call, Refusal, command, until_unread
from concert.cli.place import default_writer
from concert.cli.reading import json_argument
from concert.cli.safe_text import in_json
from concert.cli.words import span

VALUE_LENGTH_MAX = 120
app = typer.Typer(help="Shared state: versioned values under paths.", no_args_is_help=True)

WriterOption = Annotated[
    str, typer.Option("--writer", metavar="NAME", help="Who writes ($CONCERT_WRITER, else user@host).")
]
BaseOption = Annotated[
    int | None,
    typer.Option("--base-revision", metavar="REVISION", min=0, help="Refuse if it changed after this revision."),
]
QuietFlag = Annotated[bool, typer.Option("--quiet", "-q", help="Print the revision and nothing else.")]
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
    base_revision: BaseOption = None,
    text: Annotated[bool, typer.Option("--text", help="The value is text, not JSON.")] = False,
    writer: WriterOption = "",
    quiet: QuietFlag = False,
) -> None:
    """Writes a key. What another writer changed less than a minute ago is not overwritten unawares: exit code 5.

    Read a revision with `state get`, and write with --base-revision, to be sure that nothing happened between.
    """
    written = value if text else json_argument(value, "the value")
    async with call.connect(writer or default_writer()) as client:
        revision = await client.state.update({key: written}, strategy=strategy.value, base_revision=base_revision)
    if quiet:
        call.printer.line(str(revision))
    elif call.printer.for_people:
        call.printer.line(f"{key} is at revision {revision}")
    else:
        call.printer.value({"key": key, "revision": revision})


@command(app, "delete")
async def delete_state(
    call: Call,
    keys: Annotated[
        list[str],
        typer.Argument(metavar="KEY", help="Paths; all go, or none.", autocompletion=completing.keys),
    ] = [],  # noqa: B006
    prefix: Annotated[str, typer.Option("--prefix", metavar="PATH", help="Everything at and under this path.")] = "",
    base_revision: BaseOption = None,
    writer: WriterOption = "",
    quiet: QuietFlag = False,
) -> None:
    """Deletes keys, or everything under a prefix. Nothing there: exit code 4; another's recent change: 5.

    What they held can still be read with `state history`.
    """
    if bool(keys) == bool(prefix):
        raise Refusal("give keys or a --prefix")
    async with call.connect(writer or default_writer()) as client:
        revision = await client.state.delete(*keys, prefix=prefix, base_revision=base_revision)
    if quiet:
        call.printer.line(str(revision))
    elif call.printer.for_people:
        gone = ", ".join(keys) or f"everything at and under {prefix}"
        call.printer.line(f"deleted {gone}, by revision {revision}")
    else:
        call.printer.value({"keys": [*keys], "prefix": prefix, "revision": revision})


@command(app, "history")
async def list_state_history(
    call: Call,
    key: Annotated[
        str, typer.Argument(metavar="KEY", help="A path; none: everything.", autocompletion=completing.keys)
    ] = "",
    prefix: Annotated[str, typer.Option("--prefix", metavar="PATH", help="Everything at and under this path.")] = "",
    after: Annotated[
        int, typer.Option("--after", metavar="REVISION", min=0, help="Only changes after this revision.")
    ] = 0,
    up_to: Annotated[int, typer.Option("--up-to", metavar="REVISION", min=0, help="Up to this revision.")] = 0,
    limit: Annotated[int, typer.Option("--limit", min=1, max=100_000, help="At most so many.")] = 100,
) -> None:
    """Lists the newest changes of a key, or of everything under a prefix: who wrote what, when, and why.

    They come in the order in which they happened, as far back as the log is kept.
    """
    if key and prefix:
        raise Refusal("give a key or a --prefix")
    async with call.connect() as client:
        newest = await client.state.history(
            key, prefix=prefix, after=after, until=up_to, newest_first=True, limit=limit
        )
    changes = list(reversed(newest))
    if call.printer.for_people:
        rows = [row for each in changes for row in _changed(each)]
        call.printer.table(("REVISION", "TIME", "WRITER", "KEY", "VALUE"), rows, "no changes")
    else:
        call.printer.value([_plain_revision(each) for each in changes])


@command(app, "watch")
async def watch_state(
    call: Call,
    keys: Annotated[
        list[str],
        typer.Argument(metavar="KEY", help="Paths; none: everything.", autocompletion=completing.keys),
    ] = [],  # noqa: B006
    prefix: Annotated[str, typer.Option("--prefix", metavar="PATH", help="Everything at and under this path.")] = "",
    after: Annotated[
        int | None,
        typer.Option("--after", metavar="REVISION", min=0, help="Only changes after it, not what is there."),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=0, help="End after so many; 0 never ends.")] = 0,
) -> None:
    """Follows keys, or everything under a prefix: what is there, then each change once, over restarts too.

    With --output json each is a line of JSON.
    """
    if keys and prefix:
        raise Refusal("give keys or a --prefix")
    async with call.connect() as client, client.state.watch(*keys, prefix=prefix, after=after) as watch:
        await until_unread(_follow(call, watch, limit))


async def _follow(call: Call, watch: Any, limit: int) -> None:
    told = 0
    async with aclosing(aiter(watch)) as changes:
        async for change in changes:
            if call.printer.for_people:
                call.printer.line(_line(change))
            else:
                call.printer.following(_plain_change(change))
            told += 1
            if told == limit:
                return


def _line(change: concert.KeyChange) -> Text:
    told = f"= {_short(change.value)}" if change.kind in ("there", "set") else _KINDS[change.kind]
    return Text.assemble(
        (f"{change.revision:>7} ", "dim"),
        (f"{change.changed_at.astimezone():%H:%M:%S} ", "dim"),
        (change.key, "bold"),
        f" {told}",
        (f"  by {change.writer}" if change.writer else "", "dim"),
    )


_KINDS = {
    "deleted": "is gone",
    "cleared": "and everything under it is gone",
    "superseded": "was set, and has changed again since",
}


def _changed(change: concert.StateRevision) -> Iterator[tuple[str, ...]]:
    """A row for each key of a change."""
    common = (
        str(change.revision),
        f"{change.changed_at.astimezone():%Y-%m-%d %H:%M:%S}",
        change.writer or "the platform",
    )
    if change.prefix:
        yield (*common, f"{change.prefix}/", "(cleared)")
    for key, value in change.updates.items():
        yield (*common, key, _short(value))
    for key in change.deletes:
        yield (*common, key, "(deleted)")


def _row(entry: concert.StateEntry) -> tuple[str, ...]:
    return entry.key, str(entry.revision), entry.writer or "the platform", _age(entry), _short(entry.value)


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= VALUE_LENGTH_MAX else text[:VALUE_LENGTH_MAX] + "…"


def _age(entry: concert.StateEntry) -> str:
    return span(max(0.0, (datetime.now(UTC) - entry.updated_at).total_seconds()))


def _plain(entry: concert.StateEntry) -> dict[str, Any]:
    return {
        "key": entry.key,
        "value": entry.value,
        "revision": entry.revision,
        "writer": entry.writer,
        "updated_at": _rfc3339(entry.updated_at),
    }


def _plain_change(change: concert.KeyChange) -> dict[str, Any]:
    return {
        "key": change.key,
        "kind": change.kind,
        "value": change.value,
        "revision": change.revision,
        "writer": change.writer,
        "changed_at": _rfc3339(change.changed_at),
    }


def _plain_revision(change: concert.StateRevision) -> dict[str, Any]:
    return {**asdict(change), "deletes": [*change.deletes], "changed_at": _rfc3339(change.changed_at)}


def _rfc3339(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
