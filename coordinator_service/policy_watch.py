"""The policy file of this replica: followed while it changes, and told to every namespace (P1, P2)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from coordinator_service.clock import Clock
from coordinator_service.core.commands import COORDINATOR, ChangePolicies
from coordinator_service.core.rejections import Rejection, Unavailable
from coordinator_service.file_watch import FileWatch
from coordinator_service.local_namespace import LocalNamespace
from coordinator_service.policy_file import FILE_BYTES_MAX, PolicyFile, parse
from coordinator_service.ports import Outcome
from coordinator_service.rpc.monitor_servicer import PolicyFileStatus

_log = logging.getLogger(__name__)


class PolicyWatch:
    """`load` before anything else, then `begin`, `close` at the end."""

    def __init__(self, path: Path, clock: Clock, poll_seconds: float) -> None:
        self._path = path
        self._clock = clock
        self._watch = FileWatch("policy file", (path,), _read, clock, poll_seconds, bytes_max=FILE_BYTES_MAX)
        self._owned: Callable[[], Iterable[LocalNamespace]] = tuple
        self._file = PolicyFile(policies=(), agent_capabilities=(), digest="")

    @property
    def looks(self) -> int:
        """How often the file was looked at since `begin`."""
        return self._watch.looks

    def load(self) -> None:
        """Reads the file for the first time. Raises FileUnusable."""
        self._take(self._watch.load())

    def begin(self, owned: Callable[[], Iterable[LocalNamespace]]) -> None:
        """Looks at the file from now on, and tells those namespaces of changes."""
        self._owned = owned
        self._watch.begin(self._change)

    async def close(self) -> None:
        """Looks no more."""
        await self._watch.close()

    def reload(self) -> None:
        """Has a look at once, and takes what is there without a second one."""
        self._watch.reload()

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
            unchanged_ns=self._clock.monotonic_ns() - self._watch.changed_monotonic_ns,
        )
        namespace.submit(command, COORDINATOR, told)

    def status(self) -> PolicyFileStatus:
        """What is in use, and what is wrong with the file as it is now."""
        return PolicyFileStatus(
            digest=self._file.digest,
            loaded_at_ns=self._watch.loaded_at_ns,
            fault=self._watch.fault,
            failing_since_ns=self._watch.failing_since_ns,
        )

    def _change(self, file: PolicyFile) -> None:
        self._take(file)
        for namespace in self._owned():
            self.tell(namespace)

    def _take(self, file: PolicyFile) -> None:
        self._file = file
        names = ", ".join(policy.name for policy in file.policies)
        _log.info("policy file %s: policies %s", self._path, names)


def _read(contents: Sequence[bytes]) -> PolicyFile:
    return parse(contents[0])
