"""`python -m tests.security`: measures the table of permissions again and writes it into docs/security.md."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from tests.security import table
from tests.security.secured import secured


async def main() -> None:
    """The command."""
    with tempfile.TemporaryDirectory() as directory:
        async with secured(Path(directory)) as server:
            table.write(table.as_markdown(await table.measure(server)))


if __name__ == "__main__":
    asyncio.run(main())
