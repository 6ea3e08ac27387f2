/**
 * Named subscriptions: a cursor kept by the coordinator, so that a consumer goes on where its last one stopped.
 *
 * Every event is handed out at least once, across crashes of the consumer and of the coordinator: what was handed out and not acknowledged
 * comes again. By itself an event counts as processed once the next one is asked for; what is processed is acknowledged beside the loop,
 * one acknowledgement at a time, the latest position only.
 */
import type { Origin } from "./caller.js";
import { AlreadyExists, ConcertError, CursorBehind, InvalidArgument } from "./errors.js";
import { type EventSelection, type Start, type StartOptions, startOf } from "./event_filter.js";
import type { Event } from "./generated/concert/v1/event.js";
import {
  AcknowledgeRequest,
  CreateSubscriptionRequest,
  Cursor,
  DeleteSubscriptionRequest,
  ListSubscriptionsRequest,
  type NamedSubscription as SubscriptionState,
} from "./generated/concert/v1/event_service.js";
import { ACKNOWLEDGE_MS_MAX, ACKNOWLEDGE_MS_MIN } from "./limits.js";
import { log, say } from "./log.js";
import { message } from "./message.js";
import { ACKNOWLEDGE, CREATE_SUBSCRIPTION, DELETE_SUBSCRIPTION, LIST_SUBSCRIPTIONS } from "./methods.js";
import { readPages } from "./pages.js";
import { Subscription } from "./subscription.js";
import { Deferred, sleep } from "./time.js";
import { isTransient } from "./transience.js";

/** The named subscriptions of the namespace. */
export class Subscriptions {
  readonly #origin: Origin;

  constructor(origin: Origin) {
    this.#origin = origin;
  }

  /** A new one. Starts as `subscribe` does. Throws AlreadyExists, LimitReached. */
  async create(name: string, start: StartOptions = {}): Promise<SubscriptionState> {
    const request = message(CreateSubscriptionRequest, { name, start: startOf(start) });
    const { subscription } = await this.#origin.caller.call(CREATE_SUBSCRIPTION, request);
    return subscription as SubscriptionState;
  }

