package dev.concert;

import dev.concert.internal.Connection;
import dev.concert.internal.Origin;
import dev.concert.internal.RequestIds;
import java.util.concurrent.ForkJoinPool;

/** Calls to a coordinator, each an rpc of its own. Thread-safe. Made by {@link #connect} or {@link Coordinator#connect}. */
public final class Client extends Surface implements AutoCloseable {
    private final Connection connection;

    Client(Connection connection, String writer) {
        super(new Origin(
                connection,
                writer.isEmpty() ? "client-" + RequestIds.randomHex(8) : writer,
                ForkJoinPool.commonPool()));
        this.connection = connection;
    }

    /** To a coordinator at one of these addresses; see {@link Coordinator#at} for everything else that can be said. */
    public static Client connect(String... addresses) {
        return Coordinator.at(addresses).connect();
    }

    /** Begins to describe a session: one stream that carries every call, and one lease over its locks. */
    public SessionBuilder session() {
        return new SessionBuilder(connection);
    }

    /** Closes the connection; calls still open are cancelled. Close its sessions first. */
    @Override
    public void close() {
        connection.close();
    }
}
