package dev.concert;

import java.util.ArrayDeque;
import java.util.Iterator;
import java.util.NoSuchElementException;
import java.util.Queue;

/**
 * What follows one another, for one reader: {@code for (var each : stream)}. Waiting for the next one is ended by closing
 * from another thread, after which there is none, or by an interrupt.
 */
abstract class Stream<T> implements Iterable<T>, AutoCloseable {
    private final Queue<T> ready = new ArrayDeque<>();

    /** Waits for more, perhaps none yet; false when nothing will come any more. */
    abstract boolean fetch(Queue<T> into);

    /** The reader has asked for the one after {@code last}: that one is dealt with. */
    void handedOut(T last) {}

    /** Reads what is there without waiting for it. */
    void offer(T item) {
        ready.add(item);
    }

    @Override
    public Iterator<T> iterator() {
        return new Iterator<>() {
            private T last;

            @Override
            public boolean hasNext() {
                if (last != null) {
                    T done = last;
                    last = null;
                    handedOut(done);
                }
                while (ready.isEmpty()) {
                    if (!fetch(ready)) {
                        return false;
                    }
                }
                return true;
            }

            @Override
            public T next() {
                if (!hasNext()) {
                    throw new NoSuchElementException();
                }
                last = ready.remove();
                return last;
            }
        };
    }

    @Override
    public abstract void close();
}
