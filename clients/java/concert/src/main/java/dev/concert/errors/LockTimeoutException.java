package dev.concert.errors;

import com.google.protobuf.Message;
import dev.concert.v1.LockContention;
import dev.concert.v1.LockGrant;
import java.util.List;

/** The lock was not granted in time. */
public class LockTimeoutException extends DeadlineExceededException {
    private static final long serialVersionUID = 1L;

    /** What was said, with the gRPC status code, the contract's reason and the detail messages that came with it. */
    public LockTimeoutException(String message, String code, String reason, List<Message> details) {
        super(message, code, reason, details);
    }

    /** On this side, before or without an answer. */
    public LockTimeoutException(String message) {
        this(message, "DEADLINE_EXCEEDED", "LOCK_TIMEOUT", List.of());
    }

    /** Who stood in the way. */
    public List<LockGrant> holders() {
        return detail(LockContention.class).map(LockContention::getHoldersList).orElse(List.of());
    }

    /** The request's place in the queue when it gave up, from 1; 0 when it was not queued. */
    public int position() {
        return detail(LockContention.class).map(LockContention::getPosition).orElse(0);
    }
}
