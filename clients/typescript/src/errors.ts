/**
 * What can go wrong: one class for each reason of the contract, built from google.rpc.Status.
 *
 *     ConcertError                        .code .reason .details
 *     ├── InvalidArgument                 malformed or over a limit              .violations
 *     │   ├── InvalidPayload              refused before it was sent
 *     │   ├── DependencyCycleError        tasks depend on each other in a circle .cycle
 *     │   ├── DependencyUnknown           a dependency refers to nothing
 *     │   ├── RequestIdReused             another request was made under the id
 *     │   ├── CursorInFuture              the cursor points beyond the log
 *     │   └── CursorBehind                the cursor lies before what was acknowledged
 *     ├── NotFound                        no such run, task, lock, agent, event  .resource
 *     ├── AlreadyExists                   the id is taken                        .resource
 *     ├── Aborted
 *     │   ├── StateConflictError          a state conflict was lost              .keys .currentRevision
 *     │   ├── Deadlock                    waiting for the lock would never end   .cycle
 *     │   ├── StaleAttempt                the attempt is not the current one     .token .currentToken
 *     │   └── StaleFence                  a lock relied on is gone               .token .currentToken .resource
 *     ├── FailedPrecondition
 *     │   ├── NotHolder                   the lock is not held by the caller
 *     │   ├── LockUpgrade                 held in a weaker mode: release first
 *     │   ├── LockLost                    the lock was held and no longer is
 *     │   ├── RunOver                     the run is over
 *     │   ├── RunNotRetryable             it is not over, or has nothing left to do
 *     │   ├── NoSession                   the call needs a session or an attempt
 *     │   └── SessionOver                 the session ended, or another stream took it
 *     ├── DeadlineExceeded                no answer in time
 *     │   └── LockTimeout                 the lock was not granted in time       .holders .position
 *     ├── LimitReached                    a queue, quota or rate limit           .retryAfterMs .violations
 *     ├── CursorCompacted                 the cursor lies below what is kept     .oldestSequence .logId
 *     ├── LogMismatch                     a cursor or token of another log       .logId .requestedLogId
 *     ├── LogTailLost                     acknowledged events are gone           .logId
 *     ├── FeatureMissing                  the coordinator is too old for this    .featureLevel
 *     ├── Unavailable                     failing over, shutting down, no route  .retryAfterMs
 *     ├── PermissionDenied                the caller may not do this             .needed
 *     ├── Unauthenticated                 the caller is not known                .needed
 *     ├── Cancelled                       the call was cancelled
 *     └── InternalError                   a fault of the coordinator
 */
import type { Detail, DetailMessage, DetailType } from "./error_details.js";
import { type ConflictKey, conflictKey, type LockHolder, type LockWait, lockHolder, lockWait } from "./error_words.js";
import { fromDuration } from "./time.js";

/** A field, or the subject of a quota, and what is wrong with it. */
export interface Violation {
  readonly field: string;
  readonly description: string;
}

/** The parts of an error; what is left out is the class's. */
export interface ErrorParts {
  code?: string;
  reason?: string;
  details?: readonly Detail[];
  cause?: unknown;
}

/**
 * A call was refused or could not be made. `code` is the name of the gRPC status code, `reason` a word from the contract's ErrorReason
 * (without prefix; empty when the answer did not come from a coordinator), `details` the decoded detail messages.
 */
export class ConcertError extends Error {
  static readonly code: string = "UNKNOWN";
  static readonly reason: string = "";
  readonly code: string;
  readonly reason: string;
  readonly details: readonly Detail[];

  constructor(message = "", parts: ErrorParts = {}) {
    super(message, parts.cause === undefined ? undefined : { cause: parts.cause });
    const kind = new.target;
    this.name = kind.name;
    this.code = parts.code ?? kind.code;
    this.reason = parts.reason ?? kind.reason;
    this.details = parts.details ?? [];
  }

  /** The first detail message of that type. */
  detail<T extends DetailType>(type: T): DetailMessage<T> | undefined {
    return this.details.find((each) => each.type === type)?.value as DetailMessage<T> | undefined;
  }
}

/** Something is malformed or over a limit. */
export class InvalidArgument extends ConcertError {
  static override readonly code: string = "INVALID_ARGUMENT";
  static override readonly reason: string = "INVALID_FIELD";

  /** One entry per field at fault. */
  get violations(): Violation[] {
    const found = this.detail("google.rpc.BadRequest")?.fieldViolations ?? [];
    return found.map(({ field, description }) => ({ field, description }));
  }
}

/** A value cannot be sent: NaN, too deep, too large, not JSON. Thrown before anything is sent. */
export class InvalidPayload extends InvalidArgument {}

/** The tasks of a run depend on each other in a circle. */
export class DependencyCycleError extends InvalidArgument {
  static override readonly reason = "DEPENDENCY_CYCLE";

  /** The ids of the tasks, in order; the first depends on the last. */
  get cycle(): string[] {
    return this.detail("concert.v1.DependencyCycle")?.taskIds ?? [];
  }
}

