package dev.concert.errors;

import com.google.protobuf.Message;
import com.google.rpc.QuotaFailure;
import com.google.rpc.RetryInfo;
import java.time.Duration;
import java.util.List;
import java.util.Optional;

/** A queue, quota or rate limit. */
public class LimitReachedException extends ConcertException {
    private static final long serialVersionUID = 1L;

    /** What was said, with the gRPC status code, the contract's reason and the detail messages that came with it. */
    public LimitReachedException(String message, String code, String reason, List<Message> details) {
        super(message, code, reason, details);
    }

    /** On this side, before or without an answer. */
    public LimitReachedException(String message) {
        this(message, "RESOURCE_EXHAUSTED", "LIMIT_REACHED", List.of());
    }

    /** How long to wait before the next try, if the coordinator said so. */
    @Override
    public Optional<Duration> retryAfter() {
        return detail(RetryInfo.class)
                .map(retry -> Duration.ofSeconds(
                        retry.getRetryDelay().getSeconds(),
                        retry.getRetryDelay().getNanos()));
    }

    /** Which limits. */
    public List<Violation> violations() {
        return detail(QuotaFailure.class).stream()
                .flatMap(quota -> quota.getViolationsList().stream())
                .map(each -> new Violation(each.getSubject(), each.getDescription()))
                .toList();
    }
}
