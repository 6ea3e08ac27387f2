"""What every command has in common: where the coordinator is, in which form to print, signals, and errors as sentences.

A command is a coroutine function whose first parameter is a Call; it returns an exit code, or None for 0. `command`
gives it the options --address, --namespace, --timeout and --output, and registers it. Who the command is, the options
before its name say, or the environment.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import signal
import stat
import sys
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeAlias

import typer

import concert
from concert.cli import exit_codes
from concert.cli.place import TIMEOUT_SECONDS_DEFAULT, Place
from concert.cli.printing import Output, Printer, close_quietly
from concert.cli.words import duration

Body: TypeAlias = Callable[..., Awaitable[int | None]]

ADDRESS_HELP = "Where the coordinator is ($CONCERT_ADDRESS, else 127.0.0.1:7420)."
NAMESPACE_HELP = "The namespace ($CONCERT_NAMESPACE, else default)."
TIMEOUT_HELP = f"How long a call may take, for example 30s ($CONCERT_TIMEOUT, else {TIMEOUT_SECONDS_DEFAULT:g}s)."
OUTPUT_HELP = "How to print ($CONCERT_OUTPUT, else table)."

Address = Annotated[str | None, typer.Option("--address", metavar="HOST:PORT", help=ADDRESS_HELP)]
Namespace = Annotated[str | None, typer.Option("--namespace", "-n", metavar="NAME", help=NAMESPACE_HELP)]
Timeout = Annotated[float | None, typer.Option("--timeout", metavar="DURATION", help=TIMEOUT_HELP, parser=duration)]
OutputForm = Annotated[Output | None, typer.Option("--output", "-o", help=OUTPUT_HELP)]

_SHARED: dict[str, Any] = {"address": Address, "namespace": Namespace, "timeout": Timeout, "output": OutputForm}


class Refusal(Exception):  # noqa: N818 - it says what happened
    """What was asked for cannot be done: told to the person, and its code is how the command ends."""

    def __init__(self, message: str, code: int = exit_codes.MISUSED, cure: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.cure = cure


class FileFaulty(Refusal):
    """A file cannot be used: lines `FILE:LINE:COLUMN: what is wrong`, as compilers write them and editors read them."""


@dataclass(frozen=True, slots=True)
class Defaults:
    """What was said before the command's name, or in the environment."""

    place: Place = field(default_factory=Place)
    output: Output = Output.TABLE


@dataclass(frozen=True, slots=True)
class Call:
    """One invocation of a command."""

    place: Place
    printer: Printer

    def connect(self, writer: str = "") -> concert.Client:
        """A client, to be entered with `async with`."""
        return self.place.connect(writer)


def command(app: typer.Typer, name: str, *, calls: bool = True, prints: bool = True) -> Callable[[Body], Body]:
    """Registers a coroutine function as the command `name`; its docstring is the help. `calls`: it asks a coordinator.
    `prints`: its output may be asked for as JSON or YAML.
    """

    def register(body: Body) -> Body:
        own = inspect.signature(body, eval_str=True).parameters
        _, *rest = own.values()
        shared = [
            inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
            for key, annotation in _SHARED.items()
            if (prints if key == "output" else calls)
        ]
        names = [each.name for each in shared]
        context_parameter = inspect.Parameter("typer_context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)

        def invoke(**given: Any) -> None:
            call = _call(given, {key: given.pop(key) for key in names})
            raise typer.Exit(run(call, lambda: body(call, **given)))

        invoke.__doc__ = body.__doc__
        keyword_only = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in rest]
        parameters = [context_parameter, *keyword_only, *shared]
        invoke.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        invoke.__annotations__ = {each.name: each.annotation for each in parameters}
        app.command(name)(invoke)
        return body

    return register


def _call(given: dict[str, Any], shared: dict[str, Any]) -> Call:
    """From the context, which it takes out of what was given, and the shared options."""
    defaults = given.pop("typer_context").obj or Defaults()
    place = defaults.place.but(*(shared.get(key) for key in ("address", "namespace", "timeout")))
    return Call(place, Printer(shared.get("output") or defaults.output))


def run(call: Call, body: Callable[[], Awaitable[int | None]]) -> int:
    """Runs a command to its end and returns its exit code; whatever goes wrong is told in a sentence."""
    try:
        with asyncio.Runner() as runner:
            return runner.run(_unless_signalled(body()))
    except concert.ConcertError as error:
        return _tell(call, call.place.told(error), exit_codes.of_error(error), call.place.cure(error), error)
    except FileFaulty as faulty:
        call.printer.remark_lines(str(faulty))
        return faulty.code
    except Refusal as refusal:
        return _tell(call, str(refusal), refusal.code, refusal.cure)
    except BrokenPipeError:
        close_quietly()
        return exit_codes.SIGNALLED + signal.SIGPIPE
    except KeyboardInterrupt:
        return exit_codes.SIGNALLED + signal.SIGINT
    except OSError as fault:
        return _tell(call, str(fault), exit_codes.FAULT)
    except Exception as fault:
        if os.environ.get("CONCERT_DEBUG"):
            raise
        said = f"{type(fault).__name__}: {fault}"
        return _tell(call, f"a fault in this command: {said}", exit_codes.FAULT, "CONCERT_DEBUG=1 shows where")


def _tell(call: Call, message: str, code: int, cure: str = "", error: concert.ConcertError | None = None) -> int:
    remark = call.printer.remark
    first, *more = message.splitlines() or [""]
    remark(f"concert: {first}")
    for line in more:
        remark(f"  {line}")
    if isinstance(error, concert.InvalidArgument) and len(error.violations) > 1:
        for violation in error.violations:
            remark(f"  {violation['field']}: {violation['description']}")
    if cure:
        remark(f"  {cure}")
    return code


async def _unless_signalled(body: Awaitable[int | None]) -> int:
    """Cancels the command on SIGINT, SIGTERM and SIGHUP, so that it cleans up; a second signal ends it at once."""
    task = asyncio.ensure_future(_finish(body))
    received: list[int] = []

    def stop(number: int) -> None:
        if received:
            os._exit(exit_codes.SIGNALLED + number)
        received.append(number)
        task.cancel()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop, number)
    try:
        return await task or exit_codes.OK
    except asyncio.CancelledError:
        if not received:
            raise
        return exit_codes.SIGNALLED + received[0]


async def _finish(body: Awaitable[int | None]) -> int | None:
    return await body


async def until_unread(work: Coroutine[Any, Any, int | None]) -> int | None:
    """Runs `work`, but no longer than somebody reads standard output: `tail | head` ends when head does, not with the
    next event.
    """
    task = asyncio.ensure_future(work)
    loop = asyncio.get_running_loop()
    unread: list[bool] = []

    def gone() -> None:
        loop.remove_reader(stdout)
        unread.append(True)
        task.cancel()

    stdout = sys.stdout.fileno()
    piped = stat.S_ISFIFO(os.fstat(stdout).st_mode)
    if piped:
        # Nothing is ever read from it: the selector reports that a pipe has lost its reader.
        loop.add_reader(stdout, gone)
    try:
        return await task
    except asyncio.CancelledError:
        if unread:
            raise BrokenPipeError from None
        raise
    finally:
        if piped and not unread:
            loop.remove_reader(stdout)
