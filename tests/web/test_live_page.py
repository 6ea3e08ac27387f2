"""The live page over HTTP: what is served, how it is streamed, and what it bears."""

from __future__ import annotations

import asyncio
import json
import re
import resource
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import concert
import pytest
from concert.agent import AgentHost

from benchmarks.footprint import resident_bytes
from coordinator_service.core.events import EventType
from coordinator_service.server import CoordinatorServer
from coordinator_service.web.live.clipping import clipped
from tests.coordinator_process import coordinator_process
from tests.rpc.serving import serving, settings

from .conftest import Browser
from .scene import Crew, layered_tasks
from .viewing import PATIENCE_SECONDS, live_path, merged, viewing

OVERVIEW = "view=overview"
STATIC = Path(__file__).parents[2] / "coordinator_service/web/static"


async def test_everything_is_served_by_us_and_nothing_is_inline(browser: Browser) -> None:
    """No address of anybody else in any file, no script or style within the page, a policy that says the same."""
    for path in ["/", *(f"/static/{each.name}" for each in STATIC.iterdir())]:
        async with browser.session.get(f"http://{browser.server.web_address}{path}") as response:
            text = await response.text()
            assert response.status == 200, path
            policy = response.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "script-src 'self';" in policy
            assert "unsafe" not in policy
            assert response.headers["X-Content-Type-Options"] == "nosniff"
        elsewhere = set(re.findall(r"(?:https?:)?//[\w.-]+\.\w+", text)) - {"http://www.w3.org"}
        assert elsewhere == set(), path
        assert not re.search(
            r"<script(?![^>]* src=)|<style|\son\w+=|innerHTML|outerHTML|insertAdjacentHTML|eval\(", text
        )


async def test_a_file_is_read_again_only_when_it_changed(browser: Browser) -> None:
    """Whoever comes back is told that it has everything; whatever is not there is 404, with the same headers."""
    address = f"http://{browser.server.web_address}"
    async with browser.session.get(f"{address}/static/app.js") as first:
        headers = {"If-None-Match": first.headers["ETag"]}
    async with browser.session.get(f"{address}/static/app.js", headers=headers) as again:
        assert again.status == 304
    for path in ("/static/nothing.js", "/static/..%2fpage.py", "/nothing"):
        async with browser.session.get(address + path) as response:
            assert response.status == 404
            assert "Content-Security-Policy" in response.headers


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("", "one to"),
        ("topic=", "view names none of"),
        ("topic=view", "a topic is a query"),
        ("topic=view%3Dnothing", "view names none of"),
        ("topic=view%3Drun", "run_id is missing"),
        ("topic=view%3Dexplain", "exactly one of"),
        ("topic=view%3Dexplain%26run_id%3Da%26resource%3Db", "exactly one of"),
        ("topic=view%3Dexplain%26sequence%3D-1", "sequence is a number"),
        ("topic=view%3Dexplain%26sequence%3D" + "9" * 400, "sequence is a number"),
        ("topic=view%3Devents%26types%3DNOTHING", "no type of event"),
        ("topic=view%3Druns%26match%3D" + "x" * 600, "at most 512 bytes"),
        ("topic=view%3Druns%26match%3Da%26match%3Db", "once at most"),
        ("topic=" + "x" * 5000, "at most 4096"),
        ("topic=view%3Druns%26other%3D1", "a topic names"),
        ("&".join(f"topic=view%3Druns%26match%3D{number}" for number in range(7)), "one to"),
    ],
)
async def test_what_cannot_be_viewed_is_refused_with_the_reason(browser: Browser, query: str, why: str) -> None:
    """400, as JSON; nothing is followed for it."""
    async with browser.session.get(f"http://{browser.server.web_address}/live?{query}") as response:
        assert response.status == 400
        assert why in (await response.json())["fault"]


async def test_bytes_that_are_no_text_do_no_harm(browser: Browser) -> None:
    """Invalid UTF-8 in an address is something that is not there, or not allowed, and never a failure."""
    address = browser.server.web_address
    for query in ("namespace=%ff%fe&topic=view%3Druns", "topic=view%3Drun%26run_id%3D%25ff", "topic=%ff", "%ff=%fe"):
        async with browser.session.get(f"http://{address}/live?{query}".replace(" ", "")) as response:
            assert response.status in (200, 400)
    for path in ("/event?sequence=%ff", "/events?topic=%ff", "/events?topic=view%3Devents&before=x"):
        async with browser.session.get(f"http://{address}{path}") as response:
            assert response.status == 400


