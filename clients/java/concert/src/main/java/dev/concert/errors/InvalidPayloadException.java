package dev.concert.errors;

import com.google.protobuf.Message;
import java.util.List;

/** A value cannot be sent: NaN, too deep, too large, not JSON. Thrown before anything is sent. */
public class InvalidPayloadException extends InvalidArgumentException {
    private static final long serialVersionUID = 1L;

    /** What was said, with the gRPC status code, the contract's reason and the detail messages that came with it. */
    public InvalidPayloadException(String message, String code, String reason, List<Message> details) {
        super(message, code, reason, details);
    }

    /** On this side, before or without an answer. */
    public InvalidPayloadException(String message) {
        this(message, "INVALID_ARGUMENT", "INVALID_FIELD", List.of());
    }
}
