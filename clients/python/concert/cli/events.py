"""`concert events`: tail, list, show, publish."""

from __future__ import annotations

from contextlib import aclosing
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.text import Text

from concert.cli import completing, event_words
from concert.cli.command import Call, Refusal, command, until_unread
from concert.cli.plain_values import plain
from concert.cli.reading import json_argument, pairs
from concert.cli.words import day_and_clock, moment

LIST_DEFAULT = 100
app = typer.Typer(help="The log: follow it, read it again, state facts.", no_args_is_help=True)

Types = Annotated[
    list[str],
    typer.Option("--type", "-t", metavar="TYPE", help="Only this type, for example agent_failed; repeatable."),
]
Names = Annotated[
    list[str], typer.Option("--name", metavar="NAME", help="Only custom events of this name; repeatable.")
]
RunIds = Annotated[
    list[str],
    typer.Option("--run", metavar="RUN", help="Only of this run; repeatable.", autocompletion=completing.runs),
]
TaskIds = Annotated[list[str], typer.Option("--task", metavar="TASK", help="Only of this task; repeatable.")]
AgentIds = Annotated[
    list[str],
    typer.Option("--agent", metavar="ID", help="Only of this agent; repeatable.", autocompletion=completing.agents),
]
AgentNames = Annotated[
    list[str], typer.Option("--agent-name", metavar="NAME", help="Only of agents of this name; repeatable.")
]
Since = Annotated[
    datetime | None,
    typer.Option(
        "--since", metavar="TIME", help="From then on: 2026-11-22T17:00:00Z, or 5m for five minutes ago.", parser=moment
    ),
]
After = Annotated[int | None, typer.Option("--after", metavar="SEQUENCE", min=0, help="Only after this sequence.")]


@command(app, "tail")
async def tail_events(
    call: Call,
    types: Types = [],  # noqa: B006 - typer wants it
    names: Names = [],  # noqa: B006
    runs: RunIds = [],  # noqa: B006
    tasks: TaskIds = [],  # noqa: B006
    agents: AgentIds = [],  # noqa: B006
    agent_names: AgentNames = [],  # noqa: B006
    since: Since = None,
    after: After = None,
    from_start: Annotated[bool, typer.Option("--from-start", help="Begin with the oldest event kept.")] = False,
    limit: Annotated[int, typer.Option("--limit", min=0, help="End after so many; 0 never ends.")] = 0,
) -> None:
    """Follows the log: each event once, in order, over reconnects and restarts of the coordinator.

    Begins with the next event unless told otherwise. With --output json each event is a line of JSON.
    """
    if sum((since is not None, after is not None, from_start)) > 1:
        raise Refusal("give one of --since, --after and --from-start")
    async with call.connect() as client:
        subscription = client.subscribe(
            **_selection(types, names, runs, tasks, agents, agent_names),
            after=after,
            since=since,
            start="earliest" if from_start else "latest",
        )
        async with subscription:
            await until_unread(_tail(call, subscription, limit))


async def _tail(call: Call, subscription: Any, limit: int) -> None:
    told = 0
    async with aclosing(aiter(subscription)) as events:
        async for event in events:
            _tell(call, event)
            told += 1
            if told == limit:
                return


def _tell(call: Call, event: Any) -> None:
    if call.printer.for_people:
        call.printer.line(event_words.line(event))
    else:
        call.printer.following(plain(event))


