package dev.concert;

import dev.concert.errors.AlreadyExistsException;
import dev.concert.internal.Origin;
import dev.concert.internal.Times;
import dev.concert.v1.CreateSubscriptionRequest;
import dev.concert.v1.Cursor;
import dev.concert.v1.Event;
import dev.concert.v1.EventFilter;
import dev.concert.v1.EventType;
import dev.concert.v1.StartPosition;
import dev.concert.v1.SubscribeRequest;
import java.time.Instant;
import java.util.Arrays;
import java.util.function.Consumer;

/**
 * Describes a subscription: which events (all that is said must match; of each kind one entry is enough), and from where
 * (with the next event, unless said).
 *
 * <pre>{@code
 * try (Subscription events = client.subscribe().customNames("paid").fromEarliest().open()) {
 *     for (Event event : events) { ... }
 * }
 * }</pre>
 */
public final class SubscriptionBuilder {
    private final Origin origin;
    private final EventFilter.Builder filter = EventFilter.newBuilder();
    private SubscribeRequest start = SubscribeRequest.newBuilder()
            .setPosition(StartPosition.START_POSITION_LATEST)
            .build();

    SubscriptionBuilder(Origin origin) {
        this.origin = origin;
    }

    /** Of these types. */
    public SubscriptionBuilder types(EventType... types) {
        filter.addAllTypes(Arrays.asList(types));
        return this;
    }

    /** Custom events of these names. */
    public SubscriptionBuilder customNames(String... names) {
        filter.addAllCustomNames(Arrays.asList(names));
        return this;
    }

    /** Of these runs. */
    public SubscriptionBuilder runIds(String... runIds) {
        filter.addAllRunIds(Arrays.asList(runIds));
        return this;
    }

    /** Of these tasks, of any run. */
    public SubscriptionBuilder taskIds(String... taskIds) {
        filter.addAllTaskIds(Arrays.asList(taskIds));
        return this;
    }

    /** Of these agents. */
    public SubscriptionBuilder agentIds(String... agentIds) {
        filter.addAllAgentIds(Arrays.asList(agentIds));
        return this;
    }

    /** Of agents with these names. */
    public SubscriptionBuilder agentNames(String... names) {
        filter.addAllAgentNames(Arrays.asList(names));
        return this;
    }

    /** With the oldest event kept. */
    public SubscriptionBuilder fromEarliest() {
        start = SubscribeRequest.newBuilder()
                .setPosition(StartPosition.START_POSITION_EARLIEST)
                .build();
        return this;
    }

    /** With the first event at or after a time. */
    public SubscriptionBuilder since(Instant time) {
        start = SubscribeRequest.newBuilder().setSince(Times.toProto(time)).build();
        return this;
    }

    /** After a position, as {@link Subscription#cursor} tells it. */
    public SubscriptionBuilder after(Cursor cursor) {
        start = SubscribeRequest.newBuilder().setAfter(cursor).build();
        return this;
    }

    /** After a sequence of whichever log there is. */
    public SubscriptionBuilder after(long sequence) {
        return after(Cursor.newBuilder().setSequence(sequence).build());
    }

    /**
     * Opens it, waiting until it stands: nothing published afterwards is missed, even when it starts with the next event.
     */
    public Subscription open() {
        Subscription subscription = new Subscription(
                origin.caller(), start.toBuilder().setFilter(filter).build());
        subscription.awaitStanding();
        return subscription;
    }

    /**
     * Opens it and has every event handed to {@code listener}, one at a time, in a thread of its own. Closing the
     * subscription ends that; {@link Subscription#ended} tells how it went.
     */
    public Subscription listen(Consumer<Event> listener) {
        Subscription subscription = open();
        subscription.pump(listener);
        return subscription;
    }

    /**
     * Opens it under a name (1 to 128 bytes) whose place the coordinator keeps, making that if there is none: a consumer
     * that crashed or was away goes on where the last one stopped. Each event comes at least once.
     */
    public NamedSubscription openNamed(String name) {
        CreateSubscriptionRequest.Builder create = CreateSubscriptionRequest.newBuilder();
        switch (start.getStartCase()) {
            case AFTER -> create.setAfter(start.getAfter());
            case SINCE -> create.setSince(start.getSince());
            default -> create.setPosition(start.getPosition());
        }
        Subscriptions subscriptions = new Subscriptions(origin);
        try {
            subscriptions.create(create.setName(name).build());
        } catch (AlreadyExistsException there) {
            // goes on where the last one stopped
        }
        SubscribeRequest request = SubscribeRequest.newBuilder()
                .setFilter(filter)
                .setSubscription(name)
                .build();
        NamedSubscription named =
                new NamedSubscription(origin.caller(), new Subscription(origin.caller(), request), name);
        named.awaitStanding();
        return named;
    }
}
