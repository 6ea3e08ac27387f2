package dev.concert.errors;

import com.google.protobuf.Message;
import java.util.List;

/** The thread was interrupted while it waited for an answer; its interrupt flag is set again. Whether the request took
 * effect is not known. */
public class InterruptedCallException extends ConcertException {
    private static final long serialVersionUID = 1L;

    /** What was said, with the gRPC status code, the contract's reason and the detail messages that came with it. */
    public InterruptedCallException(String message, String code, String reason, List<Message> details) {
        super(message, code, reason, details);
    }

    /** On this side, before or without an answer. */
    public InterruptedCallException(String message) {
        this(message, "CANCELLED", "", List.of());
    }
}