  /** All of them, by name: how far each is, and how many events the log has after that. */
  async list(): Promise<SubscriptionState[]> {
    const request = ListSubscriptionsRequest.create();
    return readPages(this.#origin.caller, LIST_SUBSCRIPTIONS, request, (page) => page.subscriptions);
  }

  /**
   * Says that everything up to a cursor was dealt with; with `reset` puts it there wherever it was. Durable when it returns. Throws
   * CursorBehind, CursorInFuture, NotFound, and LogMismatch when the coordinator has another log now: look at what is there, then reset.
   */
  async acknowledge(name: string, cursor: Cursor, { reset = false } = {}): Promise<SubscriptionState> {
    const request = message(AcknowledgeRequest, { name, cursor, reset });
    return (await this.#origin.caller.call(ACKNOWLEDGE, request)).subscription as SubscriptionState;
  }

  /** Whether it was there. */
  async delete(name: string): Promise<boolean> {
    return (await this.#origin.caller.call(DELETE_SUBSCRIPTION, message(DeleteSubscriptionRequest, { name }))).deleted;
  }
}

/** How a named subscription is followed. */
export interface NamedSubscriptionOptions extends EventSelection {
  /** Where it starts when it is made; "latest" when left out. */
  start?: Start;
  /** Whether what is processed is acknowledged by itself; only by `ack` when false. */
  acknowledge?: boolean;
}

/** Events under a name. Leaving its iteration acknowledges what was processed. */
export class NamedSubscription implements AsyncIterable<Event>, AsyncDisposable {
  readonly name: string;
  readonly #origin: Origin;
  readonly #options: NamedSubscriptionOptions;
  readonly #closed = new AbortController();
  #failure: { readonly error: unknown } | undefined;
  #inner: Subscription | undefined;
  #asking = false;
  #processed = Cursor.create();
  #acknowledged = 0n;
  #due = new Deferred<void>();
  #acknowledging: Promise<void> = Promise.resolve();

  /** See Client.namedSubscription. */
  constructor(origin: Origin, name: string, options: NamedSubscriptionOptions) {
    startOf(options);
    this.name = name;
    this.#origin = origin;
    this.#options = options;
  }

  /** Makes it if there is none, and waits for the coordinator's first word. */
  async ready(): Promise<this> {
    if (this.#inner !== undefined) return this;
    if (this.#closed.signal.aborted) throw new InvalidArgument(`the subscription ${this.name} was closed`);
    const { start = "latest", acknowledge = true } = this.#options;
    try {
      await new Subscriptions(this.#origin).create(this.name, { start });
    } catch (error) {
      if (!(error instanceof AlreadyExists)) throw error;
    }
    this.#inner = await new Subscription(this.#origin.caller, this.#options, this.name).ready();
    if (acknowledge) this.#acknowledging = this.#acknowledgeBeside().catch((error) => this.#fail(error));
    return this;
  }

  /** Each matching event after the last acknowledged one, in order. Throws what stands in the way. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Event, void, void> {
    await this.ready();
    const batches = (this.#inner as Subscription).batches();
    try {
      for (;;) {
        this.#asking = true; // Meanwhile everything handed out is processed, and bookmarks tell of what no filter let through.
        const { value, done } = await batches.next().finally(() => {
          this.#asking = false;
        });
        if (this.#failure !== undefined) throw this.#failure.error;
        if (done) return;
        for (const event of value) {
          yield event;
          this.#note(event.logId, event.sequence);
        }
      }
    } finally {
      await this.close();
    }
  }

  /** Acknowledges everything up to an event, if that is not acknowledged yet; durable when it returns. */
  async ack(event: Event): Promise<void> {
    await this.#acknowledge(message(Cursor, { logId: event.logId, sequence: event.sequence }));
  }

  /** Acknowledges what was processed, and ends the subscription. Its name and place stay. */
  async close(): Promise<void> {
    if (this.#closed.signal.aborted) return;
    this.#closed.abort();
    this.#due.resolve();
    this.#inner?.close();
    await this.#acknowledging;
    const automatic = this.#options.acknowledge ?? true;
    if (automatic && this.#inner !== undefined && this.#processed.sequence > this.#acknowledged) {
      await this.#acknowledge(this.#processed);
    }
  }

  /** See `close`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Tells the reader, who may wait. Not by a promise to race with: that would keep whatever won against it. */
  #fail(error: unknown): void {
    this.#failure = { error };
    this.#inner?.close();
  }

  #note(logId: string, sequence: bigint): void {
    this.#processed = message(Cursor, { logId, sequence });
    this.#due.resolve();
  }

  /** One acknowledgement at a time, of the latest position. Ends by throwing what cannot be mended by waiting. */
  async #acknowledgeBeside(): Promise<void> {
    const { signal } = this.#closed;
    while (!signal.aborted) {
      await Promise.race([this.#due.promise, sleep(ACKNOWLEDGE_MS_MAX, signal).catch(() => {})]);
      if (signal.aborted) return;
      this.#due = new Deferred();
      const cursor = this.#inner?.cursor;
      if (this.#asking && cursor !== undefined && cursor.sequence > this.#processed.sequence) this.#processed = cursor;
      if (this.#processed.sequence <= this.#acknowledged) continue;
      try {
        await this.#acknowledge(this.#processed);
      } catch (error) {
        if (!(error instanceof ConcertError) || !isTransient(error)) throw error;
        log.info(`${this.name}: what was processed is not acknowledged yet: ${say(error)}`);
      }
      await sleep(ACKNOWLEDGE_MS_MIN, signal).catch(() => {});
    }
  }

  async #acknowledge(cursor: Cursor): Promise<void> {
    try {
      await new Subscriptions(this.#origin).acknowledge(this.name, cursor);
    } catch (error) {
      if (!(error instanceof CursorBehind)) throw error; // Another consumer of the name is further.
    }
    if (cursor.sequence > this.#acknowledged) this.#acknowledged = cursor.sequence;
  }
}
