package dev.concert.internal;

import dev.concert.v1.AcknowledgeRequest;
import dev.concert.v1.AcknowledgeResponse;
import dev.concert.v1.AcquireRequest;
import dev.concert.v1.AcquireResponse;
import dev.concert.v1.AddTasksRequest;
import dev.concert.v1.AddTasksResponse;
import dev.concert.v1.AgentServiceGrpc;
import dev.concert.v1.CancelRunRequest;
import dev.concert.v1.CancelRunResponse;
import dev.concert.v1.CreateSubscriptionRequest;
import dev.concert.v1.CreateSubscriptionResponse;
import dev.concert.v1.DeleteStateRequest;
import dev.concert.v1.DeleteStateResponse;
import dev.concert.v1.DeleteSubscriptionRequest;
import dev.concert.v1.DeleteSubscriptionResponse;
import dev.concert.v1.DrainAgentRequest;
import dev.concert.v1.DrainAgentResponse;
import dev.concert.v1.EventServiceGrpc;
import dev.concert.v1.ExplainRequest;
import dev.concert.v1.ExplainResponse;
import dev.concert.v1.GetAgentRequest;
import dev.concert.v1.GetAgentResponse;
import dev.concert.v1.GetEventRequest;
import dev.concert.v1.GetEventResponse;
import dev.concert.v1.GetHealthRequest;
import dev.concert.v1.GetHealthResponse;
import dev.concert.v1.GetLockRequest;
import dev.concert.v1.GetLockResponse;
import dev.concert.v1.GetMetricsRequest;
import dev.concert.v1.GetMetricsResponse;
import dev.concert.v1.GetRunRequest;
import dev.concert.v1.GetRunResponse;
import dev.concert.v1.GetServerInfoRequest;
import dev.concert.v1.GetServerInfoResponse;
import dev.concert.v1.GetStateRequest;
import dev.concert.v1.GetStateResponse;
import dev.concert.v1.GetTaskResultRequest;
import dev.concert.v1.GetTaskResultResponse;
import dev.concert.v1.Goodbye;
import dev.concert.v1.KeepAliveRequest;
import dev.concert.v1.KeepAliveResponse;
import dev.concert.v1.ListAgentsRequest;
import dev.concert.v1.ListAgentsResponse;
import dev.concert.v1.ListEventsRequest;
import dev.concert.v1.ListEventsResponse;
import dev.concert.v1.ListLocksRequest;
import dev.concert.v1.ListLocksResponse;
import dev.concert.v1.ListNamespacesRequest;
import dev.concert.v1.ListNamespacesResponse;
import dev.concert.v1.ListRunsRequest;
import dev.concert.v1.ListRunsResponse;
import dev.concert.v1.ListStateHistoryRequest;
import dev.concert.v1.ListStateHistoryResponse;
import dev.concert.v1.ListSubscriptionsRequest;
import dev.concert.v1.ListSubscriptionsResponse;
import dev.concert.v1.LockServiceGrpc;
import dev.concert.v1.MonitorServiceGrpc;
import dev.concert.v1.PlanRunRequest;
import dev.concert.v1.PlanRunResponse;
import dev.concert.v1.PublishRequest;
import dev.concert.v1.PublishResponse;
import dev.concert.v1.ReleaseRequest;
import dev.concert.v1.ReleaseResponse;
import dev.concert.v1.Reported;
import dev.concert.v1.RetryRunRequest;
import dev.concert.v1.RetryRunResponse;
import dev.concert.v1.RunServiceGrpc;
import dev.concert.v1.StateServiceGrpc;
import dev.concert.v1.SubmitRunRequest;
import dev.concert.v1.SubmitRunResponse;
import dev.concert.v1.SubscribeRequest;
import dev.concert.v1.SubscribeResponse;
import dev.concert.v1.TaskCompleted;
import dev.concert.v1.TaskFailed;
import dev.concert.v1.TaskProgress;
import dev.concert.v1.TaskStarted;
import dev.concert.v1.UpdateAgent;
import dev.concert.v1.UpdateStateRequest;
import dev.concert.v1.UpdateStateResponse;
import dev.concert.v1.WatchRunRequest;
import dev.concert.v1.WatchRunResponse;
import dev.concert.v1.WatchStateRequest;
import dev.concert.v1.WatchStateResponse;

