/** How long to wait before the next try: exponential, with jitter, so that many clients do not come back as one. */
import { BACKOFF_INITIAL_MS, BACKOFF_MS_MAX } from "./limits.js";

/** One sequence of pauses. */
export class Backoff {
  #ceilingMs = BACKOFF_INITIAL_MS;

  /** The next pause; at least `retryAfterMs`, spread a little beyond it, when the peer asked for it. */
  pauseMs(retryAfterMs?: number): number {
    const ceiling = this.#ceilingMs;
    this.#ceilingMs = Math.min(ceiling * 2, BACKOFF_MS_MAX);
    if (retryAfterMs !== undefined) return retryAfterMs + Math.random() * ceiling;
    return ceiling * (0.25 + 0.75 * Math.random());
  }

  /** Begins again: something worked. */
  reset(): void {
    this.#ceilingMs = BACKOFF_INITIAL_MS;
  }
}
