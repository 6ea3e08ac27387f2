"""The conformance driver of the plain agent (clients/conformance/README.md): each request has a thread of its own."""

from __future__ import annotations

import json
import queue
import secrets
import sys
import threading
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import grpc
from agent import (
    CHANNEL_OPTIONS,
    Attempt,
    NotRetryable,
    PlainAgent,
    Refused,
    Stopped,
    back_off,
    new_request_id,
    refused,
)
from concert.v1 import (
    event_pb2,
    event_service_pb2,
    event_service_pb2_grpc,
    lock_pb2,
    lock_service_pb2,
    lock_service_pb2_grpc,
    run_service_pb2,
    run_service_pb2_grpc,
    state_pb2,
    state_service_pb2,
    state_service_pb2_grpc,
    task_pb2,
)
from concert.v1 import session_service_pb2 as session_pb
from values import (
    details_of,
    event_of,
    filter_of,
    mode_of,
    payload_of,
    plain_of,
    plain_payload,
    run_of,
    run_spec_of,
    spec_of,
    value_of,
)

_writing = threading.Lock()


def say(message: dict[str, Any]) -> None:
    """A line."""
    with _writing:
        sys.stdout.write(json.dumps(message) + "\n")
        sys.stdout.flush()


class Client:
    """Unary calls, each tried again under its request_id while nobody answers."""

    def __init__(self, address: str, namespace: str, writer: str = "") -> None:
        self.writer = writer or secrets.token_hex(8)
        self.channel = grpc.insecure_channel(address, CHANNEL_OPTIONS)
        self._namespace = namespace
        self.events = event_service_pb2_grpc.EventServiceStub(self.channel)
        self.runs = run_service_pb2_grpc.RunServiceStub(self.channel)
        self.locks = lock_service_pb2_grpc.LockServiceStub(self.channel)
        self.state = state_service_pb2_grpc.StateServiceStub(self.channel)

    def call(self, method: Any, request: Any, timeout: float = 60) -> Any:
        """The response. Raises Refused."""
        self.complete(request)
        give_up_at = time.monotonic() + 30
        for pause in back_off():
            try:
                return method(request, timeout=timeout)
            except grpc.RpcError as error:
                refusal = refused(error)
                if refusal.code != "UNAVAILABLE" or time.monotonic() > give_up_at:
                    raise refusal from None
            time.sleep(pause)
        raise AssertionError("the back-off never ends")

    def complete(self, request: Any) -> Any:
        """With a namespace and a request id."""
        request.namespace = self._namespace
        if "request_id" in request.DESCRIPTOR.fields_by_name and not request.request_id:
            request.request_id = new_request_id()
        return request

    def close(self) -> None:
        """Ends it."""
        self.channel.close()


class Scope:
    """A lock that is kept alive until it is released."""

    def __init__(self, client: Client, grants: Any) -> None:
        self._client = client
        self.tokens = [grant.fencing_token for grant in grants]
        self._over = threading.Event()
        self._lease = grants[0].lease.ToNanoseconds() / 1e9
        threading.Thread(target=self._keep, daemon=True).start()

    def _keep(self) -> None:
        while not self._over.wait(self._lease / 3):
            request = lock_service_pb2.KeepAliveRequest(fencing_tokens=self.tokens)
            self._client.call(self._client.locks.KeepAlive, request, timeout=self._lease)

    def close(self) -> None:
        """Releases it."""
        self._over.set()
        self._client.call(self._client.locks.Release, lock_service_pb2.ReleaseRequest(fencing_tokens=self.tokens))


class Followed:
    """A subscription that is opened again where it broke (§11)."""

    def __init__(self, client: Client, request: Any, name: str) -> None:
        self._client = client
        self._request = client.complete(request)
        self._position = event_service_pb2.Cursor()
        self._batch: list[Any] = []
        self._stream: Any = None
        self.name = name
        while not self._position.sequence and not self._batch:
            self._read()

    def next(self) -> Any:
        """The next event."""
        while not self._batch:
            self._read()
        event = self._batch.pop(0)
        self._position.log_id, self._position.sequence = event.log_id, event.sequence
        return event

    def _read(self) -> None:
        for pause in back_off():
            if self._stream is None:
                if self._position.log_id:
                    self._request.after.CopyFrom(self._position)
                self._stream = self._client.events.Subscribe(self._request)
            try:
                response = next(self._stream)
                break
            except StopIteration:
                self._stream = None
            except grpc.RpcError as error:
                self._stream, refusal = None, refused(error)
                if refusal.code not in ("UNAVAILABLE", "CANCELLED", "INTERNAL", "UNKNOWN"):
                    raise refusal from None
            time.sleep(pause)
        self._batch += response.events
        if response.HasField("bookmark") and not self._batch:
            self._position.log_id = response.bookmark.log_id
            self._position.sequence = response.bookmark.last_sequence

    def close(self) -> None:
        """Ends it."""
        if self._stream is not None:
            self._stream.cancel()


