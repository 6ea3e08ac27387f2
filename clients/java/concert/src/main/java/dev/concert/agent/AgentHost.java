package dev.concert.agent;

import dev.concert.Coordinator;
import dev.concert.errors.ConcertException;
import dev.concert.errors.InvalidArgumentException;
import dev.concert.internal.Connection;
import dev.concert.internal.Limits;
import dev.concert.internal.Waiting;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CompletableFuture;

/**
 * Hosts agents in this process.
 *
 * <pre>{@code
 * try (AgentHost host = AgentHost.start(Coordinator.at("127.0.0.1:7420"), agent)) {
 *     host.await();
 * }
 * }</pre>
 *
 * <p>Starting it begins to register the agents, and goes on trying while no coordinator is there; {@link #awaitRegistered}
 * waits for that. Closing it cancels what runs. Two agents of the same role are two instances.
 */
public final class AgentHost implements AutoCloseable {
    private final Connection connection;
    private final List<HostedAgent> hosted;

    private AgentHost(Connection connection, Duration lease, Agent... agents) {
        this.connection = connection;
        this.hosted = Arrays.stream(agents)
                .map(agent -> new HostedAgent(agent, connection, lease))
                .toList();
    }

    /** Begins to host agents. */
    public static AgentHost start(Coordinator coordinator, Agent... agents) {
        return start(coordinator, Limits.SESSION_LEASE_DEFAULT, agents);
    }

    /** Begins to host agents that outlive their streams for so long, 2 s to 5 min. */
    public static AgentHost start(Coordinator coordinator, Duration lease, Agent... agents) {
        if (agents.length == 0) {
            throw new InvalidArgumentException("there is no agent to host");
        }
        AgentHost host = new AgentHost(coordinator.connection(), lease, agents);
        host.hosted.forEach(HostedAgent::start);
        return host;
    }

    /** Hosts agents of a coordinator at 127.0.0.1:7420; see {@link #run(Coordinator, Agent...)}. */
    public static void run(Agent... agents) throws InterruptedException {
        run(Coordinator.at(), agents);
    }

    /**
     * Hosts agents until the process is told to end, or until they were drained from elsewhere.
     *
     * <p>SIGTERM and SIGINT drain: no new tasks, those that run finish, and only then does the process end. (The JVM tells
     * no second signal apart; who cannot wait sends SIGKILL, and the tasks are given to others when the lease is over.)
     *
     * @throws InterruptedException when this thread is interrupted: what runs is cancelled
     * @throws ConcertException what keeps an agent from ever being registered
     */
    public static void run(Coordinator coordinator, Agent... agents) throws InterruptedException {
        AgentHost host = start(coordinator, agents);
        CompletableFuture<Void> closed = new CompletableFuture<>();
        Thread hook = new Thread(
                () -> {
                    host.drain();
                    closed.join();
                },
                "concert-drain");
        Runtime.getRuntime().addShutdownHook(hook);
        try (host) {
            host.await();
        } finally {
            closed.complete(null);
            try {
                Runtime.getRuntime().removeShutdownHook(hook);
            } catch (IllegalStateException ending) {
                // the hook is what brought us here
            }
        }
    }

    /** The agents, in the order they were given. */
    public List<String> agentIds() {
        return hosted.stream().map(HostedAgent::agentId).toList();
    }

    /** Waits until every agent has a session. Throws what keeps one from ever having it. */
    public void awaitRegistered() {
        hosted.forEach(each -> Waiting.join(each.registered().thenApply(none -> null)));
    }

    /**
     * Tells the coordinator what the agent with that id, or of that role, can do and says of itself from now on. Tasks
     * that run are not touched.
     */
    public void update(Agent changed) {
        String id = changed.spec().getAgentId();
        List<HostedAgent> meant = hosted.stream()
                .filter(each -> id.isEmpty()
                        ? each.role().equals(changed.role())
                        : each.agentId().equals(id))
                .toList();
        if (meant.isEmpty()) {
            throw new InvalidArgumentException(
                    "no agent '" + (id.isEmpty() ? changed.role() : id) + "' is hosted here");
        }
        meant.forEach(each -> Waiting.join(each.update(changed)));
    }

    /** No new tasks; those that run finish, then the agents leave. */
    public void drain() {
        hosted.forEach(HostedAgent::drain);
    }

    /** Interrupts what runs, unreported: the coordinator gives it to others. Then the agents leave. */
    public void cancel() {
        hosted.forEach(HostedAgent::cancel);
    }

    /**
     * Waits until every agent has left.
     *
     * @throws ConcertException what kept one from registering
     */
    public void await() throws InterruptedException {
        for (HostedAgent each : hosted) {
            try {
                each.over().get();
            } catch (java.util.concurrent.ExecutionException failed) {
                throw Waiting.unwrap(failed);
            }
        }
    }

    /** Cancels what runs, says goodbye. */
    @Override
    public void close() {
        cancel();
        for (HostedAgent each : hosted) {
            try {
                Duration atMost = Limits.CLEANUP_MAX.plus(Limits.CLOSE_MAX.multipliedBy(2));
                Waiting.joinUninterruptibly(each.over().thenApply(none -> null), atMost);
            } catch (ConcertException never) {
                // it never was registered, or does not let itself be interrupted: there is nothing left to wait for
            }
            each.shutDown();
        }
        connection.close();
    }
}
