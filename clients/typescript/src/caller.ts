/** What the client needs of whatever carries its calls: unary rpcs, or the frames of a session. */
import { randomBytes } from "node:crypto";
import type { Method } from "./methods.js";

/** How one call is made. */
export interface CallOptions {
  /** How long it may take; Infinity for without end. */
  timeoutMs?: number;
  /** Ends the wait for the answer, which is then rejected with the signal's reason. */
  signal?: AbortSignal | undefined;
}

/** Responses that follow one another. */
export interface Responses<Response> {
  /** The next one; undefined when there are no more. Throws ConcertError when the stream breaks. */
  next(): Promise<Response | undefined>;
  /** Ends it; a `next` that waits is rejected. */
  close(): void;
}

/** Carries calls. */
export interface Caller {
  /** Names whoever holds the locks taken through this caller; empty when each request is a holder of its own. */
  readonly lockIdentity: string;
  /** Names the coordinator and the namespace: holders of one name in two places are two. */
  readonly place: string;
  /** How long something that is UNAVAILABLE is tried again. */
  readonly retryMs: number;

  /**
   * Makes the call; `request` is completed (namespace, requestId) in place. UNAVAILABLE is tried again under the same request id. Throws
   * ConcertError.
   */
  call<Request, Response>(
    method: Method<Request, Response>,
    request: Request,
    options?: CallOptions,
  ): Promise<Response>;

  /** Makes a call whose responses follow one another, once: what breaks it is thrown as ConcertError. */
  stream<Request, Response>(method: Method<Request, Response>, request: Request): Responses<Response>;

  /**
   * Has `lost` called when the session behind this caller is over (at once when it is already). Returns what takes that back. Never
   * called for callers without a session.
   */
  onLost(lost: () => void): () => void;
}

/** Who asks: through which caller, in which attempt (its token; 0 outside), as which writer of state. */
export interface Origin {
  readonly caller: Caller;
  readonly attemptToken: bigint;
  readonly writer: string;
  /** Ends waits for locks, and their scopes: an attempt's. */
  readonly signal?: () => AbortSignal | undefined;
}

/** Unique request ids: a random prefix and a counter. */
export class RequestIds {
  readonly #prefix = randomBytes(8).toString("hex");
  #count = 0;

  /** One that was not given before. */
  next(): string {
    return `${this.#prefix}-${++this.#count}`;
  }
}

/** Completes a request in place. */
export function complete<Request, Response>(
  method: Method<Request, Response>,
  request: Request,
  namespace: string,
  ids: RequestIds,
): void {
  const fields = request as { namespace?: string; requestId?: string };
  if (method.namesNamespace && fields.namespace === "") fields.namespace = namespace;
  if (method.namesRequest && fields.requestId === "") fields.requestId = ids.next();
}
