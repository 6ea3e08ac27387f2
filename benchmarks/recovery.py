"""Recovers a namespace as a coordinator that starts does, and prints how long it took, as JSON.

python -m benchmarks.recovery DIRECTORY [--without-snapshots]
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import time
from pathlib import Path
from typing import Any

from benchmarks.past import NAMESPACE, left_in_memory
from coordinator_service.__main__ import GC_THRESHOLDS
from coordinator_service.config import SQLITE_FILE
from coordinator_service.log.base import EventLog, Snapshot
from coordinator_service.log.sqlite import SqliteStore
from coordinator_service.snapshots import recover


async def recovered(directory: Path, *, with_snapshots: bool) -> dict[str, Any]:
    """From opening the store to a state that can decide, in seconds and in CPU time, and what there is then."""
    began, cpu = time.perf_counter(), time.process_time()
    store = SqliteStore(directory / SQLITE_FILE)
    log: EventLog = await store.open(NAMESPACE)
    if not with_snapshots:

        async def none() -> list[Snapshot]:
            return []

        log.snapshots = none  # type: ignore[method-assign]
    fold = await recover(log)
    took, cpu = time.perf_counter() - began, time.process_time() - cpu
    await store.close()
    return {"seconds": took, "cpu_seconds": cpu, "events": fold.state.sequence, **left_in_memory(fold.state)}


def main() -> None:
    """The entry point."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recovery")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--without-snapshots", action="store_true")
    given = parser.parse_args()
    gc.set_threshold(*GC_THRESHOLDS)
    print(json.dumps(asyncio.run(recovered(given.directory, with_snapshots=not given.without_snapshots))))


if __name__ == "__main__":
    main()
