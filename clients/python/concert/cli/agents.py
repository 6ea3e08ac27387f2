"""`concert agents`: list, show, drain."""

from __future__ import annotations

from contextlib import aclosing
from typing import Annotated, Any

import typer
from rich.text import Text

import concert
from concert.cli import completing
from concert.cli.command import Call, command
from concert.cli.plain_values import enum_name, plain
from concert.cli.printing import status_text
from concert.cli.words import age, clock
from concert.v1 import agent_pb2, circuit_pb2

app = typer.Typer(help="Agents: who takes tasks.", no_args_is_help=True)

AgentArgument = Annotated[
    str, typer.Argument(metavar="AGENT", help="Id of the agent.", autocompletion=completing.agents, show_default=False)
]


@command(app, "list")
async def list_agents(
    call: Call,
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="Only those of this name.")] = "",
    capability: Annotated[str, typer.Option("--capability", metavar="NAME", help="Only those that have it.")] = "",
    everyone: Annotated[
        bool, typer.Option("--all", "-a", help="Those too that are gone, while they are kept.")
    ] = False,
) -> None:
    """Lists agents that are connected, with how many tasks they have of how many they take."""
    async with call.connect() as client:
        agents = await client.agents.list(name=name, capability=capability, connected=not everyone)
    if not call.printer.for_people:
        call.printer.value(plain(agents))
        return
    headings = ("AGENT", "NAME", "STATUS", "TASKS", "AGE", "CAPABILITIES")
    call.printer.table(headings, map(_row, agents), "no agents are connected" if not everyone else "no agents")


@command(app, "show")
async def show_agent(call: Call, agent: AgentArgument) -> None:
    """Shows an agent: what it can do, what it has, its circuits."""
    async with call.connect() as client:
        found = await client.agents.get(agent)
    if not call.printer.for_people:
        call.printer.value(plain(found))
        return
    spec = found.spec
    call.printer.fields(
        [
            ("agent", spec.agent_id),
            ("name", spec.agent_name),
            ("status", _status(found)),
            ("session", str(found.session_id)),
            ("since", f"{clock(found.registered_at)}, {age(found.registered_at)} ago"),
            ("tasks", f"{len(found.attempt_tokens)} of {spec.slots or 1}"),
            ("attempts", ", ".join(map(str, found.attempt_tokens))),
            ("capabilities", ", ".join(f"{each.name} {each.version}".strip() for each in spec.capabilities)),
            ("depends on", ", ".join(map(_dependency, spec.depends_on))),
            ("after", ", ".join(map(_dependency, spec.after))),
            ("labels", ", ".join(f"{key}={value}" for key, value in sorted(spec.labels.items()))),
            *((f"circuit {each.capability or 'of the agent'}", _circuit(each)) for each in found.circuits),
        ]
    )


@command(app, "drain")
async def drain_agent(
    call: Call,
    agent: AgentArgument,
    wait: Annotated[bool, typer.Option("--wait", "-w", help="Return when it has finished its tasks and left.")] = False,
) -> None:
    """Tells an agent to take no new tasks, finish those it has, and leave."""
    async with call.connect() as client:
        sequence = await client.agents.drain(agent)
        if wait:
            await _left(client, agent, sequence)
    if call.printer.for_people:
        call.printer.line(f"{agent} {'has left' if wait else 'is draining'}")
    else:
        call.printer.value({"agent_id": agent, "sequence": sequence, "left": wait})


async def _left(client: concert.Client, agent: str, after: int) -> None:
    subscription = client.subscribe(types=["agent_disconnected"], agent_ids=[agent], after=after)
    async with subscription, aclosing(aiter(subscription)) as events:
        async for _event in events:
            return


def _status(agent: Any) -> Text:
    return status_text(enum_name(agent_pb2.AgentStatus, agent.status))


def _row(agent: Any) -> tuple[str | Text, ...]:
    spec = agent.spec
    open_circuits = [each for each in agent.circuits if each.status != circuit_pb2.CIRCUIT_STATUS_CLOSED]
    status = _status(agent)
    if open_circuits:
        status = Text(f"{status.plain}, circuit open", style="red")
    return (
        spec.agent_id,
        spec.agent_name,
        status,
        f"{len(agent.attempt_tokens)}/{spec.slots or 1}",
        age(agent.registered_at),
        ", ".join(each.name for each in spec.capabilities),
    )


def _circuit(circuit: Any) -> str:
    until = f", half-opens at {clock(circuit.until)}" if circuit.HasField("until") else ""
    return f"{enum_name(circuit_pb2.CircuitStatus, circuit.status)}, {circuit.failures} failures{until}"


def _dependency(dependency: Any) -> str:
    kind = dependency.WhichOneof("on")
    return f"{kind.replace('_', ' ')} {getattr(dependency, kind)}" if kind else ""
