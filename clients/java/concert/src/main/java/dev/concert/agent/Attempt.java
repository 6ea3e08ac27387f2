package dev.concert.agent;

import dev.concert.errors.ConcertException;
import dev.concert.errors.RunOverException;
import dev.concert.errors.SessionOverException;
import dev.concert.errors.StaleAttemptException;
import dev.concert.internal.Limits;
import dev.concert.internal.Methods;
import dev.concert.internal.SessionStream;
import dev.concert.internal.Tracing;
import dev.concert.internal.Waiting;
import dev.concert.v1.AgentTask;
import dev.concert.v1.TaskError;
import dev.concert.v1.TaskFailed;
import dev.concert.v1.TaskStarted;
import io.opentelemetry.api.common.Attributes;
import io.opentelemetry.api.trace.Span;
import io.opentelemetry.api.trace.StatusCode;
import io.opentelemetry.context.Scope;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.util.Set;
import java.util.concurrent.Executor;
import java.util.concurrent.Future;
import java.util.concurrent.RejectedExecutionException;

/**
 * One execution. Its order: TaskStarted is reported, validatePreconditions, execute, cleanup (always, once one of those two
 * began), then TaskCompleted or TaskFailed, which is repeated until it is answered or the session is over. An attempt that no
 * longer counts is interrupted and cleaned up, and nothing is reported of it.
 */
final class Attempt {
    static final String STALE = "STALE";
    static final String LOST = "SESSION_LOST";
    static final String STOPPED = "STOPPED";

    /** Reasons to stop that nobody waits for a report of. */
    private static final Set<String> SILENT = Set.of(STALE, LOST, STOPPED);

    private static final Logger LOG = System.getLogger("dev.concert.agent");

    private final SessionStream session;
    private final long token;
    private final Agent agent;
    private final Handler handler;
    private final TaskContext context;
    private final Runnable over;
    private Thread interruptible;
    private String stopReason;
    private boolean isTold;
    private boolean hasBegun;

    /** {@code over} is called once nothing more will be said of it. */
    Attempt(Agent agent, SessionStream session, AgentTask task, Executor callbacks, Runnable over) {
        this.agent = agent;
        this.session = session;
        this.token = task.getAttemptToken();
        this.handler = agent.handlerFor(task.getCapability());
        this.context = new TaskContext(task, session, callbacks);
        this.over = over;
    }

    SessionStream session() {
        return session;
    }

    /** Begins, on the event loop: everything that may take time happens in {@code threads}. */
    void begin(Executor threads) {
        if (stopReason() == null) {
            reportStarted();
        }
        try {
            threads.execute(this::run);
        } catch (RejectedExecutionException full) {
            report(Outcome.thrown(token, full, stopReason()));
        }
    }

    /**
     * Interrupts the execution, if it is not over, and only once: a resumed session tells again what it told before. A reason
     * that wants no report replaces one that does.
     */
    void stop(String reason) {
        synchronized (this) {
            if (stopReason == null || SILENT.contains(reason)) {
                stopReason = reason;
            }
            if (isTold) {
                return;
            }
            isTold = true;
        }
        context.cancellation().cancel(reason);
        synchronized (this) {
            if (interruptible != null) {
                interruptible.interrupt();
            }
        }
    }

    private synchronized String stopReason() {
        return stopReason;
    }

    private void run() {
        Outcome outcome = execute();
        context.stopReporting();
        cleanUp();
        report(outcome);
    }

    private Outcome execute() {
        if (!enter()) {
            return Outcome.stopped(token, stopReason());
        }
        try {
            Object result = work();
            Outcome outcome = Outcome.completed(token, result, context.stagedChanges());
            warn(outcome, null);
            return outcome;
        } catch (Throwable error) {
            Outcome outcome = Outcome.thrown(token, error, stopReason());
            boolean isMeant = error instanceof PreconditionFailedException || error instanceof NotRetryableException;
            warn(outcome, isMeant ? null : error);
            return outcome;
        } finally {
            leave();
        }
    }

    /** From here on an interrupt reaches this thread; false when it is too late to begin. */
    private synchronized boolean enter() {
        if (stopReason != null) {
            return false;
        }
        interruptible = Thread.currentThread();
        return true;
    }

