"""The demonstration: a coordinator and four agents as five processes, and one deployment of the blog."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import concert
import msgspec

from agent_service.deployment import AGENTS, deploy
from agent_service.infrastructure.local import LocalProvider
from agent_service.live_view import LiveView
from agent_service.polyglot import ForeignAgent
from agent_service.request import DeploymentRequest

START_SECONDS_MAX = 30.0
STOP_SECONDS_MAX = 15.0
READY_POLL_SECONDS = 0.02
RUNS_KEPT_MAX = 5
LOG_LINES_TOLD_MAX = 20
SUMMARY_FILE = "summary.json"


class Place(msgspec.Struct, frozen=True):
    """Where a demonstration is: the directory of everything it makes, and its live page."""

    directory: Path
    page: str


Tell = Callable[[dict[str, Any], Place], None]
Afterwards = Callable[[concert.Client, dict[str, Any]], Awaitable[None]]


class DemoFailed(Exception):  # noqa: N818
    """One of the processes did not start, or ended too early. The text has the end of its log."""


class Ready(msgspec.Struct, frozen=True):
    """What a coordinator writes into its ready file once it serves: HOST:PORT of the calls, and of the live page where
    it has one."""

    address: str
    web: str = ""


class Member:
    """One of the five processes."""

    def __init__(
        self,
        name: str,
        arguments: Sequence[str],
        log_file: Path,
        environment: dict[str, str],
        foreign: ForeignAgent | None = None,
    ) -> None:
        """`arguments` of Python's -m, or of the `foreign` program."""
        self.name = name
        self.log_file = log_file
        self._command = [*foreign.command, *arguments] if foreign else [sys.executable, "-m", *arguments]
        self._directory = foreign.place if foreign else None
        self._environment = environment
        self._started: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Starts it, in a process group of its own so that Ctrl-C reaches it through us, in order."""
        with self.log_file.open("ab") as log:
            self._started = await asyncio.create_subprocess_exec(
                *self._command,
                cwd=self._directory,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **self._environment},
                start_new_session=True,
            )

    async def ended(self) -> DemoFailed:
        """Waits for its end, which nobody asked for."""
        assert self._started is not None
        code = await self._started.wait()
        return DemoFailed(f"{self.name} ended with {code}. The end of {self.log_file}:\n{self._last_lines()}")

    async def stop(self) -> None:
        """Asks it to stop, and insists after STOP_SECONDS_MAX."""
        if self._started is None or self._started.returncode is not None:
            return
        self._started.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(self._started.wait(), STOP_SECONDS_MAX)
        except TimeoutError:
            self._started.kill()
            await self._started.wait()

    async def kill(self) -> None:
        """Ends it without asking, as an accident would."""
        assert self._started is not None
        self._started.kill()
        await self._started.wait()

    def _last_lines(self) -> str:
        lines = self.log_file.read_text(errors="replace").splitlines()
        return "\n".join(lines[-LOG_LINES_TOLD_MAX:])


async def demonstrate(
    request: DeploymentRequest,
    var: Path,
    view: LiveView,
    tell: Tell | None = None,
    serve: bool = False,
    afterwards: Afterwards | None = None,
    foreign: Mapping[str, ForeignAgent] | None = None,
) -> dict[str, Any]:
    """Starts everything, deploys, stops everything, and returns the summary, which is in a file of the directory too.

    `tell` is told the summary as soon as it is there. To `serve` is to leave the site up then, until SIGINT or SIGTERM.
    `afterwards` is called with the summary while the coordinator is still there to be asked. `foreign` are agents, by
    name, that are hosted by programs in other languages. Raises DemoFailed.
    """
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    directory = _fresh_directory(var)
    provider = directory / "provider"
    _open_account(provider, request.domain)
    view.say(f"logs and everything made: {_shown(directory)}")
    foreign = foreign or {}
    async with _members(directory, provider, foreign) as (served, members):
        told = (f"{name} ({foreign[name].language})" if name in foreign else name for name in AGENTS)
        view.say(f"coordinator at {served.address}, agents: {', '.join(told)}")
        place = Place(directory, f"http://{served.web}/")
        view.say(f"live page: {place.page}")
        ends = [asyncio.create_task(member.ended()) for member in members]
        deploying = asyncio.create_task(_deploy(served.address, request, view, afterwards))
        try:
            done, _ = await asyncio.wait({deploying, *ends}, return_when=asyncio.FIRST_COMPLETED)
            if deploying not in done:
                raise next(iter(done)).result()  # type: ignore[misc]
            summary = deploying.result()
            (directory / SUMMARY_FILE).write_text(as_text(summary))
            if tell is not None:
                tell(summary, place)
            if serve:
                await _interrupted(ends)
            return summary
        finally:
            for task in (deploying, *ends):
                task.cancel()
            await asyncio.gather(deploying, *ends, return_exceptions=True)


async def _deploy(
    address: str, request: DeploymentRequest, view: LiveView, afterwards: Afterwards | None
) -> dict[str, Any]:
    async with concert.connect(address) as client:
        with view:
            summary = await deploy(client, request, view.show)
        if afterwards is not None:
            await afterwards(client, summary)
        return summary


@contextlib.asynccontextmanager
async def _members(
    directory: Path, provider: Path, foreign: Mapping[str, ForeignAgent]
) -> AsyncIterator[tuple[Ready, list[Member]]]:
    logs = directory / "logs"
    ready_file = directory / "ready.json"
    coordinator = Member(
        "coordinator",
        [
            "coordinator_service",
            *("--listen", "127.0.0.1:0"),
            *("--web-listen", "127.0.0.1:0"),
            *("--data-dir", str(directory / "coordinator")),
            *("--ready-file", str(ready_file)),
        ],
        logs / "coordinator.log",
        {},
    )
    members = [coordinator]
    try:
        await coordinator.start()
        served = await ready(coordinator, ready_file)
        for name in AGENTS:
            own = ["agent_service", "host", name, "--coordinator", served.address]
            arguments = [served.address] if name in foreign else own
            environment = {"CONCERT_PROVIDER_ROOT": str(provider)} if name == "infrastructure" else {}
            members.append(Member(name, arguments, logs / f"{name}.log", environment, foreign.get(name)))
        await asyncio.gather(*(member.start() for member in members[1:]))
        yield served, members
    finally:
        # The agents first, while there is somebody to say goodbye to.
        await asyncio.gather(*(member.stop() for member in members[1:]))
        await coordinator.stop()


async def ready(coordinator: Member, ready_file: Path) -> Ready:
    """Waits until the coordinator serves, and returns where. Raises DemoFailed."""
    ended = asyncio.create_task(coordinator.ended())
    try:
        async with asyncio.timeout(START_SECONDS_MAX):
            while not await asyncio.to_thread(ready_file.exists):
                if ended.done():
                    raise ended.result()
                await asyncio.sleep(READY_POLL_SECONDS)
    except TimeoutError:
        raise DemoFailed(f"the coordinator was not ready after {START_SECONDS_MAX} s") from None
    finally:
        ended.cancel()
        await asyncio.gather(ended, return_exceptions=True)
    return msgspec.json.decode(await asyncio.to_thread(ready_file.read_bytes), type=Ready)


async def _interrupted(ends: Sequence[asyncio.Task[DemoFailed]]) -> None:
    """Until SIGINT or SIGTERM, or until one of the processes ends by itself."""
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, asked.set)
    waiting = asyncio.create_task(asked.wait())
    done, _ = await asyncio.wait({waiting, *ends}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    for end in ends:
        if end in done:
            raise end.result()


def _fresh_directory(var: Path) -> Path:
    """A new directory for this demonstration; the oldest ones go."""
    var.mkdir(parents=True, exist_ok=True)
    earlier = sorted(path for path in var.iterdir() if path.is_dir())
    for path in earlier[: -(RUNS_KEPT_MAX - 1)]:
        shutil.rmtree(path, ignore_errors=True)
    stamp = dt.datetime.now(dt.UTC).strftime("%Y%m%d-%H%M%S")
    directory = (var / f"{stamp}-{os.getpid()}").resolve()
    (directory / "logs").mkdir(parents=True)
    return directory


def _open_account(root: Path, domain: str) -> None:
    """What somebody does once with a provider and a registrar, before there can be a deployment."""
    account = LocalProvider(root).account
    account.open()
    account.claim(domain)


def _shown(directory: Path) -> Path:
    """As people write it who are where we are."""
    here = Path.cwd()
    return directory.relative_to(here) if directory.is_relative_to(here) else directory


def as_text(summary: dict[str, Any]) -> str:
    """A summary as a JSON object that people can read."""
    return msgspec.json.format(msgspec.json.encode(summary), indent=2).decode() + "\n"


def shortened(summary: dict[str, Any]) -> dict[str, Any]:
    """A summary with how each agent's task ended, without what it found."""
    return {**summary, "agent_results": {name: each["status"] for name, each in summary["agent_results"].items()}}


