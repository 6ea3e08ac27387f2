package dev.concert;

import dev.concert.internal.Methods;
import dev.concert.internal.Origin;
import dev.concert.internal.Times;
import dev.concert.v1.GetLockRequest;
import dev.concert.v1.KeepAliveRequest;
import dev.concert.v1.ListLocksRequest;
import dev.concert.v1.ListLocksResponse;
import dev.concert.v1.Lock;
import dev.concert.v1.ReleaseRequest;
import dev.concert.v1.ReleaseResponse;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;

/** The locks of a namespace: as a reader sees them, and what {@link LockBuilder#acquireOnly} took. */
public final class Locks {
    private final Origin origin;

    Locks(Origin origin) {
        this.origin = origin;
    }

    /** Gives 1 to 64 locks back, all or none; the sequence of the first event. */
    public long release(long... fencingTokens) {
        return origin.caller().ask(Methods.RELEASE, releaseOf(fencingTokens)).getSequence();
    }

    /** As {@link #release}, without waiting. */
    public CompletableFuture<Long> releaseAsync(long... fencingTokens) {
        return origin.caller()
                .call(Methods.RELEASE, releaseOf(fencingTokens), null)
                .thenApplyAsync(ReleaseResponse::getSequence, origin.callbacks());
    }

    /**
     * Makes the leases of up to 1000 locks whole again: how long each stands from now, by its token; empty for one that is
     * gone.
     */
    public Map<Long, Optional<Duration>> keepAlive(long... fencingTokens) {
        KeepAliveRequest.Builder request = KeepAliveRequest.newBuilder();
        for (long token : fencingTokens) {
            request.addFencingTokens(token);
        }
        Map<Long, Optional<Duration>> left = new LinkedHashMap<>();
        origin.caller()
                .ask(Methods.KEEP_ALIVE, request.build())
                .getLeasesList()
                .forEach(each -> left.put(
                        each.getFencingToken(),
                        each.hasTimeLeft() ? Optional.of(Times.fromProto(each.getTimeLeft())) : Optional.empty()));
        return left;
    }

    /** Locks that are held or waited for, by name, whose name begins so. */
    public List<Lock> list(String prefix) {
        ListLocksRequest request =
                ListLocksRequest.newBuilder().setPrefix(prefix).build();
        return Pages.read(
                origin,
                Methods.LIST_LOCKS,
                request,
                ListLocksResponse::getLocksList,
                ListLocksResponse::getNextPageToken);
    }

    /** One lock; NotFoundException when nobody holds it or waits for it. */
    public Lock get(String resource) {
        GetLockRequest request =
                GetLockRequest.newBuilder().setResource(resource).build();
        return origin.caller().ask(Methods.GET_LOCK, request).getLock();
    }

    private ReleaseRequest releaseOf(long... fencingTokens) {
        ReleaseRequest.Builder request = ReleaseRequest.newBuilder().setAttemptToken(origin.attemptToken());
        for (long token : fencingTokens) {
            request.addFencingTokens(token);
        }
        return request.build();
    }
}
