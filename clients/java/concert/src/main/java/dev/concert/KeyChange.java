package dev.concert;

import dev.concert.internal.Times;
import dev.concert.v1.WatchedChange;
import java.time.Instant;
import java.util.Map;

/**
 * What a watcher is told of a key at a revision.
 *
 * @param key the key, or the path for {@link Kind#CLEARED}
 * @param kind what became of it
 * @param value what it holds, for {@link Kind#THERE} and {@link Kind#SET}
 * @param revision the revision
 * @param writer who did it; empty for the platform's own writes
 * @param changedAt when
 */
public record KeyChange(String key, Kind kind, Json value, long revision, String writer, Instant changedAt) {
    /** What may become of a key. */
    public enum Kind {
        /** What it held when the watch began. */
        THERE,
        /** It was set. */
        SET,
        /** It is gone. */
        DELETED,
        /** Whatever was at and under the path is gone. */
        CLEARED,
        /** It was set, and changed again since: what it held is in nobody's memory any more; the later change follows. */
        SUPERSEDED
    }

    /** Brings a map of what the watched keys hold up to date. */
    public void applyTo(Map<String, Json> held) {
        switch (kind) {
            case THERE, SET -> held.put(key, value);
            case DELETED -> held.remove(key);
            case CLEARED -> held.keySet().removeIf(each -> each.equals(key) || each.startsWith(key + "/"));
            case SUPERSEDED -> {}
        }
    }

    static KeyChange there(dev.concert.v1.StateEntry entry) {
        StateEntry read = StateEntry.of(entry);
        return new KeyChange(read.key(), Kind.THERE, read.value(), read.revision(), read.writer(), read.updatedAt());
    }

    static KeyChange of(WatchedChange change) {
        Kind kind =
                switch (change.getOutcomeCase()) {
                    case VALUE -> Kind.SET;
                    case DELETED -> Kind.DELETED;
                    case CLEARED -> Kind.CLEARED;
                    default -> Kind.SUPERSEDED;
                };
        Json value = kind == Kind.SET ? Json.of(change.getValue()) : Json.NULL;
        return new KeyChange(
                change.getKey(),
                kind,
                value,
                change.getRevision(),
                change.getWriter(),
                Times.fromProto(change.getChangedAt()));
    }
}
