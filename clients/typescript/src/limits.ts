/** Every limit of the client, by name, its unit last: nothing here grows without a bound. */

// What the contract allows; the coordinator reports the same numbers in GetServerInfo.
export const MESSAGE_BYTES_MAX = 4 * 1024 * 1024;
export const FRAME_BYTES_MAX = 2 * 1024 * 1024;
export const PAYLOAD_BYTES_MAX = 1024 * 1024;
export const REPORT_BYTES_MAX = 1024 * 1024;
export const JSON_DEPTH_MAX = 28;
export const JSON_INTEGER_MAX = 2n ** 53n;
export const STATE_CHANGES_PER_REPORT_MAX = 100;
export const KEYS_PER_READ_MAX = 1000;
export const LOCKS_PER_ACQUIRE_MAX = 64;
export const PAGE_SIZE_MAX = 1000;
export const PROGRESS_MESSAGE_BYTES_MAX = 1024;
export const ERROR_TYPE_BYTES_MAX = 128;
export const ERROR_MESSAGE_BYTES_MAX = 4 * 1024;
export const TRACEBACK_BYTES_MAX = 16 * 1024;
export const GOODBYE_REASON_BYTES_MAX = 256;
export const AGENT_SLOTS_MAX = 1000;
export const FEATURE_LEVEL = 1;
export const FEATURE_LEVEL_MIN = 1;

// What the client adds: how long it tries, how much it keeps.
export const CALL_MS_DEFAULT = 60_000;
export const RETRY_MS_DEFAULT = 30_000;
export const BACKOFF_INITIAL_MS = 50;
export const BACKOFF_MS_MAX = 3_000;
export const KEEPALIVE_PING_MS = 10_000;
export const KEEPALIVE_TIMEOUT_MS = 5_000;
export const WELCOME_MS_MAX = 10_000;
export const CLOSE_MS_MAX = 5_000;
export const COMMANDS_PENDING_MAX = 2048;
export const COMMANDS_PENDING_BYTES_MAX = 32 * 1024 * 1024;
export const SESSION_LEASE_MS_DEFAULT = 15_000;
export const LOCK_LEASE_MS_DEFAULT = 30_000;
export const LOCK_WAIT_MS_DEFAULT = 30_000;
export const LOCK_WAIT_MARGIN_MS = 15_000;
export const BOOKMARK_SILENCE_MS_MAX = 45_000;
export const ACKNOWLEDGE_MS_MIN = 50;
export const ACKNOWLEDGE_MS_MAX = 1_000;
export const STATE_MODIFY_ATTEMPTS_MAX = 20;
export const LIST_ENTRIES_MAX = 100_000;
export const RECONNECT_JITTER_MS_MAX = 2_000;
export const ATTEMPT_TOKENS_REMEMBERED_MAX = 65_536;
export const CLEANUP_MS_MAX = 30_000;
export const STOP_GRACE_MS_DEFAULT = 30_000;
export const LOST_ATTEMPTS_MS_MAX = 60_000;
export const PROGRESS_MS_MIN = 100;
export const DRAIN_NOTICE_MS_MAX = 5_000;

/**
 * A lease is over for the client after this share of it, counted from when the renewal was sent: the coordinator counts from when it
 * received it, so the client always gives up first, even if its clock runs a twentieth slower.
 */
export const LEASE_SHARE = 0.9;
export const HEARTBEATS_PER_LEASE = 5;
/** A stream on which heartbeats are not answered for this share of the lease is given up and opened anew. */
export const SILENT_STREAM_SHARE = 0.6;