/** Every call of the contract, once. */
public final class Methods {
    public static final Method<PublishRequest, PublishResponse> PUBLISH =
            Method.both(EventServiceGrpc.getPublishMethod(), PublishRequest.getDefaultInstance(), "publish");
    public static final Method<SubscribeRequest, SubscribeResponse> SUBSCRIBE =
            Method.rpc(EventServiceGrpc.getSubscribeMethod(), SubscribeRequest.getDefaultInstance());
    public static final Method<ListEventsRequest, ListEventsResponse> LIST_EVENTS =
            Method.rpc(EventServiceGrpc.getListEventsMethod(), ListEventsRequest.getDefaultInstance());
    public static final Method<GetEventRequest, GetEventResponse> GET_EVENT =
            Method.rpc(EventServiceGrpc.getGetEventMethod(), GetEventRequest.getDefaultInstance());
    public static final Method<CreateSubscriptionRequest, CreateSubscriptionResponse> CREATE_SUBSCRIPTION =
            Method.rpc(EventServiceGrpc.getCreateSubscriptionMethod(), CreateSubscriptionRequest.getDefaultInstance());
    public static final Method<ListSubscriptionsRequest, ListSubscriptionsResponse> LIST_SUBSCRIPTIONS =
            Method.rpc(EventServiceGrpc.getListSubscriptionsMethod(), ListSubscriptionsRequest.getDefaultInstance());
    public static final Method<AcknowledgeRequest, AcknowledgeResponse> ACKNOWLEDGE =
            Method.rpc(EventServiceGrpc.getAcknowledgeMethod(), AcknowledgeRequest.getDefaultInstance());
    public static final Method<DeleteSubscriptionRequest, DeleteSubscriptionResponse> DELETE_SUBSCRIPTION =
            Method.rpc(EventServiceGrpc.getDeleteSubscriptionMethod(), DeleteSubscriptionRequest.getDefaultInstance());

    public static final Method<ListAgentsRequest, ListAgentsResponse> LIST_AGENTS =
            Method.rpc(AgentServiceGrpc.getListAgentsMethod(), ListAgentsRequest.getDefaultInstance());
    public static final Method<GetAgentRequest, GetAgentResponse> GET_AGENT =
            Method.rpc(AgentServiceGrpc.getGetAgentMethod(), GetAgentRequest.getDefaultInstance());
    public static final Method<DrainAgentRequest, DrainAgentResponse> DRAIN_AGENT =
            Method.rpc(AgentServiceGrpc.getDrainAgentMethod(), DrainAgentRequest.getDefaultInstance());

    public static final Method<PlanRunRequest, PlanRunResponse> PLAN_RUN =
            Method.rpc(RunServiceGrpc.getPlanRunMethod(), PlanRunRequest.getDefaultInstance());
    public static final Method<SubmitRunRequest, SubmitRunResponse> SUBMIT_RUN =
            Method.both(RunServiceGrpc.getSubmitRunMethod(), SubmitRunRequest.getDefaultInstance(), "submit_run");
    public static final Method<GetRunRequest, GetRunResponse> GET_RUN =
            Method.both(RunServiceGrpc.getGetRunMethod(), GetRunRequest.getDefaultInstance(), "get_run");
    public static final Method<ListRunsRequest, ListRunsResponse> LIST_RUNS =
            Method.rpc(RunServiceGrpc.getListRunsMethod(), ListRunsRequest.getDefaultInstance());
    public static final Method<WatchRunRequest, WatchRunResponse> WATCH_RUN =
            Method.rpc(RunServiceGrpc.getWatchRunMethod(), WatchRunRequest.getDefaultInstance());
    public static final Method<CancelRunRequest, CancelRunResponse> CANCEL_RUN =
            Method.both(RunServiceGrpc.getCancelRunMethod(), CancelRunRequest.getDefaultInstance(), "cancel_run");
    public static final Method<AddTasksRequest, AddTasksResponse> ADD_TASKS =
            Method.both(RunServiceGrpc.getAddTasksMethod(), AddTasksRequest.getDefaultInstance(), "add_tasks");
    public static final Method<RetryRunRequest, RetryRunResponse> RETRY_RUN =
            Method.both(RunServiceGrpc.getRetryRunMethod(), RetryRunRequest.getDefaultInstance(), "retry_run");
    public static final Method<GetTaskResultRequest, GetTaskResultResponse> GET_TASK_RESULT = Method.both(
            RunServiceGrpc.getGetTaskResultMethod(), GetTaskResultRequest.getDefaultInstance(), "get_task_result");