    private synchronized void leave() {
        interruptible = null;
        Thread.interrupted();
    }

    @SuppressWarnings("try") // the scope is closed, not used
    private Object work() throws Exception {
        context.fetchResults();
        String name = context.capability().isEmpty() ? agent.role() : context.capability();
        Attributes attributes = Attributes.builder()
                .put("concert.run_id", context.runId())
                .put("concert.task_id", context.taskId())
                .put("concert.attempt", context.attempt())
                .put("concert.attempt_token", token)
                .build();
        Span span = Tracing.start("execute " + name, context.traceparent(), attributes);
        try (Scope current = span.makeCurrent()) {
            if (handler == null) {
                throw new NotRetryableException(agent.role() + " has no handler for '" + context.capability() + "'");
            }
            hasBegun = true;
            handler.validatePreconditions(context);
            return handler.execute(context);
        } catch (Throwable error) {
            span.recordException(error);
            span.setStatus(StatusCode.ERROR, String.valueOf(error.getMessage()));
            throw error;
        } finally {
            span.end();
        }
    }

    private void cleanUp() {
        if (!hasBegun) {
            return;
        }
        synchronized (this) {
            interruptible = null;
        }
        Thread here = Thread.currentThread();
        boolean[] isOver = {false};
        Future<?> late = session.loop().schedule(Limits.CLEANUP_MAX, () -> {
            synchronized (isOver) {
                if (!isOver[0]) {
                    here.interrupt();
                }
            }
        });
        try {
            handler.cleanup(context);
        } catch (Throwable error) {
            LOG.log(Level.ERROR, "cleanup of attempt " + token + " of " + agent.role() + " failed", error);
        } finally {
            late.cancel(false);
            synchronized (isOver) {
                isOver[0] = true;
            }
            Thread.interrupted();
        }
    }

    // ---- reports

    private void reportStarted() {
        TaskStarted started = TaskStarted.newBuilder()
                .setRequestId("attempt/" + token + "/started")
                .setAttemptToken(token)
                .build();
        session.call(Methods.TASK_STARTED, started, null, null).whenComplete((reported, error) -> {
            if (error == null) {
                return;
            }
            ConcertException refusal = Waiting.unwrap(error);
            if (refusal instanceof StaleAttemptException) {
                stop(STALE);
            } else if (refusal instanceof SessionOverException) {
                stop(LOST);
            } else {
                LOG.log(Level.WARNING, "the start of attempt {0} was not taken: {1}", token, refusal.getMessage());
            }
        });
    }

    private void report(Outcome outcome) {
        String reason = stopReason();
        if (reason != null && SILENT.contains(reason)) {
            over.run();
        } else if (outcome.completed() != null) {
            session.call(Methods.TASK_COMPLETED, outcome.completed(), null, null)
                    .whenComplete((reported, error) -> {
                        ConcertException refusal = error == null ? null : Waiting.unwrap(error);
                        boolean isPointless = refusal instanceof StaleAttemptException
                                || refusal instanceof RunOverException
                                || refusal instanceof SessionOverException;
                        if (refusal == null || isPointless) {
                            settled(refusal);
                        } else {
                            Outcome refused = Outcome.refused(token, refusal);
                            warn(refused, null);
                            report(refused);
                        }
                    });
        } else {
            session.call(Methods.TASK_FAILED, outcome.failed(), null, null)
                    .whenComplete((reported, error) -> settled(error == null ? null : Waiting.unwrap(error)));
        }
    }

    /** Says here what is reported of a failure: who runs the agent sees its log first. */
    private void warn(Outcome outcome, Throwable unexpected) {
        TaskFailed failed = outcome.failed();
        if (failed == null || failed.getCancelled()) {
            return;
        }
        String task = context.runId() + "/" + context.taskId();
        TaskError error = failed.getError();
        String words = "task " + task + " failed at attempt " + context.attempt() + ": " + error.getErrorType() + ": "
                + error.getMessage();
        LOG.log(Level.WARNING, words, unexpected);
    }

    private void settled(ConcertException refusal) {
        if (refusal != null) {
            LOG.log(Level.WARNING, "the report of attempt {0} was not taken: {1}", token, refusal.getMessage());
        }
        over.run();
    }
}
