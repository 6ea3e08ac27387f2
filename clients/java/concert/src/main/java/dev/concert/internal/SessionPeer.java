package dev.concert.internal;

import dev.concert.v1.AgentTask;
import java.lang.System.Logger.Level;
import java.util.List;

/** Who is given the work that comes down a session. Called on the event loop; must not block. */
public interface SessionPeer {
    /** For clients that are no agents. */
    SessionPeer NONE = new SessionPeer() {};

    /** The attempts being executed, and those with reports that were not acknowledged. */
    default List<Long> attemptTokens() {
        return List.of();
    }

    /** A task, perhaps one seen before. */
    default void onTask(AgentTask task) {
        System.getLogger("dev.concert.session")
                .log(
                        Level.WARNING,
                        "task {0}/{1} came to a session that takes none",
                        task.getRunId(),
                        task.getTaskId());
    }

    /** An attempt to stop. */
    default void onCancel(long attemptToken, String reason) {}

    /** An attempt that no longer counts. */
    default void onStale(long attemptToken) {}

    /** The agent is to take no new tasks. */
    default void onDrain() {}
}
