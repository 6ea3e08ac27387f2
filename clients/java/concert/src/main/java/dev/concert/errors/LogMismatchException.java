package dev.concert.errors;

import com.google.protobuf.Message;
import dev.concert.v1.LogPosition;
import java.util.List;

/** The cursor or token is one of another log. */
public class LogMismatchException extends ConcertException {
    private static final long serialVersionUID = 1L;

    /** What was said, with the gRPC status code, the contract's reason and the detail messages that came with it. */
    public LogMismatchException(String message, String code, String reason, List<Message> details) {
        super(message, code, reason, details);
    }

    /** The log there is. */
    public String logId() {
        return detail(LogPosition.class).map(LogPosition::getLogId).orElse("");
    }

    /** The log that was asked for. */
    public String requestedLogId() {
        return detail(LogPosition.class).map(LogPosition::getRequestedLogId).orElse("");
    }
}
