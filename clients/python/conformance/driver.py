"""The conformance driver of the Python client: does what the runner says (clients/conformance/README.md).

`Driver` reads requests and answers them, each in a task of its own. `values.py` has what travels as what; `agents.py`
the agents, whose handlers take their orders from the runner too.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))  # run as a file, from anywhere

import concert
from agents import Attempt, RemoteAgent, in_span
from concert.agent import AgentHost
from concert.errors import ConcertError
from concert.v1 import event_service_pb2, lock_pb2
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from values import decoded, encoded, error_of, event_of, run_arguments, run_of, task_of

_LINE_BYTES_MAX = 64 * 1024 * 1024
_PLACE = (
    "address",
    "namespace",
    "root_certificate",
    "certificate",
    "private_key",
    "token",
    "token_file",
    "token_function",
)
_FILTER = ("types", "custom_names", "run_ids", "task_ids", "agent_ids", "agent_names")


class LockThing:
    """A lock scope that stands until it is released or lost."""

    def __init__(self) -> None:
        self.entered: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.let_go = asyncio.Event()
        self.task: asyncio.Task[None] | None = None


class Driver:
    """See the module."""

    def __init__(self) -> None:
        self._things: dict[str, Any] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._drained = asyncio.Event()

    # ---- the line protocol
    async def serve(self) -> None:
        """Until the input ends."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=_LINE_BYTES_MAX)
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        loop.add_signal_handler(signal.SIGTERM, self._spawn, self._drain_all)
        reading = asyncio.create_task(self._read(reader))
        await asyncio.wait([reading, asyncio.ensure_future(self._drained.wait())], return_when=asyncio.FIRST_COMPLETED)
        reading.cancel()
        for name in reversed(list(self._things)):
            await self.close(name)

    async def _read(self, reader: asyncio.StreamReader) -> None:
        while line := await reader.readline():
            self._spawn(self._answer, json.loads(line))

    def say(self, message: dict[str, Any]) -> None:
        """Writes a line."""
        sys.stdout.write(json.dumps(message) + "\n")
        sys.stdout.flush()

    def _spawn(self, what: Callable[..., Awaitable[None]], *args: Any) -> None:
        task = asyncio.ensure_future(what(*args))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, request: dict[str, Any]) -> None:
        thing = self._things.get(request.get("on", ""))
        operation = getattr(self, f"op_{request['op']}", None)
        args = decoded(request.get("args", {}))
        try:
            if isinstance(thing, Attempt) and request["op"] != "close":
                result = await thing.order(request["op"], args, operation)
            elif operation is None:
                self.say({"id": request["id"], "error": {"code": "UNKNOWN_OP", "message": request["op"]}})
                return
            else:
                with in_span(args.pop("span", "")):
                    result = await operation(thing, args, request.get("on", ""))
        except (Exception, asyncio.CancelledError) as error:
            self.say({"id": request["id"], "error": error_of(error)})
        else:
            self.say({"id": request["id"], "result": result or {}})

    async def _drain_all(self) -> None:
        hosts = [thing.host for thing in self._things.values() if isinstance(thing, RemoteAgent)]
        for host in hosts:
            host.drain()
        await asyncio.gather(*(host.wait() for host in hosts), return_exceptions=True)
        self._drained.set()

    # ---- connections, sessions, agents
    async def op_connect(self, _thing: Any, args: dict[str, Any], _on: str) -> None:
        """A client."""
        name = args.pop("as")
        self._things[name] = concert.connect(**_place(args))

    async def op_open_session(self, client: Any, args: dict[str, Any], _on: str) -> Any:
        """A session of a client."""
        name = args.pop("as")
        session = await client.session(**args).__aenter__()
        self._things[name] = session

        async def watch() -> None:
            over = await session.wait_over()
            self.say({"notice": "lost", "on": name, "error": error_of(over)})

        self._spawn(watch)
        return {"session_id": session.session_id, "agent_id": session.agent_id, "lease": session.lease_seconds}

    async def op_host_agent(self, _thing: Any, args: dict[str, Any], _on: str) -> Any:
        """An agent, once it is registered."""
        name = args.pop("as")
        place = {key: args.pop(key) for key in (*_PLACE, "lease") if key in args}
        agent = RemoteAgent(name, self.say, self._things, **args)
        agent.host = AgentHost(agent, **_place(place))
        await agent.host.__aenter__()
        try:
            await agent.host.registered()
        except BaseException:
            await agent.host.__aexit__(None, None, None)
            raise
        self._things[name] = agent
        self._spawn(self._left, name, agent)
        return {"agent_id": agent.host.agent_ids[0]}

    async def _left(self, name: str, agent: RemoteAgent) -> None:
        notice: dict[str, Any] = {"notice": "left", "on": name}
        try:
            await agent.host.wait()
        except ConcertError as error:
            notice["error"] = error_of(error)
        self.say(notice)

    async def op_update_agent(self, agent: RemoteAgent, args: dict[str, Any], _on: str) -> None:
        """New capabilities or labels."""
        agent.describe(**args)
        await agent.host.update()

    async def op_drain(self, agent: RemoteAgent, _args: dict[str, Any], _on: str) -> None:
        """Finishes what runs and leaves."""
        agent.host.drain()
        await agent.host.wait()

    async def op_close(self, _thing: Any, _args: dict[str, Any], on: str) -> None:
        """Ends anything."""
        await self.close(on)

    async def close(self, name: str) -> None:
        """Ends a thing, whatever it is."""
        thing = self._things.pop(name, None)
        if isinstance(thing, RemoteAgent):
            await thing.host.__aexit__(None, None, None)
        elif isinstance(thing, LockThing):
            thing.let_go.set()
            await asyncio.wait([thing.task])  # type: ignore[list-item]
        elif hasattr(thing, "aclose"):
            await thing.aclose()
        elif hasattr(thing, "close"):
            await thing.close()

    # ---- events
    async def op_publish(self, caller: Any, args: dict[str, Any], _on: str) -> Any:
        """States facts."""
        drafts = [concert.draft(**event) for event in args["events"]]
        return {"sequences": await caller.publish_many(drafts, **_given(args, "request_id"), **_fences(args))}

    async def op_list_events(self, caller: Any, args: dict[str, Any], _on: str) -> Any:
        """History."""
        found = await caller.events.list(**args.get("filter", {}), **_given(args, "after", "limit"))
        return {"events": [event_of(event, raw=args.get("raw", False)) for event in found]}

    async def op_subscribe(self, caller: Any, args: dict[str, Any], _on: str) -> None:
        """A subscription, or a named one."""
        thing = args["as"]
        selection = args.get("filter", {})
        if "name" in args:
            named = _given(args, "start", "acknowledge")
            subscription = caller.named_subscription(args["name"], **selection, **named)
        else:
            start = _given(args, "after", "start")
            if "cursor" in args:
                start["after"] = event_service_pb2.Cursor(**args["cursor"])
            if "since" in args:
                start["since"] = datetime.fromisoformat(args["since"])
            subscription = caller.subscribe(**selection, **start)
        await subscription.__aenter__()
        self._things[thing] = Followed(subscription)

    async def op_next(self, followed: Followed, args: dict[str, Any], _on: str) -> Any:
        """The next events."""
        events = [await anext(followed.events) for _ in range(args["count"])]
        followed.seen |= {event.sequence: event for event in events}
        return {"events": [event_of(event, raw=args.get("raw", False)) for event in events]}

    async def op_ack(self, followed: Followed, args: dict[str, Any], _on: str) -> None:
        """Acknowledges up to an event."""
        await followed.subscription.ack(followed.seen[args["sequence"]])

    async def op_acknowledge(self, client: Any, args: dict[str, Any], _on: str) -> Any:
        """Moves a named subscription."""
        cursor = event_service_pb2.Cursor(**args["cursor"])
        moved = await client.subscriptions.acknowledge(args["name"], cursor, **_given(args, "reset"))
        return {"sequence": moved.cursor.sequence}

    # ---- runs
    async def op_submit_run(self, caller: Any, args: dict[str, Any], _on: str) -> Any:
        """A run."""
        keywords = _given(args, "request_id") | _fences(args)
        handle = await caller.submit_run(**run_arguments(args["run"]), **keywords)
        return {"run_id": handle.run_id}

    async def op_wait_run(self, caller: Any, args: dict[str, Any], _on: str) -> Any:
        """A run that is over."""
        return run_of(await caller.run(args["run_id"]).wait())

    async def op_get_run(self, caller: Any, args: dict[str, Any], _on: str) -> Any:
        """A run as it is."""
        return run_of(await caller.run(args["run_id"]).get())

    async def op_cancel_run(self, caller: Any, args: dict[str, Any], _on: str) -> None:
        """Stops a run."""
        await caller.run(args["run_id"]).cancel()

    async def op_add_tasks(self, caller: Any, args: dict[str, Any], _on: str) -> None:
        """More tasks."""
        await caller.run(args["run_id"]).add_tasks(*map(task_of, args["tasks"]), **_given(args, "last"))

    async def op_retry_run(self, caller: Any, args: dict[str, Any], _on: str) -> Any:
        """Again what did not succeed."""
        return {"generation": await caller.run(args["run_id"]).retry()}

    async def op_task_result(self, caller: Any, args: dict[str, Any], _on: str) -> Any:
        """What a task produced."""
        return {"value": encoded(await caller.run(args["run_id"]).result(args["task_id"]))}

    # ---- locks
    async def op_acquire(self, caller: Any, args: dict[str, Any], _on: str) -> Any:
        """A scope, held by a task until it is released or lost."""
        name, resources = args.pop("as"), args.pop("resources")
        thing = LockThing()

        async def hold() -> None:
            try:
                async with caller.lock(*resources, **args) as lock:
                    thing.entered.set_result(lock)
                    await thing.let_go.wait()
            except ConcertError as error:
                if not thing.entered.done():
                    thing.entered.set_exception(error)
                    return
                if not thing.let_go.is_set():
                    self.say({"notice": "lost", "on": name, "error": error_of(error)})
                raise

        thing.task = asyncio.create_task(hold())
        try:
            lock = await asyncio.shield(thing.entered)
        except asyncio.CancelledError:
            thing.task.cancel()
            raise
        self._things[name] = thing
        grants = [
            {"resource": each.resource, "fencing_token": each.fencing_token, "holder": each.holder}
            for each in lock.grants
        ]
        return {"grants": grants}

    async def op_release(self, lock: LockThing, _args: dict[str, Any], _on: str) -> None:
        """Ends the scope."""
        lock.let_go.set()
        assert lock.task is not None
        await lock.task

    # ---- state
    async def op_update_state(self, caller: Any, args: dict[str, Any], _on: str) -> Any:
        """Changes keys."""
        fences = _fences(args)
        args.pop("fences", None)
        return {"revision": await caller.state.update(args.pop("updates", {}), **args, **fences)}

    async def op_delete_state(self, caller: Any, args: dict[str, Any], _on: str) -> Any:
        """Deletes keys."""
        return {"revision": await caller.state.delete(*args.pop("keys", ()), **args)}

    async def op_get_state(self, caller: Any, args: dict[str, Any], _on: str) -> Any:
        """Reads keys."""
        at = args.get("at", 0)
        if "keys" in args:
            entries = (await caller.state.get_many(args["keys"], at=at)).values()
        else:
            entries = await caller.state.list(args.get("prefix", ""), at=at)
        found = {
            each.key: {"value": encoded(each.value), "revision": each.revision, "writer": each.writer}
            for each in entries
        }
        return {"entries": found}

    async def op_modify_state(self, caller: Any, args: dict[str, Any], _on: str) -> Any:
        """Adds to a number, whoever else does."""
        modified = await caller.state.modify(args["key"], lambda value: (value or 0) + args["add"])
        return {"value": modified.value, "revision": modified.revision}

    async def op_server_info(self, caller: Any, _args: dict[str, Any], _on: str) -> Any:
        """What the coordinator says of itself."""
        info = await caller.server_info()
        return {"feature_level": info.feature_level, "limits": dict(info.limits)}


class Followed:
    """A subscription that is read on demand."""

    def __init__(self, subscription: Any) -> None:
        self.subscription = subscription
        self.events = aiter(subscription)
        self.seen: dict[int, Any] = {}

    async def aclose(self) -> None:
        """Ends it."""
        await self.subscription.__aexit__(None, None, None)


def _given(args: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: args[name] for name in names if name in args}


def _place(args: dict[str, Any]) -> dict[str, Any]:
    root, certificate, key = (args.pop(name, None) for name in ("root_certificate", "certificate", "private_key"))
    if root or certificate:
        args["credentials"] = concert.tls(root, certificate=certificate, key=key)
    if "token_file" in args:
        args["token"] = concert.token_file(args.pop("token_file"))
    if "token_function" in args:
        file = Path(args.pop("token_function"))
        args["token"] = lambda: file.read_text().strip()
    return args


def _fences(args: dict[str, Any]) -> dict[str, Any]:
    if "fences" not in args:
        return {}
    return {"fences": [lock_pb2.Fence(**each) for each in args["fences"]]}


async def main() -> None:
    """Serves."""
    trace.set_tracer_provider(TracerProvider())
    await Driver().serve()


asyncio.run(main())
