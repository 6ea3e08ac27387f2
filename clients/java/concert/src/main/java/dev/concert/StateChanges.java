package dev.concert;

import dev.concert.v1.MergeStrategy;
import dev.concert.v1.StateChange;
import dev.concert.v1.StateUpdate;
import java.util.Arrays;
import java.util.Map;
import java.util.OptionalLong;

/**
 * A change of shared state that is to be made: 1 to 1000 keys, all or none. Immutable: each method returns a changed copy.
 *
 * <pre>{@code
 * state.update(StateChanges.replace(Map.of("site/pages", 3)).base(entry.revision()));
 * }</pre>
 */
public final class StateChanges {
    private final StateChange change;

    private StateChanges(StateChange change) {
        this.change = change;
    }

    /** Maps are merged deeply, lists concatenated, scalars replaced. */
    public static StateChanges merge(Map<String, ?> updates) {
        return of(MergeStrategy.MERGE_STRATEGY_MERGE, updates);
    }

    /** The keys take these values. */
    public static StateChanges replace(Map<String, ?> updates) {
        return of(MergeStrategy.MERGE_STRATEGY_REPLACE, updates);
    }

    /** These items are added to the list there, or to nothing. */
    public static StateChanges append(Map<String, ?> updates) {
        return of(MergeStrategy.MERGE_STRATEGY_APPEND, updates);
    }

    /** These keys go. */
    public static StateChanges delete(String... keys) {
        return merge(Map.of()).deletes(keys);
    }

    /** These keys go, too. */
    public StateChanges deletes(String... keys) {
        return new StateChanges(
                change.toBuilder().addAllDeletes(Arrays.asList(keys)).build());
    }

    /** With {@link #replace}: other keys under this path go. */
    public StateChanges under(String prefix) {
        return new StateChanges(change.toBuilder().setPrefix(prefix).build());
    }

    /** Nothing that overlaps may have changed after this revision; 0 relies on nothing being there. */
    public StateChanges base(long revision) {
        return new StateChanges(change.toBuilder().setBaseRevision(revision).build());
    }

    /** As {@link #base(long)}, unless it is empty. */
    public StateChanges base(OptionalLong revision) {
        return revision.isPresent() ? base(revision.getAsLong()) : this;
    }

    /** The contract's message. */
    public StateChange toProto() {
        return change;
    }

    private static StateChanges of(MergeStrategy strategy, Map<String, ?> updates) {
        StateChange.Builder change = StateChange.newBuilder().setStrategy(strategy);
        updates.forEach((key, value) -> change.addUpdates(StateUpdate.newBuilder()
                .setKey(key)
                .setValue(Json.of((Object) value).toProto())));
        return new StateChanges(change.build());
    }
}
