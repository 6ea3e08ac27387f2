package dev.concert.agent;

import dev.concert.errors.AlreadyExistsException;
import dev.concert.errors.ConcertException;
import dev.concert.errors.FeatureMissingException;
import dev.concert.errors.InvalidArgumentException;
import dev.concert.errors.NotFoundException;
import dev.concert.errors.PermissionDeniedException;
import dev.concert.errors.SessionOverException;
import dev.concert.errors.UnauthenticatedException;
import dev.concert.errors.UntrustedException;
import dev.concert.internal.Backoff;
import dev.concert.internal.Connection;
import dev.concert.internal.EventLoop;
import dev.concert.internal.Limits;
import dev.concert.internal.Methods;
import dev.concert.internal.RequestIds;
import dev.concert.internal.SessionPeer;
import dev.concert.internal.SessionStream;
import dev.concert.internal.Waiting;
import dev.concert.v1.AgentSpec;
import dev.concert.v1.AgentTask;
import dev.concert.v1.DrainAgentRequest;
import dev.concert.v1.UpdateAgent;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.ThreadFactory;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * Keeps one agent registered, session after session, and has executed what it is given: for every attempt token at most once
 * in a process, whatever happens to the connection. All of it on the event loop; only handlers run elsewhere.
 */
final class HostedAgent implements SessionPeer {
    private static final Logger LOG = System.getLogger("dev.concert.agent");

    private final Connection connection;
    private final EventLoop loop;
    private final Duration lease;
    private final String agentId;
    private final ExecutorService ownThreads;
    private final CompletableFuture<Void> over = new CompletableFuture<>();
    private final TreeSet<Long> live = new TreeSet<>();
    private final Map<Long, Boolean> seen = new LinkedHashMap<>() {
        private static final long serialVersionUID = 1L;

        @Override
        protected boolean removeEldestEntry(Map.Entry<Long, Boolean> eldest) {
            return size() > Limits.ATTEMPT_TOKENS_REMEMBERED_MAX;
        }
    };
    private final Map<Long, Attempt> attempts = new LinkedHashMap<>();
    private final Deque<Attempt> waiting = new ArrayDeque<>();
    private final CompletableFuture<Void> drainNoticed = new CompletableFuture<>();

    private volatile Agent agent;
    private volatile CompletableFuture<Void> registered = new CompletableFuture<>();
    private SessionStream session;
    private Backoff backoff = new Backoff();
    private int running;
    private boolean isFinishing;
    private boolean isStopping;
    private Runnable whenIdle;
    private Future<?> patience;

    HostedAgent(Agent agent, Connection connection, Duration lease) {
        this.agent = agent;
        this.connection = connection;
        this.loop = connection.loop();
        this.lease = lease;
        String named = agent.spec().getAgentId();
        this.agentId = named.isEmpty() ? agent.role() + "-" + RequestIds.randomHex(4) : named;
        this.ownThreads = Executors.newCachedThreadPool(threads("concert-" + agentId));
    }

    private static ThreadFactory threads(String name) {
        AtomicInteger count = new AtomicInteger();
        return run -> {
            Thread thread = new Thread(run, name + "-" + count.incrementAndGet());
            thread.setDaemon(true);
            return thread;
        };
    }

    String agentId() {
        return agentId;
    }

    String role() {
        return agent.role();
    }

    /** Completed when it has left; failed with what keeps it from ever being registered. */
    CompletableFuture<Void> over() {
        return over;
    }

    /** Completed while it has a session. */
    CompletableFuture<Void> registered() {
        return registered;
    }

    /** Begins to register. */
    void start() {
        loop.execute(() -> open(false));
    }

    /** Describes it anew, in this session and those to come. */
    CompletableFuture<Void> update(Agent changed) {
        CompletableFuture<Void> done = new CompletableFuture<>();
        loop.execute(() -> {
            agent = changed;
            if (session == null || session.sessionId() == 0) {
                done.complete(null);
                return;
            }
            describe(session).whenComplete((reported, error) -> {
                if (error == null) {
                    done.complete(null);
                } else {
                    done.completeExceptionally(error);
                }
            });
        });
        return done;
    }

    private CompletableFuture<?> describe(SessionStream to) {
        AgentSpec spec = spec();
        to.describe(spec);
        UpdateAgent request = UpdateAgent.newBuilder().setAgent(spec).build();
        return to.call(Methods.UPDATE_AGENT, request, null);
    }

    /** No new tasks, and goodbye when there are none left. */
    void drain() {
        loop.execute(() -> finish(true));
    }

    /** Stops what runs, unreported, and leaves. */
    void cancel() {
        loop.execute(() -> {
            new ArrayList<>(attempts.values()).forEach(attempt -> attempt.stop(Attempt.STOPPED));
            finish(false);
        });
    }

    /** Lets its threads go. */
    void shutDown() {
        ownThreads.shutdown();
    }

    private AgentSpec spec() {
        return agent.spec().toBuilder().setAgentId(agentId).build();
    }

    // ---- session after session

