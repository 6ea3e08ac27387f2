"""The client and the agent runtime against a real coordinator in a process of its own, killed where it hurts."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import concert
import pytest
from concert import RunStatus, TaskStatus
from concert.agent import Agent, AgentHost, TaskContext

from tests.coordinator_process import CoordinatorProcess, coordinator_process


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CoordinatorProcess]:
    """One for all tests that leave it alive; they use a namespace each."""
    with coordinator_process(tmp_path_factory.mktemp("coordinator"), durable=False) as process:
        yield process


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[CoordinatorProcess]:
    """One of its own, on disk, for a test that kills it."""
    with coordinator_process(tmp_path) as process:
        yield process


@pytest.fixture
def namespace() -> str:
    return f"test-{uuid.uuid4().hex[:12]}"


@pytest.fixture
async def client(shared: CoordinatorProcess, namespace: str) -> AsyncIterator[concert.Client]:
    async with concert.connect(shared.address, namespace=namespace) as connected:
        yield connected


class Renderer(Agent):
    """Takes a second over every task, and remembers which attempts it executed."""

    capabilities = ("work",)
    seconds = 1.0

    def __init__(self, name: str = "renderer", **overrides: Any) -> None:
        self.name = name
        self.executed: list[int] = []
        self.cleaned: list[int] = []
        self.begun = asyncio.Event()
        for key, value in overrides.items():
            setattr(self, key, value)

    async def execute(self, context: TaskContext) -> Any:
        self.executed.append(context.attempt_token)
        self.begun.set()
        await asyncio.sleep(self.seconds)
        return {"by": self.name, "before": dict(context.previous_results)}

    async def cleanup(self, context: TaskContext) -> None:
        self.cleaned.append(context.attempt_token)


# ---- events


async def test_a_subscriber_sees_everything_once_across_a_sigkill(mortal: CoordinatorProcess) -> None:
    """E2, D3: every acknowledged event, once, in order, over a coordinator that is killed and restarted."""
    async with concert.connect(mortal.address) as client:
        async with client.subscribe(custom_names=["tick"]) as subscription, aclosing(aiter(subscription)) as events:
            before = [await client.publish("tick", {"n": n}) for n in range(20)]
            assert [(await anext(events)).sequence for _ in before] == before
            await asyncio.to_thread(mortal.restart)
            after = [await client.publish("tick", {"n": n}) for n in range(20)]
            assert [(await anext(events)).sequence for _ in after] == after
        late = client.subscribe(custom_names=["tick"], start="earliest")
        async with aclosing(aiter(late)) as history:
            assert [(await anext(history)).sequence for _ in range(40)] == before + after


async def test_commands_of_a_session_take_effect_once_across_a_sigkill(mortal: CoordinatorProcess) -> None:
    """D5, A5: what had no reply is sent again under its request id; each publish is in the log exactly once."""
    async with concert.connect(mortal.address) as client, client.session(lease=30) as session:
        calls = [asyncio.create_task(session.publish("tick", {"n": n})) for n in range(300)]
        await calls[0]
        await asyncio.to_thread(mortal.restart)
        sequences = await asyncio.gather(*calls)
        events = await client.events.list(custom_names=["tick"])
        assert sorted(sequences) == [event.sequence for event in events]
        numbers = [concert.from_payload(event.custom.data)["n"] for event in events]
        assert sorted(numbers) == list(range(300))
        assert session.over is None


async def test_history_and_filters(client: concert.Client) -> None:
    """Events are found again by name and by sequence."""
    first, second = await client.publish_many([concert.draft("a", 1, metadata={"k": "v"}), concert.draft("b", b"\x00")])
    assert second == first + 1
    event = await client.events.get(first)
    assert (event.custom.name, concert.from_payload(event.custom.data), dict(event.metadata)) == ("a", 1, {"k": "v"})
    assert [each.sequence for each in await client.events.list(custom_names=["b"])] == [second]
    with pytest.raises(concert.NotFound):
        await client.events.get(10_000)
    with pytest.raises(concert.CursorInFuture):
        await anext(aiter(client.subscribe(after=10_000)))


# ---- locks


async def test_a_lock_excludes_and_its_tokens_rise(client: concert.Client) -> None:
    """L1, L6, L8: the second waits its time, is told who holds it, and gets a higher token after the first."""
    async with client.lock("bucket", lease=5) as first:
        with pytest.raises(concert.LockTimeout) as error:
            async with client.lock("bucket", wait=0.1):
                raise AssertionError("never entered")
        assert [holder["fencing_token"] for holder in error.value.holders] == [first.fencing_token]
    async with client.lock("bucket", "other") as second:
        assert second.fencing_tokens["bucket"] > first.fencing_token
        assert [lock.resource for lock in await client.locks.list()] == ["bucket", "other"]
    assert await client.locks.list() == []


async def test_what_relies_on_a_lost_lock_is_refused(client: concert.Client) -> None:
    """L8: outside attempts a call names the locks it relies on; whoever held them before changes nothing any more."""
    async with client.lock("bucket", "door") as lock:
        await client.state.update({"key": 1}, fences=[lock])
        await client.publish("built", fences=lock.grants)
    async with client.lock("bucket") as present:
        for late in (
            client.state.update({"key": 2}, fences=[lock]),
            client.state.modify("key", lambda _: 2, fences=[lock]),
            client.state.delete("key", fences=[lock]),
            client.publish("built", fences=[lock]),
            client.publish_many([concert.draft("built")], fences=[lock]),
            client.submit_run(tasks=[concert.task("t", capability="x")], fences=[lock]),
            client.run("run").cancel(fences=[lock]),
            client.run("run").add_tasks(last=True, fences=[lock]),
            client.run("run").retry(fences=[lock]),
        ):
            with pytest.raises(concert.StaleFence) as error:
                await late
            told = (error.value.resource, error.value.token, error.value.current_token)
            assert told == ("bucket", lock.fencing_token, present.fencing_token)
    entry = await client.state.get("key")
    assert entry is not None
    assert entry.value == 1
    assert await client.runs.list() == []


async def test_a_deadlock_is_told_at_once_with_its_cycle(client: concert.Client) -> None:
    """L4: the scope that would wait for ever raises Deadlock, naming who waits for whom; the other one goes on."""

    async def other() -> None:
        async with client.lock("a", holder="other"), client.lock("b", holder="other", wait=30):
            pass

    async with client.lock("b", holder="me"), client.subscribe(types=["resource_requested"]) as requests:
        waiting = asyncio.create_task(other())
        await anext(event async for event in requests if event.resource_requested.HasField("deadline"))
        with pytest.raises(concert.Deadlock) as error:
            async with client.lock("a", holder="me", wait=30):
                raise AssertionError("never entered")
    assert [(step["holder"], step["resource"]) for step in error.value.cycle] == [("me", "a"), ("other", "b")]
    await waiting


async def test_locks_without_a_scope_stand_until_they_are_given_back(client: concert.Client) -> None:
    """L7, L8: they are renewed by their tokens, given back once, and told to be gone after that."""
    lock = await client.locks.acquire("site", "cdn", lease=5, wait=0, holder="ops")
    assert lock.holder == "ops"
    with pytest.raises(concert.LockTimeout):
        await client.locks.acquire("site", wait=0)
    tokens = list(lock.fencing_tokens.values())
    left = await client.locks.keep_alive(*tokens, 1)
    assert all(0 < (left[token] or 0) <= 5 for token in tokens)
    assert left[1] is None
    assert await client.locks.release(*tokens) > max(tokens)
    with pytest.raises(concert.NotHolder):
        await client.locks.release(*tokens)
    assert await client.locks.list() == []


async def test_a_lock_scope_outlives_a_sigkill(mortal: CoordinatorProcess) -> None:
    """A lock stands as it stood after a restart: the scope notices nothing, others still wait."""
    async with concert.connect(mortal.address) as client, client.session(lease=120) as session:
        async with client.lock("a", lease=120), session.lock("b"):
            await asyncio.to_thread(mortal.restart)
            for resource in ("a", "b"):
                with pytest.raises(concert.LockTimeout):
                    async with client.lock(resource, wait=0):
                        raise AssertionError("never entered")
        async with client.lock("a", "b", wait=0):
            pass


async def test_a_session_that_is_taken_over_loses_its_locks(client: concert.Client) -> None:
    """A2, A4: the scope of the old session is cancelled and raises LockLost; the new one gets the lock."""
    entered = asyncio.Event()

    async def hold() -> None:
        async with client.session(agent_id="one") as session, session.lock("a"):
            entered.set()
            await asyncio.Event().wait()

    holding = asyncio.create_task(hold())
    await entered.wait()
    with pytest.raises(concert.AlreadyExists):
        async with client.session(agent_id="one"):
            pass
    async with client.session(agent_id="one", takeover=True) as session, session.lock("a", wait=5):
        with pytest.raises(concert.LockLost):
            await holding


# ---- state


async def test_a_conflict_is_useful_and_modify_resolves_it(client: concert.Client) -> None:
    """S3, S8: the loser gets the current value and who wrote it; read-modify-write by many loses no update."""
    base = await client.state.update({"n": 0})
    other = await client.state.update({"n": 5}, strategy="replace")
    with pytest.raises(concert.StateConflictError) as error:
        await client.state.update({"n": 1}, strategy="replace", base_revision=base)
    (key,) = error.value.keys
    assert (key["their_key"], key["their_revision"], key["current"], key["attempted"]) == ("n", other, 5, 1)
    assert error.value.current_revision >= other

    await client.state.update({"n": 0}, strategy="replace")
    await asyncio.gather(*(client.state.modify("n", lambda value: value + 1) for _ in range(8)))
    entry = await client.state.get("n")
    assert entry is not None
    assert entry.value == 8


async def test_the_past_and_a_watch_survive_a_sigkill(mortal: CoordinatorProcess) -> None:
    """S1, E2: history, any revision, and a watch that goes on: each change once, in order, whatever dies meanwhile."""
    async with concert.connect(mortal.address, writer="me") as client:
        first = await client.state.update({"k/a": 1, "k/b": 1})
        told: list[tuple[str, str, Any]] = []
        held: dict[str, Any] = {}
        async with client.state.watch(prefix="k") as watch, aclosing(aiter(watch)) as changes:

            async def follow(until: int) -> None:
                async for change in changes:
                    told.append((change.key, change.kind, change.value))
                    change.apply(held)
                    if change.revision >= until:
                        return

            await follow(await client.state.update({"k/a": 2}))
            await asyncio.to_thread(mortal.restart)
            deleted = await client.state.delete("k/b")
            await follow(await client.state.update({"k/c": 3}))
            cursor = watch.cursor
        assert told == [
            ("k/a", "there", 1),
            ("k/b", "there", 1),
            ("k/a", "set", 2),
            ("k/b", "deleted", None),
            ("k/c", "set", 3),
        ]
        assert held == {"k/a": 2, "k/c": 3}
        await asyncio.to_thread(mortal.restart)
        assert [each.value for each in await client.state.list("k", at=first)] == [1, 1]
        assert [each.key for each in await client.state.list("k", at=deleted - 1)] == ["k/a", "k/b"]
        history = await client.state.history(prefix="k")
        assert [each.updates or each.deletes for each in history] == [
            {"k/a": 1, "k/b": 1},
            {"k/a": 2},
            ("k/b",),
            {"k/c": 3},
        ]
        assert {each.writer for each in history} == {"me"}
        last = await client.state.delete(prefix="k")
        async with client.state.watch(prefix="k", after=cursor) as resumed, aclosing(aiter(resumed)) as changes:
            change = await anext(changes)
            assert (change.key, change.kind, change.revision) == ("k", "cleared", last)


async def test_state_in_a_session(client: concert.Client) -> None:
    """S2, S5: merge, append and replace under a prefix, as one writer: the session's agent_id."""
    async with client.session(agent_id="scribe") as session:
        await session.state.update({"site/pages": {"a": 1}, "site/tags": ["x"]})
        await session.state.update({"site/pages": {"b": 2}})
        await session.state.update({"site/tags": ["y"]}, strategy="append")
        found = {entry.key: entry.value for entry in await session.state.list("site")}
        assert found == {"site/pages": {"a": 1, "b": 2}, "site/tags": ["x", "y"]}
        await session.state.update({"site/new": True}, strategy="replace", prefix="site")
        (entry,) = await session.state.list("site")
        assert (entry.key, entry.value, entry.writer) == ("site/new", True, "scribe")
        with pytest.raises(concert.InvalidArgument):
            await session.state.update({"site/new": [1]}, strategy="append")


