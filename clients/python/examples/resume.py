"""A consumer that goes on where it stopped: `python resume.py HOST:PORT COUNT` processes so many orders and leaves.

Start it again and it takes the next ones; kill the coordinator meanwhile and it waits for it. Each order comes, in
order, whatever happened between.
"""

import asyncio
import sys

import concert


async def main(address: str, count: int) -> None:
    async with (
        concert.connect(address) as client,
        client.named_subscription("orders", custom_names=["order"], start="earliest") as orders,
    ):
        print("waiting for orders", flush=True)
        async for order in orders:
            print("order", concert.from_payload(order.custom.data)["number"], flush=True)
            await orders.ack(order)  # durable: it does not come again
            count -= 1
            if not count:
                return


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
