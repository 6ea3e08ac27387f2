package dev.concert.errors;

import com.google.protobuf.Message;
import java.util.List;

/** No answer in time; whether the request took effect is not known. */
public class DeadlineExceededException extends ConcertException {
    private static final long serialVersionUID = 1L;

    /** What was said, with the gRPC status code, the contract's reason and the detail messages that came with it. */
    public DeadlineExceededException(String message, String code, String reason, List<Message> details) {
        super(message, code, reason, details);
    }

    /** On this side, before or without an answer. */
    public DeadlineExceededException(String message) {
        this(message, "DEADLINE_EXCEEDED", "", List.of());
    }
}
