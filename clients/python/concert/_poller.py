"""Keeps one harmless fault of grpc.aio out of the logs.

grpc.aio has one poller for the process, which wakes every event loop that ever used it; the loops that come
second find nothing to read and log a BlockingIOError. A process that hosts agents may use two loops (see
agent/_io_thread.py), so this fault, and no other, is dropped.
"""

from __future__ import annotations

import asyncio
import weakref
from typing import Any

_quiet: weakref.WeakSet[asyncio.AbstractEventLoop] = weakref.WeakSet()


def quiet_poller(loop: asyncio.AbstractEventLoop) -> None:
    """Has `loop` drop that fault and treat every other one as before. Once per loop."""
    if loop in _quiet:
        return
    _quiet.add(loop)
    before = loop.get_exception_handler()

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        late = isinstance(context.get("exception"), BlockingIOError)
        if late and "PollerCompletionQueue._handle_events" in str(context.get("message")):
            return
        if before is None:
            loop.default_exception_handler(context)
        else:
            before(loop, context)

    loop.set_exception_handler(handle)