def how_it_went(summary: dict[str, Any], place: Place) -> str:
    """Who succeeded, how long it took, and where all of it is."""
    succeeded, failed = len(summary["successful_agents"]), summary["failed_agents"]
    others = f", not {' and '.join(failed)}" if failed else ""
    return (
        f"{succeeded} of {len(AGENTS)} agents succeeded in {summary['total_execution_time_seconds']:.1f} s{others};"
        f" {SUMMARY_FILE}, logs and site are in {_shown(place.directory)}"
    )


def what_is_up(summary: dict[str, Any], place: Place) -> str:
    """What there is to look at until Ctrl-C."""
    page = f"The live page: {place.page}"
    if not summary["infrastructure_deployed"]:
        return f"There is no site to look at. The agents stay up until Ctrl-C.\n{page}"
    site = summary["agent_results"]["infrastructure"]["result"]
    authority, port, domain = site["certificate"]["authority_file"], site["distribution"]["https_port"], site["domain"]
    return (
        f"The site is up at {site['local_url']} until Ctrl-C.\n"
        f"Its certificate is signed by a local authority. To trust it for one command:\n"
        f"  curl --cacert {authority} {site['local_url']}\n"
        f"  curl --cacert {authority} --resolve {domain}:{port}:127.0.0.1 https://{domain}:{port}/\n"
        f"In a browser, import that file as an authority (and remove it afterwards), or accept the warning.\n"
        f"Plain HTTP, to see the redirect: http://localhost:{site['distribution']['http_port']}/\n"
        f"{page}"
    )
