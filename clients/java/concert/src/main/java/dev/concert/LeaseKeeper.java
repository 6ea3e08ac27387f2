package dev.concert;

import dev.concert.errors.LockLostException;
import dev.concert.internal.Backoff;
import dev.concert.internal.EventLoop;
import dev.concert.internal.Limits;
import dev.concert.internal.Methods;
import dev.concert.internal.Origin;
import dev.concert.internal.Times;
import dev.concert.internal.Waiting;
import dev.concert.v1.KeepAliveRequest;
import dev.concert.v1.KeepAliveResponse;
import dev.concert.v1.LockGrant;
import dev.concert.v1.LockLease;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Future;
import java.util.function.Consumer;

/** Renews the leases of a scope's locks every third of their time, until that has not worked for too long. */
final class LeaseKeeper {
    private static final Logger LOG = System.getLogger("dev.concert.lock");

    private final Origin origin;
    private final EventLoop loop;
    private final KeepAliveRequest request;
    private final Consumer<String> lose;
    private final Duration lease;
    private final Backoff backoff = new Backoff();
    private Future<?> renewal;
    private Future<?> expiry;
    private boolean isStopped;

    /** {@code lose} is told why, on the event loop, when they are lost. */
    LeaseKeeper(Origin origin, List<LockGrant> grants, Consumer<String> lose) {
        this.origin = origin;
        this.loop = origin.caller().loop();
        KeepAliveRequest.Builder keep = KeepAliveRequest.newBuilder();
        grants.forEach(grant -> keep.addFencingTokens(grant.getFencingToken()));
        this.request = keep.build();
        this.lose = lose;
        Duration granted = Times.fromProto(grants.get(0).getLease());
        this.lease = granted.isZero() ? Limits.LOCK_LEASE_DEFAULT : granted;
    }

    /** Begins. The locks were asked for at that time; when they were queued, it is not known when their lease began. */
    void start(long askedAt) {
        long until = askedAt + Times.share(lease, Limits.LEASE_SHARE).toNanos();
        boolean wasQueued = System.nanoTime() - askedAt
                > Times.share(lease, 1 - Limits.LEASE_SHARE).toNanos();
        if (wasQueued) {
            long sentAt = System.nanoTime();
            until = standsUntil(sentAt, Waiting.join(keepAlive()));
        }
        long begun = until;
        loop.execute(() -> renewed(begun));
    }

    /** They are given back. */
    void stop() {
        loop.execute(() -> {
            isStopped = true;
            cancel(renewal);
            cancel(expiry);
        });
    }

    private void renewed(long until) {
        if (isStopped) {
            return;
        }
        cancel(expiry);
        expiry = loop.schedule(Duration.ofNanos(until - System.nanoTime()), () -> {
            cancel(renewal);
            isStopped = true;
            lose.accept("the lease ran out without a renewal being answered");
        });
        renewal = loop.schedule(lease.dividedBy(3), this::renew);
    }

    private void renew() {
        long sentAt = System.nanoTime();
        keepAlive()
                .whenComplete((response, error) -> loop.execute(() -> {
                    if (isStopped) {
                        return;
                    }
                    if (error != null) {
                        LOG.log(Level.INFO, "a lease was not renewed yet: {0}", error.getMessage());
                        renewal = loop.schedule(backoff.pause(), this::renew);
                        return;
                    }
                    try {
                        backoff.reset();
                        renewed(standsUntil(sentAt, response));
                    } catch (LockLostException gone) {
                        isStopped = true;
                        cancel(expiry);
                        lose.accept(gone.said());
                    }
                }));
    }

    private CompletableFuture<KeepAliveResponse> keepAlive() {
        return origin.caller().call(Methods.KEEP_ALIVE, request, lease);
    }

    /** Until when they stand for sure. */
    private long standsUntil(long sentAt, KeepAliveResponse response) {
        boolean isWhole = response.getLeasesCount() == request.getFencingTokensCount()
                && response.getLeasesList().stream().allMatch(LockLease::hasTimeLeft);
        if (!isWhole) {
            throw new LockLostException("the coordinator says that the lock is gone");
        }
        long left = response.getLeasesList().stream()
                .mapToLong(each -> Times.fromProto(each.getTimeLeft()).toNanos())
                .min()
                .orElseThrow();
        return sentAt + Times.share(Duration.ofNanos(left), Limits.LEASE_SHARE).toNanos();
    }

    private static void cancel(Future<?> timer) {
        if (timer != null) {
            timer.cancel(false);
        }
    }
}
