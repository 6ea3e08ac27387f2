package dev.concert.internal;

import com.google.protobuf.ByteString;
import com.google.protobuf.Message;
import dev.concert.errors.ConcertException;
import dev.concert.errors.DeadlineExceededException;
import dev.concert.errors.FeatureMissingException;
import dev.concert.errors.InternalException;
import dev.concert.errors.SessionOverException;
import dev.concert.errors.StaleAttemptException;
import dev.concert.errors.UnavailableException;
import dev.concert.v1.AcquireResponse;
import dev.concert.v1.AgentSpec;
import dev.concert.v1.ClientMessage;
import dev.concert.v1.ConnectResponse;
import dev.concert.v1.CoordinatorMessage;
import dev.concert.v1.Drain;
import dev.concert.v1.Goodbye;
import dev.concert.v1.Heartbeat;
import dev.concert.v1.Hello;
import dev.concert.v1.LockGrant;
import dev.concert.v1.ReleaseRequest;
import dev.concert.v1.Welcome;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Future;
import java.util.concurrent.ThreadLocalRandom;

/**
 * A session: commands multiplexed over a Connect stream that is opened anew and resumed for as long as the lease lasts.
 *
 * <p>Theory of operation. Every command is serialised once and stays among the {@link Commands}, in order, until its reply
 * is here. Whatever is ready when the stream can be written goes out as one frame. When the stream breaks, a new one is
 * opened with the session id; after its Welcome everything pending is sent again, in order, under the same request ids,
 * which the coordinator recognises.
 *
 * <p>When its {@link Lease} is over, or when the coordinator says that the session is, SessionOverException is the answer
 * to everything pending and to come, and whoever registered with {@link #onLost} is called. A session is never reopened:
 * its attempts and locks are gone; begin another.
 *
 * <p>All of it happens on the event loop; {@link #call} and the getters may be used from anywhere.
 */
public final class SessionStream implements Caller, FrameStream.Listener {
    private static final Logger LOG = System.getLogger("dev.concert.session");

    private final Connection connection;
    private final EventLoop loop;
    private final SessionPeer peer;
    private final String lockIdentity = "session/" + RequestIds.randomHex(8);
    private final RequestIds requestIds = new RequestIds();
    private final Commands commands;
    private final Lease lease;
    private final CompletableFuture<Void> opened = new CompletableFuture<>();
    private final CompletableFuture<SessionOverException> ended = new CompletableFuture<>();
    private final Map<Object, Runnable> lostCallbacks = new LinkedHashMap<>();

    private AgentSpec spec;
    private volatile long sessionId;
    private volatile String agentId;
    private volatile Map<String, Long> limits = Map.of();
    private volatile SessionOverException over;
    private volatile boolean expired;
    private final boolean takeover;
    private boolean goodbye;
    /** The Hello that opens the session is said again under it until a Welcome is heard. */
    private String helloId = requestIds.next();

    private FrameStream current;
    private FrameStream opening;
    private long helloSentAt;
    private Future<?> welcomeTimer;
    private Future<?> nextTry;
    private long openUntil;
    private Backoff backoff = new Backoff();
    private boolean heartbeatDue;
    private Future<?> beatTimer;

    /** {@code lease} is 2 s to 5 min. */
    public SessionStream(Connection connection, AgentSpec spec, Duration lease, boolean takeover, SessionPeer peer) {
        this.connection = connection;
        this.loop = connection.loop();
        this.spec = spec;
        this.agentId = spec.getAgentId();
        this.takeover = takeover;
        this.peer = peer;
        this.commands = new Commands(loop, this::flush);
        this.lease = new Lease(loop, lease, this::expire);
    }

    // ---- life

    /** Opens the session; UnavailableException after the connection's {@code retryFor}. */
    public CompletableFuture<Void> open() {
        loop.execute(() -> {
            openUntil = System.nanoTime() + connection.retryFor().toNanos();
            connect();
        });
        return opened;
    }

    /** What Hello will say of the agent from now on; UpdateAgent says it to the session that there is. */
    public void describe(AgentSpec described) {
        loop.execute(() -> {
            spec = described;
            helloId = requestIds.next();
        });
    }

    /** Sequence of its AGENT_REGISTERED event; 0 before it is open. */
    public long sessionId() {
        return sessionId;
    }

    /** The id it is under. */
    public String agentId() {
        return agentId;
    }

    /** How long it outlives its stream. */
    public Duration leaseLength() {
        return lease.length();
    }

    /** Every limit of the coordinator by name. */
    public Map<String, Long> limits() {
        return limits;
    }

