package dev.concert;

import dev.concert.internal.Connection;
import dev.concert.internal.Limits;
import dev.concert.internal.SessionPeer;
import dev.concert.internal.SessionStream;
import dev.concert.internal.Waiting;
import dev.concert.v1.AgentSpec;
import java.time.Duration;
import java.util.Map;

/** A session that is to be opened. Agents that take tasks are hosted with {@code dev.concert.agent} instead. */
public final class SessionBuilder {
    private final Connection connection;
    private final AgentSpec.Builder spec = AgentSpec.newBuilder();
    private Duration lease = Limits.SESSION_LEASE_DEFAULT;
    private boolean takeover;

    SessionBuilder(Connection connection) {
        this.connection = connection;
    }

    /** The id it is under; the coordinator gives one unless said. */
    public SessionBuilder agentId(String id) {
        spec.setAgentId(id);
        return this;
    }

    /** The role; the id unless said. */
    public SessionBuilder agentName(String name) {
        spec.setAgentName(name);
        return this;
    }

    /** How long it outlives its stream, 2 s to 5 min; 15 s unless said. */
    public SessionBuilder lease(Duration length) {
        lease = length;
        return this;
    }

    /** Ends the session that lives under the id. */
    public SessionBuilder takeover() {
        takeover = true;
        return this;
    }

    /** Annotations. */
    public SessionBuilder labels(Map<String, String> labels) {
        spec.putAllLabels(labels);
        return this;
    }

    /**
     * Opens it.
     *
     * @throws dev.concert.errors.AlreadyExistsException when an agent lives under the id
     */
    public Session open() {
        SessionStream stream = new SessionStream(connection, spec.build(), lease, takeover, SessionPeer.NONE);
        try {
            Waiting.join(stream.open());
        } catch (RuntimeException | Error failed) {
            stream.close("not opened");
            throw failed;
        }
        return new Session(stream);
    }
}
