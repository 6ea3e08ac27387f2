package dev.concert.internal;

import com.google.protobuf.Message;
import dev.concert.errors.CancelledException;
import dev.concert.errors.ConcertException;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.time.Duration;
import java.util.function.Supplier;

/**
 * Following a stream of the coordinator that proves with bookmarks that it is alive: opened again, where it was left,
 * whenever it breaks, ends or falls silent.
 *
 * <p>What cannot be mended by waiting is thrown, and so is whatever stands in the way of the very first response for
 * longer than the caller's {@code retryFor}. For one reader; closed from any thread.
 */
public final class Following<Q extends Message, R extends Message> implements AutoCloseable {
    private static final Logger LOG = System.getLogger("dev.concert.subscription");

    private final Caller caller;
    private final Method<Q, R> method;
    private final Supplier<Q> request;
    private final Duration silence;
    private boolean established;
    private ResponseStream<R> stream;
    private boolean closed;

    /** {@code request} is asked for each time the stream is opened: it says where to go on. */
    public Following(Caller caller, Method<Q, R> method, Supplier<Q> request, Duration silence) {
        this.caller = caller;
        this.method = method;
        this.request = request;
        this.silence = silence;
    }

    /** The next response; null once it is closed. */
    public R next() {
        long giveUpAt = System.nanoTime() + caller.retryFor().toNanos();
        Backoff backoff = new Backoff();
        while (true) {
            ResponseStream<R> open = open();
            if (open == null) {
                return null;
            }
            try {
                R response = open.next(silence);
                established = true;
                return response;
            } catch (ConcertException error) {
                drop(open);
                if (isClosed() && error instanceof CancelledException) {
                    return null;
                }
                Duration pause = backoff.pause(error.retryAfter());
                boolean late = !established && System.nanoTime() + pause.toNanos() > giveUpAt;
                if (!Refusals.isTransient(error) || late) {
                    throw error;
                }
                LOG.log(Level.INFO, "{0} goes on in {1} ms: {2}", method.name(), pause.toMillis(), error.getMessage());
                Waiting.sleep(pause);
            }
        }
    }

    private synchronized ResponseStream<R> open() {
        if (stream == null && !closed) {
            stream = caller.stream(method, request.get());
        }
        return closed ? null : stream;
    }

    private synchronized void drop(ResponseStream<R> broken) {
        broken.close();
        if (stream == broken) {
            stream = null;
        }
    }

    private synchronized boolean isClosed() {
        return closed;
    }

    /** Ends it; a reader that waits gets null. */
    @Override
    public synchronized void close() {
        closed = true;
        if (stream != null) {
            stream.close();
        }
    }
}
