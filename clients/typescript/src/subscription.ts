/**
 * Following the log without a gap: a subscription resumes by itself, after the last event it handed out.
 *
 * A stream that breaks, ends, or stays silent for longer than the coordinator's bookmarks allow is opened again with the cursor of what was
 * seen. What cannot be resumed (compacted away, another log) is thrown: never a silent gap.
 */
import type { Caller } from "./caller.js";
import { type EventSelection, eventFilter, type StartOptions, startOf } from "./event_filter.js";
import { Following } from "./following.js";
import type { Event } from "./generated/concert/v1/event.js";
import { Cursor, SubscribeRequest, type SubscribeResponse } from "./generated/concert/v1/event_service.js";
import { message } from "./message.js";
import { SUBSCRIBE } from "./methods.js";

/** What a subscription follows, and from where; with a `name` after what that named subscription has acknowledged. */
export interface SubscribeOptions extends EventSelection, StartOptions {}

/** Events as they come: `for await (const event of client.subscribe(...))`. One iteration at a time. */
export class Subscription implements AsyncIterable<Event>, AsyncDisposable {
  readonly #request: SubscribeRequest;
  readonly #following: Following<SubscribeRequest, SubscribeResponse>;
  #cursor: Cursor;
  #first: SubscribeResponse | undefined;

  /** See Client.subscribe. */
  constructor(caller: Caller, options: SubscribeOptions, name = "") {
    const start = name === "" ? startOf(options) : ({ $case: "subscription", value: name } as const);
    this.#request = message(SubscribeRequest, { filter: eventFilter(options), start });
    this.#cursor = start.$case === "after" ? { ...start.value } : Cursor.create();
    this.#following = new Following(caller, SUBSCRIBE, () => this.#resumed());
  }

  /** The position up to which everything was handed out; resume with `after` another time. */
  get cursor(): Cursor {
    return { ...this.#cursor };
  }

  /**
   * Waits until the coordinator has taken the subscription up, so that nothing published afterwards is missed even when it starts at the
   * latest event.
   */
  async ready(): Promise<this> {
    this.#first ??= await this.#following.next();
    return this;
  }

  /** Each matching event once, in order. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Event, void, void> {
    for await (const events of this.batches()) {
      for (const event of events) {
        this.#advance(event.logId, event.sequence);
        yield event;
      }
    }
  }

  /** The events as they arrive, several at a time; the cursor covers a batch once the next one is asked for. */
  async *batches(): AsyncGenerator<readonly Event[], void, void> {
    try {
      for (;;) {
        const response = this.#first ?? (await this.#following.next());
        this.#first = undefined;
        if (response === undefined) return;
        const seen = this.#cursor.sequence;
        const events = response.events.filter((event) => event.sequence > seen);
        const last = events.at(-1);
        if (last !== undefined) {
          yield events;
          this.#advance(last.logId, last.sequence);
        }
        if (response.bookmark !== undefined) this.#advance(response.bookmark.logId, response.bookmark.lastSequence);
      }
    } finally {
      this.close();
    }
  }

  /** Ends the subscription; iterations end with it. */
  close(): void {
    this.#following.close();
  }

  /** See `close`. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }

  #advance(logId: string, sequence: bigint): void {
    if (sequence < this.#cursor.sequence) return;
    this.#cursor = { ...this.#cursor, sequence, logId: logId === "" ? this.#cursor.logId : logId };
  }

  #resumed(): SubscribeRequest {
    if (this.#cursor.sequence === 0n) return { ...this.#request };
    return { ...this.#request, start: { $case: "after", value: this.cursor } };
  }
}