class RemoteAgent:
    """An agent whose handlers take orders."""

    def __init__(self, name: str, driver: Driver, args: dict[str, Any]) -> None:
        self._name = name
        self._driver = driver
        self._preconditions = args.get("preconditions", {})
        address, namespace = args["address"], args["namespace"]
        self.spec = spec_of(args, name)
        self.agent = PlainAgent(
            lambda: grpc.insecure_channel(address, CHANNEL_OPTIONS), namespace, self.spec, self, args.get("lease", 15)
        )
        threading.Thread(target=self._told_when_left, daemon=True).start()

    def _told_when_left(self) -> None:
        self.agent.left.wait()
        say({"notice": "left", "on": self._name})

    def preconditions(self, attempt: Attempt) -> str:
        """As the runner said."""
        return str(self._preconditions.get(attempt.task.capability, ""))

    def execute(self, attempt: Attempt) -> Any:
        """Takes orders until it is told to end, or cancelled."""
        task, handle = attempt.task, f"{self._name}/{attempt.token}"
        orders: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._driver.things[handle] = orders
        attempt.on_cancel = lambda: orders.put(None)
        say(
            {
                "notice": "executing",
                "on": self._name,
                "attempt": handle,
                "run_id": task.run_id,
                "task_id": task.task_id,
                "number": task.attempt,
                "attempt_token": task.attempt_token,
                "capability": task.capability,
                "input": plain_payload(task.input),
                "context": plain_payload(task.context),
                "locks": {grant.resource: grant.fencing_token for grant in task.locks},
                "metadata": dict(task.metadata),
                "time_left": task.time_left.ToNanoseconds() / 1e9,
            }
        )
        while (order := orders.get()) is not None and not attempt.cancelled.is_set():
            op, args, answer = order
            if op == "return":
                answer({"result": {}})
                return payload_of(args.get("value"))
            if op == "fail":
                answer({"result": {}})
                raise (NotRetryable if args.get("not_retryable") else RuntimeError)(args["message"])
            answer(self._driver.outcome(getattr(self, f"_{op}"), attempt, args))
        say({"notice": "cancelled", "on": self._name, "attempt": handle})
        raise Stopped

    def cleanup(self, attempt: Attempt) -> None:
        """Says that it ran."""
        say({"notice": "cleaned_up", "on": self._name, "attempt": f"{self._name}/{attempt.token}"})

    def close(self) -> None:
        """Leaves."""
        self.agent.stop()

    def _progress(self, attempt: Attempt, args: dict[str, Any]) -> None:
        progress = task_pb2.Progress(fraction=args["fraction"], message=args.get("message", ""))
        attempt.call("task_progress", session_pb.TaskProgress(progress=progress))

    def _results(self, attempt: Attempt, _args: dict[str, Any]) -> Any:
        return {"results": {task_id: plain_payload(payload) for task_id, payload in attempt.results().items()}}

    def _block(self, _attempt: Attempt, args: dict[str, Any]) -> None:
        until = time.monotonic() + args["seconds"]
        while time.monotonic() < until:
            pass

    def _publish(self, attempt: Attempt, args: dict[str, Any]) -> Any:
        response = attempt.call("publish", event_service_pb2.PublishRequest(events=_drafts(args["events"])))
        return {"sequences": list(response.sequences)}

    def _update_state(self, attempt: Attempt, args: dict[str, Any]) -> Any:
        request = state_service_pb2.UpdateStateRequest(change=_change(args))
        return {"revision": attempt.call("update_state", request).revision}


