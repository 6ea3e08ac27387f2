"""The command line: host agents, deploy a site, claim a domain, or see all of it at once."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import concert
import msgspec
import typer
from rich.console import Console

from agent_service.demo import DemoFailed, Place, Tell, as_text, demonstrate, how_it_went, shortened, what_is_up
from agent_service.deployment import NotDeployable, deploy
from agent_service.faults import Permanent
from agent_service.hosting import UnknownAgent, host, service_name
from agent_service.infrastructure.agent import local_provider
from agent_service.infrastructure.zone import is_domain_name
from agent_service.live_view import LiveView
from agent_service.polyglot import ForeignAgentFailed, foreign_agents, one_trace
from agent_service.request import DeploymentRequest, deployment_request
from agent_service.tracing.demo import demonstrate_traced
from agent_service.tracing.exporting import spans_exported
from agent_service.tracing.jaeger import URL_DEFAULT, URL_VARIABLE, JaegerSilent
from agent_service.tracing.picture import as_svg, as_table
from agent_service.tracing.trace import TraceUnreadable

BLOG_INPUT = Path(__file__).parent / "blog" / "input.json"
FAILED, MISUSED = 1, 2
TABLE_COLUMNS = 130

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)

Coordinator = Annotated[
    str,
    typer.Option(
        "--coordinator", metavar="HOST:PORT[,...]", help="Where the coordinator is; of several replicas all addresses."
    ),
]
Namespace = Annotated[str, typer.Option("--namespace", help="The namespace to work in.")]
InputFile = Annotated[
    Path, typer.Option("--input", help="The deployment's input as JSON; by default the example blog's.")
]


@app.command("host")
def host_command(
    agents: Annotated[
        list[str],
        typer.Argument(help="infrastructure, content, security, quality_assurance, or any MODULE:CLASS."),
    ],
    coordinator: Coordinator = "127.0.0.1:7420",
    namespace: Namespace = "",
    lease_seconds: Annotated[
        float, typer.Option("--lease-seconds", help="How long the coordinator waits for an agent it cannot hear.")
    ] = 15.0,
) -> None:
    """Hosts agents until SIGTERM (running tasks finish) or SIGINT (they are cancelled)."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    try:
        with spans_exported(service_name(agents)):
            asyncio.run(host(agents, coordinator.split(","), namespace, lease_seconds))
    except (UnknownAgent, RuntimeError) as error:
        _misused(error)


@app.command("deploy")
def deploy_command(
    coordinator: Coordinator = "127.0.0.1:7420",
    namespace: Namespace = "",
    input_file: InputFile = BLOG_INPUT,
) -> None:
    """Deploys a site and prints the summary as one JSON object. Exits with 0 only on success."""
    request = _read_request(input_file)

    async def run() -> dict[str, Any]:
        known = concert.credentials_from_environment()
        async with concert.connect(coordinator.split(","), namespace=namespace, **known) as client:
            with LiveView() as view:
                return await deploy(client, request, view.show)

    try:
        summary = asyncio.run(run())
    except (NotDeployable, concert.ConcertError) as error:
        _failed(error)
    _tell(summary)
    _finish(summary)


@app.command("claim")
def claim_command(domain: Annotated[str, typer.Argument(help="The domain to prove the ownership of.")]) -> None:
    """Opens an account with the local provider and publishes the ownership challenge of a domain in its zone."""
    if not is_domain_name(domain):
        _misused(f"{domain!r} is no domain name")
    account = local_provider().account
    account.open()
    account.claim(domain)
    typer.echo(f"claimed {domain}; the account's token is in {account.token_file}", err=True)


