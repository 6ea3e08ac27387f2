"""Agents: what they say of themselves, who is there, draining and leaving."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from concert.v1 import agent_service_pb2 as pb
from concert.v1 import session_service_pb2

from coordinator_service.core import reasons
from coordinator_service.core.answers import AgentRead, AgentsRead
from coordinator_service.core.commands import DrainAgent, EndSession, GetAgent, ListAgents, UpdateAgent
from coordinator_service.core.rejections import NotFound
from coordinator_service.core.specs import AgentSpec
from coordinator_service.log.mirror import fill as mirror_fill
from coordinator_service.log.mirror import from_proto
from coordinator_service.rpc import limits
from coordinator_service.rpc.operation import Operation, Scope
from coordinator_service.rpc.operations.locks import fill_done
from coordinator_service.rpc.page_tokens import page_size, read_token, write_token
from coordinator_service.rpc.validation import (
    Faults,
    check_metadata,
    count_fault,
    given_name_fault,
    name_fault,
    optional_name_fault,
    size_fault,
)


def read_agent(faults: Faults, field: str, agent: Any) -> AgentSpec:
    """An AgentSpec; field is its path in the request. agent_id and agent_name may be empty."""
    faults.add(f"{field}.agent_id", given_name_fault(agent.agent_id))
    faults.add(f"{field}.agent_name", optional_name_fault(agent.agent_name))
    if agent.slots > limits.AGENT_SLOTS_MAX:
        faults.add(f"{field}.slots", f"the limit is {limits.AGENT_SLOTS_MAX}")
    check_metadata(faults, f"{field}.labels", agent.labels)
    faults.add(f"{field}.capabilities", count_fault(agent.capabilities, limits.CAPABILITIES_PER_AGENT_MAX))
    for number, capability in enumerate(agent.capabilities[: limits.CAPABILITIES_PER_AGENT_MAX]):
        where = f"{field}.capabilities[{number}]"
        faults.add(f"{where}.name", name_fault(capability.name))
        faults.add(f"{where}.version", size_fault(capability.version, limits.VERSION_BYTES_MAX))
        check_metadata(faults, f"{where}.labels", capability.labels)
    if len({capability.name for capability in agent.capabilities}) != len(agent.capabilities):
        faults.add(f"{field}.capabilities", "names a capability twice")
    check_dependencies(faults, f"{field}.depends_on", agent.depends_on)
    check_dependencies(faults, f"{field}.after", agent.after)
    if faults:
        return AgentSpec(agent_id="")
    spec: AgentSpec = from_proto(agent)
    return replace(spec, slots=spec.slots or 1)


def read_agent_spec(agent: Any, field: str, *, id_required: bool = True) -> AgentSpec:
    """As read_agent, for callers with nothing else to check. Raises InvalidField."""
    faults = Faults()
    if id_required and not agent.agent_id:
        faults.add(f"{field}.agent_id", "must be set")
    spec = read_agent(faults, field, agent)
    faults.settle()
    return spec


def check_dependencies(faults: Faults, field: str, dependencies: Any) -> None:
    """References to tasks: each names exactly one thing."""
    if not dependencies:
        return
    faults.add(field, count_fault(dependencies, limits.DEPENDENCIES_PER_TASK_MAX))
    for number, dependency in enumerate(dependencies[: limits.DEPENDENCIES_PER_TASK_MAX]):
        if faults.full:
            return
        on = dependency.WhichOneof("on")
        if on is None:
            faults.add(f"{field}[{number}]", "must name a task_id, an agent_name or a capability")
            continue
        fault = name_fault(getattr(dependency, on))
        if fault:
            faults.add(f"{field}[{number}].{on}", fault)


def decode_update(request: Any, _scope: Scope, faults: Faults) -> UpdateAgent:
    return UpdateAgent(spec=read_agent(faults, "agent", request.agent))


def decode_goodbye(request: Any, scope: Scope, faults: Faults) -> EndSession:
    faults.add("reason", size_fault(request.reason, limits.GOODBYE_REASON_BYTES_MAX))
    return EndSession(session_id=scope.session_id, reason=reasons.GOODBYE)


def decode_drain(request: Any, _scope: Scope, faults: Faults) -> DrainAgent:
    faults.add("agent_id", name_fault(request.agent_id))
    return DrainAgent(agent_id=request.agent_id)


def decode_get(request: Any, _scope: Scope, faults: Faults) -> GetAgent:
    faults.add("agent_id", name_fault(request.agent_id))
    return GetAgent(agent_id=request.agent_id)


def fill_agent(answer: AgentRead, _scope: Scope, response: Any) -> None:
    mirror_fill(answer.agent, response.agent)
    response.sequence = answer.sequence


def decode_list(request: Any, _scope: Scope, faults: Faults) -> ListAgents:
    faults.add("capability", optional_name_fault(request.capability))
    faults.add("agent_name", optional_name_fault(request.agent_name))
    return ListAgents(
        capability=request.capability,
        agent_name=request.agent_name,
        connected=request.connected,
        after_agent_id=read_token(faults, "agents", request.page_token),
        count_max=page_size(faults, request.page_size),
    )


def fill_agents(answer: AgentsRead, _scope: Scope, response: Any) -> None:
    for agent in answer.agents:
        mirror_fill(agent, response.agents.add())
    response.sequence = answer.sequence
    response.next_page_token = write_token("agents", answer.next_agent_id)


def _no_agent(command: GetAgent | DrainAgent) -> AgentRead:
    raise NotFound("agent", command.agent_id)


UPDATE_AGENT = Operation(
    method="UpdateAgent",
    frame="update_agent",
    request=session_service_pb2.UpdateAgent,
    response=session_service_pb2.Reported,
    decode=decode_update,
    fill=fill_done,
)
GOODBYE = Operation(
    method="Goodbye",
    frame="goodbye",
    request=session_service_pb2.Goodbye,
    response=session_service_pb2.Reported,
    decode=decode_goodbye,
    fill=fill_done,
)
DRAIN_AGENT = Operation(
    method="DrainAgent",
    service="AgentService",
    request=pb.DrainAgentRequest,
    response=pb.DrainAgentResponse,
    decode=decode_drain,
    fill=fill_done,
    in_absence=_no_agent,
)
GET_AGENT = Operation(
    method="GetAgent",
    service="AgentService",
    request=pb.GetAgentRequest,
    response=pb.GetAgentResponse,
    decode=decode_get,
    fill=fill_agent,
    in_absence=_no_agent,
)
LIST_AGENTS = Operation(
    method="ListAgents",
    service="AgentService",
    request=pb.ListAgentsRequest,
    response=pb.ListAgentsResponse,
    decode=decode_list,
    fill=fill_agents,
    in_absence=lambda _: AgentsRead(agents=(), sequence=0),
)
