"""What operators do on the page, in a real Chromium, and what is kept from everybody else."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import concert
import pytest
import pytest_asyncio
from aiohttp import web
from concert.agent import AgentHost
from concert.v1 import run_service_pb2
from playwright.async_api import Browser, Page, Route, expect

from coordinator_service.server import CoordinatorServer
from coordinator_service.web.http_server import HttpServer
from tests.rpc.peer import Peer
from tests.rpc.serving import serving
from tests.security.secured import OWN, peer_of, secured, token_of

from .acts import CANCEL
from .chromium import REBOUND, chromium
from .looking import CONTRAST, IN_CHROMIUM, NAMELESS, looking
from .scene import Crew

pytestmark = IN_CHROMIUM
_numbers = itertools.count(1)
BY_FETCH = """
async ([address, call, request]) => {
  const body = JSON.stringify(request);
  const asked = (headers, mode) => fetch(`http://${address}/call/${call}`, { method: "POST", body, headers, mode });
  const sent = (headers, mode) => asked(headers, mode).then(() => "answered", () => "blocked");
  const plain = await sent({ "Content-Type": "text/plain" }, "no-cors");
  return [plain, await sent({ "Content-Type": "application/json", "X-CSRF-Token": "x" }, "cors")];
}
"""
BY_FORM = """
([address, call, request]) => {
  const form = document.createElement("form");
  Object.assign(form, { method: "post", action: `http://${address}/call/${call}`, enctype: "text/plain" });
  const field = document.createElement("input");
  Object.assign(field, { name: JSON.stringify(request).slice(0, -1) + ', "x": "', value: '"}' });
  form.append(field);
  document.body.append(form);
  form.submit();
}
"""


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as started:
        yield started


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[CoordinatorServer]:
    """One that wants to know who looks."""
    async with secured(tmp_path_factory.mktemp("acting"), web_listen="127.0.0.1:0") as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def agent(server: CoordinatorServer) -> AsyncIterator[Peer]:
    async with peer_of(server, "agent") as peer:
        yield peer


@asynccontextmanager
async def page_of(
    browser: Browser, server: CoordinatorServer, principal: str, path: str, **options: Any
) -> AsyncIterator[Page]:
    """The page, with the password that is a principal's token."""
    options["http_credentials"] = {"username": "me", "password": token_of(principal)}
    async with looking(browser, server.web_address, f"{path}?ns={OWN}", **options) as page:
        await expect(page.locator(".pill.me")).to_have_text(principal)
        yield page


async def a_run(peer: Peer, namespace: str = OWN) -> str:
    """The id of a run that waits for ever."""
    run_id = f"waiting-{next(_numbers)}"
    await peer.submit("page", namespace=namespace, run_id=run_id)
    return run_id


async def cancellations(peer: Peer, run_id: str, namespace: str = OWN) -> list[str]:
    """Who cancelled it, each time."""
    events = await peer.events_after(0, namespace)
    return [each.principal for each in events if each.HasField("run_cancelled") and each.run_id == run_id]


def button(page: Page, name: str) -> Any:
    return page.get_by_role("button", name=name, exact=True)


async def test_a_run_is_cancelled_and_tried_again(browser: Browser, server: CoordinatorServer, agent: Peer) -> None:
    """Confirmed first; what came of it is in the page by the stream, and the event says who did it."""
    run_id = await a_run(agent)
    async with page_of(browser, server, "operator", f"run/{run_id}") as page:
        await button(page, "Cancel").click()
        asked = page.get_by_role("dialog")
        await expect(asked).to_contain_text(f"Cancel the run {run_id}?")
        assert await cancellations(agent, run_id) == []
        await button(page, "Cancel the run").click()
        await expect(asked).to_have_count(0)
        await expect(page.locator(".run-head .pill")).to_have_text("cancelled")
        await page.locator(".notice a").click()
        await expect(page.get_by_role("complementary", name="Explanation")).to_contain_text("by operator")
        assert await cancellations(agent, run_id) == ["operator"]
        await page.keyboard.press("Escape")
        await button(page, "Retry").click()
        await button(page, "Retry the run").click()
        await expect(page.locator(".run-head")).to_contain_text("try 2")
        await expect(button(page, "Cancel")).to_be_visible()


