package dev.concert.examples;

import dev.concert.Client;
import dev.concert.NamedSubscription;
import dev.concert.Payloads;
import dev.concert.v1.Event;

/**
 * A consumer that goes on where it stopped: {@code Resume HOST:PORT COUNT} processes so many orders and leaves.
 *
 * <p>Start it again and it takes the next ones; kill the coordinator meanwhile and it waits for it. Each order comes, in
 * order, whatever happened between.
 */
public final class Resume {
    private Resume() {}

    /** Starts it. */
    public static void main(String[] arguments) {
        int left = Integer.parseInt(arguments[1]);
        try (Client client = Client.connect(arguments[0]);
                NamedSubscription orders =
                        client.subscribe().customNames("order").fromEarliest().openNamed("orders")) {
            System.out.println("waiting for orders");
            for (Event order : orders) {
                System.out.println("order "
                        + Payloads.json(order.getCustom().getData())
                                .get("number")
                                .asInt());
                orders.acknowledge(order); // durable: it does not come again
                if (--left == 0) {
                    return;
                }
            }
        }
    }
}
