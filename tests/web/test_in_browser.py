"""The live page in a real Chromium: each view, live, after a restart, with hostile text, by keyboard, on a phone.

Left out where there is no Chromium; CONCERT_REQUIRE_BROWSER=1 makes that a failure, as CI does.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import concert
import pytest
import pytest_asyncio
from concert.agent import AgentHost
from playwright.async_api import Browser, Page, expect

from coordinator_service.server import CoordinatorServer
from tests.coordinator_process import coordinator_process
from tests.rpc.serving import serving

from .chromium import chromium
from .looking import CONTRAST, IN_CHROMIUM, NAMELESS, PATIENCE_MS, looking
from .scene import STUCK_RUN, STUCK_TASK, Crew, layered_tasks, scene

HOSTILE = (
    "<script>document.title='pwned'</script>",
    '"><img src=x onerror="document.title=\'pwned\'">',
    "'; alert(1); //",
    "line one\nline two\t{{7*7}} ${7*7}",
    "\u202egnp.exe\u0000\u2028\u2029 ‮ 💥",
)
LATER = """
const now = performance.now.bind(performance), loaded = now();
let ahead = 10_000;
performance.now = () => now() + ahead;
window.later = (times) => { ahead += (performance.now() - loaded) * (times - 1); };
"""
"""Makes the page's clock run ahead: by so many times what has passed."""
VIEWS = ("now", "runs", f"run/{STUCK_RUN}", "run/release-1.4", "agents", "locks", "state", "events")

pytestmark = IN_CHROMIUM


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as started:
        yield started


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[CoordinatorServer]:
    """A coordinator with the scene on it, for tests that only look."""
    directory = tmp_path_factory.mktemp("stage")
    async with (
        serving(directory, web_listen="127.0.0.1:0") as server,
        concert.connect(server.address) as client,
        scene(client, server.address),
    ):
        yield server


async def texts(page: Page, selector: str) -> list[str]:
    return [" ".join(text.split()) for text in await page.locator(selector).all_inner_texts()]


async def until(page: Page, holds: Callable[[], Any]) -> None:
    """Awaits something of the test's own process."""
    async with asyncio.timeout(PATIENCE_MS / 1000):
        while not holds():  # noqa: ASYNC110 (nothing tells)
            await asyncio.sleep(0.05)


async def test_from_a_stuck_task_to_its_reason_in_one_click(browser: Browser, stage: CoordinatorServer) -> None:
    """The first page says why; a click says what led to it and what else there is to know."""
    async with looking(browser, stage.web_address) as page:
        row = page.locator(".row.wait", has_text=STUCK_TASK)
        await expect(row).to_contain_text("no agent with the capability 'sign' is connected")
        await row.click()
        why = page.get_by_role("complementary", name="Explanation")
        await expect(why).to_contain_text(
            f"task {STUCK_RUN}/{STUCK_TASK} is READY: no agent with the capability 'sign'"
        )
        await expect(why).to_contain_text("RUN_SUBMITTED")


async def test_a_waiting_lock_leads_to_its_holder(browser: Browser, stage: CoordinatorServer) -> None:
    """Who holds it, who waits in which order, and from there to the lock."""
    async with looking(browser, stage.web_address, "locks") as page:
        card = page.locator(".card", has_text="database/migrations")
        await expect(card.locator(".holder")).to_contain_text("alice")
        assert [text.split()[1] for text in await texts(card.locator(".queue").page, ".queue li")] == ["bob", "carol"]
        await card.get_by_role("link", name="database/migrations").click()
        why = page.get_by_role("complementary", name="Explanation")
        await expect(why).to_contain_text("is held exclusive by alice; 2 wait for it")


async def test_a_run_shows_waiting_and_executing_apart(browser: Browser, stage: CoordinatorServer) -> None:
    """The timeline, the critical path in it and in the graph, and the reason beside each task that waits."""
    async with looking(browser, stage.web_address, "run/release-1.4") as page:
        rows = page.locator(".trow")
        await expect(rows).to_have_count(13)
        await expect(page.locator(".trow.on-path")).not_to_have_count(0)
        assert await page.locator(".trow.on-path").count() == await page.locator(".node.on-path").count()
        await expect(page.locator(".edge.critical")).not_to_have_count(0)
        docs = page.locator(".trow", has_text="build docs")
        boxes = [await docs.locator(f".bar.{kind}").bounding_box() for kind in ("waited", "executed")]
        waited, executed = boxes
        assert waited is not None
        assert executed is not None
        assert waited["x"] + waited["width"] <= executed["x"] + 2
        await expect(page.locator(".makespan")).to_contain_text("critical path")
        await page.get_by_role("button", name="Critical path").click()
        await expect(rows).to_have_count(await page.locator(".node.on-path").count())
        await page.goto(page.url.replace("release-1.4", STUCK_RUN))
        await expect(page.locator(".trow", has_text="second roll out")).to_contain_text("no free slot: deployer-1")


