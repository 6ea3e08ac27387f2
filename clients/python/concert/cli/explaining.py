"""`concert explain`: why something happened, and why it has not happened yet."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.text import Text

import concert
from concert.cli.command import Call, Refusal, command
from concert.cli.event_words import TYPE_WIDTH
from concert.cli.plain_values import enum_name, plain
from concert.cli.printing import Printer
from concert.cli.safe_text import one_line
from concert.cli.words import clock, since, span
from concert.v1 import event_pb2, explanation_pb2

STEPS_SHOWN = 12
USAGE = "explain SEQUENCE | run RUN | task RUN TASK | lock RESOURCE | agent AGENT"


def register(app: typer.Typer) -> None:
    """Adds the command."""
    command(app, "explain")(explain)


async def explain(
    call: Call,
    subject: Annotated[
        list[str],
        typer.Argument(
            metavar="SUBJECT",
            help="SEQUENCE, run RUN, task RUN TASK, lock RESOURCE, or agent AGENT.",
            show_default=False,
        ),
    ],
) -> None:
    """Says why something is as it is: what led to it, and what it waits for now.

    A sequence may be any: of an event, an attempt token, a fencing token, a lock request, a session id, a revision.
    """
    asked = _asked(subject)
    async with call.connect() as client:
        explanation = await client.explain(**asked)
    if call.printer.for_people:
        _tell(call.printer, explanation)
    else:
        call.printer.value(plain(explanation.message))


def _asked(subject: list[str]) -> dict[str, Any]:
    match subject:
        case [number] if number.isascii() and number.isdigit():
            return {"sequence": int(number)}
        case ["run", run]:
            return {"run": run}
        case ["task", run, task]:
            return {"run": run, "task": task}
        case ["lock", resource]:
            return {"lock": resource}
        case ["agent", agent]:
            return {"agent": agent}
        case [name] if name not in ("run", "task", "lock", "agent"):
            raise Refusal(f"what is to be explained? {USAGE}", cure=f"did you mean `concert explain run {name}`?")
    raise Refusal(f"what is to be explained? {USAGE}")


def _tell(printer: Printer, explanation: concert.Explanation) -> None:
    printer.line(Text(one_line(explanation.summary), style="bold"))
    for waiting in explanation.waiting:
        printer.line("")
        _tell_waiting(printer, waiting)
    more = explanation.message.waiting_total - len(explanation.waiting)
    if more > 0:
        printer.line(Text(f"and {more} more wait", style="dim"))
    _tell_steps(printer, "because", explanation.causes)
    if explanation.message.earlier_cause:
        printer.line(Text(f"  {explanation.message.earlier_cause:>7} ...", style="dim"))
    _tell_steps(printer, "so that", explanation.effects)


def _tell_waiting(printer: Printer, waiting: Any) -> None:
    for_how_long = f", for {span(since(waiting.since))}" if waiting.HasField("since") else ""
    printer.line(Text.assemble((one_line(_named(waiting)), "bold"), f" waits{for_how_long}:"))
    for blocker in waiting.blockers:
        kind = enum_name(explanation_pb2.WaitKind, blocker.kind)
        printer.line(Text.assemble("  ", (f"{kind:<12}", "yellow"), " ", one_line(blocker.text)))
    for each in waiting.candidates:
        name = each.agent_id if each.agent_id == each.agent_name else f"{each.agent_id} ({each.agent_name})"
        printer.line(Text.assemble("  candidate    ", (one_line(name), "bold"), " ", one_line(each.text)))


def _tell_steps(printer: Printer, heading: str, steps: list[Any]) -> None:
    if not steps:
        return
    printer.line("")
    printer.line(f"{heading}:")
    for step in steps[:STEPS_SHOWN]:
        name = enum_name(event_pb2.EventType, step.type)
        printer.line(
            Text.assemble(
                (f"{step.sequence:>7} {clock(step.timestamp)} ", "dim"),
                f"{name:<{TYPE_WIDTH}} ",
                one_line(step.text),
                (f"  {one_line(step.reason)}" if step.reason else "", "dim"),
            )
        )
    if len(steps) > STEPS_SHOWN:
        printer.line(Text(f"        and {len(steps) - STEPS_SHOWN} more", style="dim"))


def _named(waiting: Any) -> str:
    if waiting.task_id:
        return f"task {waiting.run_id}/{waiting.task_id}"
    if waiting.run_id:
        return f"run {waiting.run_id}"
    if waiting.request_sequence:
        return f"request {waiting.request_sequence} of {waiting.holder}"
    return f"agent {waiting.agent_id}"
