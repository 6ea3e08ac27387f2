package dev.concert.errors;

import com.google.protobuf.Message;
import com.google.rpc.BadRequest;
import java.util.List;

/** Something is malformed or over a limit. */
public class InvalidArgumentException extends ConcertException {
    private static final long serialVersionUID = 1L;

    /** What was said, with the gRPC status code, the contract's reason and the detail messages that came with it. */
    public InvalidArgumentException(String message, String code, String reason, List<Message> details) {
        super(message, code, reason, details);
    }

    /** On this side, before or without an answer. */
    public InvalidArgumentException(String message) {
        this(message, "INVALID_ARGUMENT", "INVALID_FIELD", List.of());
    }

    /** One entry for each field at fault. */
    public List<Violation> violations() {
        return detail(BadRequest.class).stream()
                .flatMap(request -> request.getFieldViolationsList().stream())
                .map(each -> new Violation(each.getField(), each.getDescription()))
                .toList();
    }
}
