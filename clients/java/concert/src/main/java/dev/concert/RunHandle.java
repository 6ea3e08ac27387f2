package dev.concert;

import dev.concert.errors.CancelledException;
import dev.concert.internal.Methods;
import dev.concert.internal.Origin;
import dev.concert.v1.AddTasksRequest;
import dev.concert.v1.CancelRunRequest;
import dev.concert.v1.GetRunRequest;
import dev.concert.v1.GetRunResponse;
import dev.concert.v1.GetTaskResultRequest;
import dev.concert.v1.Payload;
import dev.concert.v1.RetryRunRequest;
import dev.concert.v1.Run;
import dev.concert.v1.RunStatus;
import java.util.Arrays;
import java.util.EnumSet;
import java.util.List;
import java.util.Set;

/** A run, by its id. */
public final class RunHandle {
    private static final Set<RunStatus> OVER = EnumSet.of(
            RunStatus.RUN_STATUS_SUCCEEDED,
            RunStatus.RUN_STATUS_PARTIAL_FAILURE,
            RunStatus.RUN_STATUS_FAILED,
            RunStatus.RUN_STATUS_CANCELLED,
            RunStatus.RUN_STATUS_TIMED_OUT);

    private final Origin origin;
    private final String runId;

    RunHandle(Origin origin, String runId) {
        this.origin = origin;
        this.runId = runId;
    }

    /** Its id. */
    public String id() {
        return runId;
    }

    /** The run with its tasks; of a very large one, the later tasks as they were a moment later. */
    public Run get() {
        GetRunRequest.Builder request = GetRunRequest.newBuilder().setRunId(runId);
        GetRunResponse response = origin.caller().ask(Methods.GET_RUN, request.build());
        Run.Builder run = response.getRun().toBuilder();
        while (!response.getNextPageToken().isEmpty()) {
            request.setPageToken(response.getNextPageToken());
            response = origin.caller().ask(Methods.GET_RUN, request.build());
            run.addAllTasks(response.getRun().getTasksList());
        }
        return run.build();
    }

    /** The JSON that a task which succeeded produced. */
    public Json result(String taskId) {
        return Payloads.json(resultPayload(taskId));
    }

    /** What a task that succeeded produced, JSON or bytes. */
    public Payload resultPayload(String taskId) {
        GetTaskResultRequest request = GetTaskResultRequest.newBuilder()
                .setRunId(runId)
                .setTaskId(taskId)
                .build();
        return origin.caller().ask(Methods.GET_TASK_RESULT, request).getResult();
    }

    /** Stops it: what has not started is cancelled, what runs is told. Returns the sequence of that. */
    public long cancel(With... with) {
        CancelRunRequest request = CancelRunRequest.newBuilder()
                .setRunId(runId)
                .setRequestId(With.requestIdOf(with))
                .addAllFences(With.fencesOf(with))
                .build();
        return origin.caller().ask(Methods.CANCEL_RUN, request).getSequence();
    }

    /**
     * Adds tasks, in any order, all or none; returns the sequence of that. Inside an attempt: to its own run. Outside: to a
     * run that was submitted {@link NewRun#open open}, until {@link #addLastTasks}.
     */
    public long addTasks(NewTask... tasks) {
        return add(Arrays.asList(tasks), false);
    }

    /** Adds tasks, perhaps none, and closes an open run. */
    public long addLastTasks(NewTask... tasks) {
        return add(Arrays.asList(tasks), true);
    }

    private long add(List<NewTask> tasks, boolean isLast) {
        AddTasksRequest request = AddTasksRequest.newBuilder()
                .setAttemptToken(origin.attemptToken())
                .setRunId(runId)
                .addAllTasks(tasks.stream().map(NewTask::toProto).toList())
                .setLast(isLast)
                .build();
        return origin.caller().ask(Methods.ADD_TASKS, request).getSequence();
    }

    /** Runs everything again that did not succeed; returns which try that is, from 2. */
    public int retry(With... with) {
        RetryRunRequest request = RetryRunRequest.newBuilder()
                .setAttemptToken(origin.attemptToken())
                .setRunId(runId)
                .setRequestId(With.requestIdOf(with))
                .addAllFences(With.fencesOf(with))
                .build();
        return origin.caller().ask(Methods.RETRY_RUN, request).getGeneration();
    }

    /**
     * Waits until it is over, however long that takes and however often the stream breaks meanwhile. An interrupt ends the
     * wait.
     */
    public Run await() {
        try (RunWatch updates = watch()) {
            for (RunUpdate update : updates) {
                if (update.isOver()) {
                    return update.run().orElseThrow();
                }
            }
        }
        throw new CancelledException(
                "the watch was closed before run " + runId + " was over", "CANCELLED", "", List.of());
    }

    /** Follows it until it is over: the run as it is first, then every event of it once, in order. */
    public RunWatch watch() {
        return new RunWatch(origin, runId);
    }

    /** Whether a run is over. */
    public static boolean isOver(Run run) {
        return OVER.contains(run.getStatus());
    }

    @Override
    public String toString() {
        return "RunHandle[" + runId + "]";
    }
}
