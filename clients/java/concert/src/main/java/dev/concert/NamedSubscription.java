package dev.concert;

import dev.concert.errors.ConcertException;
import dev.concert.errors.CursorBehindException;
import dev.concert.internal.Caller;
import dev.concert.internal.Limits;
import dev.concert.internal.Methods;
import dev.concert.internal.Refusals;
import dev.concert.internal.Waiting;
import dev.concert.v1.AcknowledgeRequest;
import dev.concert.v1.Cursor;
import dev.concert.v1.Event;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.time.Duration;
import java.util.Queue;
import java.util.concurrent.CompletableFuture;

/**
 * Events under a name whose place the coordinator keeps: {@code for (Event event : events)}. For one reader.
 *
 * <p>Every event is handed out at least once, across crashes of the consumer and of the coordinator: what was handed out and
 * not acknowledged comes again. An event counts as processed once the next one is asked for; what is processed is
 * acknowledged beside the loop, one acknowledgement at a time, the latest position only, and the rest when this is closed.
 */
public final class NamedSubscription extends Stream<Event> {
    private static final Logger LOG = System.getLogger("dev.concert.subscription");

    private final Caller caller;
    private final Subscription inner;
    private final String name;
    private boolean isManual;

    private Cursor processed = Cursor.getDefaultInstance();
    private long acknowledged;
    private boolean isAcknowledging;
    private ConcertException failed;

    NamedSubscription(Caller caller, Subscription inner, String name) {
        this.caller = caller;
        this.inner = inner;
        this.name = name;
    }

    /** Its name. */
    public String name() {
        return name;
    }

    /** Has nothing acknowledged but what {@link #acknowledge} says. */
    public NamedSubscription manually() {
        isManual = true;
        return this;
    }

    /** Acknowledges everything up to an event; durable when it returns. */
    public void acknowledge(Event event) {
        Waiting.join(send(Subscription.at(event)));
    }

    void awaitStanding() {
        inner.awaitStanding();
    }

    @Override
    boolean fetch(Queue<Event> into) {
        throwIfFailed();
        boolean isGoingOn = inner.fetch(into);
        if (into.isEmpty()) { // a bookmark tells of what no filter let through
            note(inner.cursor());
        }
        throwIfFailed();
        return isGoingOn;
    }

    @Override
    void handedOut(Event last) {
        note(Subscription.at(last));
    }

    /** Acknowledges what was processed, and ends. Its name and place stay. */
    @Override
    public void close() {
        inner.close();
        Cursor last;
        synchronized (this) {
            last = processed;
            if (isManual || last.getSequence() <= acknowledged || failed != null) {
                return;
            }
        }
        Waiting.joinUninterruptibly(send(last), Limits.CALL_DEFAULT);
    }

    private synchronized void throwIfFailed() {
        if (failed != null) {
            throw failed;
        }
    }

    private void note(Cursor cursor) {
        synchronized (this) {
            if (cursor.getSequence() > processed.getSequence()) {
                processed = cursor;
            }
        }
        if (!isManual) {
            acknowledgeBeside();
        }
    }

    private void acknowledgeBeside() {
        Cursor due;
        synchronized (this) {
            if (isAcknowledging || failed != null || processed.getSequence() <= acknowledged) {
                return;
            }
            isAcknowledging = true;
            due = processed;
        }
        send(due).whenComplete((done, error) -> {
            Duration pause = Limits.ACKNOWLEDGE_PAUSE;
            if (error != null) {
                ConcertException refusal = Waiting.unwrap(error);
                if (!Refusals.isTransient(refusal)) {
                    synchronized (this) {
                        failed = refusal;
                    }
                    inner.close(); // the reader is told
                    return;
                }
                LOG.log(Level.INFO, "{0}: what was processed is not acknowledged yet: {1}", name, refusal.getMessage());
                pause = Limits.BACKOFF_MAX;
            }
            caller.loop().schedule(pause, () -> {
                synchronized (this) {
                    isAcknowledging = false;
                }
                acknowledgeBeside();
            });
        });
    }

    private CompletableFuture<Void> send(Cursor cursor) {
        AcknowledgeRequest request =
                AcknowledgeRequest.newBuilder().setName(name).setCursor(cursor).build();
        return caller.call(Methods.ACKNOWLEDGE, request, null).handle((answered, error) -> {
            if (error != null && !(error instanceof CursorBehindException)) { // another consumer of the name is further
                throw Waiting.unwrap(error);
            }
            synchronized (this) {
                acknowledged = Math.max(acknowledged, cursor.getSequence());
            }
            return null;
        });
    }
}
