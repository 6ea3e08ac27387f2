"""The other side of benchmarks.page: who prepares something to see, who decides, and who looks.

python -m benchmarks.page_clients prepare|decide ADDRESS SECONDS
python -m benchmarks.page_clients view ADDRESS WEB METRICS COUNT
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
from urllib.parse import urlencode

import aiohttp
import concert

TASKS = 500
DECISIONS_PER_SECOND = 250
SCRAPE_SECONDS = 5.0
TOPICS = (
    ["view=overview", "view=events"],
    ["view=overview", "view=run&run_id=shown"],
    ["view=overview", "view=agents&match=", "view=explain&run_id=shown&task_id=task-3"],
)


async def prepare(address: str) -> None:
    """A run to look at, which nobody executes."""
    async with concert.connect(address) as client:
        tasks = [
            concert.task(
                f"task-{number}", capability="nobody", depends_on=[f"task-{number - 50}"] if number > 49 else []
            )
            for number in range(TASKS)
        ]
        await client.submit_run(run_id="shown", name="Something to see", tasks=tasks)
    print(json.dumps({"tasks": TASKS}))


async def decide(address: str, seconds: float) -> None:
    """Publishes at a steady pace, whatever it takes, and says how long each took from when it was due."""
    took: list[float] = []
    loop = asyncio.get_running_loop()
    async with concert.connect(address) as client, client.session(agent_name="decider") as session:
        for _ in range(50):
            await session.publish("measured", {})
        began = loop.time()

        async def one(due: float) -> None:
            await session.publish("measured", {"due": due})
            took.append((loop.time() - due) * 1000)

        async with asyncio.TaskGroup() as group:
            for number in range(round(seconds * DECISIONS_PER_SECOND)):
                due = began + number / DECISIONS_PER_SECOND
                await asyncio.sleep(max(0.0, due - loop.time()))
                group.create_task(one(max(due, loop.time() - 0.001)))
    cuts = statistics.quantiles(took, n=100)
    print(json.dumps({"p50_ms": cuts[49], "p99_ms": cuts[98], "count": len(took)}))


async def view(web: str, metrics: str, count: int) -> None:
    """Until something is written to the process."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session, asyncio.TaskGroup() as group:
        timeout = aiohttp.ClientTimeout(total=None)
        began = asyncio.Semaphore(0)

        async def look(topics: list[str]) -> None:
            query = urlencode([("topic", topic) for topic in topics])
            async with session.get(f"http://{web}/live?{query}", timeout=timeout) as response:
                response.raise_for_status()
                async for _ in response.content.iter_any():
                    began.release()

        async def scrape() -> None:
            while True:
                async with session.get(f"http://{metrics}/metrics") as response:
                    await response.read()
                await asyncio.sleep(SCRAPE_SECONDS)

        looking = [group.create_task(look(TOPICS[number % len(TOPICS)])) for number in range(count)]
        looking.append(group.create_task(scrape()))
        for _ in range(count):
            await began.acquire()
        print("viewing", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        for each in looking:
            each.cancel()


def main() -> None:
    """The entry point."""
    what, address, *more = sys.argv[1:]
    if what == "prepare":
        asyncio.run(prepare(address))
    elif what == "decide":
        asyncio.run(decide(address, float(more[0])))
    else:
        asyncio.run(view(more[0], more[1], int(more[2])))


if __name__ == "__main__":
    main()
