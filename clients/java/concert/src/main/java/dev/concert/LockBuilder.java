package dev.concert;

import dev.concert.errors.InterruptedCallException;
import dev.concert.errors.InvalidArgumentException;
import dev.concert.errors.LockLostException;
import dev.concert.errors.LockTimeoutException;
import dev.concert.internal.Limits;
import dev.concert.internal.Methods;
import dev.concert.internal.Origin;
import dev.concert.internal.Times;
import dev.concert.internal.Turns;
import dev.concert.internal.Waiting;
import dev.concert.v1.AcquireRequest;
import dev.concert.v1.LockGrant;
import dev.concert.v1.LockMode;
import dev.concert.v1.LockRequest;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;

/**
 * Describes locks that are to be taken, all or none; exclusive unless {@link #shared}.
 *
 * <pre>{@code
 * try (LockScope lock = client.lock("bucket/blog").acquire()) {
 *     upload(lock.fencingToken());
 * }
 * }</pre>
 */
public final class LockBuilder {
    private static final Duration FOREVER = Duration.ofDays(365);

    /** What runs while locks are held. */
    @FunctionalInterface
    public interface Body<T, E extends Exception> {
        /** Runs. */
        T run(LockScope lock) throws E;
    }

    private final Origin origin;
    private final List<String> resources;
    private final LockRequest.Builder request = LockRequest.newBuilder().setMode(LockMode.LOCK_MODE_EXCLUSIVE);
    private Duration waitFor;

    LockBuilder(Origin origin, String... resources) {
        if (resources.length == 0 || resources.length > Limits.LOCKS_PER_ACQUIRE_MAX) {
            throw new InvalidArgumentException(
                    "1 to " + Limits.LOCKS_PER_ACQUIRE_MAX + " locks are taken together, not " + resources.length);
        }
        this.origin = origin;
        this.resources = List.of(resources);
    }

    /** Any number of shared holders, no exclusive one. */
    public LockBuilder shared() {
        request.setMode(LockMode.LOCK_MODE_SHARED);
        return this;
    }

    /**
     * How long they stand without a renewal, 1 s to 1 h, 30 s unless said; renewed while the scope is open. In a session or
     * attempt they follow that instead.
     */
    public LockBuilder lease(Duration length) {
        request.setLease(Times.toProto(length));
        return this;
    }

    /** How long to wait for them; zero for not at all, the policy's resource_timeout unless said. */
    public LockBuilder waitFor(Duration atMost) {
        waitFor = atMost;
        request.setWaitTimeout(Times.toProto(atMost));
        return this;
    }

    /** The state path that only the holder may write meanwhile. */
    public LockBuilder guards(String path) {
        request.setGuards(path);
        return this;
    }

    /** Who will hold them, outside of sessions and attempts; each request is a holder of its own unless said. */
    public LockBuilder holder(String name) {
        request.setHolder(name);
        return this;
    }

    /** 0 to 9, higher first. */
    public LockBuilder priority(int level) {
        request.setPriority(level);
        return this;
    }

    /** Annotations. */
    public LockBuilder metadata(Map<String, String> entries) {
        request.putAllMetadata(entries);
        return this;
    }

    /**
     * Waits for them and hands them out as a scope that gives them back when it is closed. Scopes of one holder in this
     * process take turns.
     *
     * <p>While it is open, this thread is interrupted if the locks are lost: calls to the coordinator throw {@link
     * LockLostException} then, and so does the end of the scope.
     *
     * @throws LockTimeoutException when they were not granted in time
     * @throws dev.concert.errors.LockUpgradeException when this holder has one of them in a weaker mode
     * @throws dev.concert.errors.DeadlockException when waiting would never end
     */
    public LockScope acquire() {
        String holder = holderHere();
        Turns turns =
                new Turns(origin.caller().holders(), holder, resources, request.getMode() == LockMode.LOCK_MODE_SHARED);
        long begun = System.nanoTime();
        enter(turns);
        LockScope scope = null;
        try {
            Duration waited = Duration.ofNanos(System.nanoTime() - begun);
            long askedAt = System.nanoTime();
            List<LockGrant> grants = Waiting.join(ask(waited));
            scope = new LockScope(origin, grants, turns);
            scope.guard(askedAt);
            return scope;
        } catch (RuntimeException | Error failed) {
            if (scope != null) {
                scope.abandon();
            } else {
                turns.leave();
            }
            throw failed;
        }
    }

