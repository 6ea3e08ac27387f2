package dev.concert.errors;

import com.google.protobuf.Message;
import dev.concert.v1.Deadlock;
import dev.concert.v1.LockWait;
import java.util.List;

/** The request would have closed a cycle of waiting: give back what is held, and ask again. */
public class DeadlockException extends AbortedException {
    private static final long serialVersionUID = 1L;

    /** What was said, with the gRPC status code, the contract's reason and the detail messages that came with it. */
    public DeadlockException(String message, String code, String reason, List<Message> details) {
        super(message, code, reason, details);
    }

    /**
     * Who waits for whom: each for the next one, the last for the first, which is the refused request. Cut short where it
     * is too long to be sent along.
     */
    public List<LockWait> cycle() {
        return detail(Deadlock.class).map(Deadlock::getCycleList).orElse(List.of());
    }

    /** Sequence of the refused request's RESOURCE_REQUESTED event. */
    public long requestSequence() {
        return detail(Deadlock.class).map(Deadlock::getRequestSequence).orElse(0L);
    }
}