/** A dependency refers to nothing. */
export class DependencyUnknown extends InvalidArgument {
  static override readonly reason = "DEPENDENCY_UNKNOWN";
}

/** Another request was made under this request id. */
export class RequestIdReused extends InvalidArgument {
  static override readonly reason = "REQUEST_ID_REUSED";
}

/** The cursor points beyond the end of the log. */
export class CursorInFuture extends InvalidArgument {
  static override readonly reason = "CURSOR_IN_FUTURE";
}

/** The cursor lies before what the named subscription has acknowledged: it moves forward only. */
export class CursorBehind extends InvalidArgument {
  static override readonly reason = "CURSOR_BEHIND";
}

/** What NotFound and AlreadyExists share. */
abstract class ResourceError extends ConcertError {
  /** `type/name` of what the error is about; empty when it was not said. */
  get resource(): string {
    const found = this.detail("google.rpc.ResourceInfo");
    return found === undefined ? "" : `${found.resourceType}/${found.resourceName}`;
  }
}

/** No such run, task, lock, agent, event or key. */
export class NotFound extends ResourceError {
  static override readonly code = "NOT_FOUND";
  static override readonly reason = "NOT_FOUND";
}

/** The id is used for something else, or an agent lives under it. */
export class AlreadyExists extends ResourceError {
  static override readonly code = "ALREADY_EXISTS";
  static override readonly reason = "ALREADY_EXISTS";
}

/** The request met something newer. */
export class Aborted extends ConcertError {
  static override readonly code = "ABORTED";
}

/**
 * A state conflict was lost: read again, or build on `current`, and write with `currentRevision` as the base. Where a lock of somebody
 * else guards a key, take that lock first, or wait until it is free.
 */
export class StateConflictError extends Aborted {
  static override readonly reason = "STATE_CONFLICT";

  /** The keys they met on, the first 20. */
  get keys(): ConflictKey[] {
    return (this.detail("concert.v1.StateConflict")?.keys ?? []).map(conflictKey);
  }

  /** "concurrent_modification", or "resource_conflict" where a lock of somebody else guards a key. */
  get conflictType(): string {
    return this.detail("concert.v1.StateConflict")?.conflictType ?? "";
  }

  /** Base revision for the next try; 0 when it was not said. */
  get currentRevision(): bigint {
    return this.detail("concert.v1.StateConflict")?.currentRevision ?? 0n;
  }

  /** Sequence of the CONFLICT_DETECTED event. */
  get conflictSequence(): bigint {
    return this.detail("concert.v1.StateConflict")?.conflictSequence ?? 0n;
  }
}

/** What StaleAttempt and StaleFence share. */
abstract class StaleTokenError extends Aborted {
  /** The token that was sent. */
  get token(): bigint {
    return this.detail("concert.v1.StaleToken")?.token ?? 0n;
  }

  /** The token that counts now; 0 when there is none. */
  get currentToken(): bigint {
    return this.detail("concert.v1.StaleToken")?.current ?? 0n;
  }
}

/** The attempt is not the current one: stop. */
export class StaleAttempt extends StaleTokenError {
  static override readonly reason = "STALE_ATTEMPT";
}

/** A lock that the command relies on is gone: nothing was done. */
export class StaleFence extends StaleTokenError {
  static override readonly reason = "STALE_FENCE";

  /** What was locked. */
  get resource(): string {
    return this.detail("concert.v1.StaleToken")?.resource ?? "";
  }
}

/** The request would have closed a cycle of waiting: give back what is held, and ask again. */
export class Deadlock extends Aborted {
  static override readonly reason = "DEADLOCK";

  /** Who waits for whom: each for the next one, the last for the first, which is the refused request. Cut short where it is long. */
  get cycle(): LockWait[] {
    return (this.detail("concert.v1.Deadlock")?.cycle ?? []).map(lockWait);
  }

  /** Sequence of the refused request's RESOURCE_REQUESTED event. */
  get requestSequence(): bigint {
    return this.detail("concert.v1.Deadlock")?.requestSequence ?? 0n;
  }
}

/** Things do not stand as the request needs them. */
export class FailedPrecondition extends ConcertError {
  static override readonly code = "FAILED_PRECONDITION";
}

/** The lock is not held by the caller. */
export class NotHolder extends FailedPrecondition {
  static override readonly reason = "NOT_HOLDER";
}

/** The holder has the lock in a weaker mode; release it first. */
export class LockUpgrade extends FailedPrecondition {
  static override readonly reason = "LOCK_UPGRADE";
}

/** The lock was held and no longer is: the reason of a lock's aborted signal, and thrown at the end of its scope. */
export class LockLost extends FailedPrecondition {
  static override readonly reason = "LOCK_LOST";
}

/** The run is over. */
export class RunOver extends FailedPrecondition {
  static override readonly reason = "RUN_OVER";
}

