"""The coordinator's own log: lines for people or JSON for machines, and at debug a line for each decision.

The lines of decisions come from a follower of the committed log, so that a decision does not write them: each says the
namespace, the sequence and the trace. At info the log is quiet: it tells of the coordinator, not of what it decides.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any, Final

from coordinator_service.core.events import Event
from coordinator_service.core.rejections import Rejection
from coordinator_service.ports import Follower
from coordinator_service.telemetry.log_export import ExportedLog
from coordinator_service.telemetry.trace_ids import SPAN_ID, TRACE_ID

DECISIONS: Final = "coordinator_service.decisions"
_TEXT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_FIELDS = "concert"
"""The attribute of a record that holds what a line says beside its message."""

_decisions = logging.getLogger(DECISIONS)


def begin(level: str, line_format: str) -> None:
    """Has everything that is logged written to standard error."""
    out = logging.StreamHandler(sys.stderr)
    out.setFormatter(JsonLines() if line_format == "json" else logging.Formatter(_TEXT))
    logging.basicConfig(level=level.upper(), handlers=[out], force=True)


class JsonLines(logging.Formatter):
    """A JSON object a line, in UTF-8, whatever is in the message: time, level, logger, message, and what the record
    says beside it; of a failure type, message and stack trace."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        moment = datetime.fromtimestamp(record.created, UTC)
        line: dict[str, Any] = {
            "time": moment.isoformat(timespec="microseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, _FIELDS, {}),
        }
        if record.exc_info and record.exc_info[0] is not None:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str).encode(errors="replace").decode()


class DecisionLines:
    """Writes them for the namespaces of this coordinator. Nothing is followed while nobody would read it."""

    def __init__(self) -> None:
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def begin(self, log: ExportedLog) -> None:
        """A namespace is owned here from now on."""
        if _decisions.isEnabledFor(logging.DEBUG):
            before = self._tasks.get(log.namespace)
            if before is not None:
                before.cancel()
            self._tasks[log.namespace] = asyncio.create_task(_follow(log))

    async def close(self) -> None:
        """Writes no more."""
        tasks, self._tasks = list(self._tasks.values()), {}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _follow(log: ExportedLog) -> None:
    try:
        follower: Follower = await log.follow(max(0, log.last_sequence - 1), log.log_id)
        while True:
            for each in await follower.read(events_max=100):
                _say(log.namespace, each.event)
            await asyncio.sleep(0)
    except Rejection:
        return  # dropped; its next owner goes on


def _say(namespace: str, event: Event) -> None:
    fields: dict[str, Any] = {
        "namespace": namespace,
        "sequence": event.sequence,
        "event": event.type.name,
        "reason": event.reason,
    }
    for name in ("cause", "agent_id", "agent_name", "run_id", "task_id", "principal"):
        value = getattr(event, name)
        if value:
            fields[name] = value
    if event.traceparent:
        fields["trace_id"] = event.traceparent[TRACE_ID]
        fields["span_id"] = event.traceparent[SPAN_ID]
    about = " ".join(str(fields[name]) for name in ("agent_name", "run_id", "task_id") if name in fields)
    message = f"{namespace}/{event.sequence} {event.type.name} {event.reason} {about}".rstrip()
    _decisions.debug("%s", message, extra={_FIELDS: fields})
