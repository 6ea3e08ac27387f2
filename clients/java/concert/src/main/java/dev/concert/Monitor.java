package dev.concert;

import dev.concert.internal.Methods;
import dev.concert.internal.Origin;
import dev.concert.v1.ExplainRequest;
import dev.concert.v1.Explanation;
import dev.concert.v1.GetHealthRequest;
import dev.concert.v1.GetHealthResponse;
import dev.concert.v1.GetMetricsRequest;
import dev.concert.v1.ListNamespacesRequest;
import dev.concert.v1.ListNamespacesResponse;
import dev.concert.v1.Metrics;
import dev.concert.v1.NamespaceSummary;
import dev.concert.v1.TaskRef;
import java.util.List;

/** What the coordinator says of itself and of what it coordinates. */
public final class Monitor {
    private final Origin origin;

    Monitor(Origin origin) {
        this.origin = origin;
    }

    /** How the namespace does. One that cannot be served is critical; nothing is thrown for that. */
    public GetHealthResponse health() {
        return origin.caller().ask(Methods.GET_HEALTH, GetHealthRequest.getDefaultInstance());
    }

    /** What is counted. */
    public Metrics metrics(GetMetricsRequest request) {
        return origin.caller().ask(Methods.GET_METRICS, request).getMetrics();
    }

    /** Every namespace by name. */
    public List<NamespaceSummary> namespaces() {
        return Pages.read(
                origin,
                Methods.LIST_NAMESPACES,
                ListNamespacesRequest.getDefaultInstance(),
                ListNamespacesResponse::getNamespacesList,
                ListNamespacesResponse::getNextPageToken);
    }

    /** Why an event is there, and what it stands for: an attempt token, a fencing token, a session id, a revision. */
    public Explanation explain(long sequence) {
        return explain(ExplainRequest.newBuilder().setSequence(sequence));
    }

    /** Why a run is as it is, and what it waits for. */
    public Explanation explainRun(String runId) {
        return explain(ExplainRequest.newBuilder().setRunId(runId));
    }

    /** Why a task is as it is, and what it waits for. */
    public Explanation explainTask(String runId, String taskId) {
        TaskRef task = TaskRef.newBuilder().setRunId(runId).setTaskId(taskId).build();
        return explain(ExplainRequest.newBuilder().setTask(task));
    }

    /** Who holds a lock, and who waits for it. */
    public Explanation explainLock(String resource) {
        return explain(ExplainRequest.newBuilder().setResource(resource));
    }

    /** Why an agent is as it is. */
    public Explanation explainAgent(String agentId) {
        return explain(ExplainRequest.newBuilder().setAgentId(agentId));
    }

    private Explanation explain(ExplainRequest.Builder request) {
        return origin.caller().ask(Methods.EXPLAIN, request.build()).getExplanation();
    }
}