async def test_a_run_of_one_task_is_drawn_no_larger_than_it_reads(browser: Browser, tmp_path: Path) -> None:
    """The picture of a small graph does not fill the page, and words end with their card."""
    wide = "W" * 40
    async with (
        serving(tmp_path, web_listen="127.0.0.1:0") as server,
        concert.connect(server.address) as client,
    ):
        await client.submit_run(run_id="one", tasks=[concert.task(wide, capability=wide)])
        async with looking(browser, server.web_address, "run/one") as page:
            plate = await page.locator(".node .plate").bounding_box()
            assert plate is not None
            assert plate["width"] < 260
            for line in ("id", "sub"):
                words = await page.locator(f".node .{line}").bounding_box()
                assert words is not None
                assert words["x"] + words["width"] < plate["x"] + plate["width"]
                await expect(page.locator(f".node .{line}")).to_contain_text("…")
            await page.goto(f"http://{server.web_address}/#/events")
            await expect(page.locator("main")).to_contain_text("was submitted with 1 task")
            await expect(page.locator("main")).not_to_contain_text("1 tasks")


async def test_agents_state_conflicts_and_events_are_there(browser: Browser, stage: CoordinatorServer) -> None:
    """Load and circuits; both sides of a conflict and who stands; events with their causes, filtered."""
    async with looking(browser, stage.web_address, "agents") as page:
        await expect(page.locator(".card", has_text="deployer-1")).to_contain_text("1/1 slots")
        await expect(page.locator(".card", has_text="flaky-1")).to_contain_text("circuit")
        await expect(page.get_by_role("region", name="Figures by agent name")).to_contain_text("100 %")
        await page.goto(f"http://{stage.web_address}/#/state")
        sides = page.locator(".conflict .side")
        await expect(sides).to_have_count(2)
        await expect(sides.nth(0)).to_contain_text("marketing")
        await expect(sides.nth(1)).to_contain_text("founder")
        await expect(page.locator(".conflict")).to_contain_text("marketing stands")
        await expect(page.locator("tr", has_text="site/theme")).to_contain_text("green")
        await page.goto(f"http://{stage.web_address}/#/events")
        await page.get_by_role("button", name="Locks").click()
        await expect(page.locator(".row.event").first).to_contain_text("RESOURCE_")
        await expect(page.locator(".row.event", has_text="AGENT_")).to_have_count(0)
        await page.get_by_placeholder("Run id").fill("release-1.4")
        await expect(page.locator(".row.event", has_text="attempt/")).not_to_have_count(0)
        await expect(page.locator(".row.event", has_text="alice")).to_have_count(0)


async def test_an_event_is_explained_and_shown_in_full(browser: Browser, stage: CoordinatorServer) -> None:
    """Its cause, and that one's, as far as the request that began it."""
    async with looking(browser, stage.web_address, "events?type=AGENT_FAILED") as page:
        await page.locator(".row.event").first.click()
        why = page.get_by_role("complementary", name="Explanation")
        await expect(why.locator(".chain li")).not_to_have_count(0)
        await why.locator("summary").click()
        await expect(why.locator("pre")).to_contain_text('"error_type": "RuntimeError"')


async def test_what_happens_is_shown_while_it_happens(browser: Browser, tmp_path: Path) -> None:
    """An agent that comes, a run that goes on, progress: without anybody asking anew."""
    async with (
        serving(tmp_path, web_listen="127.0.0.1:0") as server,
        concert.connect(server.address) as client,
        looking(browser, server.web_address) as page,
    ):
        await expect(page.locator("#agents-now + *, .panel", has_text="No agent is connected")).not_to_have_count(0)
        await client.submit_run(
            run_id="live", tasks=[concert.task("a", capability="build", input={"seconds": 0.2, "steps": ["half way"]})]
        )
        await expect(page.locator(".row.wait")).to_contain_text("no agent with the capability 'build' is connected")
        async with AgentHost(Crew("builder", ["build"]), address=server.address):
            await expect(page.locator(".row.agent")).to_contain_text("builder-1")
            await expect(page.locator(".row.run")).to_contain_text("1/1")
            await expect(page.locator(".row.wait")).to_have_count(0)
        await expect(page.locator(".row.agent")).to_have_count(0)


