package dev.concert;

import dev.concert.internal.Caller;
import dev.concert.internal.Following;
import dev.concert.internal.Limits;
import dev.concert.internal.Methods;
import dev.concert.v1.Cursor;
import dev.concert.v1.WatchStateRequest;
import dev.concert.v1.WatchStateResponse;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashSet;
import java.util.List;
import java.util.Queue;
import java.util.Set;

/**
 * What keys hold, all of it at one revision, then each change once and in order, over reconnects and restarts:
 * {@code for (KeyChange change : watch)}. For one reader.
 */
public final class StateWatch extends Stream<KeyChange> {
    private record Told(long revision, String key, KeyChange.Kind kind) {}

    private final WatchStateRequest request;
    private final Following<WatchStateRequest, WatchStateResponse> following;
    private final List<KeyChange> there = new ArrayList<>();
    private final Set<Told> told = new HashSet<>();
    private Cursor cursor = Cursor.getDefaultInstance();
    private boolean hasBegun;

    StateWatch(Caller caller, Collection<String> keys, String prefix, Cursor after) {
        request = WatchStateRequest.newBuilder()
                .addAllKeys(keys)
                .setPrefix(prefix)
                .build();
        if (after != null) {
            cursor = after;
            hasBegun = true;
        }
        following = new Following<>(caller, Methods.WATCH_STATE, this::resumed, Limits.BOOKMARK_SILENCE_MAX);
    }

    @Override
    boolean fetch(Queue<KeyChange> into) {
        WatchStateResponse response = following.next();
        if (response == null) {
            return false;
        }
        take(response, into);
        return true;
    }

    /** What a response tells that was not told before. What is there is told once all of it has come. */
    private void take(WatchStateResponse response, Queue<KeyChange> into) {
        response.getEntriesList().forEach(each -> there.add(KeyChange.there(each)));
        List<KeyChange> changes = response.getChangesList().stream()
                .map(KeyChange::of)
                .filter(this::isNew)
                .toList();
        if (response.hasBookmark()) {
            hasBegun = true;
            into.addAll(there);
            there.clear();
            long sequence =
                    Math.max(cursor.getSequence(), response.getBookmark().getLastSequence());
            cursor = Cursor.newBuilder()
                    .setLogId(response.getBookmark().getLogId())
                    .setSequence(sequence)
                    .build();
            told.removeIf(each -> each.revision() <= sequence);
        }
        into.addAll(changes);
    }

    /** A stream that breaks between two bookmarks may tell again what came after the first. */
    private boolean isNew(KeyChange change) {
        return change.revision() > cursor.getSequence()
                && told.add(new Told(change.revision(), change.key(), change.kind()));
    }

    private WatchStateRequest resumed() {
        there.clear();
        return hasBegun ? request.toBuilder().setAfter(cursor).build() : request;
    }

    /** Ends the watch. */
    @Override
    public void close() {
        following.close();
    }
}
