package dev.concert.agent;

import dev.concert.CancellationSignal;
import dev.concert.Events;
import dev.concert.Json;
import dev.concert.LockBuilder;
import dev.concert.NewTask;
import dev.concert.Payloads;
import dev.concert.RunHandle;
import dev.concert.State;
import dev.concert.StateChanges;
import dev.concert.Surface;
import dev.concert.errors.InvalidArgumentException;
import dev.concert.internal.Limits;
import dev.concert.internal.Methods;
import dev.concert.internal.Origin;
import dev.concert.internal.SessionStream;
import dev.concert.internal.Text;
import dev.concert.internal.Times;
import dev.concert.v1.AgentTask;
import dev.concert.v1.EventDraft;
import dev.concert.v1.GetTaskResultRequest;
import dev.concert.v1.LockGrant;
import dev.concert.v1.Payload;
import dev.concert.v1.Progress;
import dev.concert.v1.StateChange;
import dev.concert.v1.TaskResult;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.Executor;

/**
 * One attempt of a task: what it is, and everything the agent may say and ask while it works on it. {@link #client} is
 * everything else that can be asked of the coordinator, in the name of this attempt.
 */
public final class TaskContext {
    private final AgentTask task;
    private final SessionStream session;
    private final ProgressReporter progress;
    private final CancellationSignal cancellation = new CancellationSignal();
    private final Surface client;
    private final long receivedAt = System.nanoTime();
    private final List<StateChange> changes = new ArrayList<>();
    private PreviousResults previousResults = new PreviousResults(List.of());

    TaskContext(AgentTask task, SessionStream session, Executor callbacks) {
        this.task = task;
        this.session = session;
        this.progress = new ProgressReporter(session, task.getAttemptToken());
        this.client = new Surface(new Origin(session, task.getAttemptToken(), "", callbacks, this::reassert));
    }

    /** What it works on, as JSON. */
    public Json input() {
        return Payloads.json(task.getInput());
    }

    /** What it works on, JSON or bytes. */
    public Payload inputPayload() {
        return task.getInput();
    }

    /** The run's context, as JSON. */
    public Json runContext() {
        return Payloads.json(task.getContext());
    }

    /** The run's context, JSON or bytes. */
    public Payload runContextPayload() {
        return task.getContext();
    }

    /** Results of the direct dependencies. */
    public PreviousResults previousResults() {
        return previousResults;
    }

    /** The namespace of the run. */
    public String namespace() {
        return task.getNamespace();
    }

    /** The run. */
    public String runId() {
        return task.getRunId();
    }

    /** The task, within the run. */
    public String taskId() {
        return task.getTaskId();
    }

    /** Which attempt this is, from 1. */
    public int attempt() {
        return task.getAttempt();
    }

    /** Sequence of the TASK_ASSIGNED event; fences everything that is done in the attempt's name. */
    public long attemptToken() {
        return task.getAttemptToken();
    }

    /** The capability asked for; empty when the task is for this agent or its role. */
    public String capability() {
        return task.getCapability();
    }

    /** Name of the policy that governs it. */
    public String policy() {
        return task.getPolicy();
    }

    /** W3C trace context that the current span continues. */
    public String traceparent() {
        return task.getTraceparent();
    }

    /** The submitter's annotations. */
    public Map<String, String> metadata() {
        return task.getMetadataMap();
    }

    /** Locks taken with the assignment, by resource. */
    public Map<String, LockGrant> locks() {
        Map<String, LockGrant> grants = new LinkedHashMap<>();
        task.getLocksList().forEach(grant -> grants.put(grant.getResource(), grant));
        return grants;
    }

    /** The contract's message. */
    public AgentTask toProto() {
        return task;
    }

    /** How long until the attempt times out, by the monotonic clock; empty without a deadline. */
    public Optional<Duration> timeLeft() {
        if (!task.hasTimeLeft()) {
            return Optional.empty();
        }
        Duration left = Times.fromProto(task.getTimeLeft()).minusNanos(System.nanoTime() - receivedAt);
        return Optional.of(left.isNegative() ? Duration.ZERO : left);
    }

    /** Given when the attempt is to stop, just before its thread is interrupted. */
    public CancellationSignal cancellation() {
        return cancellation;
    }

    /** Everything that can be asked of the coordinator, in the name of this attempt. */
    public Surface client() {
        return client;
    }

    /** Shared state, in the name of this attempt. */
    public State state() {
        return client.state();
    }

    /** Reports how far the attempt is, 0 to 1. Never waits: the latest report wins. */
    public void progress(double fraction) {
        progress(fraction, "");
    }

    /** With words for people, at most 1 KiB. */
    public void progress(double fraction, String message) {
        if (!(fraction >= 0 && fraction <= 1)) {
            throw new InvalidArgumentException("progress is between 0 and 1, not " + fraction);
        }
        progress.report(Progress.newBuilder()
                .setFraction(fraction)
                .setMessage(Text.clip(message, Limits.PROGRESS_MESSAGE_BYTES_MAX))
                .build());
    }

    /** States a fact about this task; returns its sequence. */
    public long publish(String name, Object data) {
        EventDraft draft =
                Events.draft(name, data).setRunId(runId()).setTaskId(taskId()).build();
        return client.publish(List.of(draft)).get(0);
    }

    /** Stages values that become true together with the completion of the task, or not at all. */
    public void setState(Map<String, ?> updates) {
        setState(StateChanges.merge(updates));
    }

    /**
     * Stages a change that becomes true together with the completion of the task, or not at all: at most 100 of them, and
     * 1 MiB together with the result. If they conflict the attempt fails with STATE_CONFLICT.
     */
    public void setState(StateChanges change) {
        synchronized (changes) {
            if (changes.size() >= Limits.STATE_CHANGES_PER_REPORT_MAX) {
                throw new InvalidArgumentException(
                        "a completion takes at most " + Limits.STATE_CHANGES_PER_REPORT_MAX + " state changes");
            }
            changes.add(change.toProto());
        }
    }

    /** Begins to describe what takes locks that are held by this attempt. */
    public LockBuilder lock(String... resources) {
        return client.lock(resources);
    }

    /** The run that this attempt is part of. */
    public RunHandle run() {
        return client.run(runId());
    }

    /** Adds tasks to that run, all or none; returns the sequence. */
    public long addTasks(NewTask... tasks) {
        return run().addTasks(tasks);
    }

    // ---- for the runtime

    List<StateChange> stagedChanges() {
        synchronized (changes) {
            return List.copyOf(changes);
        }
    }

    /** Reads those that were handed over by reference. */
    void fetchResults() {
        previousResults = new PreviousResults(
                task.getResultsList().stream().map(this::result).toList());
    }

    private PreviousResults.Result result(TaskResult result) {
        Payload payload = result.getResult();
        if (result.getByReference()) {
            GetTaskResultRequest request = GetTaskResultRequest.newBuilder()
                    .setRunId(runId())
                    .setTaskId(result.getTaskId())
                    .build();
            payload = session.ask(Methods.GET_TASK_RESULT, request).getResult();
        }
        return new PreviousResults.Result(result.getTaskId(), result.getAgentName(), payload);
    }

    void stopReporting() {
        progress.stop();
    }

    private void reassert() {
        if (cancellation.isCancelled()) {
            Thread.currentThread().interrupt();
        }
    }
}
