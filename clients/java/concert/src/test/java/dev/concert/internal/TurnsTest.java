package dev.concert.internal;

import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;

class TurnsTest {
    private static boolean entersElsewhere(Turns turns) throws Exception {
        CompletableFuture<Boolean> entered = new CompletableFuture<>();
        new Thread(() -> {
                    try {
                        entered.complete(turns.enter(Duration.ofMillis(50)));
                    } catch (InterruptedException interrupted) {
                        entered.completeExceptionally(interrupted);
                    }
                })
                .start();
        return entered.get(60, TimeUnit.SECONDS);
    }

    private static Turns inAnotherThread(Object holders, boolean isShared) throws Exception {
        return CompletableFuture.supplyAsync(() -> new Turns(holders, "me", List.of("door"), isShared))
                .get(60, TimeUnit.SECONDS);
    }

    @Test
    void scopesOfOneHolderLineUpAndThoseOfAnotherOneOfThatNameDoNot() throws Exception {
        Turns first = new Turns("here", "me", List.of("door"), false);
        assertTrue(first.enter(Duration.ofSeconds(1)));
        assertFalse(entersElsewhere(inAnotherThread("here", false)));
        Turns elsewhere = inAnotherThread("there", false);
        assertTrue(entersElsewhere(elsewhere));
        elsewhere.leave();
        Turns again = new Turns("here", "me", List.of("door"), false);
        assertTrue(again.enter(Duration.ofSeconds(1)), "its own thread enters again");
        again.leave();
        first.leave();
        Turns next = inAnotherThread("here", false);
        assertTrue(entersElsewhere(next));
        next.leave();
    }

    @Test
    void sharedScopesAreInsideTogether() throws Exception {
        Turns first = new Turns("here", "me", List.of("door"), true);
        assertTrue(first.enter(Duration.ofSeconds(1)));
        Turns second = inAnotherThread("here", true);
        assertTrue(entersElsewhere(second));
        assertFalse(entersElsewhere(inAnotherThread("here", false)));
        second.leave();
        first.leave();
    }
}