async def test_what_does_not_exist_is_said_and_appears_when_it_does(
    server: CoordinatorServer, client: concert.Client
) -> None:
    """One may look at a run before it is submitted, and at a namespace that nobody has made."""
    run, why = "view=run&run_id=later", "view=explain&run_id=later"
    async with viewing(server.web_address, run, why) as viewer:
        fault = await viewer.until(run, lambda frame: True)
        assert (fault["kind"], "later" in fault["body"]) == ("fault", True)
        await client.submit_run(run_id="later", tasks=[concert.task("a", capability="nobody")])
        found = await viewer.until(run, lambda frame: frame["kind"] == "whole")
        assert found["body"]["fixed"][0][0] == "a"
    async with viewing(server.web_address, OVERVIEW, namespace="nowhere") as viewer:
        assert (await viewer.until(OVERVIEW, lambda frame: True))["kind"] == "fault"
    assert "nowhere" not in [each.namespace for each in server._namespaces.owned()]


async def test_the_overview_says_what_waits_and_why(server: CoordinatorServer, client: concert.Client) -> None:
    """X1: the reason is there before anybody asks."""
    await client.submit_run(run_id="stuck", tasks=[concert.task("sign", capability="signing")])
    async with client.lock("door", holder="alice"):
        waiting = asyncio.create_task(_hold(client, "door", "bob"))
        async with viewing(server.web_address, OVERVIEW) as viewer:
            frame = await viewer.until(OVERVIEW, lambda frame: len(frame["body"]["overview"]["waits"]) == 2)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    waits = {each["task_id"] or each["holder"]: each["text"] for each in frame["body"]["overview"]["waits"]}
    assert waits == {
        "sign": "no agent with the capability 'signing' is connected",
        "bob": "door is held exclusive by alice",
    }
    lock = frame["body"]["overview"]["locks"]["shown"][0]
    assert (lock["resource"], lock["holders"][0]["holder"], lock["waiters"][0]["holder"]) == ("door", "alice", "bob")


async def _hold(client: concert.Client, resource: str, holder: str) -> None:
    async with client.lock(resource, holder=holder, wait=600.0):
        await asyncio.Event().wait()


async def test_changes_add_up_to_the_whole(server: CoordinatorServer, client: concert.Client) -> None:
    """Whoever was told what changed sees what somebody sees who comes at the end."""
    topic = "view=run&run_id=layers"
    over = _is_over("layers")
    await client.submit_run(run_id="layers", tasks=layered_tasks(120, 6, 0.02))
    async with AsyncExitStack() as stack, viewing(server.web_address, topic) as viewer:
        body: dict[str, Any] = {}
        changes = 0
        async with asyncio.timeout(PATIENCE_SECONDS):
            async for frame in viewer.frames():
                if frame["kind"] == "change":
                    body = merged(body, frame["body"])
                    changes += 1
                elif frame["kind"] == "whole":
                    if not body:  # it begins where the viewer has seen it
                        crew = Crew("builder", ["build"], slots=8)
                        await stack.enter_async_context(AgentHost(crew, address=server.address))
                    body = frame["body"]
                if body and over(body):
                    break
    assert changes > 0
    async with viewing(server.web_address, topic) as late:
        whole = await late.until(topic, lambda frame: over(frame["body"]))
    assert whole["body"] == body
    assert whole["body"]["critical"]
    finished = [moving[4] for moving in body["moving"]]
    for place, (_, _, group, depends_on, _, _) in enumerate(body["fixed"]):
        assert (group == 0) == (not depends_on)
        assert all(finished[each] <= body["moving"][place][3] for each in depends_on)


def _is_over(run_id: str) -> Callable[[dict[str, Any]], bool]:
    return lambda body: body["run"]["run_id"] == run_id and body["run"]["finished_at_ns"] > 0


