package dev.concert.errors;

import com.google.protobuf.Message;
import java.util.List;

/** The cursor lies before what the named subscription has acknowledged: it moves forward only. */
public class CursorBehindException extends InvalidArgumentException {
    private static final long serialVersionUID = 1L;

    /** What was said, with the gRPC status code, the contract's reason and the detail messages that came with it. */
    public CursorBehindException(String message, String code, String reason, List<Message> details) {
        super(message, code, reason, details);
    }
}
