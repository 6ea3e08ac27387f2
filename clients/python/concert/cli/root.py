"""The command `concert` and what can be said before the name of a command."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from concert.cli import agents, auditing, dev, events, explaining, locks, logs, monitor, replaying, runs, state
from concert.cli.command import ADDRESS_HELP, NAMESPACE_HELP, OUTPUT_HELP, TIMEOUT_HELP, Defaults
from concert.cli.place import Place, Trust
from concert.cli.printing import Output
from concert.cli.words import duration

CA_HELP = "PEM file of the authorities that the coordinator's certificate is trusted from ($CONCERT_TLS_CA)."
CERT_HELP = "PEM file of your certificate, for mutual TLS ($CONCERT_TLS_CERT)."
KEY_HELP = "PEM file of its key ($CONCERT_TLS_KEY)."
TOKEN_HELP = "File of your bearer token ($CONCERT_TOKEN_FILE)."
_ORDER = ("run", "events", "agents", "lock", "state", "explain", "monitor", "log", "replay", "audit", "dev")


class _Commands(TyperGroup):
    """Those first that are used most."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Their names, for the help."""
        return sorted(super().list_commands(ctx), key=_ORDER.index)


app = typer.Typer(
    name="concert",
    cls=_Commands,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"concert {metadata.version('concert')}")
        raise typer.Exit


@app.callback()
def concert(
    context: typer.Context,
    address: Annotated[
        str | None, typer.Option("--address", metavar="HOST:PORT", envvar="CONCERT_ADDRESS", help=ADDRESS_HELP)
    ] = None,
    namespace: Annotated[
        str | None, typer.Option("--namespace", "-n", metavar="NAME", envvar="CONCERT_NAMESPACE", help=NAMESPACE_HELP)
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option("--timeout", metavar="DURATION", envvar="CONCERT_TIMEOUT", help=TIMEOUT_HELP, parser=duration),
    ] = None,
    tls_ca: Annotated[
        Path | None, typer.Option("--tls-ca", metavar="FILE", envvar="CONCERT_TLS_CA", help=CA_HELP)
    ] = None,
    tls_cert: Annotated[
        Path | None, typer.Option("--tls-cert", metavar="FILE", envvar="CONCERT_TLS_CERT", help=CERT_HELP)
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option("--tls-key", metavar="FILE", envvar="CONCERT_TLS_KEY", help=KEY_HELP)
    ] = None,
    token_file: Annotated[
        Path | None, typer.Option("--token-file", metavar="FILE", envvar="CONCERT_TOKEN_FILE", help=TOKEN_HELP)
    ] = None,
    output: Annotated[Output, typer.Option("--output", "-o", envvar="CONCERT_OUTPUT", help=OUTPUT_HELP)] = Output.TABLE,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Asks a Concert coordinator, or tells it something.

    Every command takes --address, --namespace, --timeout and --output, before its name or after it. Who asks, and whom
    it trusts, is said before it.
    """
    assert not version
    trust = Trust(ca=tls_ca, certificate=tls_cert, key=tls_key, token_file=token_file)
    context.obj = Defaults(Place().but(address, namespace, timeout, trust), output)


app.add_typer(runs.app, name="run")
app.add_typer(events.app, name="events")
app.add_typer(agents.app, name="agents")
app.add_typer(locks.app, name="lock")
app.add_typer(state.app, name="state")
app.add_typer(logs.app, name="log")
app.add_typer(auditing.app, name="audit")
explaining.register(app)
monitor.register(app)
replaying.register(app)
dev.register(app)
