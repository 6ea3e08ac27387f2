package dev.concert.errors;

import com.google.protobuf.Message;
import com.google.rpc.RetryInfo;
import java.time.Duration;
import java.util.List;
import java.util.Optional;

/** No coordinator answered: it is failing over, shutting down, or out of reach. Safe to try again. */
public class UnavailableException extends ConcertException {
    private static final long serialVersionUID = 1L;

    /** What was said, with the gRPC status code, the contract's reason and the detail messages that came with it. */
    public UnavailableException(String message, String code, String reason, List<Message> details) {
        super(message, code, reason, details);
    }

    /** On this side, before or without an answer. */
    public UnavailableException(String message) {
        this(message, "UNAVAILABLE", "UNAVAILABLE", List.of());
    }

    /** How long to wait before the next try, if the coordinator said so. */
    @Override
    public Optional<Duration> retryAfter() {
        return detail(RetryInfo.class)
                .map(retry -> Duration.ofSeconds(
                        retry.getRetryDelay().getSeconds(),
                        retry.getRetryDelay().getNanos()));
    }
}