async def test_every_event_is_shown_or_counted(server: CoordinatorServer, client: concert.Client) -> None:
    """E2: in order, each once; of those that come too fast the newest, and how many others there were."""
    topic = f"view=events&types={EventType.CUSTOM.name}"
    async with viewing(server.web_address, topic) as viewer:
        await viewer.until(topic, lambda frame: frame["kind"] == "whole")
        told: list[str] = []
        passed_over = 0
        publishing = asyncio.create_task(_publish(client, 3000))
        async with asyncio.timeout(PATIENCE_SECONDS):
            async for frame in viewer.frames():
                told += [line["step"]["text"] for line in frame["body"]["lines"]]
                passed_over += frame["body"]["passed_over"]
                if told and told[-1] == "n2999 was published":
                    break
        await publishing
    numbers = [int(text[1:].partition(" ")[0]) for text in told]
    assert numbers == sorted(set(numbers))
    assert len(numbers) + passed_over == 3000


async def _publish(client: concert.Client, count: int) -> None:
    for start in range(0, count, 100):
        await client.publish_many([concert.draft(f"n{number}", {}) for number in range(start, start + 100)])


async def test_earlier_events_and_one_in_full(browser: Browser, client: concert.Client) -> None:
    """The past is read a page at a time, and an event with everything that is in it, cut to what one can look at."""
    await _publish(client, 300)
    await client.publish("large", {"text": "x" * 500_000, "bytes": "é"})
    await client.publish("raw", b"\xff\xfe not text")
    _, page = await browser.get("/events?topic=view%3Devents%26types%3DCUSTOM")
    assert [len(page["lines"]), page["lines"][0]["step"]["text"]] == [200, "raw was published"]
    _, rest = await browser.get(f"/events?topic=view%3Devents%26types%3DCUSTOM&before={page['before']}")
    assert rest["lines"][0]["step"]["sequence"] < page["lines"][-1]["step"]["sequence"]
    assert len(rest["lines"]) == 102
    _, raw = await browser.get(f"/event?sequence={page['lines'][0]['step']['sequence']}")
    assert raw["custom"]["data"]["data"]
    _, large = await browser.get(f"/event?sequence={page['lines'][1]['step']['sequence']}")
    text = large["custom"]["data"]["json"]["text"]
    assert text.endswith("… (500000 characters)")
    assert len(text) < 10_000
    assert (await browser.get("/event?sequence=999999"))[0] == 404


def test_values_of_any_size_are_cut_where_they_are_long() -> None:
    """Strings, lists, maps and depth; small values stay what they are."""
    assert clipped({"a": [1, "two", None, True]}) == {"a": [1, "two", None, True]}
    assert clipped("x" * 2**20) == "x" * 400 + "… (1048576 characters)"
    assert clipped(list(range(1000)))[-1] == "… and 970 more"
    deep: Any = 1
    for _ in range(100):
        deep = {"deeper": deep}
    wide = {f"key{number}": ["x" * 1000] * 50 for number in range(10_000)}
    assert len(json.dumps(clipped(deep))) < 1000
    assert len(json.dumps(clipped(wide))) < 400_000


async def test_all_who_view_the_same_are_sent_the_same_bytes(server: CoordinatorServer, client: concert.Client) -> None:
    """One reading and one encoding, however many view it; nobody views: nothing is read, nothing is kept."""
    live = server.live
    async with viewing(server.web_address, OVERVIEW) as one, viewing(server.web_address, OVERVIEW) as other:
        assert await one.until(OVERVIEW, lambda _: True) == await other.until(OVERVIEW, lambda _: True)
        assert (live.viewers, live.feeds) == (2, 1)
        await client.publish("something", {})
        frames = [await each.until(OVERVIEW, lambda frame: frame["version"] > 1) for each in (one, other)]
        assert frames[0] == frames[1]
    async with asyncio.timeout(PATIENCE_SECONDS):
        while live.viewers or live.feeds:  # noqa: ASYNC110 (nothing tells)
            await asyncio.sleep(0.02)


