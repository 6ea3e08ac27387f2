package dev.concert;

import dev.concert.internal.Limits;
import dev.concert.internal.Methods;
import dev.concert.internal.Origin;
import dev.concert.internal.Tracing;
import dev.concert.internal.Waiting;
import dev.concert.v1.CustomEvent;
import dev.concert.v1.Event;
import dev.concert.v1.EventDraft;
import dev.concert.v1.GetEventRequest;
import dev.concert.v1.ListEventsRequest;
import dev.concert.v1.ListEventsResponse;
import dev.concert.v1.PublishRequest;
import dev.concert.v1.PublishResponse;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;

/** Stating facts, and reading them again. */
public final class Events {
    private final Origin origin;

    Events(Origin origin) {
        this.origin = origin;
    }

    /** A custom event to publish; add its run, task, metadata, or an event id under which it is stored once. */
    public static EventDraft.Builder draft(String name, Object data) {
        CustomEvent.Builder custom = CustomEvent.newBuilder().setName(name);
        if (data != null) {
            custom.setData(Payloads.of(data));
        }
        return EventDraft.newBuilder().setCustom(custom).setTraceparent(Tracing.currentTraceparent());
    }

    /** States 1 to 1000 facts, all or none; returns their sequences once they are durable. */
    public List<Long> publish(List<EventDraft> drafts, With... with) {
        return Waiting.join(send(drafts, with)).getSequencesList();
    }

    /** As {@link #publish}, without waiting. */
    public CompletableFuture<List<Long>> publishAsync(List<EventDraft> drafts, With... with) {
        return send(drafts, with).thenApplyAsync(PublishResponse::getSequencesList, origin.callbacks());
    }

    private CompletableFuture<PublishResponse> send(List<EventDraft> drafts, With... with) {
        PublishRequest request = PublishRequest.newBuilder()
                .setAttemptToken(origin.attemptToken())
                .addAllEvents(drafts)
                .setRequestId(With.requestIdOf(with))
                .addAllFences(With.fencesOf(with))
                .build();
        return origin.caller().call(Methods.PUBLISH, request, null);
    }

    /** One event. */
    public Event get(long sequence) {
        GetEventRequest request =
                GetEventRequest.newBuilder().setSequence(sequence).build();
        return origin.caller().ask(Methods.GET_EVENT, request).getEvent();
    }

    /**
     * At most {@code limit} events, in the order asked for.
     *
     * @param request which ones; its pages are seen to here
     */
    public List<Event> list(ListEventsRequest request, int limit) {
        List<Event> found = new ArrayList<>();
        ListEventsRequest.Builder page = request.toBuilder();
        while (found.size() < limit) {
            page.setPageSize(Math.min(limit - found.size(), Limits.PAGE_SIZE_MAX));
            ListEventsResponse response = origin.caller().ask(Methods.LIST_EVENTS, page.build());
            found.addAll(response.getEventsList());
            if (response.getNextPageToken().isEmpty()) {
                break;
            }
            page.setPageToken(response.getNextPageToken());
        }
        return found;
    }
}