async def test_an_agent_is_drained_and_a_lock_taken(browser: Browser, server: CoordinatorServer, agent: Peer) -> None:
    """The agent's card says that it drains, the lock has its next holder."""
    known = {"namespace": OWN, "token": lambda: token_of("agent")}
    async with (
        concert.connect(server.address, **known) as client,
        AgentHost(Crew("agent", ["cutting"]), address=server.address, **known),
        page_of(browser, server, "operator", "agents") as page,
    ):
        await client.submit_run(tasks=[concert.task("long", capability="cutting", input={"seconds": 600})])
        await expect(page.locator(".card .attempts")).to_contain_text("long")
        await button(page, "Drain agent-1").click()
        await button(page, "Drain the agent").click()
        await expect(page.locator(".card .pill", has_text="draining")).to_be_visible()
        await expect(button(page, "Drain agent-1")).to_have_count(0)
        await agent.acquire("bucket", namespace=OWN, holder="alice")
        waiting = asyncio.create_task(agent.acquire("bucket", 60.0, namespace=OWN, holder="bob"))
        await page.goto(f"http://{server.web_address}/#/now?ns={OWN}&x=resource%3Dbucket")
        await page.get_by_role("link", name="The lock", exact=True).click()  # from the reason to the act
        await expect(page.locator(".lock")).to_contain_text("1 waiting")
        await button(page, "Release bucket, held by alice").click()
        await expect(page.get_by_role("dialog")).to_contain_text("alice is fenced")
        await button(page, "Take the lock").click()
        await expect(page.locator(".notice")).to_contain_text("was taken from alice")
        await expect(button(page, "Release bucket, held by bob")).to_be_visible()
        assert (await waiting).grants[0].holder == "bob"
    last = [each for each in await agent.events_after(0, OWN) if each.HasField("resource_released")][-1]
    assert (last.principal, last.reason) == ("operator", "RELEASED_BY_FORCE")


@pytest.mark.parametrize("principal", ["viewer", "agent"])
async def test_who_is_no_operator_is_offered_nothing(
    browser: Browser, server: CoordinatorServer, agent: Peer, principal: str
) -> None:
    """No button anywhere; and were there one, the coordinator would refuse a viewer."""
    run_id = await a_run(agent)
    await agent.acquire(f"lock-of-{run_id}", namespace=OWN)
    async with page_of(browser, server, principal, f"run/{run_id}") as page:
        for view in (f"run/{run_id}", "agents", "locks"):
            await page.goto(f"http://{server.web_address}/#/{view}?ns={OWN}")
            await expect(page.locator("main .empty", has_text="Waiting for")).to_have_count(0)
            await expect(page.locator(".button.act")).to_have_count(0)
        status = await page.evaluate(
            """async ([call, run_id]) => {
              const { token } = await (await fetch("me?namespace=own")).json();
              const headers = { "Content-Type": "application/json", "X-CSRF-Token": token };
              const body = JSON.stringify({ namespace: "own", runId: run_id });
              return (await fetch(`call/${call}`, { method: "POST", headers, body })).status;
            }""",
            [CANCEL, run_id],
        )
        assert status == (403 if principal == "viewer" else 200)
    assert await cancellations(agent, run_id) == ([] if principal == "viewer" else ["agent"])


async def test_a_refusal_is_told_with_its_reason(browser: Browser, server: CoordinatorServer, agent: Peer) -> None:
    """As the contract words it, where it was asked; nothing else changes."""
    run_id = await a_run(agent)
    async with page_of(browser, server, "operator", f"run/{run_id}") as page:
        await button(page, "Cancel").click()
        await agent.runs.CancelRun(run_service_pb2.CancelRunRequest(namespace=OWN, run_id=run_id))
        await button(page, "Cancel the run").click()
        await expect(page.get_by_role("dialog").get_by_role("alert")).to_contain_text("RUN_OVER")
        await button(page, "Close").click()
        await expect(page.get_by_role("dialog")).to_have_count(0)
        await expect(page.locator(".notice")).to_have_count(0)
    assert await cancellations(agent, run_id) == ["agent"]


async def test_it_is_done_by_keyboard(browser: Browser, server: CoordinatorServer, agent: Peer) -> None:
    """Enter asks; the harmless answer has the focus; keys of the page rest; Escape leaves and gives the focus back."""
    run_id = await a_run(agent)
    async with page_of(browser, server, "operator", f"run/{run_id}") as page:
        await button(page, "Cancel").focus()
        await page.keyboard.press("Enter")
        await expect(button(page, "Keep it running")).to_be_focused()
        await page.keyboard.press("4")
        await page.keyboard.press("?")
        await expect(page.get_by_role("dialog")).to_have_count(1)
        assert "/run/" in page.url
        await page.keyboard.press("Escape")
        await expect(page.get_by_role("dialog")).to_have_count(0)
        await expect(button(page, "Cancel")).to_be_focused()
        assert await cancellations(agent, run_id) == []
        await page.keyboard.press("Enter")
        await expect(button(page, "Keep it running")).to_be_focused()
        await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")
        await expect(page.locator(".run-head .pill")).to_have_text("cancelled")
        await expect(page.locator("main")).to_be_focused()


