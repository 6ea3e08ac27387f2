"""An agent, and a run of two tasks for it: `python basic.py [HOST:PORT]`, with a coordinator there."""

import asyncio
import sys

import concert
from concert.agent import Agent, AgentHost, TaskContext


class Greeter(Agent):
    """Greets, and leaves in the guest book whom."""

    capabilities = ("greeting",)

    async def execute(self, context: TaskContext) -> str:
        name = context.input["name"]
        await context.progress(0.5, f"thinking of {name}")
        async with context.lock("guest-book") as lock:
            await context.publish("signed", {"name": name, "page": lock.fencing_token})
        context.set_state({f"guests/{name}": "greeted"})  # true together with the completion
        earlier = ", ".join(context.previous_results.values())
        return f"Hello, {name}!" + (f" ({earlier})" if earlier else "")


async def main(address: str) -> None:
    async with AgentHost(Greeter(), address=address) as host, concert.connect(address) as client:
        await host.registered()
        run = await client.submit_run(
            tasks=[
                concert.task("second", capability="greeting", input={"name": "Grace"}, depends_on=["first"]),
                concert.task("first", capability="greeting", input={"name": "Ada"}),
            ]
        )
        await run.wait()
        print(await run.result("first"))
        print(await run.result("second"))
        print("guests:", ", ".join(entry.key for entry in await client.state.list("guests")))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:] or ["127.0.0.1:7420"]))
