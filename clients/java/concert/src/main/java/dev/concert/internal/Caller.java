package dev.concert.internal;

import com.google.protobuf.Message;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;

/** What the client needs of whatever carries its calls: unary rpcs, or the frames of a session. */
public interface Caller {
    /** Names whoever holds the locks taken through this caller; empty when each request is a holder of its own. */
    String lockIdentity();

    /** What a holder's name is unique within: scopes of one holder line up there. */
    Object holders();

    /** How long something that is UNAVAILABLE is tried again. */
    Duration retryFor();

    /** Where timers run. */
    EventLoop loop();

    /**
     * Makes a call. UNAVAILABLE is tried again under the same request id. Cancelling the future withdraws the call where
     * that is still possible. It is completed on the event loop or a network thread: nothing that blocks may follow there.
     *
     * @param within how long it may take; null for the caller's default
     */
    <Q extends Message, R extends Message> CompletableFuture<R> call(Method<Q, R> method, Q request, Duration within);

    /** Makes a call whose responses follow one another, once: what breaks it is thrown by its reader. */
    <Q extends Message, R extends Message> ResponseStream<R> stream(Method<Q, R> method, Q request);

    /**
     * Has {@code lost} called, on the event loop, when the session behind this caller is over (at once when it is
     * already). Returns what takes that back. Never called for callers without a session.
     */
    Runnable onLost(Runnable lost);

    /** Makes a call and waits for its response. */
    default <Q extends Message, R extends Message> R ask(Method<Q, R> method, Q request) {
        return Waiting.join(call(method, request, null));
    }
}