# ---- runs and agents


async def test_three_agents_of_one_second_take_about_one(shared: CoordinatorProcess, client: concert.Client) -> None:
    """Three independent tasks run in parallel, and a fourth is handed their results."""
    agents = [Renderer(name) for name in ("one", "two", "three")]
    last = Renderer("last", seconds=0.0)
    async with AgentHost(*agents, last, address=shared.address, namespace=client.namespace) as host:
        await host.registered()
        begun = time.monotonic()
        run = await client.submit_run(
            tasks=[
                concert.task("end", agent="last", depends_on=["a", "b", "c"]),
                *(concert.task(name, agent=agent.name) for name, agent in zip("abc", agents, strict=True)),
            ]
        )
        ended = await run.wait()
        assert time.monotonic() - begun < 2.0
        assert ended.status == RunStatus.RUN_STATUS_SUCCEEDED
        assert set((await run.result("end"))["before"]) == {"a", "b", "c"}
        types = [event.type async for update in client.run(run.run_id).watch() for event in update.events]
        assert types == []  # over: the snapshot says it all


async def test_a_cancelled_run_stops_its_agents(shared: CoordinatorProcess, client: concert.Client) -> None:
    """R12: execute is cancelled, cleanup runs, and the run ends CANCELLED without waiting for the work."""
    agent = Renderer(seconds=60.0)
    async with AgentHost(agent, address=shared.address, namespace=client.namespace):
        run = await client.submit_run(tasks=[concert.task("t", capability="work")])
        await agent.begun.wait()
        await run.cancel()
        ended = await run.wait()
        assert ended.status == RunStatus.RUN_STATUS_CANCELLED
        assert ended.tasks[0].status == TaskStatus.TASK_STATUS_CANCELLED
        assert agent.cleaned == agent.executed
        with pytest.raises(concert.RunOver):
            await run.cancel()


