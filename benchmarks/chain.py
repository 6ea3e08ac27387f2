"""A chain of empty tasks, driven by raw frames: what the coordinator itself adds to every task."""

from __future__ import annotations

import time
from typing import Any

import grpc
from concert.v1 import agent_pb2, run_pb2, run_service_pb2, session_service_pb2, task_pb2

from benchmarks.frames import hello_frame

CAPABILITY = "nothing"


class Chain:
    """The agent's side and the submitter's, over one session."""

    def __init__(self, namespace: str, tasks: int, request_prefix: str = "") -> None:
        self._tasks = tasks
        self._request_id = f"{request_prefix}chain"
        spec = agent_pb2.AgentSpec(agent_name="idler", capabilities=[agent_pb2.Capability(name=CAPABILITY)])
        self.hello = hello_frame(namespace, spec)
        self._correlation_id = 0

    async def complete(self, call: Any) -> float:
        """Seconds from the submission to the answer to the last report."""
        await call.write(self.hello)
        await call.read()
        began = time.perf_counter()
        await call.write(
            self._frame(submit_run=run_service_pb2.SubmitRunRequest(request_id=self._request_id, run=self._run()))
        )
        left = self._tasks + 1
        while left:
            frame = await call.read()
            if frame is grpc.aio.EOF:
                raise RuntimeError(f"the session ended: {await call.code()} {await call.details()}")
            for message in session_service_pb2.ConnectResponse.FromString(frame).messages:
                if message.HasField("task"):
                    await call.write(self._reports(message.task.attempt_token))
                elif message.reply.HasField("error"):
                    raise RuntimeError(f"refused: {message}")
                elif message.HasField("reply") and message.reply.correlation_id % 2 == 1:
                    left -= 1
        return time.perf_counter() - began

    def _run(self) -> run_pb2.RunSpec:
        target = task_pb2.TaskTarget(capability=CAPABILITY)
        tasks = [task_pb2.TaskSpec(task_id="task-0", target=target)]
        for number in range(1, self._tasks):
            before = agent_pb2.Dependency(task_id=f"task-{number - 1}")
            tasks.append(task_pb2.TaskSpec(task_id=f"task-{number}", target=target, depends_on=[before]))
        return run_pb2.RunSpec(name="chain", tasks=tasks)

    def _reports(self, token: int) -> bytes:
        """Started under an even correlation id, completed under an odd one."""
        self._correlation_id += 1 + self._correlation_id % 2
        started = session_service_pb2.TaskStarted(request_id=f"started-{token}", attempt_token=token)
        completed = session_service_pb2.TaskCompleted(request_id=f"completed-{token}", attempt_token=token)
        return self._frame(task_started=started) + self._frame(task_completed=completed)

    def _frame(self, **request: Any) -> bytes:
        self._correlation_id += 1
        command = session_service_pb2.Command(correlation_id=self._correlation_id, **request)
        message = session_service_pb2.ClientMessage(command=command)
        return session_service_pb2.ConnectRequest(messages=[message]).SerializeToString()

    def reports_alike(self) -> bytes:
        """A frame as long as those of complete."""
        return self._reports(1_000)

    @property
    def tasks(self) -> int:
        """How many."""
        return self._tasks


async def bounce(call: Any, chain: Chain) -> float:
    """Seconds for as many bare round trips of frames as long."""
    frame = chain.reports_alike()
    await call.write(chain.hello)
    await call.read()
    began = time.perf_counter()
    for _ in range(chain.tasks):
        await call.write(frame)
        await call.read()
    return time.perf_counter() - began
