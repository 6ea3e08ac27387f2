package dev.concert;

import dev.concert.internal.Times;
import java.time.Instant;

/**
 * A key as it was read.
 *
 * @param key its path
 * @param value what it holds
 * @param revision sequence of the event that changed it last
 * @param writer who did
 * @param updatedAt when
 */
public record StateEntry(String key, Json value, long revision, String writer, Instant updatedAt) {
    static StateEntry of(dev.concert.v1.StateEntry entry) {
        return new StateEntry(
                entry.getKey(),
                Json.of(entry.getValue()),
                entry.getRevision(),
                entry.getWriter(),
                Times.fromProto(entry.getUpdatedAt()));
    }
}
