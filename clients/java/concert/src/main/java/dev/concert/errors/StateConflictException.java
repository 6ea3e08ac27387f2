package dev.concert.errors;

import com.google.protobuf.Message;
import dev.concert.v1.ConflictingKey;
import dev.concert.v1.StateConflict;
import java.util.List;

/** A state conflict was lost: read again, or build on the current value, and write with {@link #currentRevision()} as the
 * base. Where a lock of somebody else guards a key, take that lock first, or wait until it is free. */
public class StateConflictException extends AbortedException {
    private static final long serialVersionUID = 1L;

    /** What was said, with the gRPC status code, the contract's reason and the detail messages that came with it. */
    public StateConflictException(String message, String code, String reason, List<Message> details) {
        super(message, code, reason, details);
    }

    /** The keys they met on, the first 20. */
    public List<ConflictingKey> keys() {
        return detail(StateConflict.class).map(StateConflict::getKeysList).orElse(List.of());
    }

    /** "concurrent_modification", or "resource_conflict" where a lock of somebody else guards a key. */
    public String conflictType() {
        return detail(StateConflict.class).map(StateConflict::getConflictType).orElse("");
    }

    /** Whether a lock of somebody else stands in the way: trying again is of no use while it is held. */
    public boolean isGuarded() {
        return "resource_conflict".equals(conflictType());
    }

    /** Base revision for the next try; 0 when it was not said. */
    public long currentRevision() {
        return detail(StateConflict.class)
                .map(StateConflict::getCurrentRevision)
                .orElse(0L);
    }

    /** Sequence of the CONFLICT_DETECTED event. */
    public long conflictSequence() {
        return detail(StateConflict.class)
                .map(StateConflict::getConflictSequence)
                .orElse(0L);
    }
}
