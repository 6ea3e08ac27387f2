/**
 * Locks that are held, kept and given back.
 *
 * The signal of a lock is aborted the moment this client can no longer be sure that it holds it: when the lease has not been renewed in
 * time (see lease.ts), or when the session that the lock follows is over. The end of its scope then throws LockLost.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import { Backoff } from "./backoff.js";
import type { Origin } from "./caller.js";
import { ConcertError, InvalidArgument, LockLost, LockTimeout, NotHolder, SessionOver, StaleFence } from "./errors.js";
import { type LockGrant, LockMode, LockRequest } from "./generated/concert/v1/lock.js";
import { AcquireRequest, KeepAliveRequest, ReleaseRequest } from "./generated/concert/v1/lock_service.js";
import { Lease } from "./lease.js";
import {
  CLOSE_MS_MAX,
  LEASE_SHARE,
  LOCK_LEASE_MS_DEFAULT,
  LOCK_WAIT_MARGIN_MS,
  LOCK_WAIT_MS_DEFAULT,
  LOCKS_PER_ACQUIRE_MAX,
} from "./limits.js";
import { log, say } from "./log.js";
import { message } from "./message.js";
import { ACQUIRE, KEEP_ALIVE, RELEASE } from "./methods.js";
import { fromDuration, settlesWithin, sleep, toDuration } from "./time.js";
import { type Owner, Turns } from "./turns.js";

/** How a lock is held. */
export type LockModeName = "exclusive" | "shared";

/** How locks are asked for. */
export interface AcquireOptions {
  /** "exclusive" when left out. */
  mode?: LockModeName;
  /** How long it stands without a renewal: 1 s to 1 h, 30 s when left out. Locks of a session or attempt follow that instead. */
  leaseMs?: number;
  /** How long to wait: 0 for not at all; the policy's resource_timeout when left out. */
  waitMs?: number;
  /** The state path that only the holder may write meanwhile. */
  guards?: string;
  /** Who holds it, outside of sessions and attempts; each request is a holder of its own when left out. */
  holder?: string;
  /** 0 to 9, higher first; the policy's when left out. */
  priority?: number;
  metadata?: Readonly<Record<string, string>>;
}

/** How locks are asked for that are kept until their scope ends. */
export interface LockOptions extends AcquireOptions {
  /** Ends the wait, and the lock's own signal with it. */
  signal?: AbortSignal;
  /** A lock whose scope this one lies in: what that holds already may be taken again. `withLock` knows by itself. */
  within?: Lock;
}

/** The scopes that what runs now is inside of. */
const scopes = new AsyncLocalStorage<Owner>();

/** The contract's number. Throws InvalidArgument. */
export function lockMode(mode: LockModeName): LockMode {
  if (mode === "exclusive") return LockMode.EXCLUSIVE;
  if (mode === "shared") return LockMode.SHARED;
  throw new InvalidArgument(`a lock is "exclusive" or "shared", not ${JSON.stringify(mode)}`);
}

/** Asks for locks, all or none. */
export async function acquireGrants(
  origin: Origin,
  resources: readonly string[],
  options: AcquireOptions,
  call: { timeoutMs?: number; signal?: AbortSignal | undefined },
): Promise<readonly LockGrant[]> {
  const request = message(AcquireRequest, { attemptToken: origin.attemptToken });
  request.requests = resources.map((resource) =>
    message(LockRequest, {
      resource,
      mode: lockMode(options.mode ?? "exclusive"),
      holder: options.holder ?? "",
      guards: options.guards ?? "",
      priority: options.priority,
      metadata: { ...options.metadata },
      lease: options.leaseMs === undefined ? undefined : toDuration(options.leaseMs),
      waitTimeout: options.waitMs === undefined ? undefined : toDuration(options.waitMs),
    }),
  );
  return (await origin.caller.call(ACQUIRE, request, call)).grants;
}

/** How long the answer to an acquire may take. */
export function acquireTimeoutMs(waitMs: number | undefined): number {
  return waitMs === undefined ? Number.POSITIVE_INFINITY : waitMs + LOCK_WAIT_MARGIN_MS;
}

