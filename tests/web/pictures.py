"""The pictures in docs/pictures, made anew: `python -m tests.web.pictures docs/pictures`.

A coordinator with the scene of scene.py on it and a release on its way, in a real Chromium.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path
from typing import Any

import concert
from playwright.async_api import Browser, expect

from tests.rpc.serving import serving

from .chromium import chromium
from .scene import STUCK_RUN, STUCK_TASK, release_tasks, scene

RUN = "release-1.5"
SLOWER = 6.0
STUCK = f"run/{STUCK_RUN}?x=run_id%3D{STUCK_RUN}%26task_id%3D{STUCK_TASK}"
TRACES = "http://127.0.0.1:16686/trace/{trace_id}"
PICTURES = (
    ("page-now", "now", "dark", 1440, 900, ""),
    ("page-run", f"run/{RUN}", "dark", 1440, 1060, ""),
    ("page-why", STUCK, "light", 1440, 860, ""),
    ("page-phone", f"run/{STUCK_RUN}", "dark", 390, 844, ""),
    ("page-act", "locks", "light", 1180, 560, "Release database/migrations, held by alice"),
)
"""Name, view, scheme, width, height, and the button that is clicked before."""


async def main(directory: Path) -> None:
    """Makes them, in a directory that is there."""
    with tempfile.TemporaryDirectory() as data:
        async with (
            serving(Path(data), web_listen="127.0.0.1:0", trace_url=TRACES) as server,
            concert.connect(server.address) as client,
            scene(client, server.address),
            chromium() as browser,
        ):
            release = await client.submit_run(run_id=RUN, name="Release 1.5", tasks=release_tasks(SLOWER))
            while "package" not in _running(await release.get()):  # noqa: ASYNC110 (a picture of a moment)
                await asyncio.sleep(0.1)
            for name, view, scheme, width, height, clicked in PICTURES:
                await _picture(
                    browser, f"http://{server.web_address}/#/{view}", directory / name, scheme, width, height, clicked
                )


def _running(run: Any) -> set[str]:
    return {task.task_id for task in run.tasks if task.HasField("assigned_at") and not task.HasField("finished_at")}


async def _picture(
    browser: Browser, address: str, file: Path, scheme: Any, width: int, height: int, clicked: str
) -> None:
    page = await browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
    await page.goto(address)
    await expect(page.locator(".link-live")).to_be_visible()
    await expect(page.locator("main .empty", has_text="Waiting for")).to_have_count(0)
    if clicked:
        await page.get_by_role("button", name=clicked).click()
    await page.wait_for_timeout(1200)
    await page.screenshot(path=str(file.with_suffix(".png")))
    await page.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
