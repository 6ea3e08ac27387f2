/**
 * A lease as its holder sees it, by this process's monotonic clock: from the moment the last *answered* renewal was sent. The coordinator
 * counts from when it received it, which is later, so this side always knows first that the lease is gone.
 */
import { LEASE_SHARE } from "./limits.js";

export class Lease {
  readonly #onExpired: () => void;
  #until = 0;
  #timer: NodeJS.Timeout | undefined;
  #over = false;

  /** Calls `onExpired` once, when it ran out. */
  constructor(onExpired: () => void) {
    this.#onExpired = onExpired;
  }

  /** A renewal for so long, sent then, was answered. */
  renew(sentAt: number, leaseMs: number): void {
    this.#until = Math.max(this.#until, sentAt + leaseMs * LEASE_SHARE);
    if (this.#timer === undefined) this.#watch();
  }

  /** Watches no more. */
  stop(): void {
    this.#over = true;
    clearTimeout(this.#timer);
  }

  #watch(): void {
    this.#timer = undefined;
    if (this.#over) return;
    const left = this.#until - performance.now();
    if (left > 0) this.#timer = setTimeout(() => this.#watch(), Math.ceil(left));
    else {
      this.#over = true;
      this.#onExpired();
    }
  }
}