class Driver:
    """The line protocol, and the ops of a client."""

    def __init__(self) -> None:
        self.things: dict[str, Any] = {}

    def serve(self) -> None:
        """Until the input ends."""
        for line in sys.stdin:
            threading.Thread(target=self._answer, args=(json.loads(line),), daemon=True).start()

    def outcome(self, operation: Any, *args: Any) -> dict[str, Any]:
        """What an operation is answered with."""
        try:
            return {"result": operation(*args) or {}}
        except Refused as error:
            said = {"code": error.code, "reason": error.reason, "message": error.status.message}
            return {"error": {**said, "details": details_of(error.status)}}
        except ValueError as error:
            return {"error": {"code": "INVALID_ARGUMENT", "reason": "INVALID_FIELD", "message": str(error)}}
        except Exception as error:
            return {"error": {"code": "DRIVER", "message": f"{type(error).__name__}: {error}"}}

    def _answer(self, request: dict[str, Any]) -> None:
        thing, args, op = self.things.get(request.get("on", "")), request.get("args", {}), request["op"]

        def answer(outcome: dict[str, Any]) -> None:
            say({"id": request["id"], **outcome})

        if isinstance(thing, queue.SimpleQueue):
            thing.put((op, args, answer))
        elif not hasattr(self, f"op_{op}"):
            answer({"error": {"code": "UNKNOWN_OP", "message": op}})
        else:
            answer(self.outcome(getattr(self, f"op_{op}"), thing, args))

    def op_connect(self, _thing: Any, args: dict[str, Any]) -> None:
        """A client."""
        self.things[args["as"]] = Client(args["address"], args["namespace"], args.get("writer", ""))

    def op_host_agent(self, _thing: Any, args: dict[str, Any]) -> Any:
        """An agent, once it is registered."""
        hosted = self.things[args["as"]] = RemoteAgent(args["as"], self, args)
        return {"agent_id": hosted.agent.registered.result()}

    def op_update_agent(self, hosted: RemoteAgent, args: dict[str, Any]) -> None:
        """Another description."""
        described = {"agent_id": hosted.spec.agent_id, "agent_name": hosted.spec.agent_name, **args}
        hosted.agent.update(spec_of(described, ""))

    def op_drain(self, hosted: RemoteAgent, _args: dict[str, Any]) -> None:
        """Leaves when it has finished."""
        hosted.agent.drain()

    def op_close(self, thing: Any, _args: dict[str, Any]) -> None:
        """Ends anything."""
        thing.close()

    op_release = op_close

    def op_publish(self, client: Client, args: dict[str, Any]) -> Any:
        """States facts."""
        request = event_service_pb2.PublishRequest(
            request_id=args.get("request_id", ""), events=_drafts(args["events"])
        )
        return {"sequences": list(client.call(client.events.Publish, request).sequences)}

    def op_list_events(self, client: Client, args: dict[str, Any]) -> Any:
        """History."""
        request = event_service_pb2.ListEventsRequest(filter=filter_of(args.get("filter", {})), page_size=1000)
        return {"events": [event_of(event) for event in client.call(client.events.ListEvents, request).events]}

    def op_subscribe(self, client: Client, args: dict[str, Any]) -> None:
        """Follows the log."""
        request = event_service_pb2.SubscribeRequest(filter=filter_of(args.get("filter", {})))
        start = event_service_pb2.StartPosition.Value(f"START_POSITION_{args.get('start', 'latest').upper()}")
        name = args.get("name", "")
        if name:
            create = event_service_pb2.CreateSubscriptionRequest(name=name, position=start)
            try:
                client.call(client.events.CreateSubscription, create)
            except Refused as error:
                if error.reason != "ALREADY_EXISTS":
                    raise
            request.subscription = name
        elif "after" in args:
            request.after.sequence = args["after"]
        else:
            request.position = start
        self.things[args["as"]] = Followed(client, request, name)

    def op_next(self, followed: Followed, args: dict[str, Any]) -> Any:
        """The next events."""
        return {"events": [event_of(followed.next()) for _ in range(args["count"])]}

    def op_ack(self, followed: Followed, args: dict[str, Any]) -> None:
        """Up to an event."""
        cursor = event_service_pb2.Cursor(log_id=followed._position.log_id, sequence=args["sequence"])
        request = event_service_pb2.AcknowledgeRequest(name=followed.name, cursor=cursor)
        followed._client.call(followed._client.events.Acknowledge, request)

    def op_acknowledge(self, client: Client, args: dict[str, Any]) -> Any:
        """Moves a named subscription."""
        cursor = event_service_pb2.Cursor(**args["cursor"])
        request = event_service_pb2.AcknowledgeRequest(name=args["name"], cursor=cursor)
        return {"sequence": client.call(client.events.Acknowledge, request).subscription.cursor.sequence}

    def op_submit_run(self, client: Client, args: dict[str, Any]) -> Any:
        """A run."""
        request = run_service_pb2.SubmitRunRequest(request_id=args.get("request_id", ""), run=run_spec_of(args["run"]))
        return {"run_id": client.call(client.runs.SubmitRun, request).run_id}

    def op_get_run(self, client: Client, args: dict[str, Any]) -> Any:
        """A run as it is."""
        return run_of(client.call(client.runs.GetRun, run_service_pb2.GetRunRequest(run_id=args["run_id"])).run)

    def op_wait_run(self, client: Client, args: dict[str, Any]) -> Any:
        """A run that is over: WatchRun ends then."""
        request = client.complete(run_service_pb2.WatchRunRequest(run_id=args["run_id"]))
        for pause in back_off():
            try:
                for _response in client.runs.WatchRun(request):
                    pass
                return self.op_get_run(client, args)
            except grpc.RpcError as error:
                refusal = refused(error)
                if refusal.code != "UNAVAILABLE":
                    raise refusal from None
            time.sleep(pause)
        return None

    def op_cancel_run(self, client: Client, args: dict[str, Any]) -> None:
        """Stops a run."""
        client.call(client.runs.CancelRun, run_service_pb2.CancelRunRequest(run_id=args["run_id"]))

    def op_task_result(self, client: Client, args: dict[str, Any]) -> Any:
        """What a task produced."""
        request = run_service_pb2.GetTaskResultRequest(run_id=args["run_id"], task_id=args["task_id"])
        return {"value": plain_payload(client.call(client.runs.GetTaskResult, request).result)}

    def op_acquire(self, client: Client, args: dict[str, Any]) -> Any:
        """A lock, kept alive."""
        request = lock_service_pb2.AcquireRequest()
        for resource in args["resources"]:
            one = lock_pb2.LockRequest(
                resource=resource, mode=mode_of(args.get("mode", "exclusive")), holder=args.get("holder", "")
            )
            request.requests.append(one)
        grants = client.call(client.locks.Acquire, request).grants
        self.things[args["as"]] = Scope(client, grants)
        said = [
            {"resource": each.resource, "fencing_token": each.fencing_token, "holder": each.holder} for each in grants
        ]
        return {"grants": said}

    def op_update_state(self, client: Client, args: dict[str, Any]) -> Any:
        """Changes keys."""
        request = state_service_pb2.UpdateStateRequest(
            request_id=args.get("request_id", ""), writer=client.writer, change=_change(args)
        )
        return {"revision": client.call(client.state.UpdateState, request).revision}

    def op_get_state(self, client: Client, args: dict[str, Any]) -> Any:
        """Reads keys."""
        entries, _revision = self._read(client, **args)
        return {
            "entries": {
                each.key: {"value": plain_of(each.value), "revision": each.revision, "writer": each.writer}
                for each in entries
            }
        }

    def op_modify_state(self, client: Client, args: dict[str, Any]) -> Any:
        """Adds to a number (§10)."""
        for pause in back_off():
            entries, revision = self._read(client, keys=[args["key"]])
            value = (plain_of(entries[0].value) if entries else 0) + args["add"]
            change = {"updates": {args["key"]: value}, "strategy": "replace", "base_revision": revision}
            try:
                return {"value": value, **self.op_update_state(client, change)}
            except Refused as error:
                if error.reason != "STATE_CONFLICT":
                    raise
            time.sleep(pause)
        return None

    def _read(self, client: Client, keys: Any = (), prefix: str = "") -> Any:
        request = state_service_pb2.GetStateRequest(keys=keys, prefix=prefix)
        response = client.call(client.state.GetState, request)
        return response.entries, response.sequence


def _drafts(events: list[dict[str, Any]]) -> Any:
    for event in events:
        draft = event_pb2.EventDraft(event_id=event.get("event_id", ""), metadata=event.get("metadata", {}))
        draft.custom.name = event["name"]
        if event.get("data") is not None:
            draft.custom.data.CopyFrom(payload_of(event["data"]))
        yield draft


def _change(args: dict[str, Any]) -> Any:
    strategy = state_pb2.MergeStrategy.Value(f"MERGE_STRATEGY_{args.get('strategy', 'merge').upper()}")
    change = state_pb2.StateChange(strategy=strategy, prefix=args.get("prefix", ""))
    for key, value in args.get("updates", {}).items():
        change.updates.add(key=key).value.CopyFrom(value_of(value))
    if "base_revision" in args:
        change.base_revision = args["base_revision"]
    return change


Driver().serve()
