package dev.concert.internal;

import dev.concert.errors.ConcertException;
import dev.concert.errors.DeadlineExceededException;
import dev.concert.errors.InternalException;
import dev.concert.errors.InterruptedCallException;
import java.time.Duration;
import java.util.concurrent.CancellationException;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/** Waiting for futures the way a caller expects it: exceptions as they are, and interruption ends the wait. */
public final class Waiting {
    private Waiting() {}

    /** Waits. An interrupt withdraws the call and is thrown as what it stands for. */
    public static <T> T join(CompletableFuture<T> future) {
        try {
            return future.get();
        } catch (InterruptedException interrupted) {
            future.cancel(true);
            throw interrupted();
        } catch (ExecutionException | CancellationException failed) {
            throw unwrap(failed);
        }
    }

    /** Waits for so long, whatever interrupts arrive meanwhile: they are kept for later. */
    public static <T> T joinUninterruptibly(CompletableFuture<T> future, Duration atMost) {
        long until = System.nanoTime() + atMost.toNanos();
        boolean wasInterrupted = false;
        try {
            while (true) {
                try {
                    return future.get(Math.max(0, until - System.nanoTime()), TimeUnit.NANOSECONDS);
                } catch (InterruptedException interrupted) {
                    wasInterrupted = true;
                } catch (TimeoutException late) {
                    future.cancel(true);
                    throw new DeadlineExceededException("no answer within " + atMost.toSeconds() + " s");
                } catch (ExecutionException | CancellationException failed) {
                    throw unwrap(failed);
                }
            }
        } finally {
            if (wasInterrupted) {
                Thread.currentThread().interrupt();
            }
        }
    }

    /** Pauses this thread. */
    public static void sleep(Duration duration) {
        try {
            Thread.sleep(duration.toMillis(), duration.toNanosPart() % 1_000_000);
        } catch (InterruptedException interrupted) {
            throw interrupted();
        }
    }

    /** The exception for an interrupt that was just noticed: that of the lock scope which asked for it, if one did. */
    public static ConcertException interrupted() {
        Thread.currentThread().interrupt();
        return Scopes.lost()
                .<ConcertException>map(lost -> lost)
                .orElseGet(() -> new InterruptedCallException("interrupted while waiting for an answer"));
    }

    /** What a future failed with, with a stack trace of the thread that waited for it. */
    public static ConcertException unwrap(Throwable failed) {
        Throwable cause = failed;
        while ((cause instanceof ExecutionException || cause instanceof CompletionException)
                && cause.getCause() != null) {
            cause = cause.getCause();
        }
        if (cause instanceof ConcertException refused) {
            refused.fillInStackTrace();
            return refused;
        }
        if (cause instanceof CancellationException) {
            return new InterruptedCallException("the call was cancelled on this side");
        }
        InternalException fault = new InternalException("a fault of the client: " + cause);
        fault.initCause(cause);
        return fault;
    }
}
