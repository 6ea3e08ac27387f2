package dev.concert;

import dev.concert.errors.SessionOverException;
import dev.concert.internal.Limits;
import dev.concert.internal.Origin;
import dev.concert.internal.SessionStream;
import dev.concert.internal.Waiting;
import java.time.Duration;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ForkJoinPool;

/**
 * Calls that travel as frames of one stream, many at a time; resumed when the stream breaks. Thread-safe. Everything throws
 * {@link SessionOverException} once it is over. At most 2048 calls are under way; who makes another one waits.
 */
public final class Session extends Surface implements AutoCloseable {
    private final SessionStream stream;

    Session(SessionStream stream) {
        super(new Origin(stream, "", ForkJoinPool.commonPool()));
        this.stream = stream;
    }

    /** Sequence of its AGENT_REGISTERED event. */
    public long sessionId() {
        return stream.sessionId();
    }

    /** The id it is under. */
    public String agentId() {
        return stream.agentId();
    }

    /** How long it outlives its stream. */
    public Duration lease() {
        return stream.leaseLength();
    }

    /** Every limit of the coordinator by name, its unit last. */
    public Map<String, Long> limits() {
        return stream.limits();
    }

    /** Why it is over; empty while it lives. */
    public Optional<SessionOverException> over() {
        return Optional.ofNullable(stream.over());
    }

    /** Completed with why it is over, once it is. */
    public CompletableFuture<SessionOverException> ended() {
        return stream.ended().thenApplyAsync(why -> why);
    }

    /** Says goodbye: its locks are released at once. */
    @Override
    public void close() {
        Waiting.joinUninterruptibly(stream.close("closed"), Limits.CLOSE_MAX.multipliedBy(2));
    }
}