/** The run cannot be tried again: it is not over, or every task of it succeeded. */
export class RunNotRetryable extends FailedPrecondition {
  static override readonly reason = "RUN_NOT_RETRYABLE";
}

/** The call needs a session or an attempt. */
export class NoSession extends FailedPrecondition {
  static override readonly reason = "NO_SESSION";
}

/** The session ended: its lease ran out, it was closed, or another stream took it. */
export class SessionOver extends FailedPrecondition {
  static override readonly reason = "SESSION_OVER";
}

/** No answer in time; whether the request took effect is not known. */
export class DeadlineExceeded extends ConcertError {
  static override readonly code = "DEADLINE_EXCEEDED";
}

/** The lock was not granted in time. */
export class LockTimeout extends DeadlineExceeded {
  static override readonly reason = "LOCK_TIMEOUT";

  /** Who stood in the way. */
  get holders(): LockHolder[] {
    return (this.detail("concert.v1.LockContention")?.holders ?? []).map(lockHolder);
  }

  /** The request's place in the queue when it gave up, from 1; 0 when it was not queued. */
  get position(): number {
    return this.detail("concert.v1.LockContention")?.position ?? 0;
  }
}

/** What LimitReached and Unavailable share. */
abstract class RetryLaterError extends ConcertError {
  /** How long to wait before the next try, in milliseconds, if the coordinator said so. */
  get retryAfterMs(): number | undefined {
    const retry = this.detail("google.rpc.RetryInfo");
    return retry === undefined ? undefined : fromDuration(retry.retryDelay);
  }
}

/** A queue, quota or rate limit. */
export class LimitReached extends RetryLaterError {
  static override readonly code = "RESOURCE_EXHAUSTED";
  static override readonly reason = "LIMIT_REACHED";

  /** Which limits. */
  get violations(): Violation[] {
    const found = this.detail("google.rpc.QuotaFailure")?.violations ?? [];
    return found.map(({ subject, description }) => ({ field: subject, description }));
  }
}

/** What CursorCompacted and LogMismatch share. */
abstract class LogPositionError extends ConcertError {
  /** The log there is. */
  get logId(): string {
    return this.detail("concert.v1.LogPosition")?.logId ?? "";
  }

  /** Sequence of the oldest event kept; 0 when it was not said. */
  get oldestSequence(): bigint {
    return this.detail("concert.v1.LogPosition")?.oldestSequence ?? 0n;
  }
}

/** The cursor lies below the oldest event kept: events between were not seen and cannot be had. */
export class CursorCompacted extends LogPositionError {
  static override readonly code = "OUT_OF_RANGE";
  static override readonly reason = "CURSOR_COMPACTED";
}

/** The cursor or token is one of another log. */
export class LogMismatch extends LogPositionError {
  static override readonly code = "DATA_LOSS";
  static override readonly reason = "LOG_MISMATCH";

  /** The log that was asked for. */
  get requestedLogId(): string {
    return this.detail("concert.v1.LogPosition")?.requestedLogId ?? "";
  }
}

/** The store lost events that were acknowledged: nothing is served until an operator accepts that. */
export class LogTailLost extends LogPositionError {
  static override readonly code = "DATA_LOSS";
  static override readonly reason = "LOG_TAIL_LOST";
}

/** No coordinator answered: it is failing over, shutting down, or out of reach. Safe to try again. */
export class Unavailable extends RetryLaterError {
  static override readonly code = "UNAVAILABLE";
  static override readonly reason = "UNAVAILABLE";
}

/** What PermissionDenied and Unauthenticated share. */
abstract class StrangerError extends ConcertError {
  /** What the caller lacks, by name; empty where the coordinator did not say. */
  get needed(): Readonly<Record<string, string>> {
    return { ...this.detail("google.rpc.ErrorInfo")?.metadata };
  }
}

/** The caller may not do this: `needed` names the `role`, `namespace` and `principal`. */
export class PermissionDenied extends StrangerError {
  static override readonly code = "PERMISSION_DENIED";
  static override readonly reason = "PERMISSION_DENIED";
}

/** The caller is not known: `needed` names the `credential` that would do. */
export class Unauthenticated extends StrangerError {
  static override readonly code = "UNAUTHENTICATED";
  static override readonly reason = "UNAUTHENTICATED";
}

/** The coordinator is too old for this. */
export class FeatureMissing extends ConcertError {
  static override readonly code = "UNIMPLEMENTED";
  /** The contract feature level that it speaks, where that is known. */
  readonly featureLevel: number;

  constructor(message?: string, parts: ErrorParts & { featureLevel?: number | undefined } = {}) {
    super(message, parts);
    this.featureLevel = parts.featureLevel ?? 0;
  }
}

/** The call was cancelled. */
export class Cancelled extends ConcertError {
  static override readonly code = "CANCELLED";
}

/** A fault of the coordinator. */
export class InternalError extends ConcertError {
  static override readonly code = "INTERNAL";
  static override readonly reason = "INTERNAL";
}
