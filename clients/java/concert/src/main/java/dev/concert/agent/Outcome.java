package dev.concert.agent;

import dev.concert.Payloads;
import dev.concert.errors.ConcertException;
import dev.concert.errors.InterruptedCallException;
import dev.concert.errors.InvalidArgumentException;
import dev.concert.errors.InvalidPayloadException;
import dev.concert.errors.StateConflictException;
import dev.concert.internal.Limits;
import dev.concert.internal.Text;
import dev.concert.v1.ConflictingKey;
import dev.concert.v1.StateChange;
import dev.concert.v1.TaskCompleted;
import dev.concert.v1.TaskError;
import dev.concert.v1.TaskFailed;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.channels.ClosedByInterruptException;
import java.util.List;
import java.util.concurrent.CancellationException;
import java.util.stream.Collectors;

/**
 * What will be reported of an attempt: one of the two.
 *
 * @param completed it succeeded
 * @param failed it did not
 */
record Outcome(TaskCompleted completed, TaskFailed failed) {
    /** The execution returned. What cannot be sent is a failure for good. */
    static Outcome completed(long token, Object result, List<StateChange> changes) {
        TaskCompleted.Builder report = TaskCompleted.newBuilder()
                .setRequestId("attempt/" + token + "/completed")
                .setAttemptToken(token)
                .addAllStateChanges(changes);
        try {
            if (result != null) {
                report.setResult(Payloads.of(result));
            }
            TaskCompleted built = report.build();
            int sizeBytes = built.getSerializedSize();
            if (sizeBytes > Limits.REPORT_BYTES_MAX) {
                throw new InvalidPayloadException("result and state changes take " + sizeBytes
                        + " bytes together, over the limit of " + Limits.REPORT_BYTES_MAX
                        + ": keep large results elsewhere and return where");
            }
            return new Outcome(built, null);
        } catch (InvalidPayloadException unsendable) {
            String message = "the result cannot be sent: " + unsendable.said();
            return failed(token, "InvalidPayload", message, "", true, false);
        }
    }

    /** The execution threw. {@code stopReason} is why it had been told to stop; null when it had not. */
    static Outcome thrown(long token, Throwable error, String stopReason) {
        boolean isInterruption = error instanceof InterruptedException
                || error instanceof InterruptedCallException
                || error instanceof CancellationException
                || error instanceof ClosedByInterruptException;
        if (isInterruption && stopReason != null) {
            return stopped(token, stopReason);
        }
        boolean isPrecondition = error instanceof PreconditionFailedException;
        boolean isForGood = isPrecondition || error instanceof NotRetryableException;
        String kind = isPrecondition ? "PRECONDITION_FAILED" : nameOf(error);
        String message = error.getMessage() == null ? kind : error.getMessage();
        StringWriter trace = new StringWriter();
        error.printStackTrace(new PrintWriter(trace));
        return failed(token, kind, message, trace.toString(), isForGood, stopReason != null);
    }

    /** It stopped because it was told to. */
    static Outcome stopped(long token, String reason) {
        return failed(token, "CANCELLED", "stopped: " + reason, "", false, true);
    }

    /** What becomes of a completion that was refused. */
    static Outcome refused(long token, ConcertException refusal) {
        if (refusal instanceof StateConflictException conflict) {
            String keys = conflict.keys().stream().map(Outcome::met).collect(Collectors.joining(", "));
            String message = keys.isEmpty() ? conflict.said() : conflict.said() + " (" + keys + ")";
            return failed(token, "STATE_CONFLICT", message, "", false, false);
        }
        String kind = refusal.reason().isEmpty() ? refusal.code() : refusal.reason();
        boolean isForGood = refusal instanceof InvalidArgumentException;
        String message = "the completion was refused: " + refusal.getMessage();
        return failed(token, kind, message, "", isForGood, false);
    }

    private static String met(ConflictingKey key) {
        return key.getKey() + " by " + key.getTheirWriter();
    }

    private static Outcome failed(
            long token, String kind, String message, String trace, boolean isForGood, boolean isCancelled) {
        TaskError error = TaskError.newBuilder()
                .setErrorType(Text.clip(kind, Limits.ERROR_TYPE_BYTES_MAX))
                .setMessage(Text.clip(message, Limits.ERROR_MESSAGE_BYTES_MAX))
                .setTraceback(Text.clip(trace, Limits.TRACEBACK_BYTES_MAX))
                .build();
        return new Outcome(
                null,
                TaskFailed.newBuilder()
                        .setRequestId("attempt/" + token + "/failed")
                        .setAttemptToken(token)
                        .setError(error)
                        .setNotRetryable(isForGood)
                        .setCancelled(isCancelled)
                        .build());
    }

    private static String nameOf(Throwable error) {
        String simple = error.getClass().getSimpleName();
        return simple.isEmpty() ? error.getClass().getName() : simple;
    }
}
