package dev.concert.internal;

import java.util.concurrent.Executor;

/**
 * Who asks.
 *
 * @param caller through what
 * @param attemptToken in which attempt; 0 outside
 * @param writer as which writer of shared state; empty where the session or attempt says it
 * @param callbacks where what users hang onto futures runs
 * @param reassert sets the interrupt flag of this thread again if somebody still wants it set
 */
public record Origin(Caller caller, long attemptToken, String writer, Executor callbacks, Runnable reassert) {
    /** Outside of attempts. */
    public Origin(Caller caller, String writer, Executor callbacks) {
        this(caller, 0, writer, callbacks, () -> {});
    }
}
