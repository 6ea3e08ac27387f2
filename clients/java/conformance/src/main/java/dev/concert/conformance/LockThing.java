package dev.concert.conformance;

import dev.concert.LockBuilder;
import dev.concert.LockScope;
import dev.concert.errors.ConcertException;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.function.Consumer;

/** A lock scope that stands, in a thread of its own, until it is released or lost. */
final class LockThing {
    private final CompletableFuture<LockScope> entered = new CompletableFuture<>();
    private final CompletableFuture<Void> left = new CompletableFuture<>();
    private final CountDownLatch letGo = new CountDownLatch(1);
    private final Thread thread;

    LockThing(LockBuilder lock, Consumer<ConcertException> onLost) {
        thread = new Thread(() -> hold(lock, onLost), "lock");
        thread.setDaemon(true);
    }

    /** Waits for the locks. */
    LockScope enter() throws Exception {
        thread.start();
        try {
            return entered.get();
        } catch (InterruptedException interrupted) {
            thread.interrupt();
            throw interrupted;
        } catch (ExecutionException refused) {
            throw (Exception) refused.getCause();
        }
    }

    /** Ends the scope; throws what it ended with. */
    void release() throws Exception {
        letGo.countDown();
        try {
            left.get();
        } catch (ExecutionException lost) {
            throw (Exception) lost.getCause();
        }
    }

    private void hold(LockBuilder lock, Consumer<ConcertException> onLost) {
        try {
            lock.call(scope -> {
                entered.complete(scope);
                letGo.await();
                return null;
            });
            left.complete(null);
        } catch (ConcertException error) {
            boolean wasHeld = !entered.completeExceptionally(error);
            left.completeExceptionally(error);
            if (wasHeld && letGo.getCount() > 0) {
                onLost.accept(error);
            }
        } catch (InterruptedException interrupted) {
            left.complete(null);
        }
    }
}
