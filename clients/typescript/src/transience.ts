/** Which errors waiting may mend. */
import { Cancelled, type ConcertError, InternalError, LimitReached, Unavailable } from "./errors.js";

const CODES = new Set(["UNAVAILABLE", "CANCELLED", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "INTERNAL", "UNKNOWN"]);

/** Whether another session stream may succeed where this one failed. */
export function isTransientForSession(error: ConcertError): boolean {
  return CODES.has(error.code);
}

/** Whether a stream of responses may go on when it is opened again. */
export function isTransient(error: ConcertError): boolean {
  return (
    error instanceof Unavailable ||
    error instanceof Cancelled ||
    error instanceof LimitReached ||
    error instanceof InternalError ||
    error.code === "UNKNOWN"
  );
}

/** How long the coordinator asked to wait, if it did. */
export function retryAfterMs(error: ConcertError): number | undefined {
  return error instanceof Unavailable || error instanceof LimitReached ? error.retryAfterMs : undefined;
}
