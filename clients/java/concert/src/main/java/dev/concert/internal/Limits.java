package dev.concert.internal;

import java.time.Duration;

/** Every limit of the client, by name, its unit last unless it is a Duration: nothing here grows without a bound. */
public final class Limits {
    // What the contract allows; the coordinator reports the same numbers in GetServerInfo.
    public static final int MESSAGE_BYTES_MAX = 4 * 1024 * 1024;
    public static final int FRAME_BYTES_MAX = 2 * 1024 * 1024;
    public static final int PAYLOAD_BYTES_MAX = 1024 * 1024;
    public static final int REPORT_BYTES_MAX = 1024 * 1024;
    public static final int JSON_DEPTH_MAX = 28;
    public static final long JSON_INTEGER_MAX = 1L << 53;
    public static final int STATE_CHANGES_PER_REPORT_MAX = 100;
    public static final int KEYS_PER_READ_MAX = 1000;
    public static final int LOCKS_PER_ACQUIRE_MAX = 64;
    public static final int PAGE_SIZE_MAX = 1000;
    public static final int PROGRESS_MESSAGE_BYTES_MAX = 1024;
    public static final int ERROR_TYPE_BYTES_MAX = 128;
    public static final int ERROR_MESSAGE_BYTES_MAX = 4 * 1024;
    public static final int TRACEBACK_BYTES_MAX = 16 * 1024;
    public static final int GOODBYE_REASON_BYTES_MAX = 256;
    public static final int AGENT_SLOTS_MAX = 1000;
    public static final int FEATURE_LEVEL = 1;
    public static final int FEATURE_LEVEL_MIN = 1;

    // What the client adds: how long it tries, how much it keeps.
    public static final Duration CALL_DEFAULT = Duration.ofSeconds(60);
    public static final Duration RETRY_DEFAULT = Duration.ofSeconds(30);
    public static final Duration BACKOFF_INITIAL = Duration.ofMillis(50);
    public static final Duration BACKOFF_MAX = Duration.ofSeconds(3);
    public static final Duration CONNECT_MAX = Duration.ofSeconds(5);
    public static final Duration KEEPALIVE_PING = Duration.ofSeconds(10);
    public static final Duration KEEPALIVE_TIMEOUT = Duration.ofSeconds(5);
    public static final Duration WELCOME_MAX = Duration.ofSeconds(10);
    public static final Duration CLOSE_MAX = Duration.ofSeconds(5);
    public static final int COMMANDS_PENDING_MAX = 2048;
    public static final int COMMANDS_PENDING_BYTES_MAX = 32 * 1024 * 1024;
    public static final Duration FRAME_LINGER = Duration.ofNanos(100_000);
    public static final int RESPONSES_AHEAD_MAX = 4;
    public static final Duration SESSION_LEASE_DEFAULT = Duration.ofSeconds(15);
    public static final Duration LOCK_LEASE_DEFAULT = Duration.ofSeconds(30);
    public static final Duration LOCK_WAIT_DEFAULT = Duration.ofSeconds(30);
    public static final Duration LOCK_WAIT_MARGIN = Duration.ofSeconds(15);
    public static final Duration BOOKMARK_SILENCE_MAX = Duration.ofSeconds(45);
    public static final Duration ACKNOWLEDGE_PAUSE = Duration.ofMillis(50);
    public static final int STATE_MODIFY_ATTEMPTS_MAX = 20;
    public static final int LIST_ENTRIES_MAX = 100_000;
    public static final Duration RECONNECT_JITTER_MAX = Duration.ofSeconds(2);
    public static final int ATTEMPT_TOKENS_REMEMBERED_MAX = 65_536;
    public static final Duration CLEANUP_MAX = Duration.ofSeconds(30);
    public static final Duration LOST_ATTEMPTS_MAX = Duration.ofSeconds(60);
    public static final Duration PROGRESS_PAUSE = Duration.ofMillis(100);
    public static final Duration DRAIN_NOTICE_MAX = Duration.ofSeconds(5);

    /**
     * A lease is over for the client after this share of it, counted from when the renewal was sent: the coordinator
     * counts from when it received it, so the client always gives up first, even if its clock runs a twentieth slower.
     */
    public static final double LEASE_SHARE = 0.9;

    public static final int HEARTBEATS_PER_LEASE = 5;

    /** A stream on which heartbeats are not answered for this share of the lease is given up and opened anew. */
    public static final double SILENT_STREAM_SHARE = 0.6;

    private Limits() {}
}
