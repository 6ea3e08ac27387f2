"""A stand-in for the attempt: real locks within the process, rising fencing tokens, and a record of what was said."""

from __future__ import annotations

import asyncio
import itertools
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from agent_service.infrastructure.local import LocalProvider
from agent_service.infrastructure.provisioning import provision
from agent_service.site import Site

DOMAIN = "blog.concert.test"
TOKENS = itertools.count(1)
BLOG = Path(__file__).parents[2] / "agent_service" / "blog"


@dataclass
class Held:
    fencing_token: int


class RecordingAttempt:
    def __init__(self, tokens: Iterator[int] | None = None) -> None:
        self.said: list[tuple[float, str]] = []
        self.locked: list[str] = []
        self._locks: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._tokens = tokens or TOKENS

    async def progress(self, fraction: float, message: str = "") -> None:
        self.said.append((fraction, message))

    @asynccontextmanager
    async def lock(self, *resources: str, guards: str = "", **_: Any) -> AsyncIterator[Held]:
        (resource,) = resources
        async with self._locks[resource]:
            self.locked.append(resource)
            yield Held(next(self._tokens))


@pytest.fixture
def attempt() -> RecordingAttempt:
    return RecordingAttempt()


@pytest.fixture
async def provider(tmp_path: Path) -> AsyncIterator[LocalProvider]:
    root = tmp_path / "provider"
    provider = LocalProvider(root, token_file=root / "account" / "token")
    provider.account.open()
    provider.account.claim(DOMAIN)
    async with provider:
        yield provider


@pytest.fixture
async def site(provider: LocalProvider, attempt: RecordingAttempt) -> Site:
    return await provision(DOMAIN, provider, attempt)


def write_post(directory: Path, name: str, body: str, **front: Any) -> Path:
    """A post whose front matter is good unless `front` says otherwise; a value of None leaves the field out."""
    fields = {"title": name.title(), "date": "2026-10-01", "summary": f"About {name}.", "author": "Concert"} | front
    lines = [f"{field}: {value}" for field, value in fields.items() if value is not None]
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{name}.md"
    path.write_text("---\n" + "\n".join(lines) + "\n---\n\n" + body + "\n")
    return path


@pytest.fixture
def small_blog(tmp_path: Path) -> list[Path]:
    """Two sources whose posts link to each other, with one image."""
    first, second = tmp_path / "blog" / "first", tmp_path / "blog" / "second"
    write_post(
        first, "one", "See [two](../second/two.md).\n\n![A square](square.png)\n\n## Part\n\nText.", tags="[a, b]"
    )
    write_post(second, "two", "Back to [one](../first/one.md#part).\n\n```python\nprint('hello')\n```", tags="[b]")
    Image.linear_gradient("L").resize((600, 400)).convert("RGB").save(first / "square.png")
    return [first, second]
