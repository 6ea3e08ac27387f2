"""Agents that connect and do nothing, each on a connection of its own, in a process of their own."""

from __future__ import annotations

import argparse
import asyncio
import sys

import grpc
from concert.v1 import agent_pb2, session_service_pb2

from benchmarks.load import CONNECT, OPTIONS
from benchmarks.loops import LOOPS, run

LEASE_SECONDS = 300
"""Nobody renews it: the measurement is over long before."""


def hello(agent_id: str) -> bytes:
    """The first frame of an agent with a capability."""
    spec = agent_pb2.AgentSpec(agent_id=agent_id, capabilities=[agent_pb2.Capability(name="nothing")])
    message = session_service_pb2.ClientMessage(hello=session_service_pb2.Hello(agent=spec))
    message.hello.lease.FromSeconds(LEASE_SECONDS)
    encoded: bytes = session_service_pb2.ConnectRequest(messages=[message]).SerializeToString()
    return encoded


async def idle(address: str, name: str, count: int) -> None:
    """Connects them, says so, and waits until told to end."""
    held = []
    for number in range(count):
        channel = grpc.aio.insecure_channel(address, options=OPTIONS)
        call = channel.stream_stream(CONNECT)()
        await call.write(hello(f"{name}-{number}"))
        await call.read()
        held.append((channel, call))
    print("connected", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    for channel, call in held:
        call.cancel()
        await channel.close()


def main() -> None:
    """The entry point."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.idle_client")
    parser.add_argument("--loop", choices=LOOPS, required=True)
    parser.add_argument("address")
    parser.add_argument("name")
    parser.add_argument("count", type=int)
    given = parser.parse_args()
    run(idle(given.address, given.name, given.count), given.loop)


if __name__ == "__main__":
    main()
