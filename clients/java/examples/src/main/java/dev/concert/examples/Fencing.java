package dev.concert.examples;

import dev.concert.Client;
import dev.concert.LockScope;
import dev.concert.StateChanges;
import dev.concert.With;
import dev.concert.errors.StaleFenceException;
import dev.concert.v1.LockGrant;
import java.time.Duration;
import java.util.Map;

/**
 * A holder of the past is refused: {@code Fencing [HOST:PORT]}, with a coordinator there.
 *
 * <p>The first writer takes a lock for a second and then hangs, as a process does that is suspended or collects its garbage.
 * The second is given the lock. When the first wakes up and writes, it is too late, and the coordinator knows.
 */
public final class Fencing {
    private Fencing() {}

    /** Starts it. */
    public static void main(String[] arguments) {
        try (Client client = Client.connect(arguments)) {
            LockGrant first = client.lock("ledger") // nobody renews it: it hangs
                    .lease(Duration.ofSeconds(1))
                    .acquireOnly()
                    .get(0);
            System.out.println("the first holds the ledger");
            try (LockScope second = client.lock("ledger").acquire()) { // waits until the lease has run out
                boolean isHigher = second.fencingToken() > first.getFencingToken();
                System.out.println("the second holds the ledger, and its token is higher: " + isHigher);
                client.state().update(StateChanges.merge(Map.of("ledger/balance", 100)), second);
                try {
                    client.state().update(StateChanges.merge(Map.of("ledger/balance", 0)), With.fence(first));
                } catch (StaleFenceException refused) {
                    System.out.println(
                            "the first wakes up and is refused: " + refused.reason() + " " + refused.resource());
                }
            }
            System.out.println("balance: "
                    + client.state().get("ledger/balance").orElseThrow().value());
        }
    }
}
