package dev.concert.internal;

import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Deque;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/**
 * Turns within one process (rule L5): the coordinator lets one holder take a lock twice, so two scopes of one holder would
 * both get in. Here they line up instead, before they ask: on each resource, in the order of their names so that scopes
 * cannot block each other.
 *
 * <p>A thread that is inside may enter again (the coordinator counts such grants); several shared scopes may be inside
 * together.
 */
public final class Turns {
    private record Key(Object holders, String holder, String resource) {}

    private record Entry(Thread thread, boolean isShared, CompletableFuture<Void> turn) {}

    private static final class Line {
        private final List<Entry> inside = new ArrayList<>();
        private final Deque<Entry> waiting = new ArrayDeque<>();

        private boolean hasRoomFor(Entry entry) {
            return inside.isEmpty()
                    || inside.stream().anyMatch(each -> each.thread() == entry.thread())
                    || (entry.isShared() && inside.stream().allMatch(Entry::isShared));
        }

        private boolean isReentering(Entry entry) {
            return inside.stream().anyMatch(each -> each.thread() == entry.thread());
        }
    }

    private static final Map<Key, Line> LINES = new HashMap<>();

    private final List<Key> keys;
    private final boolean isShared;
    private final Thread thread = Thread.currentThread();
    private final Deque<Map.Entry<Key, Entry>> entered = new ArrayDeque<>();

    /** {@code holders} is what the holder's name is unique within. Without a holder name every request is a holder of its own, and there is nothing to line up for. */
    public Turns(Object holders, String holder, Collection<String> resources, boolean isShared) {
        this.keys = holder.isEmpty()
                ? List.of()
                : new TreeSet<>(resources)
                        .stream().map(each -> new Key(holders, holder, each)).toList();
        this.isShared = isShared;
    }

    /** Waits for all of them, at most so long; false when that was not enough. What was entered is left again then. */
    public boolean enter(Duration atMost) throws InterruptedException {
        long until = System.nanoTime() + atMost.toNanos();
        boolean isInside = false;
        try {
            for (Key key : keys) {
                if (!enter(key, until)) {
                    return false;
                }
            }
            isInside = true;
            return true;
        } finally {
            if (!isInside) {
                leave();
            }
        }
    }

    /** Lets the next in line in. */
    public void leave() {
        synchronized (LINES) {
            while (!entered.isEmpty()) {
                Map.Entry<Key, Entry> last = entered.pop();
                Line line = LINES.get(last.getKey());
                line.inside.remove(last.getValue());
                letIn(last.getKey(), line);
            }
        }
    }

    private boolean enter(Key key, long until) throws InterruptedException {
        Entry entry = new Entry(thread, isShared, new CompletableFuture<>());
        synchronized (LINES) {
            Line line = LINES.computeIfAbsent(key, each -> new Line());
            if (line.isReentering(entry)) {
                line.inside.add(entry);
                entry.turn().complete(null);
            } else {
                line.waiting.add(entry);
                letIn(key, line);
            }
        }
        boolean isIn = false;
        try {
            entry.turn().get(Math.max(0, until - System.nanoTime()), TimeUnit.NANOSECONDS);
            isIn = true;
        } catch (TimeoutException late) {
            return false;
        } catch (ExecutionException impossible) {
            throw new IllegalStateException(impossible);
        } finally {
            if (isIn) {
                entered.push(Map.entry(key, entry));
            } else {
                forget(key, entry);
            }
        }
        return true;
    }

    private static void forget(Key key, Entry entry) {
        synchronized (LINES) {
            Line line = LINES.get(key);
            line.waiting.remove(entry);
            line.inside.remove(entry);
            letIn(key, line);
        }
    }

    private static void letIn(Key key, Line line) {
        while (!line.waiting.isEmpty() && line.hasRoomFor(line.waiting.peek())) {
            Entry next = line.waiting.poll();
            line.inside.add(next);
            next.turn().complete(null);
        }
        if (line.inside.isEmpty() && line.waiting.isEmpty()) {
            LINES.remove(key);
        }
    }
}