    /** Opens a session, however long that takes: an agent may be there before its coordinator. */
    private void open(boolean takeover) {
        if (isStopping || over.isDone()) {
            over.complete(null);
            return;
        }
        AgentSpec said = spec();
        SessionStream opening = new SessionStream(connection, said, lease, takeover, this);
        session = opening;
        opening.open().whenComplete((opened, error) -> {
            if (error == null) {
                LOG.log(Level.INFO, "{0} is registered, session {1}", agentId, opening.sessionId());
                backoff = new Backoff();
                registered.complete(null);
                if (!spec().equals(said)) { // updated meanwhile
                    describe(opening).whenComplete((reported, refusal) -> {
                        if (refusal != null) {
                            LOG.log(Level.WARNING, "what {0} is was not taken: {1}", agentId, refusal.getMessage());
                        }
                    });
                }
                opening.ended().whenComplete((why, none) -> onEnded(opening));
            } else {
                notOpened(Waiting.unwrap(error), takeover);
            }
        });
    }

    private void notOpened(ConcertException error, boolean takeover) {
        session = null;
        if (isStopping) {
            over.complete(null);
            return;
        }
        if (isFatal(error)) {
            over.completeExceptionally(error);
            registered.completeExceptionally(error);
            return;
        }
        String yet = error instanceof AlreadyExistsException ? " yet" : "";
        LOG.log(Level.WARNING, "{0} cannot register{1}: {2}", agentId, yet, error.getMessage());
        loop.schedule(backoff.pause(), () -> open(takeover));
    }

    /** What no other try would change. */
    private static boolean isFatal(ConcertException error) {
        return error instanceof InvalidArgumentException
                || error instanceof PermissionDeniedException
                || error instanceof UnauthenticatedException
                || error instanceof NotFoundException
                || error instanceof FeatureMissingException
                || error instanceof UntrustedException;
    }

    /** The session is over: another one begins once its attempts are, or take unreasonably long to be. */
    private void onEnded(SessionStream ended) {
        session = null;
        live.clear();
        if (isStopping) {
            over.complete(null);
            return;
        }
        registered = new CompletableFuture<>();
        new ArrayList<>(attempts.values())
                .stream().filter(attempt -> attempt.session() == ended).forEach(attempt -> attempt.stop(Attempt.LOST));
        if (isFinishing) {
            return; // whoever finishes waits for the attempts
        }
        Runnable proceed = () -> open(ended.expired());
        patience = loop.schedule(Limits.LOST_ATTEMPTS_MAX, () -> {
            LOG.log(Level.ERROR, "{0} attempts of {1} do not let themselves be interrupted", attempts.size(), agentId);
            becomeIdle();
        });
        whenIdle(proceed);
    }

    // ---- leaving

    private void finish(boolean announce) {
        if (isFinishing) {
            return;
        }
        isFinishing = true;
        if (patience != null) {
            patience.cancel(false);
        }
        if (!announce || session == null || session.sessionId() == 0) {
            whenIdle(this::leave);
            return;
        }
        DrainAgentRequest request =
                DrainAgentRequest.newBuilder().setAgentId(agentId).build();
        connection
                .call(Methods.DRAIN_AGENT, request, Limits.DRAIN_NOTICE_MAX)
                .thenCombine(noticed(), (answered, seen) -> null)
                .whenComplete((drained, error) -> loop.execute(() -> {
                    if (error != null) {
                        String why = Waiting.unwrap(error).getMessage();
                        LOG.log(Level.WARNING, "{0} drains without the coordinator''s word: {1}", agentId, why);
                    }
                    whenIdle(this::leave);
                }));
    }

    /** The tasks given before have come down, or nobody says so in time. */
    private CompletableFuture<Void> noticed() {
        loop.schedule(Limits.DRAIN_NOTICE_MAX, () -> drainNoticed.complete(null));
        return drainNoticed;
    }

    private void leave() {
        isStopping = true;
        if (session == null) {
            over.complete(null);
            return;
        }
        CompletableFuture<SessionOverException> closed = session.close("drained");
        closed.whenComplete((why, none) -> over.complete(null));
    }

    // ---- attempts

    @Override
    public List<Long> attemptTokens() {
        return List.copyOf(live);
    }

    @Override
    public void onTask(AgentTask task) {
        long token = task.getAttemptToken();
        if (seen.put(token, true) != null) {
            return;
        }
        live.add(token);
        Attempt attempt = new Attempt(agent, session, task, ownThreads, () -> loop.execute(() -> onOver(token)));
        attempts.put(token, attempt);
        waiting.add(attempt);
        beginNext();
    }

    @Override
    public void onCancel(long attemptToken, String reason) {
        Attempt attempt = attempts.get(attemptToken);
        if (attempt != null) {
            attempt.stop(reason);
        }
    }

    @Override
    public void onStale(long attemptToken) {
        live.remove(attemptToken);
        onCancel(attemptToken, Attempt.STALE);
    }

    @Override
    public void onDrain() {
        drainNoticed.complete(null);
        finish(false);
    }

    private void beginNext() {
        while (!waiting.isEmpty() && running < agent.spec().getSlots()) {
            running++;
            ExecutorService threads = agent.executor();
            waiting.poll().begin(threads == null ? ownThreads : threads);
        }
    }

    private void onOver(long token) {
        live.remove(token);
        attempts.remove(token);
        running--;
        beginNext();
        if (attempts.isEmpty()) {
            becomeIdle();
        }
    }

    /** Does something once no attempt is left; instead of what was to be done then before. */
    private void whenIdle(Runnable action) {
        whenIdle = action;
        if (attempts.isEmpty()) {
            becomeIdle();
        }
    }

    private void becomeIdle() {
        Runnable due = whenIdle;
        whenIdle = null;
        if (patience != null) {
            patience.cancel(false);
        }
        if (due != null) {
            due.run();
        }
    }
}
