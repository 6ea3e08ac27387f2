package dev.concert.internal;

import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.ThreadLocalRandom;

/** How long to wait before the next try: exponential, with full jitter, so that many clients do not come back as one. */
public final class Backoff {
    private Duration ceiling = Limits.BACKOFF_INITIAL;

    /** The next pause; at least {@code retryAfter}, spread a little beyond it, when the peer asked for it. */
    public Duration pause(Optional<Duration> retryAfter) {
        long ceilingNanos = ceiling.toNanos();
        Duration doubled = ceiling.multipliedBy(2);
        ceiling = doubled.compareTo(Limits.BACKOFF_MAX) < 0 ? doubled : Limits.BACKOFF_MAX;
        ThreadLocalRandom random = ThreadLocalRandom.current();
        return retryAfter
                .map(asked -> asked.plusNanos(random.nextLong(ceilingNanos)))
                .orElseGet(() -> Duration.ofNanos(random.nextLong(ceilingNanos / 4, ceilingNanos)));
    }

    /** The next pause. */
    public Duration pause() {
        return pause(Optional.empty());
    }

    /** Begins again: something worked. */
    public void reset() {
        ceiling = Limits.BACKOFF_INITIAL;
    }
}