async def test_a_restart_of_the_coordinator_is_survived(browser: Browser, tmp_path: Path) -> None:
    """SIGKILL: it is said, what was shown stays, and once the coordinator is back the page goes on by itself."""
    with coordinator_process(tmp_path, options=["--web-listen", "127.0.0.1:0"]) as process:
        web = json.loads((tmp_path / "ready.json").read_text())["web"]
        async with concert.connect(process.address) as client, looking(browser, web) as page:
            await client.submit_run(run_id="before", tasks=[concert.task("a", capability="nobody")])
            await expect(page.locator(".row.run")).to_contain_text("before")
            await asyncio.to_thread(process.kill)
            await expect(page.locator(".banner")).to_contain_text("Not connected")
            await expect(page.locator(".row.run")).to_contain_text("before")
            process._options[-1] = web
            await asyncio.to_thread(process.start)
            await expect(page.locator(".link-live")).to_be_visible()
            await expect(page.locator(".banner")).to_have_count(0)
            await client.submit_run(run_id="after", tasks=[concert.task("a", capability="nobody")])
            await expect(page.locator(".row.run", has_text="after")).to_be_visible()


async def test_names_and_payloads_stay_text(browser: Browser, tmp_path: Path) -> None:
    """Scripts, quotes, line breaks, marks that turn text around, a megabyte, bytes that are no text: nothing runs."""
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(serving(tmp_path, web_listen="127.0.0.1:0"))
        client = await stack.enter_async_context(concert.connect(server.address, writer=HOSTILE[0]))
        crew = Crew("builder", ["build"])
        crew.labels = {"label": HOSTILE[1]}
        await stack.enter_async_context(AgentHost(crew, address=server.address))
        run = await client.submit_run(
            run_id="hostile",
            name=HOSTILE[0],
            metadata={HOSTILE[1]: HOSTILE[2]},
            tasks=[
                concert.task("fails", capability="build", input={"steps": list(HOSTILE), "fails": HOSTILE[0]}),
                concert.task("waits", capability=HOSTILE[1][:100], locks=[HOSTILE[2]]),
            ],
        )
        await stack.enter_async_context(client.lock(HOSTILE[1], holder=HOSTILE[0]))
        base = await client.state.update({"hostile": dict.fromkeys(HOSTILE, HOSTILE), "large": "<b>" * 300_000})
        await client.state.update({"hostile": HOSTILE[0]})
        other = await stack.enter_async_context(concert.connect(server.address, writer=HOSTILE[1]))
        with pytest.raises(concert.StateConflictError):
            await other.state.update({"hostile": HOSTILE[1]}, base_revision=base)
        await client.publish("raw", b"\xff\xfe\x00<script>document.title='pwned'</script>")
        await client.publish(HOSTILE[0], {"text": "<img src=x onerror=alert(1)>" * 20_000})
        async with looking(browser, server.web_address) as page:
            views = ("now", "runs", f"run/{run.run_id}", "agents", "locks", "state", "events", "events?kind=custom")
            for view in views:
                await page.goto(f"http://{server.web_address}/#/{view}")
                await expect(page.locator("main .panel").first).to_be_visible()
                await expect(page.locator("main .empty", has_text="Waiting for")).to_have_count(0)
                assert (
                    await page.evaluate("document.querySelectorAll('main script, main img, main b > img').length") == 0
                )
                assert "pwned" not in (await page.title()).removeprefix(HOSTILE[0])
                assert await page.evaluate("document.title !== 'pwned'")
            await page.locator(".row.event", has_text="script").first.click()
            why = page.get_by_role("complementary", name="Explanation")
            await expect(why).to_contain_text("was published")
            await why.locator("summary").click()
            await expect(why.locator("pre")).to_contain_text("onerror=alert(1)")
            await page.goto(f"http://{server.web_address}/#/locks")
            await expect(page.locator(".card .what", has_text="onerror")).to_have_count(1)
            await page.goto(f"http://{server.web_address}/#/state")
            await expect(page.locator(".conflict")).to_contain_text("<script>")
            await expect(page.locator("tr", has_text="large")).to_contain_text("(900000 characters)")
            assert await page.evaluate("document.documentElement.outerHTML.length") < 500_000


