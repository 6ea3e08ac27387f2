package dev.concert.errors;

import com.google.protobuf.Message;
import java.util.List;

/** The session ended: its lease ran out, it was closed, or another stream took it. */
public class SessionOverException extends FailedPreconditionException {
    private static final long serialVersionUID = 1L;

    /** What was said, with the gRPC status code, the contract's reason and the detail messages that came with it. */
    public SessionOverException(String message, String code, String reason, List<Message> details) {
        super(message, code, reason, details);
    }

    /** On this side, before or without an answer. */
    public SessionOverException(String message) {
        this(message, "FAILED_PRECONDITION", "SESSION_OVER", List.of());
    }
}
