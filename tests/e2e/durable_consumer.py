"""A consumer of a named subscription, to be killed: appends each event to a file, durably, before it asks for the next.

    python durable_consumer.py ADDRESS FILE LAST

Ends by itself once it has processed an event whose number is LAST.
"""

from __future__ import annotations

import asyncio
import os
import sys

import concert


async def main(address: str, path: str, last: int) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    async with (
        concert.connect(address) as client,
        client.named_subscription("consumer", custom_names=["numbered"], start="earliest") as events,
    ):
        async for event in events:
            number = int(concert.from_payload(event.custom.data)["n"])
            os.write(file, f"{number}\n".encode())
            os.fsync(file)
            if number == last:
                await events.ack(event)
                break
    os.close(file)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
