package dev.concert.errors;

import com.google.protobuf.Message;
import dev.concert.v1.StaleToken;
import java.util.List;

/** The attempt is not the current one: stop. */
public class StaleAttemptException extends AbortedException {
    private static final long serialVersionUID = 1L;

    /** What was said, with the gRPC status code, the contract's reason and the detail messages that came with it. */
    public StaleAttemptException(String message, String code, String reason, List<Message> details) {
        super(message, code, reason, details);
    }

    /** On this side, before or without an answer. */
    public StaleAttemptException(String message) {
        this(message, "ABORTED", "STALE_ATTEMPT", List.of());
    }

    /** The token that was sent. */
    public long token() {
        return detail(StaleToken.class).map(StaleToken::getToken).orElse(0L);
    }

    /** The token that counts now; 0 when there is none. */
    public long currentToken() {
        return detail(StaleToken.class).map(StaleToken::getCurrent).orElse(0L);
    }
}
