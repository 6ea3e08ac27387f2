import asyncio

from concert.agent import Agent, run_agents


class Greeter(Agent):
    capabilities = ["greeting"]

    async def execute(self, context):
        name = context.input["name"]
        await context.progress(0.5, f"thinking of {name}")
        async with context.lock("guest-book") as lock:
            await context.publish("signed", {"name": name, "page": lock.fencing_token})
        context.set_state({f"guests/{name}": "greeted"})
        return f"Hello, {name}! Before you: {', '.join(context.previous_results) or 'nobody'}."


asyncio.run(run_agents(Greeter()))
