package dev.concert.errors;

import com.google.protobuf.Message;
import dev.concert.v1.LogPosition;
import java.util.List;

/** The cursor lies below the oldest event kept: events between were not seen and cannot be had. */
public class CursorCompactedException extends ConcertException {
    private static final long serialVersionUID = 1L;

    /** What was said, with the gRPC status code, the contract's reason and the detail messages that came with it. */
    public CursorCompactedException(String message, String code, String reason, List<Message> details) {
        super(message, code, reason, details);
    }

    /** The log there is. */
    public String logId() {
        return detail(LogPosition.class).map(LogPosition::getLogId).orElse("");
    }

    /** Sequence of the oldest event kept; 0 when it was not said. */
    public long oldestSequence() {
        return detail(LogPosition.class).map(LogPosition::getOldestSequence).orElse(0L);
    }
}
