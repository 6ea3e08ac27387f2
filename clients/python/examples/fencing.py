"""A holder of the past is refused: `python fencing.py [HOST:PORT]`, with a coordinator there.

The first writer takes a lock for a second and then hangs, as a process does that is suspended or collects its garbage.
The second is given the lock. When the first wakes up and writes, it is too late, and the coordinator knows.
"""

import asyncio
import sys

import concert


async def main(address: str) -> None:
    async with concert.connect(address) as client:
        first = await client.locks.acquire("ledger", lease=1)  # nobody renews it: it hangs
        print("the first holds the ledger")
        async with client.lock("ledger") as second:  # waits until the lease has run out
            print("the second holds the ledger, and its token is higher:", second.fencing_token > first.fencing_token)
            await client.state.update({"ledger/balance": 100}, fences=[second])
            try:
                await client.state.update({"ledger/balance": 0}, fences=[first])
            except concert.StaleFence as refused:
                print("the first wakes up and is refused:", refused.reason, refused.resource)
        balance = await client.state.get("ledger/balance")
        print("balance:", balance.value if balance else None)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:] or ["127.0.0.1:7420"]))