async def test_strange_addresses_of_a_view_do_no_harm(browser: Browser, stage: CoordinatorServer) -> None:
    """Whatever stands behind the #: a view that is there, or a word about what is not."""
    for path in ("run/%3Cscript%3E", "run/%ff", "nothing", "locks?match=%ff", "now?x=run_id%3Dnowhere", "now?x=%25%25"):
        async with looking(browser, stage.web_address) as page:
            await page.evaluate("(path) => { location.hash = `#/${path}`; }", path)
            await expect(page.locator("main .panel").first).to_be_visible()
    async with looking(browser, stage.web_address, "run/nowhere") as page:
        await expect(page.get_by_role("alert")).to_contain_text("nowhere")


async def test_everything_is_reached_by_keyboard(browser: Browser, stage: CoordinatorServer) -> None:
    """Numbers go to the views, / to the filter, arrows from row to row, Enter explains, Escape closes."""
    async with looking(browser, stage.web_address) as page:
        for key, heading in (("3", "Agents"), ("4", "Locks"), ("5", "Shared state"), ("6", "Events"), ("2", "Runs")):
            await page.keyboard.press(key)
            await expect(page.get_by_role("heading", name=heading, exact=True)).to_be_visible()
        await expect(page.locator(".row.run").first).to_be_visible()  # the filter is there with what it filters
        await page.keyboard.press("/")
        await page.keyboard.type("night")
        await expect(page.locator(".row.run")).to_have_count(1)
        await page.keyboard.press("Escape")
        await page.goto(f"http://{stage.web_address}/#/run/{STUCK_RUN}")
        first = page.locator(".trow").first
        await first.focus()
        for _ in range(3):
            await page.keyboard.press("ArrowDown")
            await asyncio.sleep(0.1)
        await page.keyboard.press("End")
        await expect(page.locator('.trow[data-row="5"]')).to_be_focused()
        await page.keyboard.press("Home")
        await expect(page.locator('.trow[data-row="0"]')).to_be_focused()
        await page.keyboard.press("Enter")
        why = page.get_by_role("complementary", name="Explanation")
        await expect(why).to_contain_text(f"{STUCK_RUN}/compile")
        await page.keyboard.press("Escape")
        await expect(why).to_have_count(0)
        await page.keyboard.press("?")
        await expect(page.get_by_role("dialog", name="Keys")).to_be_visible()


@pytest.mark.parametrize("scheme", ["dark", "light"])
async def test_every_view_can_be_read_and_named(browser: Browser, stage: CoordinatorServer, scheme: Any) -> None:
    """WCAG 1.4.3: text has a contrast of 4.5; 4.1.2: what can be acted on has a name; 4.1.1: ids are used once."""
    async with looking(browser, stage.web_address, color_scheme=scheme) as page:
        assert await page.evaluate("document.documentElement.dataset.theme") == scheme
        for view in (*VIEWS, f"run/{STUCK_RUN}?x=run_id%3D{STUCK_RUN}%26task_id%3D{STUCK_TASK}"):
            await page.goto(f"http://{stage.web_address}/#/{view}")
            await expect(page.locator("main .panel").first).to_be_visible()
            await expect(page.locator("main .empty", has_text="Waiting for")).to_have_count(0)
            assert await page.evaluate(CONTRAST) == [], view
            assert await page.evaluate(NAMELESS) == [], view
            assert await page.locator("main").count() == 1
            ids = await page.evaluate("[...document.querySelectorAll('[id]')].map((each) => each.id)")
            assert len(ids) == len(set(ids)), view


async def test_the_theme_can_be_chosen_and_stays(browser: Browser, stage: CoordinatorServer) -> None:
    """Whatever the system prefers."""
    async with looking(browser, stage.web_address, color_scheme="dark") as page:
        await page.get_by_role("button", name="Use the light theme").click()
        await expect(page.locator("html")).to_have_attribute("data-theme", "light")
        await page.reload()
        await expect(page.locator("html")).to_have_attribute("data-theme", "light")


