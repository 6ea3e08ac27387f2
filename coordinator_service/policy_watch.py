"""The policy file as it is on disk: read at the start, looked at again and again, and told to every namespace (P1, P2).

A look opens the path, whatever links lead to it now, and compares digests. So it makes no difference whether the file
was edited in place, renamed over, or swapped with the whole directory behind a link, as a mounted ConfigMap is. A new
content counts once two looks in a row have found it: half of a file that is being written does not. A bad file changes
nothing; what is wrong with it is logged once and told by GetServerInfo until it is mended.
"""

from __future__ import annotations

import asyncio
import logging
import os
import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from coordinator_service.clock import Clock
from coordinator_service.core.commands import COORDINATOR, ChangePolicies
from coordinator_service.core.rejections import Rejection, Unavailable
from coordinator_service.local_namespace import LocalNamespace
from coordinator_service.policy_file import FILE_BYTES_MAX, PolicyFault, PolicyFile, digest_of, parse
from coordinator_service.ports import Outcome
from coordinator_service.rpc.monitor_servicer import PolicyFileStatus

_log = logging.getLogger(__name__)


class PolicyFileUnusable(Exception):  # noqa: N818 (it says what happened)
    """The file that a coordinator was to start with is bad; the text says where and why, in one line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """What was found: the content of the file, or why it has none. key tells two looks apart."""

    key: str
    content: bytes = b""
    unreadable: str = ""
    changed_at_ns: int = 0

    def parse(self) -> PolicyFile:
        """What the file says. Raises PolicyFault."""
        if self.unreadable:
            raise PolicyFault(0, "", self.unreadable)
        return parse(self.content)


class PolicyWatch:
    """The policy file of this replica. `load` before anything else, then `begin`, `close` at the end."""

    def __init__(self, path: Path, clock: Clock, poll_seconds: float) -> None:
        self.looks = 0
        """How often the file was looked at since `begin`."""
        self._path = path
        self._clock = clock
        self._poll_seconds = poll_seconds
        self._owned: Callable[[], Iterable[LocalNamespace]] = tuple
        self._file = PolicyFile(policies=(), agent_capabilities=(), digest="")
        self._loaded_at_ns = 0
        self._changed_monotonic_ns = 0
        self._fault = ""
        self._failing_since_ns = 0
        self._judged = ""
        self._candidate = ""
        self._hurried = False
        self._woken: asyncio.Future[None] | None = None
        self._watching: asyncio.Task[None] | None = None

    def load(self) -> None:
        """Reads the file for the first time. Raises PolicyFileUnusable."""
        look = _look(self._path)
        try:
            file = look.parse()
        except PolicyFault as fault:
            raise PolicyFileUnusable(f"policy file {self._path}: {fault}") from None
        self._judged = look.key
        self._take(file, unchanged_ns=max(0, self._clock.wall_ns() - look.changed_at_ns))

    def begin(self, owned: Callable[[], Iterable[LocalNamespace]]) -> None:
        """Looks at the file from now on, and tells those namespaces of changes."""
        self._owned = owned
        self._watching = asyncio.get_running_loop().create_task(self._watch())

    async def close(self) -> None:
        """Looks no more."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)

    def reload(self) -> None:
        """Has a look at once, and takes what is there without a second one."""
        self._hurried = True
        self._wake()

    def tell(self, namespace: LocalNamespace) -> None:
        """Gives a namespace the policies of the file, ahead of whatever comes after."""

        def told(outcome: Outcome) -> None:
            if isinstance(outcome, Rejection):
                if not isinstance(outcome, Unavailable):
                    _log.error("namespace %s does not take the policies: %s", namespace.namespace, outcome.message)
            elif namespace.sequencer.state.policies_digest != file.digest and file is self._file:
                _log.warning("namespace %s keeps newer policies than those of %s", namespace.namespace, self._path)

        file = self._file
        command = ChangePolicies(
            policies=file.policies,
            digest=file.digest,
            agent_capabilities=file.agent_capabilities,
            unchanged_ns=self._clock.monotonic_ns() - self._changed_monotonic_ns,
        )
        namespace.submit(command, COORDINATOR, told)

    def status(self) -> PolicyFileStatus:
        """What is in use, and what is wrong with the file as it is now."""
        return PolicyFileStatus(
            digest=self._file.digest,
            loaded_at_ns=self._loaded_at_ns,
            fault=self._fault,
            failing_since_ns=self._failing_since_ns,
        )

    # Looking.

    async def _watch(self) -> None:
        while True:
            await self._pause()
            hurried, self._hurried = self._hurried, False
            try:
                await self._consider(await asyncio.to_thread(_look, self._path), hurried=hurried)
            except Exception:
                _log.exception("the policy file %s could not be looked at", self._path)
            self.looks += 1

    async def _pause(self) -> None:
        if self._hurried:
            return
        self._woken = asyncio.get_running_loop().create_future()
        timer = self._clock.call_later(self._poll_seconds, self._wake)
        try:
            await self._woken
        finally:
            timer.cancel()

    def _wake(self) -> None:
        if self._woken is not None and not self._woken.done():
            self._woken.set_result(None)

    async def _consider(self, look: _Look, *, hurried: bool) -> None:
        """Judges what was found if it is new, and was there the last time too."""
        before, self._candidate = self._candidate, look.key
        if look.key == self._judged or not (hurried or look.key == before):
            return
        self._judged = look.key
        try:
            file = await asyncio.to_thread(look.parse)
        except PolicyFault as fault:
            self._refuse(fault)
            return
        if self._fault:
            _log.info("policy file %s: can be used again", self._path)
        self._fault, self._failing_since_ns = "", 0
        if file.digest != self._file.digest:
            self._take(file, unchanged_ns=0)
            for namespace in self._owned():
                self.tell(namespace)

    def _refuse(self, fault: PolicyFault) -> None:
        _log.error("policy file %s: %s; the policies of %s stay", self._path, fault, self._file.digest[:12])
        if not self._fault:
            self._failing_since_ns = self._clock.wall_ns()
        self._fault = str(fault)

    def _take(self, file: PolicyFile, *, unchanged_ns: int) -> None:
        self._file = file
        self._loaded_at_ns = self._clock.wall_ns()
        self._changed_monotonic_ns = self._clock.monotonic_ns() - unchanged_ns
        names = ", ".join(policy.name for policy in file.policies)
        _log.info("policy file %s: digest %s, policies %s", self._path, file.digest[:12], names)


def _look(path: Path) -> _Look:
    try:
        # Not to wait for the other end of a pipe, should the path lead to one.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            os.close(descriptor)
            return _unreadable("is not a file")
        with os.fdopen(descriptor, "rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
        # A link that leads elsewhere since is a change, too.
        changed_at_ns = max(found.st_ctime_ns, os.lstat(path).st_ctime_ns)
    except OSError as error:
        return _unreadable(f"cannot be read: {error.strerror}")
    return _Look(key=digest_of(content), content=content, changed_at_ns=changed_at_ns)


def _unreadable(why: str) -> _Look:
    return _Look(key=why, unreadable=why)
