"""Chromium: found on this machine, started headless, driven through Playwright."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from playwright.async_api import Browser, async_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
REBOUND = "rebound.example"
"""A name that leads this browser to this machine, as an attacker's name server may let it."""
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-dev-shm-usage",
    f"--host-resolver-rules=MAP {REBOUND} 127.0.0.1",
]
START_MS_MAX = 60_000


def executable() -> str | None:
    """Where a Chromium is, if there is one."""
    given = os.environ.get("CONCERT_CHROMIUM")
    return given or next(filter(None, map(shutil.which, NAMES)), None)


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """One that runs."""
    path = executable()
    assert path is not None, "there is no Chromium"
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=ARGUMENTS, timeout=START_MS_MAX)
        try:
            yield browser
        finally:
            await browser.close()
