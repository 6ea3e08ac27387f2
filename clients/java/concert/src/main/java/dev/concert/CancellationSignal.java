package dev.concert;

import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

/**
 * Says that something is to stop, beside the interrupt that says so too: for code that polls, and for what an interrupt does
 * not reach. Thread-safe; given once.
 */
public final class CancellationSignal {
    private static final Logger LOG = System.getLogger("dev.concert");

    private final CountDownLatch given = new CountDownLatch(1);
    private final List<Runnable> actions = new ArrayList<>();
    private String reason;

    /** Not given yet. */
    public CancellationSignal() {}

    /** Whether it was given. */
    public boolean isCancelled() {
        return given.getCount() == 0;
    }

    /** Why, once it was given. */
    public synchronized Optional<String> reason() {
        return Optional.ofNullable(reason);
    }

    /** Has something done when it is given, by whoever gives it; at once when it was already. It must not block. */
    public void onCancel(Runnable action) {
        synchronized (this) {
            if (reason == null) {
                actions.add(action);
                return;
            }
        }
        action.run();
    }

    /** Waits for it, at most so long; whether it was given. */
    public boolean await(Duration atMost) throws InterruptedException {
        return given.await(atMost.toNanos(), TimeUnit.NANOSECONDS);
    }

    /** Gives it. */
    public void cancel(String why) {
        List<Runnable> due;
        synchronized (this) {
            if (reason != null) {
                return;
            }
            reason = why;
            due = List.copyOf(actions);
            actions.clear();
        }
        given.countDown();
        due.forEach(CancellationSignal::run);
    }

    /** Whoever gives it has more to do: a session to end, other locks to tell of, a thread to interrupt. */
    private static void run(Runnable action) {
        try {
            action.run();
        } catch (RuntimeException | Error fault) {
            LOG.log(Level.ERROR, "what was to be done on a cancellation failed", fault);
        }
    }
}
