package dev.concert;

import dev.concert.internal.Methods;
import dev.concert.internal.Origin;
import dev.concert.v1.EventDraft;
import dev.concert.v1.GetServerInfoRequest;
import dev.concert.v1.GetServerInfoResponse;
import dev.concert.v1.RunPlan;
import java.util.List;
import java.util.concurrent.CompletableFuture;

/**
 * What can be asked of a coordinator: the same through a {@link Client} (unary calls), a {@link Session} (frames), and
 * inside an attempt.
 *
 * <p>Calls block until they are answered and throw {@link dev.concert.errors.ConcertException}; an interrupt ends the wait.
 * Those that are made by the thousand have a twin whose name ends in Async. What is hung onto its future runs on the common
 * pool.
 */
public class Surface {
    private final Origin origin;
    private final Events events;
    private final State state;
    private final Runs runs;
    private final Locks locks;
    private final Subscriptions subscriptions;
    private final Agents agents;
    private final Monitor monitor;

    /** Asks as {@code origin}. For this library. */
    public Surface(Origin origin) {
        this.origin = origin;
        this.events = new Events(origin);
        this.state = new State(origin);
        this.runs = new Runs(origin);
        this.locks = new Locks(origin);
        this.subscriptions = new Subscriptions(origin);
        this.agents = new Agents(origin);
        this.monitor = new Monitor(origin);
    }

    /** Facts: stated, and read again. */
    public Events events() {
        return events;
    }

    /** Shared state. */
    public State state() {
        return state;
    }

    /** Runs. */
    public Runs runs() {
        return runs;
    }

    /** Locks as a reader sees them, and taken without a scope. */
    public Locks locks() {
        return locks;
    }

    /** Named subscriptions. */
    public Subscriptions subscriptions() {
        return subscriptions;
    }

    /** Who is there. */
    public Agents agents() {
        return agents;
    }

    /** Health, metrics, and why something is as it is. */
    public Monitor monitor() {
        return monitor;
    }

    /**
     * States a fact under a name (1 to 128 bytes); returns its sequence once it is durable.
     *
     * @param data JSON, bytes or a Payload; null for none
     * @param with locks that this relies on, or a request id
     */
    public long publish(String name, Object data, With... with) {
        return events.publish(List.of(Events.draft(name, data).build()), with).get(0);
    }

    /** As {@link #publish}, without waiting. */
    public CompletableFuture<Long> publishAsync(String name, Object data, With... with) {
        return events.publishAsync(List.of(Events.draft(name, data).build()), with)
                .thenApply(sequences -> sequences.get(0));
    }

    /** States 1 to 1000 facts, made with {@link Events#draft}, all or none; returns their sequences. */
    public List<Long> publish(List<EventDraft> drafts, With... with) {
        return events.publish(drafts, with);
    }

    /** Begins to describe a subscription: which events, from where. */
    public SubscriptionBuilder subscribe() {
        return new SubscriptionBuilder(origin);
    }

    /** Begins to describe what takes 1 to 64 locks, all or none. */
    public LockBuilder lock(String... resources) {
        return new LockBuilder(origin, resources);
    }

    /** Submits a run of these tasks, in any order, whole or not at all. */
    public RunHandle submitRun(NewTask... tasks) {
        return runs.submit(NewRun.of(tasks));
    }

    /** Submits a run, whole or not at all. */
    public RunHandle submitRun(NewRun run, With... with) {
        return runs.submit(run, with);
    }

    /** What would happen to a run: groups, critical path, what no agent is there for. */
    public RunPlan planRun(NewRun run) {
        return runs.plan(run);
    }

    /** A handle on a run that there is already. */
    public RunHandle run(String runId) {
        return runs.get(runId);
    }

    /** Version, features and limits of the coordinator. */
    public GetServerInfoResponse serverInfo() {
        return origin.caller().ask(Methods.GET_SERVER_INFO, GetServerInfoRequest.getDefaultInstance());
    }
}
