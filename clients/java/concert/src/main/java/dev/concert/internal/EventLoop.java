package dev.concert.internal;

import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.time.Duration;
import java.util.concurrent.Executor;
import java.util.concurrent.Future;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.ScheduledThreadPoolExecutor;
import java.util.concurrent.TimeUnit;

/**
 * The one thread of a connection: timers, sessions and their heartbeats live on it, and nobody else's code ever runs on
 * it, so that a heartbeat goes out however busy everything else is.
 */
public final class EventLoop implements Executor {
    private static final Logger LOG = System.getLogger("dev.concert");

    private final ScheduledThreadPoolExecutor executor;
    private volatile Thread thread;

    /** Starts with the first task. */
    public EventLoop(String name) {
        executor = new ScheduledThreadPoolExecutor(1, run -> {
            Thread made = new Thread(run, name);
            made.setDaemon(true);
            thread = made;
            return made;
        });
        executor.setRemoveOnCancelPolicy(true);
        executor.setExecuteExistingDelayedTasksAfterShutdownPolicy(false);
    }

    /** Whether the caller is on the loop. */
    public boolean isHere() {
        return Thread.currentThread() == thread;
    }

    /** Runs something on the loop, in the order of asking; nothing once it has stopped. */
    @Override
    public void execute(Runnable task) {
        try {
            executor.execute(logged(task));
        } catch (RejectedExecutionException stopped) {
            LOG.log(Level.DEBUG, "the event loop has stopped", stopped);
        }
    }

    /** Runs something on the loop after a while. */
    public Future<?> schedule(Duration delay, Runnable task) {
        try {
            return executor.schedule(logged(task), Math.max(0, delay.toNanos()), TimeUnit.NANOSECONDS);
        } catch (RejectedExecutionException stopped) {
            return java.util.concurrent.CompletableFuture.completedFuture(null);
        }
    }

    /** Ends the loop; what waits for its time is dropped. */
    public void stop() {
        executor.shutdown();
    }

    private static Runnable logged(Runnable task) {
        return () -> {
            try {
                task.run();
            } catch (RuntimeException | Error fault) {
                LOG.log(Level.ERROR, "a fault of the client", fault);
                throw fault;
            }
        };
    }
}