    /**
     * Runs something while they are held, and tells its loss apart: whatever an interrupt for lost locks led to in {@code
     * body} comes out as {@link LockLostException}.
     */
    public <T, E extends Exception> T call(Body<T, E> body) throws E {
        LockScope scope = acquire();
        T result;
        try {
            result = body.run(scope);
        } catch (Exception failed) {
            try {
                scope.close();
            } catch (LockLostException lost) {
                boolean isConsequence = failed instanceof InterruptedException
                        || failed instanceof InterruptedCallException
                        || failed instanceof LockLostException;
                if (isConsequence) {
                    lost.addSuppressed(failed);
                    throw lost;
                }
                failed.addSuppressed(lost);
            }
            throw failed;
        } catch (Error failed) {
            scope.abandon();
            throw failed;
        }
        scope.close();
        return result;
    }

    /**
     * Takes them and leaves them to the caller: nothing renews them or gives them back ({@link Locks} can), and nobody is
     * told when they are lost.
     */
    public List<LockGrant> acquireOnly() {
        return Waiting.join(ask(Duration.ZERO));
    }

    /** As {@link #acquireOnly}, without waiting. */
    public CompletableFuture<List<LockGrant>> acquireOnlyAsync() {
        return ask(Duration.ZERO).thenApplyAsync(grants -> grants, origin.callbacks());
    }

    private String holderHere() {
        if (origin.attemptToken() != 0) {
            return "attempt/" + origin.attemptToken();
        }
        String follows = origin.caller().lockIdentity();
        if (!follows.isEmpty()) {
            return follows;
        }
        return request.getHolder().isEmpty() ? "" : "holder/" + request.getHolder();
    }

    private void enter(Turns turns) {
        try {
            if (!turns.enter(waitFor == null ? Limits.LOCK_WAIT_DEFAULT : waitFor)) {
                throw new LockTimeoutException("another scope of this process kept the lock for longer than the wait");
            }
        } catch (InterruptedException interrupted) {
            throw Waiting.interrupted();
        }
    }

    private CompletableFuture<List<LockGrant>> ask(Duration waited) {
        AcquireRequest.Builder acquire = AcquireRequest.newBuilder().setAttemptToken(origin.attemptToken());
        LockRequest.Builder each = request.clone();
        if (waitFor != null) {
            Duration left = waitFor.minus(waited);
            each.setWaitTimeout(Times.toProto(left.isNegative() ? Duration.ZERO : left));
        }
        resources.forEach(resource -> acquire.addRequests(each.clone().setResource(resource)));
        boolean followsSession = !origin.caller().lockIdentity().isEmpty();
        Duration within = waitFor == null ? FOREVER : waitFor.plus(Limits.LOCK_WAIT_MARGIN);
        CompletableFuture<dev.concert.v1.AcquireResponse> call =
                origin.caller().call(Methods.ACQUIRE, acquire.build(), followsSession ? null : within);
        CompletableFuture<List<LockGrant>> grants = new CompletableFuture<>();
        call.whenComplete((response, error) -> {
            if (error != null) {
                grants.completeExceptionally(error);
            } else {
                grants.complete(response.getGrantsList());
            }
        });
        grants.whenComplete((granted, error) -> {
            if (grants.isCancelled()) {
                call.cancel(true);
            }
        });
        return grants;
    }
}
