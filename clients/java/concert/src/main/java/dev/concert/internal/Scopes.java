package dev.concert.internal;

import dev.concert.errors.LockLostException;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.Optional;

/** The lock scopes that this thread is inside of: what an interrupt stands for when one of them has lost its locks. */
public final class Scopes {
    private static final ThreadLocal<Deque<Scope>> ENTERED = ThreadLocal.withInitial(ArrayDeque::new);

    /** A scope as seen from here. */
    public interface Scope {
        /** Why its locks are gone; null while they stand. */
        String lostBecause();
    }

    private Scopes() {}

    /** This thread goes in. */
    public static void enter(Scope scope) {
        ENTERED.get().push(scope);
    }

    /** This thread goes out. */
    public static void leave(Scope scope) {
        Deque<Scope> entered = ENTERED.get();
        entered.remove(scope);
        if (entered.isEmpty()) {
            ENTERED.remove();
        }
    }

    /** Sets the interrupt flag of this thread if one of them has lost its locks. */
    public static void reassert() {
        if (lost().isPresent()) {
            Thread.currentThread().interrupt();
        }
    }

    /** What to throw when one of them has lost its locks. */
    public static Optional<LockLostException> lost() {
        return ENTERED.get().stream()
                .map(Scope::lostBecause)
                .filter(because -> because != null)
                .findFirst()
                .map(LockLostException::new);
    }
}
