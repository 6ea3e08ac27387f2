package dev.concert.internal;

import java.time.Duration;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.Future;

/**
 * The lease of a session, on this process's monotonic clock, from the moment the last answered heartbeat was sent. The
 * coordinator counts from when it received it, which is later, so this side always knows first that the lease is gone.
 * On the event loop.
 */
final class Lease {
    private final EventLoop loop;
    private final Runnable expired;
    private final Map<Long, Long> sentAt = new HashMap<>();
    private Duration length;
    private long nonce;
    private long answeredAt;
    private long until;
    private Future<?> timer;
    private boolean isOver;

    /** Calls {@code expired} when it is over. */
    Lease(EventLoop loop, Duration length, Runnable expired) {
        this.loop = loop;
        this.length = length;
        this.expired = expired;
    }

    Duration length() {
        return length;
    }

    /** Whether the lease that a Hello sent at that time was granted may be over by now. */
    boolean mayBeOver(long helloSentAt, Duration granted) {
        Duration whole = granted.isZero() ? length : granted;
        return System.nanoTime() - helloSentAt
                >= Times.share(whole, Limits.LEASE_SHARE).toNanos();
    }

    /** A stream was opened by a Hello sent at that time: the lease is whole again from then on. */
    void opened(long helloSentAt, Duration granted) {
        if (!granted.isZero()) {
            length = granted;
        }
        sentAt.clear();
        answeredAt = System.nanoTime();
        renew(helloSentAt);
    }

    /** The nonce of a heartbeat that is sent now. */
    long beat() {
        sentAt.put(++nonce, System.nanoTime());
        return nonce;
    }

    /** It was answered. */
    void answered(long answeredNonce) {
        Long sent = sentAt.get(answeredNonce);
        if (sent == null) {
            return;
        }
        sentAt.keySet().removeIf(each -> each <= answeredNonce);
        answeredAt = System.nanoTime();
        renew(sent);
    }

    /** Whether nothing was answered for too long to trust the stream. */
    boolean isSilent() {
        return System.nanoTime() - answeredAt
                >= Times.share(length, Limits.SILENT_STREAM_SHARE).toNanos();
    }

    /** Nobody is to be told any more. */
    void end() {
        isOver = true;
        if (timer != null) {
            timer.cancel(false);
        }
    }

    private void renew(long from) {
        long renewed = from + Times.share(length, Limits.LEASE_SHARE).toNanos();
        until = timer == null ? renewed : Math.max(until, renewed);
        if (timer == null) {
            watch();
        }
    }

    private void watch() {
        if (isOver) {
            return;
        }
        long left = until - System.nanoTime();
        if (left > 0) {
            timer = loop.schedule(Duration.ofNanos(left), this::watch);
        } else {
            expired.run();
        }
    }
}