    /** Why it is over; null while it lives. */
    public SessionOverException over() {
        return over;
    }

    /** Whether it was given up on this side, and may still stand on the other. */
    public boolean expired() {
        return expired;
    }

    /** Completed with why it is over, once it is. */
    public CompletableFuture<SessionOverException> ended() {
        return ended;
    }

    /** Says Goodbye, waiting at most 5 s for the answer, and ends the session. */
    public CompletableFuture<SessionOverException> close(String reason) {
        loop.execute(() -> {
            if (over != null) {
                return;
            }
            goodbye = true;
            if (sessionId == 0) {
                end(new SessionOverException("the session was closed before it was open"));
                return;
            }
            Goodbye request = Goodbye.newBuilder()
                    .setReason(Text.clip(reason, Limits.GOODBYE_REASON_BYTES_MAX))
                    .build();
            call(Methods.GOODBYE, request, Limits.CLOSE_MAX).whenComplete((reported, error) -> {
                if (error != null) {
                    LOG.log(Level.DEBUG, "goodbye was not answered: {0}", error.getMessage());
                }
                loop.execute(() -> end(new SessionOverException("the session was closed")));
            });
        });
        return ended;
    }

    @Override
    public Runnable onLost(Runnable lost) {
        Object key = new Object();
        loop.execute(() -> {
            if (over != null) {
                lost.run();
            } else {
                lostCallbacks.put(key, lost);
            }
        });
        return () -> loop.execute(() -> lostCallbacks.remove(key));
    }

    // ---- calls

    @Override
    public String lockIdentity() {
        return lockIdentity;
    }

    @Override
    public Object holders() {
        return this;
    }

    @Override
    public Duration retryFor() {
        return connection.retryFor();
    }

    @Override
    public EventLoop loop() {
        return loop;
    }

    /** Over the stream when it can travel there, else as an rpc. Without {@code within} the session is the bound. */
    @Override
    public <Q extends Message, R extends Message> CompletableFuture<R> call(
            Method<Q, R> method, Q request, Duration within) {
        return call(method, request, within, connection.retryFor());
    }

    /** With how long it is tried again while it is UNAVAILABLE; null for as long as the session lives. */
    public <Q extends Message, R extends Message> CompletableFuture<R> call(
            Method<Q, R> method, Q request, Duration within, Duration retryFor) {
        if (!method.travelsInFrames()) {
            return connection.call(method, request, within);
        }
        Ask<Q, R> ask = new Ask<>(method, method.complete(request, "", requestIds), retryFor);
        if (within != null) {
            Future<?> timer = loop.schedule(
                    within,
                    () -> ask.answer.completeExceptionally(
                            new DeadlineExceededException(method.name() + " was not answered in time")));
            ask.answer.whenComplete((response, error) -> timer.cancel(false));
        }
        ask.send();
        return ask.answer;
    }

    @Override
    public <Q extends Message, R extends Message> ResponseStream<R> stream(Method<Q, R> method, Q request) {
        return connection.stream(method, request);
    }

    /** A command, again under the same request id while it is UNAVAILABLE. */
    private final class Ask<Q extends Message, R extends Message> implements Commands.Outcome<R> {
        private final Method<Q, R> method;
        private final Q request;
        private final String traceparent = Tracing.currentTraceparent();
        private final Duration retryFor;
        private final CompletableFuture<R> answer = new CompletableFuture<>();
        private Backoff pauses;
        private long retryUntil;

        Ask(Method<Q, R> method, Q request, Duration retryFor) {
            this.method = method;
            this.request = request;
            this.retryFor = retryFor;
        }

        void send() {
            commands.add(method, request, traceparent, this);
        }

        @Override
        public void answered(R response) {
            if (!answer.complete(response) && response instanceof AcquireResponse late) {
                giveBack(method.attemptToken(request), late.getGrantsList());
            }
        }

        @Override
        public void failed(ConcertException error) {
            if (!(error instanceof UnavailableException) || answer.isDone()) {
                answer.completeExceptionally(error);
                return;
            }
            long now = System.nanoTime();
            if (pauses == null) {
                pauses = new Backoff();
                retryUntil = retryFor == null ? Long.MAX_VALUE : now + retryFor.toNanos();
            }
            Duration pause = pauses.pause(error.retryAfter());
            if (retryFor != null && now + pause.toNanos() > retryUntil) {
                answer.completeExceptionally(error);
                return;
            }
            loop.schedule(pause, this::send);
        }
    }