@pytest.mark.parametrize(("scheme", "width"), [("dark", 1280), ("light", 360)])
async def test_a_question_can_be_read_and_named(
    browser: Browser, server: CoordinatorServer, agent: Peer, scheme: Any, width: int
) -> None:
    """WCAG 1.4.3 and 4.1.2, also of a refusal; nothing sticks out on a phone."""
    run_id = await a_run(agent)
    options = {"color_scheme": scheme, "viewport": {"width": width, "height": 740}}
    async with page_of(browser, server, "operator", f"run/{run_id}", **options) as page:
        await button(page, "Cancel").click()
        await agent.runs.CancelRun(run_service_pb2.CancelRunRequest(namespace=OWN, run_id=run_id))
        await button(page, "Cancel the run").click()
        await expect(page.get_by_role("alert")).to_be_visible()
        assert await page.evaluate(CONTRAST) == []
        assert await page.evaluate(NAMELESS) == []
        assert await page.evaluate("document.documentElement.scrollWidth") <= width
        ids = await page.evaluate("[...document.querySelectorAll('[id]')].map((each) => each.id)")
        assert len(ids) == len(set(ids))


async def test_an_answer_that_is_lost_is_asked_for_again(
    browser: Browser, server: CoordinatorServer, agent: Peer
) -> None:
    """It was done meanwhile: trying again does it no second time, and says that it is done."""
    run_id = await a_run(agent)

    async def lose(route: Route) -> None:
        await route.fetch()
        await route.abort()

    async with page_of(browser, server, "operator", f"run/{run_id}") as page:
        await page.route("**/call/**", lose, times=1)
        await button(page, "Cancel").click()
        await button(page, "Cancel the run").click()
        await expect(page.get_by_role("alert")).to_contain_text("does not answer")
        await button(page, "Try again").click()
        await expect(page.locator(".notice")).to_contain_text("is being cancelled")
    assert await cancellations(agent, run_id) == ["operator"]


@asynccontextmanager
async def another_site(page: Page) -> AsyncIterator[Page]:
    """A page of another site, in the same browser."""

    async def serve(_request: web.Request) -> web.Response:
        return web.Response(text="<!doctype html><body>", content_type="text/html")

    application = web.Application()
    application.router.add_get("/", serve)
    site = HttpServer(application, "127.0.0.1:0")
    await site.start()
    try:
        other = await page.context.new_page()
        await other.goto(f"http://{site.address.replace('127.0.0.1', 'localhost')}/")
        yield other
    finally:
        await site.stop()


async def test_another_site_does_nothing_as_an_operator(
    browser: Browser, server: CoordinatorServer, agent: Peer
) -> None:
    """By a form, with which the browser sends the credential that it has."""
    run_id = await a_run(agent)
    async with page_of(browser, server, "operator", "now") as page, another_site(page) as other:
        async with other.expect_response(lambda answer: "/call/" in answer.url and answer.status != 401) as answer:
            await other.evaluate(BY_FORM, [server.web_address, CANCEL, {"namespace": OWN, "runId": run_id}])
        assert (await answer.value).status == 415
    assert await cancellations(agent, run_id) == []


async def test_another_site_does_nothing_where_nobody_is_asked(browser: Browser, tmp_path: Path) -> None:
    """By a request that needs no leave, which is refused for what it is, and by one that does not get it."""
    async with serving(tmp_path, web_listen="127.0.0.1:0") as alone, peer_of(alone) as peer:
        run_id = await a_run(peer, "default")
        async with looking(browser, alone.web_address) as page, another_site(page) as other:
            request = [alone.web_address, CANCEL, {"runId": run_id}]
            assert await other.evaluate(BY_FETCH, request) == ["blocked", "blocked"]
            async with other.expect_response("**/call/**") as answer:
                await other.evaluate(BY_FORM, request)
            assert (await answer.value).status == 415
        assert await cancellations(peer, run_id, "default") == []


async def test_a_name_that_was_turned_to_this_machine_shows_nothing(browser: Browser, tmp_path: Path) -> None:
    """DNS rebinding against a page without authentication."""
    async with serving(tmp_path, web_listen="127.0.0.1:0") as server:
        port = server.web_address.rpartition(":")[2]
        page = await browser.new_page()
        answer = await page.goto(f"http://{REBOUND}:{port}/")
        assert answer is not None
        assert answer.status == 403
        assert "localhost" in await page.inner_text("body")
        assert await page.evaluate("fetch('/me').then((answer) => answer.status)") == 403
        await page.close()


async def test_a_page_acts_on_where_its_token_holds_no_more(
    browser: Browser, server: CoordinatorServer, agent: Peer
) -> None:
    """After a restart of the coordinator, or after hours: it gets another by itself."""
    run_id = await a_run(agent)

    async def outdate(route: Route) -> None:
        answer = await route.fetch()
        await route.fulfill(response=answer, json={**await answer.json(), "token": "of.another.process"})

    async with page_of(browser, server, "operator", "now") as page:
        await page.route("**/me?**", outdate, times=1)
        await page.goto(f"http://{server.web_address}/?again#/run/{run_id}?ns={OWN}")
        await button(page, "Cancel").click()
        await button(page, "Cancel the run").click()
        await expect(page.locator(".run-head .pill")).to_have_text("cancelled")
    assert await cancellations(agent, run_id) == ["operator"]
