"""A coordinator that measures itself: for how long, in CPU time, each turn of the loop went to those who look.

    python -m benchmarks.page_turns --ready-file FILE [settings of the coordinator]

On SIGTERM it stops, and writes the turns of the page, the scrape and the fold that both read as JSON to the file that
PAGE_TURNS names. What a decision waits for those who look is one such turn; unlike a time on the clock, this does not
depend on what else the machine does. The loop is asyncio's own: its turns can be looked at.
"""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from time import thread_time
from types import CoroutineType
from typing import Any

from coordinator_service.__main__ import main as serve

LOOKING = ("Watch.", "RequestHandler.", "Snapshotter.")
"""Coroutines whose turns count: of the page's feeds, of HTTP, of the fold."""


def _measured(turns: list[float]) -> None:
    """Has every turn of an asyncio loop measured from now on."""
    run = asyncio.Handle._run

    def measured(handle: Any) -> None:
        task = getattr(handle._callback, "__self__", None)
        coroutine = task.get_coro() if isinstance(task, asyncio.Task) else None
        if isinstance(coroutine, CoroutineType) and _looks(coroutine):
            began = thread_time()
            run(handle)
            turns.append(thread_time() - began)
        else:
            run(handle)

    asyncio.Handle._run = measured  # type: ignore[attr-defined]


def _looks(coroutine: Any) -> bool:
    name = coroutine.__qualname__
    if name.endswith("_spawn.<locals>.watched"):  # what a namespace runs beside decisions
        inner = coroutine.cr_await
        name = getattr(inner, "__qualname__", "")
    return name.startswith(LOOKING)


def main() -> None:
    """The entry point."""
    turns: list[float] = []
    _measured(turns)
    try:
        serve()
    finally:
        Path(os.environ["PAGE_TURNS"]).write_text(json.dumps(sorted(turns)))


if __name__ == "__main__":
    main()
