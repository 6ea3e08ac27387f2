"""One scenario, played: its steps in order, what they answer judged as they go, its log judged at the end."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
from collections.abc import Callable
from typing import Any

from clients.conformance.callers import Callers
from clients.conformance.cluster import Cluster, Exited
from clients.conformance.driver import Driver, DriverFailed, Refused
from clients.conformance.judge import judge_absence, judge_executions, judge_log, judge_order
from clients.conformance.matching import Mismatch, check, filled, found_at, matches
from clients.conformance.route import Route
from clients.conformance.scenario import Scenario, Step
from clients.conformance.stage import Stage
from clients.conformance.wire import RpcRefused, Wire
from tests.coordinator_process import CoordinatorProcess

AWAIT_SECONDS_MAX = 120.0
_POLL_SECONDS = 0.05
_PATIENCE = {"call_seconds": 240, "retry_seconds": 200}
"""Of the client that every scenario has: a coordinator that starts on a loaded machine is waited for."""


class Failed(Exception):  # noqa: N818 - it says what happened
    """The scenario did not pass; says at which step and why."""


class Play:
    """A scenario while it is played. For one use."""

    def __init__(self, scenario: Scenario, number: int, stage: Stage) -> None:
        self._scenario = scenario
        self._prefix = str(number)
        self._namespace = f"conformance-{number}"
        self._stage = stage
        self._variables: dict[str, Any] = {}
        self._notices: list[dict[str, Any]] = []
        self._changed: set[asyncio.Future[None]] = set()
        self._scripts: dict[str, tuple[Step, ...]] = {}
        self._scripted: set[asyncio.Task[None]] = set()
        self._background: dict[str, asyncio.Task[None]] = {}
        self._processes = itertools.count(1)
        self._process = 0
        self._events: list[dict[str, Any]] = []

    async def set_up(self) -> None:
        """Has everything that it needs brought up."""
        scenario = self._scenario
        self._cluster: Cluster | None = None
        self._coordinator: CoordinatorProcess | None = None
        self._callers: Callers | None = None
        if "replicas" in scenario.coordinator:
            cluster = self._cluster = await self._stage.cluster(dict(scenario.coordinator))
            self._wire = Wire(cluster.addresses, self._namespace)
            self._route = Route(scenario, lambda: cluster.addresses)
        else:
            staged = await self._stage.coordinator(dict(scenario.coordinator))
            one = self._coordinator = staged.process
            self._callers = staged.callers
            self._wire = Wire([one.address], self._namespace, self._callers)
            self._route = Route(scenario, lambda: one.address)
        await self._route.start()
        self._driver: Driver = await self._stage.driver(scenario.driver)
        self._take_driver()
        self._variables |= {"namespace": self._namespace, **self._route.variables}

    async def run(self) -> None:
        """Plays it. Raises Failed."""
        try:
            await self._play()
        finally:
            await self._clean_up()

    async def _play(self) -> None:
        step: Step | str = "connecting"
        try:
            await self._request("connect", "", {"as": "client", **_PATIENCE})
            for step in self._scenario.steps:
                await self._step(step)
            step = "what went on beside"
            for task in [*self._background.values(), *self._scripted]:
                if task.done():
                    await task
            step = "the log"
            await self._read_log()
            judge_order(filled(self._scenario.log, self._variables), self._events)
            judge_absence(filled(self._scenario.never, self._variables), self._events)
            judge_log(self._events)
            judge_executions(self._notices)
        except (Mismatch, Refused, RpcRefused, DriverFailed, Exited, KeyError, IndexError, TimeoutError) as error:
            raise Failed(f"{step}\n    {type(error).__name__}: {error}\n{self._told()}") from error

    def _told(self) -> str:
        """The end of the log and of the notices, for whoever has to find out."""
        events = [f"    {each['sequence']} {each['type']} {each.get('task_id', '')}" for each in self._events[-30:]]
        notices = [f"    {str(notice)[:200]}" for notice in self._notices[-10:]]
        return "\n".join(["  log:", *events, "  notices:", *notices])

    async def _clean_up(self) -> None:
        for task in [*self._background.values(), *self._scripted]:
            task.cancel()
        await asyncio.gather(*self._background.values(), *self._scripted, return_exceptions=True)
        self._driver.listen(self._prefix, lambda _notice: None)
        if self._scenario.driver == "own":
            await self._driver.stop()
        else:
            await self._close_all()
        await self._route.stop()
        await self._wire.close()
        if self._cluster is not None:
            await asyncio.to_thread(self._cluster.stop)
        elif self._coordinator is not None and self._scenario.coordinator.get("own"):
            await asyncio.to_thread(self._coordinator.stop)

    async def _close_all(self) -> None:
        for name in reversed([*self._made]):
            try:
                await self._driver.request("close", name, {}, seconds=20)
            except (Refused, DriverFailed):
                pass

    # ---- steps
    async def _step(self, step: Step) -> None:
        if step.background:
            self._background[step.background] = asyncio.create_task(self._do(step))
            await asyncio.sleep(0)
        else:
            await self._do(step)

    async def _do(self, step: Step, own: dict[str, Any] | None = None) -> None:
        """Does a step and judges its answer. `own`: variables that only this step sees."""
        variables = {**self._variables, **(own or {})}
        do = getattr(self, f"_do_{step.verb}", None)
        try:
            if do is not None:
                answer = await do(step, variables)
            else:
                body = dict(filled(step.body, variables) or {})
                answer = await self._request(step.verb, body.pop("on", ""), body)
        except (Refused, RpcRefused) as refused:
            if step.error is None:
                raise
            check(filled(step.error, variables), refused.error)
            answer = refused.error
        else:
            if step.error is not None:
                raise Mismatch(f"it was to end with {step.error}, and answered {str(answer)[:300]}")
        check(filled(step.expect, variables) or {}, answer if answer is not None else {})
        for name, path in step.save.items():
            self._variables[name] = found_at(answer, path)

    async def _request(self, op: str, on: str, args: dict[str, Any]) -> Any:
        if op in ("connect", "host_agent"):
            caller = args.pop("caller", self._scenario.caller)
            shown = self._callers.place(caller) if self._callers is not None else {}
            args = {"namespace": self._namespace, **self._route.place, **shown, **args}
        if "as" in args:
            args = {**args, "as": f"{self._prefix}:{args['as']}"}
            self._made[args["as"]] = None
        if on and not on.startswith(f"{self._prefix}:"):
            on = f"{self._prefix}:{on}"
        return await self._driver.request(op, on, args)

    async def _do_notice(self, step: Step, variables: dict[str, Any]) -> Any:
        wanted = self._notice(step, variables)

        def found() -> dict[str, Any] | None:
            return next((each for each in self._notices if not each["seen"] and matches(wanted, each)), None)

        notice = await self._until(found, f"no such notice: {wanted}")
        notice["seen"] = True
        return notice

    async def _do_no_notice(self, step: Step, variables: dict[str, Any]) -> Any:
        wanted = self._notice(step, variables)
        found = next((each for each in self._notices if matches(wanted, each)), None)
        if found is not None:
            raise Mismatch(f"there is a notice: {found}")

    def _notice(self, step: Step, variables: dict[str, Any]) -> dict[str, Any]:
        wanted = dict(filled(step.body, variables))
        if "on" in wanted:
            wanted["on"] = f"{self._prefix}:{wanted['on']}"
        return wanted

    async def _do_event(self, step: Step, variables: dict[str, Any]) -> Any:
        wanted = filled(step.body, variables)
        async with asyncio.timeout(AWAIT_SECONDS_MAX):
            while True:
                await self._read_log()
                found = next((event for event in self._events if matches(wanted, event)), None)
                if found is not None:
                    return found
                await asyncio.sleep(_POLL_SECONDS)

    async def _do_no_event(self, step: Step, variables: dict[str, Any]) -> Any:
        await self._read_log()
        judge_absence((filled(step.body, variables),), self._events)

    async def _do_rpc(self, step: Step, variables: dict[str, Any]) -> Any:
        return await self._wire.call(step.body, filled(step.request, variables) or {})

    async def _do_rpc_until(self, step: Step, variables: dict[str, Any]) -> Any:
        async with asyncio.timeout(AWAIT_SECONDS_MAX):
            while True:
                for each in step.meanwhile:
                    await self._do(each)
                refusal: RpcRefused | None = None
                answer: dict[str, Any] = {}
                try:
                    answer = await self._do_rpc(step, variables)
                except RpcRefused as refused:
                    refusal = refused
                if refusal is not None and step.error is not None and matches(step.error, refusal.error):
                    raise refusal
                if refusal is None and step.error is None and matches(filled(step.expect, variables), answer):
                    return answer
                await asyncio.sleep(_POLL_SECONDS)

    async def _do_script(self, step: Step, _variables: dict[str, Any]) -> Any:
        self._scripts[f"{self._prefix}:{step.body['of']}"] = step.body["steps"]

    async def _do_replica(self, step: Step, _variables: dict[str, Any]) -> Any:
        assert self._cluster is not None, "the scenario has no replicas"
        for action, number in step.body.items():
            await self._cluster.do(action, number)

    async def _do_coordinator(self, step: Step, _variables: dict[str, Any]) -> Any:
        assert self._coordinator is not None, "the scenario has replicas"
        one = self._coordinator
        actions: dict[str, tuple[Callable[[], Any], ...]] = {
            "kill": (self._coordinator.kill,),
            "stop": (self._coordinator.terminate,),
            "start": (self._coordinator.start,),
            "restart": (self._coordinator.restart,),
            "an_hour_passes": (lambda: os.kill(one.pid, signal.SIGUSR1),),
        }
        for action in actions[step.body]:
            await asyncio.to_thread(action)

    async def _do_renew(self, step: Step, _variables: dict[str, Any]) -> Any:
        assert self._callers is not None, "the coordinator knows nobody"
        self._callers.renew(**step.body)

    async def _do_network(self, step: Step, _variables: dict[str, Any]) -> Any:
        assert self._route.network is not None, "the scenario has no network"
        await self._route.network.do(step.body)

    async def _do_driver(self, step: Step, _variables: dict[str, Any]) -> Any:
        if step.body == "kill":
            await self._driver.kill()
        elif step.body == "terminate":
            code = await self._driver.terminate()
            if code != 0:
                raise Mismatch(f"after SIGTERM the driver exited with {code}:\n{self._driver.said()}")
        else:
            await self._driver.start()
            self._take_driver()
            await self._request("connect", "", {"as": "client", **_PATIENCE})

    async def _do_join(self, step: Step, _variables: dict[str, Any]) -> Any:
        async with asyncio.timeout(AWAIT_SECONDS_MAX):
            await self._background.pop(step.body)

    # ---- what comes in
    def _take_driver(self) -> None:
        self._process = next(self._processes)
        self._made: dict[str, None] = {}
        self._driver.listen(self._prefix, self._on_notice)

    def _on_notice(self, notice: dict[str, Any]) -> None:
        self._notices.append({**notice, "process": self._process, "seen": False})
        script = self._scripts.get(notice["on"])
        if notice["notice"] == "executing" and script is not None:
            task = asyncio.create_task(self._follow(script, notice))
            self._scripted.add(task)
        for change in self._changed:
            if not change.done():
                change.set_result(None)

    async def _follow(self, script: tuple[Step, ...], notice: dict[str, Any]) -> None:
        """What a script does with one attempt."""
        for step in script:
            on = {} if step.verb not in _ON_ATTEMPT or "on" in step.body else {"on": notice["attempt"]}
            body = {**step.body, **on} if isinstance(step.body, dict) else step.body
            await self._do(
                Step(
                    verb=step.verb,
                    body=body,
                    request=step.request,
                    expect=step.expect,
                    error=step.error,
                    save=step.save,
                ),
                {"attempt": notice["attempt"], "notice": notice},
            )

    async def _until(self, condition: Callable[[], Any], otherwise: str) -> Any:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + AWAIT_SECONDS_MAX
        while not (found := condition()):
            change: asyncio.Future[None] = loop.create_future()
            self._changed.add(change)
            try:
                async with asyncio.timeout_at(deadline):
                    await change
            except TimeoutError:
                raise Mismatch(otherwise) from None
            finally:
                self._changed.discard(change)
        return found

    async def _read_log(self) -> None:
        self._events += await self._wire.events(self._events[-1]["sequence"] if self._events else 0)


_ON_ATTEMPT = frozenset(
    {
        "progress",
        "stage_state",
        "results",
        "block",
        "return",
        "fail",
        "publish",
        "acquire",
        "update_state",
        "get_state",
        "modify_state",
        "submit_run",
        "add_tasks",
    }
)