@command(app, "list")
async def list_events(
    call: Call,
    types: Types = [],  # noqa: B006
    names: Names = [],  # noqa: B006
    runs: RunIds = [],  # noqa: B006
    tasks: TaskIds = [],  # noqa: B006
    agents: AgentIds = [],  # noqa: B006
    agent_names: AgentNames = [],  # noqa: B006
    since: Since = None,
    until: Annotated[
        datetime | None, typer.Option("--until", metavar="TIME", help="Before then.", parser=moment)
    ] = None,
    after: After = None,
    up_to: Annotated[int, typer.Option("--up-to", metavar="SEQUENCE", min=0, help="Up to this sequence.")] = 0,
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most so many.")] = LIST_DEFAULT,
    oldest: Annotated[bool, typer.Option("--oldest", help="The oldest that match instead of the newest.")] = False,
) -> None:
    """Reads history: the newest events that match, in the order in which they happened."""
    from_oldest = oldest or after is not None
    async with call.connect() as client:
        events = await client.events.list(
            **_selection(types, names, runs, tasks, agents, agent_names),
            since=since,
            until=until,
            after=after or 0,
            up_to=up_to,
            limit=limit,
            descending=not from_oldest,
        )
    if not from_oldest:
        events.reverse()
    if call.printer.for_people:
        for event in events:
            call.printer.line(event_words.line(event))
        if not events:
            call.printer.remark("no events")
    else:
        call.printer.value(plain(events))


@command(app, "show")
async def show_event(
    call: Call, sequence: Annotated[int, typer.Argument(metavar="SEQUENCE", min=1, help="Its position in the log.")]
) -> None:
    """Shows one event: any sequence, such as a fencing token, an attempt token, a revision, a session id."""
    async with call.connect() as client:
        event = await client.events.get(sequence)
    if not call.printer.for_people:
        call.printer.value(plain(event))
        return
    call.printer.fields(
        [
            ("event", str(event.sequence)),
            ("type", event_words.type_name(event)),
            ("time", day_and_clock(event.timestamp)),
            ("about", event_words.subject(event)),
            ("what", event_words.words(event)),
            ("reason", event.reason),
            ("cause", str(event.cause or "")),
            ("agent", f"{event.agent_id} ({event.agent_name})" if event.agent_id else ""),
            ("principal", event.principal),
            ("trace", event.traceparent),
            ("metadata", ", ".join(f"{key}={value}" for key, value in sorted(event.metadata.items()))),
        ]
    )
    for line in event.agent_failed.error.traceback.splitlines():
        call.printer.line(line)
    if event.cause:
        call.printer.remark(f"why: `concert explain {event.sequence}`")


@command(app, "publish")
async def publish_event(
    call: Call,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What happened, for example page_rendered.")],
    data: Annotated[
        str, typer.Argument(metavar="JSON", help="Its body; @FILE reads a file, - standard input.", show_default=False)
    ] = "",
    run: Annotated[str, typer.Option("--run", metavar="RUN", help="The run that it concerns.")] = "",
    task: Annotated[str, typer.Option("--task", metavar="TASK", help="The task that it concerns.")] = "",
    metadata: Annotated[
        list[str], typer.Option("--metadata", "-m", metavar="KEY=VALUE", help="An annotation; repeatable.")
    ] = [],  # noqa: B006
    event_id: Annotated[
        str, typer.Option("--event-id", metavar="ID", help="A second event under the same id is not stored again.")
    ] = "",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the sequence and nothing else.")] = False,
) -> None:
    """States a fact: a custom event. Returns when it is durable."""
    body = json_argument(data, "the body") if data else None
    annotations = pairs(metadata, "--metadata")
    async with call.connect() as client:
        sequence = await client.publish(name, body, run_id=run, task_id=task, metadata=annotations, event_id=event_id)
    if quiet:
        call.printer.line(str(sequence))
    elif call.printer.for_people:
        call.printer.line(Text.assemble("published as event ", (str(sequence), "bold")))
    else:
        call.printer.value({"sequence": sequence})


def _selection(
    types: list[str], names: list[str], runs: list[str], tasks: list[str], agents: list[str], agent_names: list[str]
) -> dict[str, Any]:
    return {
        "types": types,
        "custom_names": names,
        "run_ids": runs,
        "task_ids": tasks,
        "agent_ids": agents,
        "agent_names": agent_names,
    }
