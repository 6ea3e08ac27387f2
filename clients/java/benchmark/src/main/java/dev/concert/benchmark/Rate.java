package dev.concert.benchmark;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.BooleanSupplier;

/** Counts what comes, and the part of it that falls into the measured time; what came before is the warm-up. */
final class Rate {
    private final AtomicLong count = new AtomicLong();
    private final List<Double> samples = Collections.synchronizedList(new ArrayList<>());
    private volatile boolean isMeasuring;
    private volatile boolean isOver;

    /** So many more came. */
    void add(long more) {
        count.addAndGet(more);
    }

    /** One more came, that took so many seconds. */
    void add(double seconds) {
        count.incrementAndGet();
        if (isMeasuring) {
            samples.add(seconds);
        }
    }

    boolean isOver() {
        return isOver;
    }

    /** Waits out both times; how many came a second. Stops early when {@code broken} says so. */
    double measure(double warmUpSeconds, double seconds, BooleanSupplier broken) throws InterruptedException {
        sleep(warmUpSeconds, broken);
        long before = count.get();
        long begun = System.nanoTime();
        isMeasuring = true;
        sleep(seconds, broken);
        isMeasuring = false;
        double rate = (count.get() - before) / ((System.nanoTime() - begun) / 1e9);
        isOver = true;
        return rate;
    }

    /** That part of the samples is not above this; 0 without any. */
    double quantile(double part) {
        List<Double> sorted = new ArrayList<>(samples);
        Collections.sort(sorted);
        return sorted.isEmpty() ? 0 : sorted.get((int) (part * (sorted.size() - 1)));
    }

    private static void sleep(double seconds, BooleanSupplier broken) throws InterruptedException {
        long until = System.nanoTime() + (long) (seconds * 1e9);
        while (System.nanoTime() < until) {
            if (broken.getAsBoolean()) {
                throw new IllegalStateException("the load broke");
            }
            Thread.sleep(10);
        }
    }
}
