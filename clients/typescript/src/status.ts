/** From google.rpc.Status, and from a failed gRPC call, to the error that says the same; and back, to cross a thread. */
import { status as grpcStatus, type ServiceError } from "@grpc/grpc-js";
import { unpackDetail } from "./error_details.js";
import * as errors from "./errors.js";
import type { ErrorInfo } from "./generated/google/rpc/error_details.js";
import { Status } from "./generated/google/rpc/status.js";

const DOMAIN = "concert";
const DETAILS_KEY = "grpc-status-details-bin";

type ErrorClass = (new (
  message?: string,
  parts?: errors.ErrorParts,
) => errors.ConcertError) & {
  readonly code: string;
  readonly reason: string;
};

const CLASSES: readonly ErrorClass[] = [
  errors.InvalidArgument,
  errors.DependencyCycleError,
  errors.DependencyUnknown,
  errors.RequestIdReused,
  errors.CursorInFuture,
  errors.CursorBehind,
  errors.NotFound,
  errors.AlreadyExists,
  errors.Aborted,
  errors.StateConflictError,
  errors.StaleAttempt,
  errors.StaleFence,
  errors.Deadlock,
  errors.FailedPrecondition,
  errors.NotHolder,
  errors.LockUpgrade,
  errors.LockLost,
  errors.RunOver,
  errors.RunNotRetryable,
  errors.NoSession,
  errors.SessionOver,
  errors.DeadlineExceeded,
  errors.LockTimeout,
  errors.LimitReached,
  errors.CursorCompacted,
  errors.LogMismatch,
  errors.LogTailLost,
  errors.Unavailable,
  errors.PermissionDenied,
  errors.Unauthenticated,
  errors.FeatureMissing,
  errors.Cancelled,
  errors.InternalError,
];

const BY_REASON = new Map(CLASSES.filter((each) => each.reason !== "").map((each) => [each.reason, each]));
const BY_CODE = new Map<string, ErrorClass>();
for (const each of CLASSES) if (!BY_CODE.has(each.code)) BY_CODE.set(each.code, each);

/** The error for a google.rpc.Status. */
export function fromStatus(status: Status): errors.ConcertError {
  const details = status.details.map(unpackDetail).filter((each) => each !== undefined);
  const info = details.find((each) => each.type === "google.rpc.ErrorInfo")?.value as ErrorInfo | undefined;
  const ours = info?.domain === DOMAIN ? info : undefined;
  const reason = ours?.reason ?? "";
  const code = grpcStatus[status.code] ?? "UNKNOWN";
  const kind = BY_REASON.get(reason) ?? BY_CODE.get(code) ?? errors.ConcertError;
  return new kind(cured(status.message, code, ours), { code, reason, details });
}

/** The message with what there is to do about it, where the coordinator did not know who called, or did not let it. */
function cured(message: string, code: string, info: ErrorInfo | undefined): string {
  const { credential, role } = info?.metadata ?? {};
  if (code === "UNAUTHENTICATED" && credential)
    return `${message}: give ${credential} that is valid, as \`token\` or \`tls\``;
  if (code === "PERMISSION_DENIED" && role) return `${message} (granted in the coordinator's access file)`;
  return message;
}

/** The error for a failed gRPC call. */
export function fromServiceError(error: ServiceError): errors.ConcertError {
  return fromStatus(statusOf(error));
}

/** The google.rpc.Status of a failed gRPC call. Details that contradict the status are those of a proxy: the status counts. */
function statusOf(error: ServiceError): Status {
  const [encoded] = error.metadata?.get(DETAILS_KEY) ?? [];
  if (encoded !== undefined && typeof encoded !== "string") {
    try {
      const status = Status.decode(encoded);
      if (status.code === error.code) return status;
    } catch {
      // Not ours.
    }
  }
  return Object.assign(Status.create(), {
    code: error.code ?? grpcStatus.UNKNOWN,
    message: error.details ?? error.message,
  });
}

/** An error in a form that a message port carries. */
export interface CarriedError {
  readonly name: string;
  readonly message: string;
  readonly code: string;
  readonly reason: string;
  readonly details: readonly unknown[];
  readonly featureLevel?: number;
}

/** For the other thread. */
export function carry(error: unknown): CarriedError {
  if (error instanceof errors.ConcertError) {
    const { name, message, code, reason, details } = error;
    const level = error instanceof errors.FeatureMissing ? { featureLevel: error.featureLevel } : {};
    return { name, message, code, reason, details, ...level };
  }
  const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return { name: "InternalError", message, code: "INTERNAL", reason: "", details: [] };
}

/** From the other thread. */
export function uncarry(carried: CarriedError): errors.ConcertError {
  const kind = CLASSES.find((each) => each.name === carried.name) ?? errors.ConcertError;
  const { code, reason, featureLevel } = carried;
  const details = carried.details as errors.ErrorParts["details"];
  if (kind === errors.FeatureMissing) return new errors.FeatureMissing(carried.message, { featureLevel });
  return new kind(carried.message, { code, reason, details });
}