    /** Releases locks that were granted after their caller had stopped waiting. */
    private void giveBack(long attemptToken, List<LockGrant> grants) {
        ReleaseRequest.Builder request = ReleaseRequest.newBuilder().setAttemptToken(attemptToken);
        grants.forEach(grant -> request.addFencingTokens(grant.getFencingToken()));
        call(Methods.RELEASE, request.build(), null).whenComplete((released, error) -> {
            if (error != null) {
                LOG.log(Level.DEBUG, "giving a late grant back failed: {0}", error.getMessage());
            }
        });
    }

    // ---- streams

    /** Opens a stream, beside the present one if there is one. */
    private void connect() {
        if (over != null || opening != null) {
            return;
        }
        FrameStream stream = new FrameStream(connection, this);
        opening = stream;
        helloSentAt = 0;
        welcomeTimer = loop.schedule(Limits.WELCOME_MAX, () -> {
            if (stream == opening) {
                onEnd(stream, new UnavailableException("Hello was not answered in time"));
            }
        });
    }

    private ClientMessage hello() {
        Hello.Builder hello = Hello.newBuilder()
                .setNamespace(connection.namespace())
                .setAgent(spec.toBuilder().setAgentId(agentId))
                .setSessionId(sessionId)
                .setTakeover(takeover && sessionId == 0)
                .setFeatureLevel(Limits.FEATURE_LEVEL)
                .setLease(Times.toProto(lease.length()));
        if (sessionId != 0) {
            hello.addAllAttemptTokens(peer.attemptTokens());
        } else {
            hello.setRequestId(helloId);
        }
        return ClientMessage.newBuilder().setHello(hello).build();
    }

    @Override
    public void onFrame(FrameStream stream, ConnectResponse frame) {
        List<CoordinatorMessage> messages = frame.getMessagesList();
        if (stream == opening) {
            if (messages.isEmpty()) {
                return;
            }
            if (!messages.get(0).hasWelcome()) {
                onEnd(stream, new InternalException("the coordinator did not answer Hello with Welcome"));
                return;
            }
            Welcome welcome = messages.get(0).getWelcome();
            if (welcome.getFeatureLevel() < Limits.FEATURE_LEVEL_MIN) {
                String spoken =
                        "the coordinator speaks feature level " + welcome.getFeatureLevel() + " of the contract";
                String cure = ", and sessions need " + Limits.FEATURE_LEVEL_MIN + ": upgrade it";
                onEnd(stream, new FeatureMissingException(spoken + cure, welcome.getFeatureLevel()));
                return;
            }
            if (lease.mayBeOver(helloSentAt, Times.fromProto(welcome.getLease()))) {
                onEnd(stream, new UnavailableException("Hello was answered so late that the lease may be over"));
                return;
            }
            adopt(stream, welcome);
            messages = messages.subList(1, messages.size());
        }
        if (stream == current) {
            messages.forEach(this::receive);
        }
    }

    @Override
    public void onReady(FrameStream stream) {
        if (stream == opening && helloSentAt == 0) { // connecting took its time: the lease counts from here
            helloSentAt = System.nanoTime();
            stream.write(FrameStream.encodeFrame(List.of(hello().toByteString())));
        }
        flush();
    }

    @Override
    public void onEnd(FrameStream stream, ConcertException why) {
        if (stream == opening) {
            opening = null;
            welcomeTimer.cancel(false);
            stream.avoid();
            stream.close();
            notOpened(why);
        } else if (stream == current) {
            LOG.log(Level.DEBUG, "session {0}: the stream broke: {1}", sessionId, why.getMessage());
            drop();
            if (!mayMend(why)) {
                end(asOver(why));
            } else {
                backoff = new Backoff();
                connect();
            }
        }
    }

    private void notOpened(ConcertException why) {
        Duration pause = backoff.pause(why.retryAfter());
        if (current == null) {
            boolean endedUnheard = sessionId == 0 && why instanceof SessionOverException;
            if (endedUnheard) {
                helloId = requestIds.next();
            }
            boolean late = sessionId == 0 && System.nanoTime() + pause.toNanos() > openUntil;
            if (!(endedUnheard || mayMend(why)) || late) {
                opened.completeExceptionally(why);
                end(asOver(why));
                return;
            }
        }
        LOG.log(Level.DEBUG, "no stream yet: {0}", why.getMessage());
        nextTry = loop.schedule(pause, this::connect);
    }