@pytest.mark.parametrize(("width", "height"), [(360, 740), (768, 1024), (1920, 1080)])
async def test_every_view_fits_every_screen(
    browser: Browser, stage: CoordinatorServer, width: int, height: int
) -> None:
    """Nothing sticks out at the side."""
    async with looking(browser, stage.web_address, viewport={"width": width, "height": height}) as page:
        for view in (*VIEWS, f"run/{STUCK_RUN}?x=run_id%3D{STUCK_RUN}%26task_id%3D{STUCK_TASK}"):
            await page.goto(f"http://{stage.web_address}/#/{view}")
            await expect(page.locator("main .panel").first).to_be_visible()
            await expect(page.locator("main .empty", has_text="Waiting for")).to_have_count(0)
            assert await page.evaluate("document.documentElement.scrollWidth") <= width, view


async def test_a_run_fits_a_phone_however_long_it_takes(browser: Browser, stage: CoordinatorServer) -> None:
    """The times along its axis grow, and stand at every place of it."""
    async with looking(browser, stage.web_address, viewport={"width": 360, "height": 740}) as page:
        await page.add_init_script(LATER)
        await page.reload()
        await page.goto(f"http://{stage.web_address}/#/run/{STUCK_RUN}")
        ticks = page.locator(".ticks")
        seen: set[str] = set()
        for _ in range(28):
            await expect(ticks).to_be_visible()
            before = await ticks.inner_html()
            await page.evaluate("later(1.15)")
            await expect(ticks).not_to_have_js_property("innerHTML", before)
            seen.update(await texts(page, ".ticks i"))
            assert await page.evaluate("document.documentElement.scrollWidth") <= 360, seen
        assert "5 m 00 s" in seen  # however old the stage is


async def test_a_large_run_keeps_the_document_small(browser: Browser, tmp_path: Path) -> None:
    """A thousand tasks: the rows in sight are in the document, any of the others is a key away."""
    async with (
        serving(tmp_path, web_listen="127.0.0.1:0") as server,
        concert.connect(server.address) as client,
        AgentHost(Crew("builder", ["build"], slots=50), address=server.address),
        looking(browser, server.web_address, "run/large") as page,
    ):
        await client.submit_run(run_id="large", tasks=layered_tasks(1000, 10))
        await expect(page.locator(".legend")).to_contain_text("1,000 succeeded")
        assert await page.locator(".trow").count() < 60
        await page.locator(".trow").first.focus()
        await page.keyboard.press("End")
        await expect(page.locator('.trow[data-row="999"]')).to_be_focused()
        await expect(page.locator(".node")).to_have_count(1000)


async def test_a_flood_of_events_does_not_stall_the_page(browser: Browser, tmp_path: Path) -> None:
    """Thousands of events beside a run of 500 tasks: the page goes on, and ends where the log does."""
    async with (
        serving(tmp_path, web_listen="127.0.0.1:0") as server,
        concert.connect(server.address) as client,
        AgentHost(Crew("builder", ["build"], slots=20), address=server.address),
        looking(browser, server.web_address, "run/five-hundred") as page,
    ):
        run = await client.submit_run(run_id="five-hundred", tasks=layered_tasks(500, 5))
        for _ in range(50):
            await client.publish_many([concert.draft("flood", {"of": "events"}) for _ in range(100)])
        await run.wait()
        await expect(page.locator(".legend")).to_contain_text("500 succeeded")
        last = await client.publish("the end", {})
        await expect(page.locator(".seq").first).to_contain_text(f"#{last:,}")
        await page.keyboard.press("6")
        await expect(page.locator(".row.event").first).to_contain_text("the end was published")


async def test_a_page_that_nobody_sees_is_not_streamed_to(browser: Browser, tmp_path: Path) -> None:
    """It lets go of its connection, and takes it up again when it is looked at."""
    hide = "(hidden) => { Object.defineProperty(document, 'hidden', {configurable: true, get: () => hidden});"
    hide += " document.dispatchEvent(new Event('visibilitychange')); }"
    async with (
        serving(tmp_path, web_listen="127.0.0.1:0") as server,
        concert.connect(server.address) as client,
        looking(browser, server.web_address) as page,
    ):
        live = server.live
        assert live is not None
        await until(page, lambda: live.viewers == 1)
        await page.evaluate(hide, True)
        await until(page, lambda: live.viewers == 0)
        await client.submit_run(run_id="unseen", tasks=[concert.task("a", capability="nobody")])
        await page.evaluate(hide, False)
        await expect(page.locator(".row.run")).to_contain_text("unseen")
        assert live.viewers == 1