async def test_an_agent_that_blocks_for_longer_than_its_lease_keeps_its_session(
    shared: CoordinatorProcess, client: concert.Client
) -> None:
    """Heartbeats cannot be starved: an execute that holds the event loop for twice the lease completes."""

    class Blocking(Renderer):
        async def execute(self, context: TaskContext) -> Any:
            self.executed.append(context.attempt_token)
            end = time.monotonic() + 4.0
            while time.monotonic() < end - 2.0:
                sum(range(1000))
            time.sleep(2.0)  # noqa: ASYNC251 - the point of it
            return "done"

    agent = Blocking()
    async with AgentHost(agent, address=shared.address, namespace=client.namespace, lease=2):
        run = await client.submit_run(tasks=[concert.task("t", capability="work")])
        ended = await run.wait()
        assert ended.status == RunStatus.RUN_STATUS_SUCCEEDED
        assert ended.tasks[0].attempts == len(agent.executed) == 1


async def test_an_attempt_outlives_a_sigkill_of_the_coordinator(mortal: CoordinatorProcess) -> None:
    """A5: execute is called once; the report finds its way to the coordinator that came back."""
    agent = Renderer(seconds=2.0)
    async with (
        concert.connect(mortal.address) as client,
        AgentHost(agent, address=mortal.address, lease=30),
    ):
        run = await client.submit_run(tasks=[concert.task("t", capability="work")])
        await agent.begun.wait()
        await asyncio.to_thread(mortal.restart)
        ended = await run.wait()
        assert ended.status == RunStatus.RUN_STATUS_SUCCEEDED
        assert ended.tasks[0].attempts == len(agent.executed) == 1


