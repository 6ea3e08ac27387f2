package dev.concert;

import dev.concert.internal.Methods;
import dev.concert.internal.Origin;
import dev.concert.v1.AcknowledgeRequest;
import dev.concert.v1.CreateSubscriptionRequest;
import dev.concert.v1.Cursor;
import dev.concert.v1.DeleteSubscriptionRequest;
import dev.concert.v1.ListSubscriptionsRequest;
import dev.concert.v1.ListSubscriptionsResponse;
import java.util.List;

/** The named subscriptions of a namespace; {@link SubscriptionBuilder#openNamed} reads from one. */
public final class Subscriptions {
    private final Origin origin;

    Subscriptions(Origin origin) {
        this.origin = origin;
    }

    /** A new one. */
    public dev.concert.v1.NamedSubscription create(CreateSubscriptionRequest request) {
        return origin.caller().ask(Methods.CREATE_SUBSCRIPTION, request).getSubscription();
    }

    /** All of them, by name: how far each is, and how many events the log has after that. */
    public List<dev.concert.v1.NamedSubscription> list() {
        return Pages.read(
                origin,
                Methods.LIST_SUBSCRIPTIONS,
                ListSubscriptionsRequest.getDefaultInstance(),
                ListSubscriptionsResponse::getSubscriptionsList,
                ListSubscriptionsResponse::getNextPageToken);
    }

    /** Says that everything up to a cursor was dealt with. Durable when it returns; moves forward only. */
    public dev.concert.v1.NamedSubscription acknowledge(String name, Cursor cursor) {
        return acknowledge(name, cursor, false);
    }

    /** Puts it there wherever it was, also backwards and onto another log. */
    public dev.concert.v1.NamedSubscription reset(String name, Cursor cursor) {
        return acknowledge(name, cursor, true);
    }

    /** Whether it was there. */
    public boolean delete(String name) {
        DeleteSubscriptionRequest request =
                DeleteSubscriptionRequest.newBuilder().setName(name).build();
        return origin.caller().ask(Methods.DELETE_SUBSCRIPTION, request).getDeleted();
    }

    private dev.concert.v1.NamedSubscription acknowledge(String name, Cursor cursor, boolean isReset) {
        AcknowledgeRequest request = AcknowledgeRequest.newBuilder()
                .setName(name)
                .setCursor(cursor)
                .setReset(isReset)
                .build();
        return origin.caller().ask(Methods.ACKNOWLEDGE, request).getSubscription();
    }
}
