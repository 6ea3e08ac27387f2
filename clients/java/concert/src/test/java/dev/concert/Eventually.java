package dev.concert;

import static org.junit.jupiter.api.Assertions.fail;

import java.util.concurrent.Callable;
import java.util.concurrent.TimeUnit;

/** Awaiting conditions. */
public final class Eventually {
    private Eventually() {}

    /** Waits until it holds, for at most a minute. */
    public static void holds(String what, Callable<Boolean> condition) throws Exception {
        long until = System.nanoTime() + TimeUnit.SECONDS.toNanos(60);
        while (System.nanoTime() < until) {
            if (condition.call()) {
                return;
            }
            Thread.sleep(20);
        }
        fail("did not become true within a minute: " + what);
    }
}