async def test_a_coordinator_that_drains_is_survived(mortal: CoordinatorProcess) -> None:
    """SIGTERM of the coordinator: streams end, it exits with 0, and everything goes on with the next one."""
    agent = Renderer(seconds=1.0)
    async with (
        concert.connect(mortal.address) as client,
        client.session(lease=30) as session,
        AgentHost(agent, address=mortal.address, lease=30),
    ):
        run = await client.submit_run(tasks=[concert.task("t", capability="work")])
        await agent.begun.wait()
        assert await asyncio.to_thread(mortal.terminate) == 0
        await asyncio.to_thread(mortal.start)
        assert (await run.wait()).status == RunStatus.RUN_STATUS_SUCCEEDED
        assert await session.publish("still here")
        assert len(agent.executed) == 1


async def test_failures_are_told_apart(shared: CoordinatorProcess, client: concert.Client) -> None:
    """R10, R18: one task fails for good, what depends on it is skipped, the others go on."""

    class Failing(Agent):
        name = "failing"

        async def execute(self, context: TaskContext) -> Any:
            raise RuntimeError("disk full")

    async with AgentHost(Failing(), Renderer(seconds=0.0), address=shared.address, namespace=client.namespace):
        run = await client.submit_run(
            tasks=[
                concert.task("bad", agent="failing", retry=concert.retry(1)),
                concert.task("never", capability="work", depends_on=["bad"]),
                concert.task("good", capability="work", after=["bad"]),
            ]
        )
        ended = await run.wait()
        tasks = {task.task_id: task for task in ended.tasks}
        assert ended.status == RunStatus.RUN_STATUS_PARTIAL_FAILURE
        assert tasks["bad"].error.error_type == "RuntimeError"
        assert tasks["never"].status == TaskStatus.TASK_STATUS_SKIPPED
        assert tasks["good"].status == TaskStatus.TASK_STATUS_SUCCEEDED
        (failed,) = await client.events.list(types=["agent_failed"], run_ids=[run.run_id])
        assert "disk full" in failed.agent_failed.error.traceback