    /** Makes a stream the one that carries the session, and has everything pending sent again. */
    private void adopt(FrameStream stream, Welcome welcome) {
        opening = null;
        welcomeTimer.cancel(false);
        if (sessionId != 0 && (!welcome.getResumed() || welcome.getSessionId() != sessionId)) {
            stream.close();
            end(new SessionOverException("the coordinator began another session instead of resuming this one"));
            return;
        }
        drop();
        if (nextTry != null) {
            nextTry.cancel(false);
        }
        current = stream;
        backoff = new Backoff();
        sessionId = welcome.getSessionId();
        agentId = welcome.getAgentId();
        limits = Map.copyOf(welcome.getLimitsMap());
        for (long token : welcome.getStaleAttemptTokensList()) {
            commands.forgetAttempt(token, new StaleAttemptException("the attempt no longer counts"));
            peer.onStale(token);
        }
        commands.sendAgain();
        lease.opened(helloSentAt, Times.fromProto(welcome.getLease()));
        beat();
        opened.complete(null);
    }

    /** The present stream carries the session no more. */
    private void drop() {
        if (beatTimer != null) {
            beatTimer.cancel(false);
        }
        if (current != null) {
            current.close();
            current = null;
        }
    }

    /** After a Drain: looks for a coordinator that takes the session over before the stream ends. */
    private void succeed() {
        long jitter = ThreadLocalRandom.current().nextLong(Limits.RECONNECT_JITTER_MAX.toNanos());
        FrameStream drained = current;
        loop.schedule(Duration.ofNanos(jitter), () -> {
            if (drained == current) {
                drained.avoid();
                connect();
            }
        });
    }

    private void flush() {
        while (current != null && current.isReady() && (heartbeatDue || commands.hasOutgoing())) {
            List<ByteString> frame = new ArrayList<>();
            if (heartbeatDue) {
                heartbeatDue = false;
                frame.add(heartbeat().toByteString());
            }
            commands.fill(frame, Limits.FRAME_BYTES_MAX);
            current.write(FrameStream.encodeFrame(frame));
        }
    }

    // ---- what comes in

    private void receive(CoordinatorMessage message) {
        switch (message.getMessageCase()) {
            case REPLY -> commands.settle(message.getReply());
            case HEARTBEAT_ACK -> lease.answered(message.getHeartbeatAck().getNonce());
            case TASK -> peer.onTask(message.getTask());
            case CANCEL ->
                peer.onCancel(
                        message.getCancel().getAttemptToken(),
                        message.getCancel().getReason());
            case DRAIN -> onDrain(message.getDrain());
            default -> LOG.log(Level.DEBUG, "a message of a newer contract is passed over");
        }
    }

    private void onDrain(Drain drain) {
        if (drain.hasReconnectBy()) {
            succeed();
        } else {
            peer.onDrain();
        }
    }

    // ---- the lease

    private void beat() {
        if (lease.isSilent()) {
            LOG.log(Level.INFO, "session {0}: the stream is silent, opening another", sessionId);
            FrameStream silent = current;
            silent.avoid();
            onEnd(silent, new UnavailableException("the stream is silent"));
            return;
        }
        heartbeatDue = true;
        flush();
        beatTimer = loop.schedule(lease.length().dividedBy(Limits.HEARTBEATS_PER_LEASE), this::beat);
    }

    private ClientMessage heartbeat() {
        return ClientMessage.newBuilder()
                .setHeartbeat(Heartbeat.newBuilder().setNonce(lease.beat()))
                .build();
    }

    private void expire() {
        expired = true;
        end(new SessionOverException("the lease ran out without a renewal being answered"));
    }

    private void end(SessionOverException why) {
        if (over != null) {
            return;
        }
        over = why;
        if (!goodbye && sessionId != 0) {
            LOG.log(Level.WARNING, "session {0} of {1} is over: {2}", sessionId, agentId, why.getMessage());
        }
        lease.end();
        drop();
        if (opening != null) {
            opening.close();
            opening = null;
        }
        opened.completeExceptionally(why);
        commands.close(why.said());
        List<Runnable> callbacks = List.copyOf(lostCallbacks.values());
        lostCallbacks.clear();
        callbacks.forEach(Runnable::run);
        ended.complete(why);
    }

    private static SessionOverException asOver(ConcertException why) {
        return why instanceof SessionOverException over ? over : new SessionOverException(why.getMessage());
    }

    /** Whether another stream may succeed where this one failed. */
    /**
     * Whether there may yet be another stream. For a session that stands so it is also where waiting alone mends
     * nothing, as while a certificate is refused: somebody replaces it, or the lease ends.
     */
    private boolean mayMend(ConcertException why) {
        boolean stands = sessionId != 0 && why instanceof UnavailableException;
        return stands || Refusals.isTransient(why) || why instanceof DeadlineExceededException;
    }
}
