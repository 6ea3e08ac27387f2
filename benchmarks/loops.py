"""The event loop of every process of a benchmark: the same for the ceilings, for Concert and for the load."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Coroutine
from typing import Any, Final

LOOPS: Final = ("asyncio", "uvloop")
LOOP_DEFAULT: Final = "asyncio" if importlib.util.find_spec("uvloop") is None else "uvloop"
"""As the coordinator's own default."""


def run(main: Coroutine[Any, Any, Any], loop: str) -> Any:
    """As asyncio.run, on the loop of that name."""
    if loop == "uvloop":
        import uvloop

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(main)
    return asyncio.run(main)
