package dev.concert.errors;

import com.google.protobuf.Message;
import java.util.List;

/** A fault of the coordinator. */
public class InternalException extends ConcertException {
    private static final long serialVersionUID = 1L;

    /** What was said, with the gRPC status code, the contract's reason and the detail messages that came with it. */
    public InternalException(String message, String code, String reason, List<Message> details) {
        super(message, code, reason, details);
    }

    /** On this side, before or without an answer. */
    public InternalException(String message) {
        this(message, "INTERNAL", "INTERNAL", List.of());
    }
}
