package dev.concert.errors;

import com.google.protobuf.Message;
import java.util.List;

/** The peer cancelled the call. */
public class CancelledException extends ConcertException {
    private static final long serialVersionUID = 1L;

    /** What was said, with the gRPC status code, the contract's reason and the detail messages that came with it. */
    public CancelledException(String message, String code, String reason, List<Message> details) {
        super(message, code, reason, details);
    }
}
