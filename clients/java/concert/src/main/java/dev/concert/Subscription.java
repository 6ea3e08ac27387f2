package dev.concert;

import dev.concert.errors.ConcertException;
import dev.concert.internal.Caller;
import dev.concert.internal.Following;
import dev.concert.internal.Limits;
import dev.concert.internal.Methods;
import dev.concert.v1.Cursor;
import dev.concert.v1.Event;
import dev.concert.v1.SubscribeRequest;
import dev.concert.v1.SubscribeResponse;
import java.util.Queue;
import java.util.concurrent.CompletableFuture;
import java.util.function.Consumer;

/**
 * Events as they come, each matching one once, in order, gap-free over reconnects and restarts: {@code for (Event event :
 * subscription)}. For one reader.
 *
 * <p>A stream that breaks, ends, or stays silent for longer than the coordinator's bookmarks allow is opened again after what
 * was seen. What cannot be resumed (CursorCompactedException, LogMismatchException) is thrown: never a silent gap.
 */
public final class Subscription extends Stream<Event> {
    private final SubscribeRequest request;
    private final Following<SubscribeRequest, SubscribeResponse> following;
    private final CompletableFuture<Void> ended = new CompletableFuture<>();
    private SubscribeResponse first;
    private long fetched;
    private Cursor bookmark;
    private volatile Cursor cursor;

    Subscription(Caller caller, SubscribeRequest request) {
        this.request = request;
        this.cursor = request.getAfter();
        this.fetched = cursor.getSequence();
        this.bookmark = cursor;
        this.following = new Following<>(caller, Methods.SUBSCRIBE, this::resumed, Limits.BOOKMARK_SILENCE_MAX);
    }

    /** The position up to which everything was dealt with; resume after it another time. */
    public Cursor cursor() {
        return cursor;
    }

    /** Of one that is listened to: completed when it was closed, failed with what kept it from going on. */
    public CompletableFuture<Void> ended() {
        return ended;
    }

    void awaitStanding() {
        try {
            first = following.next();
        } catch (RuntimeException | Error failed) {
            close();
            throw failed;
        }
    }

    @Override
    boolean fetch(Queue<Event> into) {
        advance(bookmark); // everything handed out is dealt with: the reader waits
        SubscribeResponse response = first == null ? following.next() : first;
        first = null;
        if (response == null) {
            return false;
        }
        for (Event event : response.getEventsList()) {
            if (event.getSequence() > fetched) {
                fetched = event.getSequence();
                bookmark = at(event);
                into.add(event);
            }
        }
        if (response.hasBookmark() && response.getBookmark().getLastSequence() >= fetched) {
            fetched = response.getBookmark().getLastSequence();
            bookmark = Cursor.newBuilder()
                    .setLogId(response.getBookmark().getLogId())
                    .setSequence(fetched)
                    .build();
        }
        if (into.isEmpty()) {
            advance(bookmark);
        }
        return true;
    }

    @Override
    void handedOut(Event last) {
        advance(at(last));
    }

    /** Hands every event to a listener, in a thread of its own. */
    void pump(Consumer<Event> listener) {
        Thread thread = new Thread(
                () -> {
                    try (this) {
                        forEach(listener);
                        ended.complete(null);
                    } catch (ConcertException error) {
                        ended.completeExceptionally(error);
                    } catch (RuntimeException | Error error) {
                        ended.completeExceptionally(error);
                        throw error;
                    }
                },
                "concert-subscription");
        thread.setDaemon(true);
        thread.start();
    }

    /** Ends it. */
    @Override
    public void close() {
        following.close();
    }

    static Cursor at(Event event) {
        return Cursor.newBuilder()
                .setLogId(event.getLogId())
                .setSequence(event.getSequence())
                .build();
    }

    private void advance(Cursor to) {
        if (to.getSequence() > cursor.getSequence()) {
            cursor = to;
        }
    }

    private SubscribeRequest resumed() {
        return bookmark.getSequence() == 0
                ? request
                : request.toBuilder().setAfter(bookmark).build();
    }
}
