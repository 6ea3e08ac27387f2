import asyncio

import concert


async def main():
    async with concert.connect() as client:
        run = await client.submit_run(
            tasks=[
                concert.task("second", capability="greeting", input={"name": "Grace"}, depends_on=["first"]),
                concert.task("first", capability="greeting", input={"name": "Ada"}),
            ]
        )
        await run.wait()
        print(await run.result("second"))


asyncio.run(main())