/** 1 to 64 locks that are held, all or none; kept until `release`, or the end of an `await using`. */
export class Lock implements AsyncDisposable {
  readonly grants: readonly LockGrant[];
  /** Aborted, with LockLost as the reason, when the locks are gone; inside an attempt also when that is to stop. */
  readonly signal: AbortSignal;
  readonly #origin: Origin;
  readonly #turns: Turns;
  readonly #owner: Owner;
  readonly #loss = new AbortController();
  readonly #kept = new AbortController();
  #forgetSession: () => void = () => {};
  #released: Promise<void> | undefined;

  /** Waits for the locks. Throws LockTimeout, LockUpgrade, Deadlock, SessionOver and what else a call throws. */
  static async take(origin: Origin, resources: readonly string[], options: LockOptions): Promise<Lock> {
    if (resources.length < 1 || resources.length > LOCKS_PER_ACQUIRE_MAX) {
      throw new InvalidArgument(`a scope takes 1 to ${LOCKS_PER_ACQUIRE_MAX} locks, not ${resources.length}`);
    }
    const owner = (options.within === undefined ? scopes.getStore() : options.within.#owner) ?? Symbol("lock scope");
    const turns = new Turns(holderOf(origin, options), resources, { owner, shared: options.mode === "shared" });
    const signal = anySignal(options.signal, origin.signal?.());
    const begun = performance.now();
    if (!(await turns.enter(options.waitMs ?? LOCK_WAIT_MS_DEFAULT, signal))) {
      throw new LockTimeout("another scope of this process kept the lock for longer than the wait");
    }
    try {
      const askedAt = performance.now();
      const waitMs = options.waitMs === undefined ? undefined : Math.max(0, options.waitMs - (askedAt - begun));
      const follows = origin.caller.lockIdentity !== "";
      const call = follows ? { signal } : { signal, timeoutMs: acquireTimeoutMs(waitMs) };
      const grants = await acquireGrants(
        origin,
        resources,
        waitMs === undefined ? options : { ...options, waitMs },
        call,
      );
      const lock = new Lock(origin, grants, turns, owner, signal);
      await lock.#guard(askedAt);
      return lock;
    } catch (error) {
      turns.leave();
      throw error;
    }
  }

  private constructor(
    origin: Origin,
    grants: readonly LockGrant[],
    turns: Turns,
    owner: Owner,
    signal: AbortSignal | undefined,
  ) {
    this.#origin = origin;
    this.grants = grants;
    this.#turns = turns;
    this.#owner = owner;
    this.signal = anySignal(this.#loss.signal, signal) ?? this.#loss.signal;
  }

  /** Whether the locks are known to be gone. */
  get lost(): boolean {
    return this.#loss.signal.aborted;
  }

  /** Of the first lock. Strictly increases from grant to grant: send it along when touching what the lock protects. */
  get fencingToken(): bigint {
    return this.grants[0]?.fencingToken ?? 0n;
  }

  /** By resource. */
  get fencingTokens(): ReadonlyMap<string, bigint> {
    return new Map(this.grants.map((grant) => [grant.resource, grant.fencingToken]));
  }

  /** Who holds them, as the coordinator names it. */
  get holder(): string {
    return this.grants[0]?.holder ?? "";
  }

  /** Runs what may take the same locks again. */
  inside<T>(body: () => T): T {
    return scopes.run(this.#owner, body);
  }

  /** Gives the locks back; once, however often it is called. Throws LockLost when they were lost. */
  release(): Promise<void> {
    this.#released ??= this.#end();
    return this.#released;
  }

  /** See `release`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.release();
  }

  async #end(): Promise<void> {
    this.#forgetSession();
    this.#kept.abort();
    try {
      if (this.lost) {
        if (!this.#followsSession) await settlesWithin(this.#giveBack(), CLOSE_MS_MAX);
        throw this.#loss.signal.reason;
      }
      await this.#giveBack();
    } catch (error) {
      if (error instanceof NotHolder || error instanceof StaleFence || error instanceof SessionOver) {
        throw new LockLost(`the lock was gone when it was to be released: ${error.message}`, { cause: error });
      }
      if (!(error instanceof ConcertError) || error instanceof LockLost) throw error;
      // The body has run under the lock; what is left of it ends with its lease.
      log.warn(`releasing ${this.#names} failed: ${say(error)}`);
    } finally {
      this.#turns.leave();
    }
  }

  async #giveBack(): Promise<void> {
    const request = message(ReleaseRequest, { attemptToken: this.#origin.attemptToken, fencingTokens: this.#tokens });
    await this.#origin.caller.call(RELEASE, request);
  }

  get #followsSession(): boolean {
    return this.#origin.caller.lockIdentity !== "";
  }

  get #tokens(): bigint[] {
    return this.grants.map((grant) => grant.fencingToken);
  }

  get #names(): string {
    return this.grants.map((grant) => grant.resource).join(", ");
  }

  /** Has the signal aborted when the locks are lost, from here on. */
  async #guard(askedAt: number): Promise<void> {
    if (this.#followsSession) {
      this.#forgetSession = this.#origin.caller.onLost(() => this.#lose("the session is over"));
      return;
    }
    const leaseMs = fromDuration(this.grants[0]?.lease) || LOCK_LEASE_MS_DEFAULT;
    const lease = new Lease(() => this.#lose("the lease ran out without a renewal being answered"));
    this.#kept.signal.addEventListener("abort", () => lease.stop(), { once: true });
    try {
      // When it was queued: when the lease began is not known, renew it.
      if (performance.now() - askedAt > leaseMs * (1 - LEASE_SHARE)) await this.#renew(lease, leaseMs);
      else lease.renew(askedAt, leaseMs);
    } catch (error) {
      this.#kept.abort();
      await settlesWithin(this.#giveBack(), CLOSE_MS_MAX);
      throw error;
    }
    void this.#keep(lease, leaseMs);
  }

  /** Renews the leases every third of their time, until that has not worked for too long. */
  async #keep(lease: Lease, leaseMs: number): Promise<void> {
    const backoff = new Backoff();
    let pause = leaseMs / 3;
    for (;;) {
      try {
        await sleep(pause, this.#kept.signal);
        await this.#renew(lease, leaseMs);
        backoff.reset();
        pause = leaseMs / 3;
      } catch (error) {
        if (this.#kept.signal.aborted || this.lost) return;
        if (error instanceof LockLost) {
          lease.stop();
          this.#lose(error.message);
          return;
        }
        log.info(`keeping ${this.#names} alive failed: ${say(error)}`);
        pause = backoff.pauseMs();
      }
    }
  }

  async #renew(lease: Lease, leaseMs: number): Promise<void> {
    const sentAt = performance.now();
    const request = message(KeepAliveRequest, { fencingTokens: this.#tokens });
    const { leases } = await this.#origin.caller.call(KEEP_ALIVE, request, {
      timeoutMs: leaseMs,
      signal: this.#kept.signal,
    });
    if (leases.length < this.grants.length || leases.some((each) => each.timeLeft === undefined)) {
      throw new LockLost("the coordinator says that the lock is gone");
    }
    lease.renew(sentAt, Math.min(...leases.map((each) => fromDuration(each.timeLeft))));
  }

  #lose(because: string): void {
    this.#loss.abort(new LockLost(because));
  }
}

function holderOf(origin: Origin, options: LockOptions): string {
  const { attemptToken, caller } = origin;
  if (caller.lockIdentity !== "") return `${caller.lockIdentity}/${attemptToken}`;
  return options.holder === undefined || options.holder === "" ? "" : `${caller.place}/holder/${options.holder}`;
}

function anySignal(...signals: (AbortSignal | undefined)[]): AbortSignal | undefined {
  const given = signals.filter((each) => each !== undefined);
  return given.length < 2 ? given[0] : AbortSignal.any(given);
}
