"""Requests that wait at the owner of a namespace, as long as the wire lasts over which they were asked."""

from __future__ import annotations

from dataclasses import dataclass

from coordinator_service.local_namespace import LocalNamespace
from coordinator_service.ports import Respond


@dataclass(frozen=True, slots=True)
class _Wait:
    respond: Respond
    of_session: bool


class RelayedWaits:
    """Of one wire. A request that was asked for again over the same wire waits once for each."""

    def __init__(self) -> None:
        self._waits: dict[tuple[LocalNamespace, int], dict[int, _Wait]] = {}

    def note(
        self, namespace: LocalNamespace, request_sequence: int, number: int, respond: Respond, *, of_session: bool
    ) -> None:
        """One begins. number is that of the question, respond the very one that was submitted; whether it ends with a
        session."""
        self._waits.setdefault((namespace, request_sequence), {})[number] = _Wait(respond, of_session)

    def forget(self, namespace: LocalNamespace, request_sequence: int, number: int) -> None:
        """It is answered."""
        asked = self._waits.get((namespace, request_sequence), {})
        asked.pop(number, None)
        if not asked:
            self._waits.pop((namespace, request_sequence), None)

    def withdraw(self, namespace: LocalNamespace, request_sequence: int) -> None:
        """Of those who asked the first goes; not who asked for the same again, here or elsewhere."""
        for wait in self._waits.get((namespace, request_sequence), {}).values():
            namespace.withdraw(request_sequence, wait.respond)
            return

    def leave(self) -> None:
        """The wire is lost. What a session waits for stays with it; the rest ends unless it is asked for again."""
        waits, self._waits = self._waits, {}
        for (namespace, request_sequence), asked in waits.items():
            for wait in asked.values():
                if not wait.of_session:
                    namespace.withdraw_unless_asked_again(request_sequence, wait.respond)
