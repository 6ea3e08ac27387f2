"""What can be asked of a coordinator: the same through a Client (unary calls), a Session (frames), and inside
an attempt.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from concert._agents import Agents
from concert._caller import Origin
from concert._events import Events, draft, publish
from concert._explanation import Explain, Explanation
from concert._fences import Fences
from concert._lock import Locks, LockScope, Mode
from concert._methods import GET_SERVER_INFO
from concert._monitor import Monitor
from concert._named_subscription import NamedSubscription, Subscriptions
from concert._payload import PayloadLike
from concert._runs import RunHandle, Runs, run_spec
from concert._state import State
from concert._subscription import EventTypeLike, Start, Subscription, event_filter
from concert._time import Seconds
from concert.v1 import event_pb2, event_service_pb2, monitor_service_pb2, task_pb2


class Surface:
    """Publish, subscribe, lock, share state, submit runs. All times are seconds (or timedeltas); all calls
    raise ConcertError.
    """

    def __init__(self, origin: Origin) -> None:
        """Asks as `origin`."""
        self._origin = origin
        self.state = State(origin)
        self.events = Events(origin)
        self.runs = Runs(origin)
        self.locks = Locks(origin)
        self.subscriptions = Subscriptions(origin)
        self.agents = Agents(origin)
        self.monitor = Monitor(origin)

    async def publish(
        self,
        name: str,
        data: PayloadLike = None,
        *,
        run_id: str = "",
        task_id: str = "",
        metadata: Mapping[str, str] | None = None,
        event_id: str = "",
        fences: Fences = (),
    ) -> int:
        """States a fact under a name (1 to 128 bytes); returns its sequence once it is durable. `fences`: locks
        that this relies on. Raises InvalidPayload, StaleFence.
        """
        one = draft(name, data, event_id=event_id, run_id=run_id, task_id=task_id, metadata=metadata)
        return (await publish(self._origin, [one], fences=fences))[0]

    async def publish_many(
        self, drafts: Iterable[event_pb2.EventDraft], *, request_id: str = "", fences: Fences = ()
    ) -> list[int]:
        """States 1 to 1000 facts, made with `concert.draft(...)`, all or none; returns their sequences."""
        return await publish(self._origin, drafts, request_id, fences)

    def subscribe(
        self,
        *,
        types: Iterable[EventTypeLike] = (),
        custom_names: Iterable[str] = (),
        run_ids: Iterable[str] = (),
        task_ids: Iterable[str] = (),
        agent_ids: Iterable[str] = (),
        agent_names: Iterable[str] = (),
        after: event_service_pb2.Cursor | int | None = None,
        since: datetime | None = None,
        start: Start = "latest",
    ) -> Subscription:
        """Follows the log, gap-free over reconnects and restarts: `async for event in client.subscribe(...)`.

        Starts after a position (`after`: a Cursor, or a sequence), else at a time (`since`), else at the
        "latest" or "earliest" event. Entering it with `async with` waits until it stands. Iterating raises
        CursorCompacted, LogMismatch, CursorInFuture, and Unavailable when no coordinator was reached at all
        within `retry_seconds`.
        """
        selection = event_filter(
            types=types,
            agent_ids=agent_ids,
            agent_names=agent_names,
            run_ids=run_ids,
            task_ids=task_ids,
            custom_names=custom_names,
        )
        return Subscription(self._origin.caller, selection, after=after, since=since, start=start)

    def named_subscription(
        self,
        name: str,
        *,
        types: Iterable[EventTypeLike] = (),
        custom_names: Iterable[str] = (),
        run_ids: Iterable[str] = (),
        task_ids: Iterable[str] = (),
        agent_ids: Iterable[str] = (),
        agent_names: Iterable[str] = (),
        start: Start = "latest",
        acknowledge: bool = True,
    ) -> NamedSubscription:
        """Follows the log under a name (1 to 128 bytes), whose place the coordinator keeps: a consumer that crashed
        or was away goes on where the last one stopped. To be entered with `async with`.

        Made if there is none, and then begins at `start`. Each event comes at least once: it counts as processed
        when the loop asks for the next one, and is acknowledged soon after; with `acknowledge=False` only by
        `ack(event)`. Entering and iterating raise as `subscribe` does; LogMismatch says that the coordinator has
        another log now (`subscriptions.acknowledge(..., reset=True)` when that is understood).
        """
        selection = event_filter(
            types=types,
            agent_ids=agent_ids,
            agent_names=agent_names,
            run_ids=run_ids,
            task_ids=task_ids,
            custom_names=custom_names,
        )
        return NamedSubscription(self._origin, name, selection, start=start, acknowledge=acknowledge)

    def lock(
        self,
        *resources: str,
        mode: Mode = "exclusive",
        lease: Seconds | None = None,
        wait: Seconds | None = None,
        guards: str = "",
        holder: str = "",
        priority: int | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> LockScope:
        """Takes 1 to 64 locks, all or none, for the body of an `async with`; see `Lock` for what it is
        handed.

        `wait`: how long to wait, 0 for not at all, None for the policy's resource_timeout. `lease`: 1 s to 1
        h, 30 s by default, renewed while the body runs; in a session the locks follow the session instead.
        `guards`: the state path that only the holder may write meanwhile. Raises LockTimeout, LockUpgrade and
        Deadlock, and LockLost out of the body when the lock is gone. Scopes of one holder in this process take turns.
        """
        return LockScope(
            self._origin,
            resources,
            mode=mode,
            lease=lease,
            wait=wait,
            guards=guards,
            holder=holder,
            priority=priority,
            metadata=metadata,
        )

    async def submit_run(
        self,
        *,
        tasks: Iterable[task_pb2.TaskSpec] = (),
        agents: Iterable[str] = (),
        run_id: str = "",
        name: str = "",
        context: PayloadLike = None,
        timeout: Seconds | None = None,
        running_max: int = 0,
        fail_fast: bool = False,
        policy: str = "",
        priority: int | None = None,
        metadata: Mapping[str, str] | None = None,
        open: bool = False,
        request_id: str = "",
        fences: Fences = (),
    ) -> RunHandle:
        """Submits a run of `tasks` (made with `concert.task(...)`, in any order) or of `agents` (names),
        whole or not at all.

        `context` is handed to every task; `timeout` is for the run; `running_max` limits how many of its
        tasks run at once; an `open` run may begin without tasks, and is over only after `add_tasks(last=True)`.
        Raises DependencyCycleError, DependencyUnknown, InvalidArgument, AlreadyExists, NotFound (an agent never
        registered).
        """
        spec = run_spec(
            tasks=tasks,
            agents=agents,
            run_id=run_id,
            name=name,
            context=context,
            timeout=timeout,
            running_max=running_max,
            fail_fast=fail_fast,
            policy=policy,
            priority=priority,
            metadata=metadata,
            open=open,
        )
        return await self.runs.submit(spec, request_id, fences)

    async def plan_run(
        self,
        *,
        tasks: Iterable[task_pb2.TaskSpec] = (),
        agents: Iterable[str] = (),
        timeout: Seconds | None = None,
        policy: str = "",
    ) -> Any:
        """The RunPlan of a run that is not submitted: groups, critical path, what no agent is there for."""
        return await self.runs.plan(run_spec(tasks=tasks, agents=agents, timeout=timeout, policy=policy))

    def run(self, run_id: str) -> RunHandle:
        """A handle on a run that there is already."""
        return self.runs.get(run_id)

    async def explain(
        self, sequence: int = 0, *, run: str = "", task: str = "", lock: str = "", agent: str = ""
    ) -> Explanation:
        """Why something is as it is, and what it waits for: `explain(run="nightly", task="upload")`,
        `explain(lock="door")`, `explain(agent="painter-1")`, or `explain(1234)` for an event and what it stands
        for (an attempt token, a fencing token, a session id, a revision, a lock request). `print` it.

        Raises NotFound for what does not exist, CursorInFuture for a sequence beyond the end of the log,
        CursorCompacted for one below the oldest event kept.
        """
        return await Explain(self._origin).ask(sequence, run, task, lock, agent)

    async def server_info(self) -> Any:
        """Version, features and limits of the coordinator, as GetServerInfoResponse."""
        return await self._origin.caller.call(GET_SERVER_INFO, monitor_service_pb2.GetServerInfoRequest())
