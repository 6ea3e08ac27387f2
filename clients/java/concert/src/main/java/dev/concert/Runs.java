package dev.concert;

import dev.concert.internal.Methods;
import dev.concert.internal.Origin;
import dev.concert.internal.Waiting;
import dev.concert.v1.ListRunsRequest;
import dev.concert.v1.ListRunsResponse;
import dev.concert.v1.PlanRunRequest;
import dev.concert.v1.Run;
import dev.concert.v1.RunPlan;
import dev.concert.v1.RunStatus;
import dev.concert.v1.SubmitRunRequest;
import dev.concert.v1.SubmitRunResponse;
import java.util.List;
import java.util.concurrent.CompletableFuture;

/** The runs of a namespace. */
public final class Runs {
    private final Origin origin;

    Runs(Origin origin) {
        this.origin = origin;
    }

    /** Submits a run, whole or not at all. */
    public RunHandle submit(NewRun run, With... with) {
        return new RunHandle(origin, Waiting.join(send(run, with)).getRunId());
    }

    /** As {@link #submit}, without waiting. */
    public CompletableFuture<RunHandle> submitAsync(NewRun run, With... with) {
        return send(run, with)
                .thenApplyAsync(response -> new RunHandle(origin, response.getRunId()), origin.callbacks());
    }

    private CompletableFuture<SubmitRunResponse> send(NewRun run, With... with) {
        SubmitRunRequest request = SubmitRunRequest.newBuilder()
                .setAttemptToken(origin.attemptToken())
                .setRun(run.toProto())
                .setRequestId(With.requestIdOf(with))
                .addAllFences(With.fencesOf(with))
                .build();
        return origin.caller().call(Methods.SUBMIT_RUN, request, null);
    }

    /** What would happen to a run. */
    public RunPlan plan(NewRun run) {
        PlanRunRequest request =
                PlanRunRequest.newBuilder().setRun(run.toProto()).build();
        return origin.caller().ask(Methods.PLAN_RUN, request).getPlan();
    }

    /** A handle on a run that there is already. */
    public RunHandle get(String runId) {
        return new RunHandle(origin, runId);
    }

    /** All runs without their tasks, newest first. */
    public List<Run> list() {
        return list(RunStatus.RUN_STATUS_UNSPECIFIED);
    }

    /** Those that stand there. */
    public List<Run> list(RunStatus status) {
        ListRunsRequest request = ListRunsRequest.newBuilder().setStatus(status).build();
        return Pages.read(
                origin, Methods.LIST_RUNS, request, ListRunsResponse::getRunsList, ListRunsResponse::getNextPageToken);
    }
}
