/** What can be asked of a coordinator: the same through a Client (unary calls), a Session (frames), and inside an attempt. */
import { Agents } from "./agents.js";
import type { Origin } from "./caller.js";
import { type DraftOptions, draft, Events, type PublishOptions, publish } from "./events.js";
import type { EventDraft } from "./generated/concert/v1/event.js";
import type { Explanation } from "./generated/concert/v1/explanation.js";
import type { GetServerInfoResponse } from "./generated/concert/v1/monitor_service.js";
import type { RunPlan } from "./generated/concert/v1/run.js";
import { Lock, type LockOptions } from "./lock.js";
import { Locks } from "./locks.js";
import { type ExplainSubject, Monitor } from "./monitor.js";
import { NamedSubscription, type NamedSubscriptionOptions, Subscriptions } from "./named_subscription.js";
import type { PayloadLike } from "./payload.js";
import { type RunOptions, runSpec } from "./run_spec.js";
import { type ChangeRequest, type RunHandle, Runs } from "./runs.js";
import { State } from "./state.js";
import { type SubscribeOptions, Subscription } from "./subscription.js";

/** Publish, subscribe, lock, share state, submit runs. Times are milliseconds; every call throws ConcertError. */
export class Surface {
  readonly state: State;
  readonly events: Events;
  readonly runs: Runs;
  readonly locks: Locks;
  readonly subscriptions: Subscriptions;
  readonly agents: Agents;
  readonly monitor: Monitor;
  readonly #origin: Origin;

  constructor(origin: Origin) {
    this.#origin = origin;
    this.state = new State(origin);
    this.events = new Events(origin);
    this.runs = new Runs(origin);
    this.locks = new Locks(origin);
    this.subscriptions = new Subscriptions(origin);
    this.agents = new Agents(origin);
    this.monitor = new Monitor(origin);
  }

  /** States a fact under a name (1 to 128 bytes); its sequence once it is durable. Throws InvalidPayload, StaleFence. */
  async publish(name: string, data?: PayloadLike, options: DraftOptions & PublishOptions = {}): Promise<bigint> {
    const [sequence] = await publish(this.#origin, [draft(name, data, options)], options);
    return sequence as bigint;
  }

  /** States 1 to 1000 facts, made with `draft`, all or none; their sequences. */
  async publishMany(drafts: readonly EventDraft[], options: PublishOptions = {}): Promise<bigint[]> {
    return publish(this.#origin, drafts, options);
  }

  /**
   * Follows the log, gap-free over reconnects and restarts: `for await (const event of client.subscribe({ types: ["agent_completed"] }))`.
   *
   * Starts after a position (`after`: a Cursor, or a sequence), else at a time (`since`), else at the "latest" or "earliest" event.
   * `await subscription.ready()` waits until it stands. Iterating throws CursorCompacted, LogMismatch, CursorInFuture, and Unavailable
   * when no coordinator was reached at all within `retryMs`.
   */
  subscribe(options: SubscribeOptions = {}): Subscription {
    return new Subscription(this.#origin.caller, options);
  }

  /**
   * Follows the log under a name (1 to 128 bytes), whose place the coordinator keeps: a consumer that crashed or was away goes on where the
   * last one stopped.
   *
   * Made if there is none, and then begins at `start`. Each event comes at least once: it counts as processed when the loop asks for the
   * next one, and is acknowledged soon after; with `acknowledge: false` only by `ack(event)`. Throws as `subscribe` does; LogMismatch says
   * that the coordinator has another log now (`subscriptions.acknowledge` with `reset` when that is understood).
   */
  namedSubscription(name: string, options: NamedSubscriptionOptions = {}): NamedSubscription {
    return new NamedSubscription(this.#origin, name, options);
  }

  /**
   * Takes 1 to 64 locks, all or none, and keeps them: `await using lock = await client.lock("bucket/blog")`, or `lock.release()` where there
   * is no `using`. Throws LockTimeout, LockUpgrade and Deadlock; the end of the scope throws LockLost when the lock was lost, whose signal
   * was aborted then. Scopes of one holder in this process take turns.
   */
  lock(resources: string | readonly string[], options: LockOptions = {}): Promise<Lock> {
    return Lock.take(this.#origin, typeof resources === "string" ? [resources] : resources, options);
  }

  /**
   * Takes locks for a function, and gives them back after it. It throws what the function throws, and LockLost when the lock was lost. What
   * it calls may take the same locks again.
   */
  async withLock<T>(
    resources: string | readonly string[],
    body: (lock: Lock) => T | Promise<T>,
    options: LockOptions = {},
  ) {
    const lock = await this.lock(resources, options);
    let result: T;
    try {
      result = await lock.inside(() => body(lock));
    } catch (error) {
      await lock.release().catch(() => {});
      throw error;
    }
    await lock.release();
    return result;
  }

  /**
   * Submits a run of `tasks` (made with `task`, in any order) or of `agents` (names), whole or not at all. Throws DependencyCycleError,
   * DependencyUnknown, InvalidArgument, AlreadyExists, NotFound (an agent never registered).
   */
  submitRun(options: RunOptions & ChangeRequest): Promise<RunHandle> {
    return this.runs.submit(runSpec(options), options);
  }

  /** What would happen to a run that is not submitted: groups, critical path, what no agent is there for. */
  planRun(options: RunOptions): Promise<RunPlan> {
    return this.runs.plan(runSpec(options));
  }

  /** A handle on a run that there is already. */
  run(runId: string): RunHandle {
    return this.runs.get(runId);
  }

  /** Why something is as it is, and what it waits for. */
  explain(of: ExplainSubject): Promise<Explanation> {
    return this.monitor.explain(of);
  }

  /** Version, features and limits of the coordinator. */
  serverInfo(): Promise<GetServerInfoResponse> {
    return this.monitor.serverInfo();
  }
}