@app.command("demo")
def demo_command(
    serve: Annotated[bool, typer.Option("--serve", help="Leave the site up until Ctrl-C.")] = False,
    polyglot: Annotated[
        bool, typer.Option("--polyglot", help="Agents in other languages where there are some.")
    ] = False,
    short: Annotated[bool, typer.Option("--short", help="Print the summary without what each agent found.")] = False,
    input_file: InputFile = BLOG_INPUT,
    var: Annotated[Path, typer.Option("--var", help="Where logs, site and log of events go.")] = Path("var/demo"),
) -> None:
    """Starts a coordinator and the four agents as five processes, deploys the blog, and stops everything."""
    request = _read_request(input_file)
    try:
        foreign = foreign_agents() if polyglot else {}
        for each in foreign.values():
            each.make()
        with one_trace(f"deploy {request.domain}") if polyglot else contextlib.nullcontext():
            told = _telling(short=short, serve=serve, target="demo-polyglot" if polyglot else "demo")
            summary = asyncio.run(demonstrate(request, var, LiveView(), told, serve=serve, foreign=foreign))
    except asyncio.CancelledError:
        _failed("stopped before it was done")
    except (DemoFailed, ForeignAgentFailed, NotDeployable, concert.ConcertError) as error:
        _failed(error)
    _finish(summary)


@app.command("jaeger-demo")
def jaeger_demo_command(
    query_url: Annotated[
        str, typer.Option("--query-url", envvar=URL_VARIABLE, metavar="URL", help="Where Jaeger's query API is.")
    ] = URL_DEFAULT,
    picture: Annotated[Path | None, typer.Option("--picture", metavar="FILE.svg", help="Draw the trace here.")] = None,
    input_file: InputFile = BLOG_INPUT,
    var: Annotated[Path, typer.Option("--var", help="Where logs, site and log of events go.")] = Path("var/demo"),
) -> None:
    """Deploys the blog as `demo` does, traced, then reads the trace back from Jaeger and checks its shape and its sums.

    Spans go to OTEL_EXPORTER_OTLP_ENDPOINT, else to a Jaeger on this machine. Exits with 0 only when all is well.
    """
    request = _read_request(input_file)
    view = LiveView()
    try:
        traced = asyncio.run(demonstrate_traced(request, var, view, query_url))
    except asyncio.CancelledError:
        _failed("stopped before it was done")
    except (DemoFailed, NotDeployable, JaegerSilent, TraceUnreadable, concert.ConcertError) as error:
        _failed(error)
    trace = traced.trace
    if trace.spans:
        Console(width=TABLE_COLUMNS if not sys.stdout.isatty() else None).print(as_table(trace))
        if picture is not None:
            picture.write_text(as_svg(trace, f"The deployment of {request.domain}: trace {trace.trace_id}"))
    if traced.sums is not None:
        for part in traced.sums.parts:
            typer.echo(f"{part.seconds:9.3f} s  {part.kind} of {part.task_id}")
        typer.echo(f"{traced.sums.seconds:9.3f} s  together; the makespan is {traced.sums.makespan_seconds:.3f} s")
    for fault in traced.faults:
        typer.echo(f"fault: {fault}", err=True)
    if traced.faults:
        raise typer.Exit(FAILED)
    typer.echo(f"{len(trace.spans)} spans: every event has its span, the shape is right, and the sums agree")


def _read_request(path: Path) -> DeploymentRequest:
    try:
        return deployment_request(msgspec.json.decode(path.read_bytes()), base=path.resolve().parent)
    except (OSError, ValueError, Permanent) as error:
        _misused(f"{path}: {error}")


def _tell(summary: dict[str, Any]) -> None:
    """The summary goes last, from the beginning of a line, so that a program can read it off the end of the output."""
    sys.stderr.flush()
    sys.stdout.write(as_text(summary))
    sys.stdout.flush()


def _telling(*, short: bool, serve: bool, target: str) -> Tell:
    """What a demonstration says at its end: to people, for whom it is short, what matters goes last."""

    def tell(summary: dict[str, Any], place: Place) -> None:
        rest = f"\n\n{what_is_up(summary, place)}" if serve else f"; make {target} SERVE=1 to look around"
        if short:
            _tell(shortened(summary))
        typer.echo(how_it_went(summary, place) + rest, err=True)
        if not short:
            _tell(summary)

    return tell


def _finish(summary: dict[str, Any]) -> None:
    if summary["status"] != "success":
        raise typer.Exit(FAILED)


def _failed(error: object) -> NoReturn:
    typer.echo(f"error: {error}", err=True)
    raise typer.Exit(FAILED)


def _misused(error: object) -> NoReturn:
    typer.echo(f"error: {error}", err=True)
    raise typer.Exit(MISUSED)


def main() -> None:
    """The entry point."""
    app()


if __name__ == "__main__":
    main()