async def test_a_completion_that_conflicts_is_tried_again(shared: CoordinatorProcess, client: concert.Client) -> None:
    """R9, S4: staged changes that conflict fail the attempt with STATE_CONFLICT; the next attempt succeeds."""

    class Writing(Agent):
        name = "writing"

        async def execute(self, context: TaskContext) -> Any:
            if context.attempt == 1:
                await client.state.update({"site/pages": 1}, strategy="replace")
            context.set_state({"site/pages": 2}, strategy="replace")

    async with AgentHost(Writing(), address=shared.address, namespace=client.namespace):
        retry = concert.retry(2, backoff_initial=0.01)
        run = await client.submit_run(tasks=[concert.task("t", agent="writing", retry=retry)])
        ended = await run.wait()
        assert ended.status == RunStatus.RUN_STATUS_SUCCEEDED
        assert ended.tasks[0].attempts == 2
        entry = await client.state.get("site/pages")
        assert entry is not None
        assert (entry.value, entry.writer) == (2, f"task/{run.run_id}/t")
        (failed,) = await client.events.list(types=["agent_failed"], run_ids=[run.run_id])
        assert failed.agent_failed.error.error_type == "STATE_CONFLICT"


async def test_a_run_made_of_agents_is_planned_and_runs(shared: CoordinatorProcess, client: concert.Client) -> None:
    """R2: the agents' own dependencies and afters order the run, whatever order they are named in."""
    first = Renderer("first", seconds=0.0)
    second = Renderer("second", seconds=0.0, depends_on=(concert.on_agent("first"),))
    third = Renderer("third", seconds=0.0, after=(concert.on_agent("second"),))
    async with AgentHost(third, first, second, address=shared.address, namespace=client.namespace) as host:
        await host.registered()
        plan = await client.plan_run(agents=["third", "second", "first"])
        assert [list(group.task_ids) for group in plan.groups] == [["first"], ["second"], ["third"]]
        run = await client.submit_run(agents=["third", "second", "first"])
        assert (await run.wait()).status == RunStatus.RUN_STATUS_SUCCEEDED
        assert first.executed[0] < second.executed[0] < third.executed[0]
        assert (await run.result("second"))["before"]["first"]["by"] == "first"


