/** Every call of the contract once: where it is served as an rpc, and as which field it travels in a session's frames. */
import type { BinaryReader, BinaryWriter } from "@bufbuild/protobuf/wire";
import * as agent from "./generated/concert/v1/agent_service.js";
import * as event from "./generated/concert/v1/event_service.js";
import * as lock from "./generated/concert/v1/lock_service.js";
import * as monitor from "./generated/concert/v1/monitor_service.js";
import * as run from "./generated/concert/v1/run_service.js";
import * as session from "./generated/concert/v1/session_service.js";
import * as state from "./generated/concert/v1/state_service.js";

/** How a message is read and written. */
export interface Codec<T> {
  encode(message: T, writer?: BinaryWriter): BinaryWriter;
  decode(input: BinaryReader | Uint8Array): T;
  create(): T;
}

/** A call. `service` is empty for what exists in frames only, `commandField` 0 for what exists as an rpc only. */
export interface Method<Request, Response> {
  readonly name: string;
  readonly service: string;
  readonly path: string;
  readonly request: Codec<Request>;
  readonly response: Codec<Response>;
  /** Its field in Command. */
  readonly commandField: number;
  /** Its field in Reply. */
  readonly replyField: number;
  readonly namesRequest: boolean;
  readonly namesNamespace: boolean;
}

const REPORTED_FIELD = 3;

function rpc<Request extends object, Response>(
  service: string,
  name: string,
  request: Codec<Request>,
  response: Codec<Response>,
  field = 0,
): Method<Request, Response> {
  const empty = request.create();
  return {
    name,
    service,
    path: `/concert.v1.${service}/${name}`,
    request,
    response,
    commandField: field,
    replyField: field,
    namesRequest: "requestId" in empty,
    namesNamespace: "namespace" in empty,
  };
}

function report<Request extends object>(
  name: string,
  request: Codec<Request>,
  field: number,
): Method<Request, session.Reported> {
  return { ...rpc("", name, request, session.Reported, field), path: "", replyField: REPORTED_FIELD };
}

export const CONNECT_PATH = "/concert.v1.SessionService/Connect";

export const PUBLISH = rpc("EventService", "Publish", event.PublishRequest, event.PublishResponse, 20);
export const SUBSCRIBE = rpc("EventService", "Subscribe", event.SubscribeRequest, event.SubscribeResponse);
export const LIST_EVENTS = rpc("EventService", "ListEvents", event.ListEventsRequest, event.ListEventsResponse);
export const GET_EVENT = rpc("EventService", "GetEvent", event.GetEventRequest, event.GetEventResponse);
export const CREATE_SUBSCRIPTION = rpc(
  "EventService",
  "CreateSubscription",
  event.CreateSubscriptionRequest,
  event.CreateSubscriptionResponse,
);
export const LIST_SUBSCRIPTIONS = rpc(
  "EventService",
  "ListSubscriptions",
  event.ListSubscriptionsRequest,
  event.ListSubscriptionsResponse,
);
export const ACKNOWLEDGE = rpc("EventService", "Acknowledge", event.AcknowledgeRequest, event.AcknowledgeResponse);
export const DELETE_SUBSCRIPTION = rpc(
  "EventService",
  "DeleteSubscription",
  event.DeleteSubscriptionRequest,
  event.DeleteSubscriptionResponse,
);

export const LIST_AGENTS = rpc("AgentService", "ListAgents", agent.ListAgentsRequest, agent.ListAgentsResponse);
export const GET_AGENT = rpc("AgentService", "GetAgent", agent.GetAgentRequest, agent.GetAgentResponse);
export const DRAIN_AGENT = rpc("AgentService", "DrainAgent", agent.DrainAgentRequest, agent.DrainAgentResponse);

export const PLAN_RUN = rpc("RunService", "PlanRun", run.PlanRunRequest, run.PlanRunResponse);
export const SUBMIT_RUN = rpc("RunService", "SubmitRun", run.SubmitRunRequest, run.SubmitRunResponse, 26);
export const GET_RUN = rpc("RunService", "GetRun", run.GetRunRequest, run.GetRunResponse, 27);
export const LIST_RUNS = rpc("RunService", "ListRuns", run.ListRunsRequest, run.ListRunsResponse);
export const WATCH_RUN = rpc("RunService", "WatchRun", run.WatchRunRequest, run.WatchRunResponse);
export const CANCEL_RUN = rpc("RunService", "CancelRun", run.CancelRunRequest, run.CancelRunResponse, 28);
export const ADD_TASKS = rpc("RunService", "AddTasks", run.AddTasksRequest, run.AddTasksResponse, 31);
export const RETRY_RUN = rpc("RunService", "RetryRun", run.RetryRunRequest, run.RetryRunResponse, 32);
export const GET_TASK_RESULT = rpc(
  "RunService",
  "GetTaskResult",
  run.GetTaskResultRequest,
  run.GetTaskResultResponse,
  29,
);

export const ACQUIRE = rpc("LockService", "Acquire", lock.AcquireRequest, lock.AcquireResponse, 21);
export const RELEASE = rpc("LockService", "Release", lock.ReleaseRequest, lock.ReleaseResponse, 22);
export const KEEP_ALIVE = rpc("LockService", "KeepAlive", lock.KeepAliveRequest, lock.KeepAliveResponse, 23);
export const LIST_LOCKS = rpc("LockService", "ListLocks", lock.ListLocksRequest, lock.ListLocksResponse);
export const GET_LOCK = rpc("LockService", "GetLock", lock.GetLockRequest, lock.GetLockResponse);

export const UPDATE_STATE = rpc("StateService", "UpdateState", state.UpdateStateRequest, state.UpdateStateResponse, 24);
export const DELETE_STATE = rpc("StateService", "DeleteState", state.DeleteStateRequest, state.DeleteStateResponse, 30);
export const GET_STATE = rpc("StateService", "GetState", state.GetStateRequest, state.GetStateResponse, 25);
export const LIST_STATE_HISTORY = rpc(
  "StateService",
  "ListStateHistory",
  state.ListStateHistoryRequest,
  state.ListStateHistoryResponse,
);
export const WATCH_STATE = rpc("StateService", "WatchState", state.WatchStateRequest, state.WatchStateResponse);

export const GET_SERVER_INFO = rpc(
  "MonitorService",
  "GetServerInfo",
  monitor.GetServerInfoRequest,
  monitor.GetServerInfoResponse,
);
export const GET_HEALTH = rpc("MonitorService", "GetHealth", monitor.GetHealthRequest, monitor.GetHealthResponse);
export const GET_METRICS = rpc("MonitorService", "GetMetrics", monitor.GetMetricsRequest, monitor.GetMetricsResponse);
export const EXPLAIN = rpc("MonitorService", "Explain", monitor.ExplainRequest, monitor.ExplainResponse);
export const LIST_NAMESPACES = rpc(
  "MonitorService",
  "ListNamespaces",
  monitor.ListNamespacesRequest,
  monitor.ListNamespacesResponse,
);

export const TASK_STARTED = report("TaskStarted", session.TaskStarted, 10);
export const TASK_PROGRESS = report("TaskProgress", session.TaskProgress, 11);
export const TASK_COMPLETED = report("TaskCompleted", session.TaskCompleted, 12);
export const TASK_FAILED = report("TaskFailed", session.TaskFailed, 13);
export const UPDATE_AGENT = report("UpdateAgent", session.UpdateAgent, 14);
export const GOODBYE = report("Goodbye", session.Goodbye, 15);
