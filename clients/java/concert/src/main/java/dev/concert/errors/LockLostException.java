package dev.concert.errors;

import com.google.protobuf.Message;
import java.util.List;

/** The lock was held and no longer is: its lease ran out, or its session ended. */
public class LockLostException extends FailedPreconditionException {
    private static final long serialVersionUID = 1L;

    /** What was said, with the gRPC status code, the contract's reason and the detail messages that came with it. */
    public LockLostException(String message, String code, String reason, List<Message> details) {
        super(message, code, reason, details);
    }

    /** On this side, before or without an answer. */
    public LockLostException(String message) {
        this(message, "FAILED_PRECONDITION", "LOCK_LOST", List.of());
    }
}
