/** What the errors of locks and of shared state tell of holders, of those who wait, and of conflicting keys. */
import { type LockGrant, LockMode, type LockWait as LockWaitMessage } from "./generated/concert/v1/lock.js";
import type { ConflictingKey } from "./generated/concert/v1/state.js";
import type { Json } from "./json_value.js";
import { toDate } from "./time.js";

/** Who stands in the way of a lock. */
export interface LockHolder {
  readonly resource: string;
  readonly holder: string;
  readonly mode: "exclusive" | "shared";
  readonly fencingToken: bigint;
}

/** One step of a cycle: who waits for which resource, by which request. The next one holds it under `fencingToken`; 0 when it waits too. */
export interface LockWait {
  readonly holder: string;
  readonly resource: string;
  readonly requestSequence: bigint;
  readonly fencingToken: bigint;
}

/**
 * One key on which two writers met. `current` and `attempted` are undefined when too large to be sent along, or deleted. `guardedBy` is
 * the lock that stands in the way, if one does.
 */
export interface ConflictKey {
  readonly key: string;
  readonly theirKey: string;
  readonly theirWriter: string;
  readonly theirRevision: bigint;
  readonly theirTimestamp: Date;
  readonly theirTraceparent: string;
  readonly current: Json | undefined;
  readonly attempted: Json | undefined;
  readonly guardedBy: LockHolder | undefined;
}

/** Who holds a lock, as an error says it. */
export function lockHolder(grant: LockGrant): LockHolder {
  const mode = grant.mode === LockMode.SHARED ? "shared" : "exclusive";
  return { resource: grant.resource, holder: grant.holder, mode, fencingToken: grant.fencingToken };
}

/** A step of a cycle, as an error says it. */
export function lockWait(step: LockWaitMessage): LockWait {
  const { holder, resource, requestSequence, fencingToken } = step;
  return { holder, resource, requestSequence, fencingToken };
}

/** A key, as an error says it. */
export function conflictKey(key: ConflictingKey): ConflictKey {
  return {
    key: key.key,
    theirKey: key.theirKey,
    theirWriter: key.theirWriter,
    theirRevision: key.theirRevision,
    theirTimestamp: toDate(key.theirTimestamp),
    theirTraceparent: key.theirTraceparent,
    current: key.current,
    attempted: key.attempted,
    guardedBy: key.guardedBy === undefined ? undefined : lockHolder(key.guardedBy),
  };
}
