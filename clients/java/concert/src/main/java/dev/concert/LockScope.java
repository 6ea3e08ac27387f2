package dev.concert;

import dev.concert.errors.ConcertException;
import dev.concert.errors.LockLostException;
import dev.concert.errors.NotHolderException;
import dev.concert.errors.SessionOverException;
import dev.concert.errors.StaleFenceException;
import dev.concert.internal.Limits;
import dev.concert.internal.Methods;
import dev.concert.internal.Origin;
import dev.concert.internal.Scopes;
import dev.concert.internal.Turns;
import dev.concert.internal.Waiting;
import dev.concert.v1.Fence;
import dev.concert.v1.LockGrant;
import dev.concert.v1.ReleaseRequest;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Locks that are held, until this is closed.
 *
 * <p>The thread that took them is interrupted the moment this client can no longer be sure that it holds them: when their
 * lease has not been renewed in time (counted from when the renewal was sent, so before the coordinator gives them to
 * somebody else), or when the session that they follow is over. From then on {@link #close} throws {@link
 * LockLostException}.
 */
public final class LockScope implements AutoCloseable, With {
    private static final Logger LOG = System.getLogger("dev.concert.lock");

    private final Origin origin;
    private final List<LockGrant> grants;
    private final Turns turns;
    private final Thread owner = Thread.currentThread();
    private final boolean followsSession;
    private final CancellationSignal cancellation = new CancellationSignal();
    private final Scopes.Scope entered = this::lostBecause;
    private Runnable forget = () -> {};
    private String lostBecause;
    private boolean isClosed;

    LockScope(Origin origin, List<LockGrant> grants, Turns turns) {
        this.origin = origin;
        this.grants = grants;
        this.turns = turns;
        this.followsSession = !origin.caller().lockIdentity().isEmpty();
    }

    /** The grants, in the order asked for. */
    public List<LockGrant> grants() {
        return grants;
    }

    /**
     * Of the first lock. Strictly increases from grant to grant: send it along when touching what the lock protects.
     */
    public long fencingToken() {
        return grants.get(0).getFencingToken();
    }

    /** By resource. */
    public Map<String, Long> fencingTokens() {
        Map<String, Long> tokens = new LinkedHashMap<>();
        grants.forEach(grant -> tokens.put(grant.getResource(), grant.getFencingToken()));
        return tokens;
    }

    /** Who holds them, as the coordinator names it. */
    public String holder() {
        return grants.get(0).getHolder();
    }

    /** Given when they are lost. */
    public CancellationSignal cancellation() {
        return cancellation;
    }

    /** Whether they are known to be lost. */
    public boolean isLost() {
        return lostBecause() != null;
    }

    @Override
    public List<Fence> fences() {
        return With.fencesOf(grants.stream().map(With::fence).toArray(With[]::new));
    }

    /**
     * Gives them back.
     *
     * @throws LockLostException when they were lost before
     */
    @Override
    public void close() {
        String lost;
        synchronized (this) {
            if (isClosed) {
                return;
            }
            isClosed = true;
            lost = lostBecause;
        }
        forget.run();
        Scopes.leave(entered);
        try {
            if (lost == null) {
                giveBack();
                return;
            }
            if (Thread.currentThread() == owner) {
                Thread.interrupted(); // it was ours, unless somebody else asked for one too
                origin.reassert().run();
                Scopes.reassert();
            }
            if (!followsSession) {
                releaseQuietly();
            }
            throw new LockLostException(lost);
        } finally {
            turns.leave();
        }
    }

    /** Has the thread interrupted when they are lost, from here on. */
    void guard(long askedAt) {
        Scopes.enter(entered);
        if (followsSession) {
            forget = origin.caller().onLost(() -> lose("the session is over"));
            return;
        }
        LeaseKeeper keeper = new LeaseKeeper(origin, grants, this::lose);
        forget = keeper::stop;
        keeper.start(askedAt);
    }

    /** Gives them back without a word. */
    void abandon() {
        synchronized (this) {
            isClosed = true;
        }
        forget.run();
        Scopes.leave(entered);
        try {
            releaseQuietly();
        } finally {
            turns.leave();
        }
    }

    private synchronized String lostBecause() {
        return lostBecause;
    }

    private void lose(String because) {
        synchronized (this) {
            if (isClosed || lostBecause != null) {
                return;
            }
            lostBecause = because;
            owner.interrupt();
        }
        cancellation.cancel(because);
    }

    private void giveBack() {
        try {
            boolean isLeaving = Thread.currentThread().isInterrupted();
            release(isLeaving ? Limits.CLOSE_MAX : Limits.CALL_DEFAULT);
        } catch (NotHolderException | StaleFenceException | SessionOverException gone) {
            throw new LockLostException("the lock was gone when it was to be released: " + gone.getMessage());
        } catch (ConcertException error) { // the body has run under the lock; what is left of it ends with its lease
            LOG.log(Level.WARNING, "releasing {0} failed: {1}", fencingTokens(), error.getMessage());
        }
    }

    private void releaseQuietly() {
        try {
            release(Limits.CLOSE_MAX);
        } catch (ConcertException error) {
            LOG.log(Level.DEBUG, "releasing {0} failed: {1}", fencingTokens(), error.getMessage());
        }
    }

    private void release(Duration atMost) {
        ReleaseRequest.Builder request = ReleaseRequest.newBuilder().setAttemptToken(origin.attemptToken());
        grants.forEach(grant -> request.addFencingTokens(grant.getFencingToken()));
        Waiting.joinUninterruptibly(origin.caller().call(Methods.RELEASE, request.build(), atMost), atMost);
    }
}
