package dev.concert.errors;

import com.google.protobuf.Message;
import java.util.List;

/** The run cannot be tried again: it is not over, or every task of it succeeded. */
public class RunNotRetryableException extends FailedPreconditionException {
    private static final long serialVersionUID = 1L;

    /** What was said, with the gRPC status code, the contract's reason and the detail messages that came with it. */
    public RunNotRetryableException(String message, String code, String reason, List<Message> details) {
        super(message, code, reason, details);
    }
}
