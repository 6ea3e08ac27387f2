package dev.concert.errors;

import com.google.protobuf.Message;
import java.util.List;

/** There is somebody, but no channel that both sides accept: a certificate that is not trusted or for another name, or
 * one side that speaks TLS and one that does not. Waiting does not mend it. */
public class UntrustedException extends UnavailableException {
    private static final long serialVersionUID = 1L;

    /** What was said, with the gRPC status code, the contract's reason and the detail messages that came with it. */
    public UntrustedException(String message, String code, String reason, List<Message> details) {
        super(message, code, reason, details);
    }

    /** On this side, before or without an answer. */
    public UntrustedException(String message) {
        this(message, "UNAVAILABLE", "UNAVAILABLE", List.of());
    }
}