    public static final Method<AcquireRequest, AcquireResponse> ACQUIRE =
            Method.both(LockServiceGrpc.getAcquireMethod(), AcquireRequest.getDefaultInstance(), "acquire");
    public static final Method<ReleaseRequest, ReleaseResponse> RELEASE =
            Method.both(LockServiceGrpc.getReleaseMethod(), ReleaseRequest.getDefaultInstance(), "release");
    public static final Method<KeepAliveRequest, KeepAliveResponse> KEEP_ALIVE =
            Method.both(LockServiceGrpc.getKeepAliveMethod(), KeepAliveRequest.getDefaultInstance(), "keep_alive");
    public static final Method<ListLocksRequest, ListLocksResponse> LIST_LOCKS =
            Method.rpc(LockServiceGrpc.getListLocksMethod(), ListLocksRequest.getDefaultInstance());
    public static final Method<GetLockRequest, GetLockResponse> GET_LOCK =
            Method.rpc(LockServiceGrpc.getGetLockMethod(), GetLockRequest.getDefaultInstance());

    public static final Method<UpdateStateRequest, UpdateStateResponse> UPDATE_STATE = Method.both(
            StateServiceGrpc.getUpdateStateMethod(), UpdateStateRequest.getDefaultInstance(), "update_state");
    public static final Method<DeleteStateRequest, DeleteStateResponse> DELETE_STATE = Method.both(
            StateServiceGrpc.getDeleteStateMethod(), DeleteStateRequest.getDefaultInstance(), "delete_state");
    public static final Method<ListStateHistoryRequest, ListStateHistoryResponse> LIST_STATE_HISTORY =
            Method.rpc(StateServiceGrpc.getListStateHistoryMethod(), ListStateHistoryRequest.getDefaultInstance());
    public static final Method<WatchStateRequest, WatchStateResponse> WATCH_STATE =
            Method.rpc(StateServiceGrpc.getWatchStateMethod(), WatchStateRequest.getDefaultInstance());
    public static final Method<GetStateRequest, GetStateResponse> GET_STATE =
            Method.both(StateServiceGrpc.getGetStateMethod(), GetStateRequest.getDefaultInstance(), "get_state");

    public static final Method<GetServerInfoRequest, GetServerInfoResponse> GET_SERVER_INFO =
            Method.rpc(MonitorServiceGrpc.getGetServerInfoMethod(), GetServerInfoRequest.getDefaultInstance());
    public static final Method<GetHealthRequest, GetHealthResponse> GET_HEALTH =
            Method.rpc(MonitorServiceGrpc.getGetHealthMethod(), GetHealthRequest.getDefaultInstance());
    public static final Method<GetMetricsRequest, GetMetricsResponse> GET_METRICS =
            Method.rpc(MonitorServiceGrpc.getGetMetricsMethod(), GetMetricsRequest.getDefaultInstance());
    public static final Method<ExplainRequest, ExplainResponse> EXPLAIN =
            Method.rpc(MonitorServiceGrpc.getExplainMethod(), ExplainRequest.getDefaultInstance());
    public static final Method<ListNamespacesRequest, ListNamespacesResponse> LIST_NAMESPACES =
            Method.rpc(MonitorServiceGrpc.getListNamespacesMethod(), ListNamespacesRequest.getDefaultInstance());

    public static final Method<TaskStarted, Reported> TASK_STARTED =
            Method.report(TaskStarted.getDefaultInstance(), "task_started");
    public static final Method<TaskProgress, Reported> TASK_PROGRESS =
            Method.report(TaskProgress.getDefaultInstance(), "task_progress");
    public static final Method<TaskCompleted, Reported> TASK_COMPLETED =
            Method.report(TaskCompleted.getDefaultInstance(), "task_completed");
    public static final Method<TaskFailed, Reported> TASK_FAILED =
            Method.report(TaskFailed.getDefaultInstance(), "task_failed");
    public static final Method<UpdateAgent, Reported> UPDATE_AGENT =
            Method.report(UpdateAgent.getDefaultInstance(), "update_agent");
    public static final Method<Goodbye, Reported> GOODBYE = Method.report(Goodbye.getDefaultInstance(), "goodbye");

    private Methods() {}
}
