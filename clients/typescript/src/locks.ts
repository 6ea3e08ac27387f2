/** The locks of a namespace: as a reader sees them, and taken without a scope. */
import type { Origin } from "./caller.js";
import type { LockGrant, Lock as LockState } from "./generated/concert/v1/lock.js";
import {
  GetLockRequest,
  KeepAliveRequest,
  ListLocksRequest,
  ReleaseRequest,
} from "./generated/concert/v1/lock_service.js";
import { type AcquireOptions, acquireGrants, acquireTimeoutMs } from "./lock.js";
import { message } from "./message.js";
import { GET_LOCK, KEEP_ALIVE, LIST_LOCKS, RELEASE } from "./methods.js";
import { readPages } from "./pages.js";
import { fromDuration } from "./time.js";

export class Locks {
  readonly #origin: Origin;

  constructor(origin: Origin) {
    this.#origin = origin;
  }

  /**
   * Takes 1 to 64 locks, all or none, and leaves them to the caller: nothing renews them, nothing gives them back, and nobody is told when
   * they are lost. `client.lock` does all three.
   */
  async acquire(resources: string | readonly string[], options: AcquireOptions = {}): Promise<readonly LockGrant[]> {
    const names = typeof resources === "string" ? [resources] : resources;
    return acquireGrants(this.#origin, names, options, { timeoutMs: acquireTimeoutMs(options.waitMs) });
  }

  /** Gives 1 to 64 locks back, all or none; the sequence of the first event. Throws NotHolder. */
  async release(...fencingTokens: bigint[]): Promise<bigint> {
    const request = message(ReleaseRequest, { attemptToken: this.#origin.attemptToken, fencingTokens });
    return (await this.#origin.caller.call(RELEASE, request)).sequence;
  }

  /**
   * Makes the leases of up to 1000 locks whole again: how many milliseconds each stands from now, by its token; undefined for one that is
   * gone.
   */
  async keepAlive(...fencingTokens: bigint[]): Promise<Map<bigint, number | undefined>> {
    const { leases } = await this.#origin.caller.call(KEEP_ALIVE, message(KeepAliveRequest, { fencingTokens }));
    return new Map(
      leases.map((each) => [each.fencingToken, each.timeLeft === undefined ? undefined : fromDuration(each.timeLeft)]),
    );
  }

  /** Locks that are held or waited for, by name. */
  async list(prefix = "", limit?: number): Promise<LockState[]> {
    return readPages(
      this.#origin.caller,
      LIST_LOCKS,
      message(ListLocksRequest, { prefix }),
      (page) => page.locks,
      limit,
    );
  }

  /** One lock. Throws NotFound when nobody holds it or waits for it. */
  async get(resource: string): Promise<LockState> {
    const { lock } = await this.#origin.caller.call(GET_LOCK, message(GetLockRequest, { resource }));
    return lock as LockState;
  }
}
