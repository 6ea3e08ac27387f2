"""What execute is handed: the task, and everything the agent may say and ask while it works on it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any


class PreviousResults(Mapping[str, Any]):
    """Results of the direct dependencies by task id; an agent name finds the result of its one task as well."""

    def __getitem__(self, name: str) -> Any: raise NotImplementedError
    def __iter__(self) -> Iterator[str]: raise NotImplementedError
    def __len__(self) -> int: raise NotImplementedError
    def by_agent(self, agent_name: str) -> dict[str, Any]: raise NotImplementedError


class TaskContext:
    """One attempt."""

    namespace: str
    run_id: str
    task_id: str
    attempt: int
    attempt_token: int
    capability: str
    agent_name: str
    input: Any
    run_context: Any
    deadline: datetime
    locks: Mapping[str, Any]
    traceparent: str
    metadata: Mapping[str, str]
    previous_results: PreviousResults
    cancelled: asyncio.Event
    state: Any

    def time_left(self) -> float: raise NotImplementedError
    async def progress(self, fraction: float, message: str = "") -> None: raise NotImplementedError
    async def publish(self, name: str, data: Any = None, *, metadata: Mapping[str, str] | None = None) -> int: raise NotImplementedError
    def set_state(self, updates: Mapping[str, Any], *, strategy: str = "merge", prefix: str = "", base_revision: int | None = None) -> None: raise NotImplementedError
    def lock(self, *resources: str, mode: str = "exclusive", wait: float | None = None, guards: str = "") -> Any: raise NotImplementedError
    async def submit_run(self, **spec: Any) -> Any: raise NotImplementedError
