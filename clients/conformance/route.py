"""The way from a scenario's client to its coordinator: straight, over a network that fails, past a middlebox."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from clients.conformance.certificates import make_certificates
from clients.conformance.middlebox import Middlebox
from clients.conformance.network import Network
from clients.conformance.scenario import Scenario

_MIDDLEBOX = frozenset({"contract", "refuse", "drop", "late_welcome", "tls"})


class Route:
    """`place` is what a client is told; `variables` what the scenario may say besides."""

    def __init__(self, scenario: Scenario, coordinator: Callable[[], Any]) -> None:
        """`coordinator` says where it is: HOST:PORT; of several replicas a list, and nothing is between then."""
        self.place: dict[str, Any] = {}
        self.variables: dict[str, Any] = {}
        self.network: Network | None = None
        self._wanted = scenario.network
        self._coordinator = coordinator
        self._middlebox: Middlebox | None = None
        self._directory: tempfile.TemporaryDirectory[str] | None = None

    async def start(self) -> None:
        """Sets up what the scenario wants between the two."""
        wanted = self._wanted
        if wanted is None:
            self.place["address"] = self._coordinator()
        elif _MIDDLEBOX & set(wanted):
            await self._past_a_middlebox(wanted)
        else:
            self.network = Network(
                self._coordinator,
                split_bytes=wanted.get("split_bytes", 0),
                coalesce_seconds=wanted.get("coalesce_ms", 0) / 1000,
            )
            await self.network.start()
            self.place["address"] = self.network.address
        self.variables["address"] = self.place["address"]

    async def _past_a_middlebox(self, wanted: dict[str, Any]) -> None:
        self._middlebox = Middlebox(
            self._coordinator(),
            contract=wanted.get("contract", ""),
            refuse=wanted.get("refuse"),
            drop=wanted.get("drop", ()),
            late_welcome=wanted.get("late_welcome", 0),
        )
        certificates = None
        if wanted.get("tls"):
            self._directory = tempfile.TemporaryDirectory(prefix="concert-certificates-")
            directory = Path(self._directory.name)
            certificates = make_certificates(directory, "root")
            self.variables["other_root"] = str(make_certificates(directory, "other").root_file)
            self.place["root_certificate"] = str(certificates.root_file)
        await self._middlebox.start(certificates)
        self.place["address"] = self._middlebox.address

    async def stop(self) -> None:
        """Takes it down."""
        if self.network is not None:
            await self.network.stop()
        if self._middlebox is not None:
            await self._middlebox.stop()
        if self._directory is not None:
            self._directory.cleanup()
