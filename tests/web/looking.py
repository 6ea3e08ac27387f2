"""Looking at a page in Chromium. Left out where there is none, unless CONCERT_REQUIRE_BROWSER=1 forbids that."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, expect

from .chromium import executable

REQUIRED = os.environ.get("CONCERT_REQUIRE_BROWSER") == "1"
PATIENCE_MS = 60_000
CONTRAST = (Path(__file__).parent / "contrast.js").read_text()
NAMELESS = (Path(__file__).parent / "nameless.js").read_text()
IN_CHROMIUM = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(
        executable() is None and not REQUIRED,
        reason="the live page was not tested in a browser: no Chromium is installed (on Debian: apt install chromium)",
    ),
    pytest.mark.timeout(240),
]
expect.set_options(timeout=PATIENCE_MS)


@asynccontextmanager
async def looking(browser: Browser, address: str, path: str = "", **options: Any) -> AsyncIterator[Page]:
    """A page that may not say anything on its console: neither a fault of ours nor a breach of its policy."""
    context = await browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
    context.set_default_timeout(PATIENCE_MS)
    page = await context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: said.append(f"error: {error}"))
    page.on("dialog", lambda dialog: said.append(f"dialog: {dialog.message}"))
    page.on("request", lambda request: address not in request.url and said.append(f"elsewhere: {request.url}"))
    try:
        await page.goto(f"http://{address}/#/{path}")
        await expect(page.locator(".link-live")).to_be_visible()
        yield page
        assert [each for each in said if not _is_loss(each)] == []
    finally:
        await context.close()


def _is_loss(said: str) -> bool:
    """What Chromium says itself when a coordinator is gone for a while."""
    return "net::ERR_" in said or "Failed to load resource" in said