async def test_a_cycle_is_named(client: concert.Client) -> None:
    """R3: the error carries the cycle, and nothing is stored."""
    with pytest.raises(concert.DependencyCycleError) as error:
        await client.submit_run(
            tasks=[
                concert.task("a", capability="x", depends_on=["b"]),
                concert.task("b", capability="x", depends_on=["a"]),
            ]
        )
    assert sorted(error.value.cycle) == ["a", "b"]
    assert await client.runs.list() == []


async def test_an_agent_drains(shared: CoordinatorProcess, client: concert.Client) -> None:
    """A7: a drained agent finishes what it has, says goodbye, and takes nothing more."""
    agent = Renderer(seconds=0.5)
    async with AgentHost(agent, address=shared.address, namespace=client.namespace) as host:
        run = await client.submit_run(tasks=[concert.task("t", capability="work")])
        await agent.begun.wait()
        await client.agents.drain(host.agent_ids[0])
        await host.wait()
        assert (await run.wait()).status == RunStatus.RUN_STATUS_SUCCEEDED
        assert await client.agents.list(connected=True) == []


async def test_what_an_agent_writes_inside_an_attempt(shared: CoordinatorProcess, client: concert.Client) -> None:
    """S4, L8, R18: publish, state, lock and progress from within, all in the task's name."""

    class Busy(Agent):
        name = "busy"

        async def execute(self, context: TaskContext) -> Any:
            async with context.lock("bucket", guards="site") as lock:
                await context.state.update({"site/pages": 1})
                await context.publish("page_rendered", {"token": lock.fencing_token})
                await context.progress(0.5, "half")
            await context.state.modify("count", lambda value: (value or 0) + 1)
            return {"deadline_in": context.time_left()}

    async with AgentHost(Busy(), address=shared.address, namespace=client.namespace):
        run = await client.submit_run(tasks=[concert.task("t", agent="busy")])
        assert (await run.wait()).status == RunStatus.RUN_STATUS_SUCCEEDED
        events = await client.events.list(run_ids=[run.run_id])
        names = {concert.EventType.Name(event.type).removeprefix("EVENT_TYPE_").lower() for event in events}
        assert {"agent_started", "task_progressed", "custom", "agent_completed"} <= names
        entry = await client.state.get("count")
        assert entry is not None
        assert (entry.value, entry.writer) == (1, f"task/{run.run_id}/t")


async def test_the_coordinator_says_what_it_is(client: concert.Client) -> None:
    """GetServerInfo: version, features, every limit by name."""
    info = await client.server_info()
    assert info.version
    assert info.limits["payload_bytes_max"] > 0