async def test_viewers_and_what_they_view_have_bounds(tmp_path: Path) -> None:
    """503, with when to try again, and the limit by its name."""
    async with (
        serving(tmp_path, web_listen="127.0.0.1:0", web_viewers_max=3, web_feeds_max=4) as server,
        aiohttp.ClientSession() as session,
        viewing(server.web_address, OVERVIEW),
        viewing(server.web_address, OVERVIEW, "view=runs", "view=locks"),
    ):
        address = f"http://{server.web_address}"
        async with session.get(address + live_path("view=agents", "view=keys")) as response:
            assert (response.status, response.headers["Retry-After"]) == (503, "5")
            assert "web_feeds_max" in (await response.json())["fault"]
        async with viewing(server.web_address, OVERVIEW), session.get(address + live_path(OVERVIEW)) as response:
            assert response.status == 503
            assert "web_viewers_max" in (await response.json())["fault"]


@pytest.mark.timeout(300)
async def test_a_thousand_viewers_of_whom_half_do_not_read(tmp_path: Path) -> None:
    """E3: those who read are told everything; those who do not cost a bounded amount of memory; decisions go on."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 4096:
        pytest.skip(f"this system allows {hard} open files only")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    reading, idle = 500, 500
    options = ["--web-listen", "127.0.0.1:0"]
    events = "view=events"
    try:
        with coordinator_process(tmp_path, options=options) as coordinator:
            web = json.loads((tmp_path / "ready.json").read_text())["web"]
            async with concert.connect(coordinator.address) as client, asyncio.TaskGroup() as group:
                done = asyncio.Event()
                ready = asyncio.Semaphore(0)
                told = [group.create_task(_told(web, ready, [OVERVIEW, events])) for _ in range(reading)]
                waiting = [group.create_task(_silent(web, ready, done, [OVERVIEW, events])) for _ in range(idle)]
                for _ in range(reading + idle):
                    await ready.acquire()
                before = resident_bytes(coordinator.pid)
                for start in range(0, 3000, 100):
                    many = [concert.draft("noise", "x" * 1000) for _ in range(start, start + 100)]
                    await client.publish_many(many)
                await client.publish("the end", {})
                await asyncio.gather(*told)
                grown = resident_bytes(coordinator.pid) - before
                done.set()
                await asyncio.gather(*waiting)
            assert grown < 400 * 2**20, f"{grown / 2**20:.0f} MiB for a thousand viewers"
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def _told(address: str, ready: asyncio.Semaphore, topics: list[str]) -> None:
    """Reads until the last event has come."""
    async with viewing(address, *topics) as viewer:
        assert viewer.status == 200
        ready.release()
        async with asyncio.timeout(100):
            async for frame in viewer.frames():
                lines = frame["body"].get("lines") if frame["topic"] == topics[1] else None
                if lines and lines[-1]["step"]["text"].startswith("the end"):
                    return
    raise AssertionError("the stream ended")


async def _silent(address: str, ready: asyncio.Semaphore, done: asyncio.Event, topics: list[str]) -> None:
    """Asks, and does not read."""
    async with viewing(address, *topics) as viewer:
        assert viewer.status == 200
        ready.release()
        await done.wait()


async def test_the_stop_of_a_coordinator_does_not_wait_for_viewers(tmp_path: Path) -> None:
    """They are sent away, and come back by themselves."""
    server = CoordinatorServer(settings(tmp_path, web_listen="127.0.0.1:0"))
    await server.start()
    async with viewing(server.web_address, OVERVIEW) as viewer:
        await viewer.until(OVERVIEW, lambda _: True)
        async with asyncio.timeout(PATIENCE_SECONDS):
            await server.stop()
            with pytest.raises((AssertionError, asyncio.IncompleteReadError, ValueError, ConnectionError)):
                await viewer.until("view=nothing", lambda _: True)


def test_what_a_trace_is_found_at_is_checked(tmp_path: Path) -> None:
    """An address that a browser would run as a script is none."""
    from coordinator_service.config import ConfigError, load

    good = "http://jaeger.example:16686/trace/{trace_id}"
    assert load(["--trace-url", good]).trace_url == good
    for bad in ("javascript:alert('{trace_id}')", "http://jaeger.example/", "{trace_id}"):
        with pytest.raises(ConfigError, match="trace"):
            load(["--trace-url", bad])
