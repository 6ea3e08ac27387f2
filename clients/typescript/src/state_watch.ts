/** Watching shared state: what keys hold, then what becomes of them, without a gap. */
import type { Caller } from "./caller.js";
import { toCursor } from "./event_filter.js";
import { Following } from "./following.js";
import { Cursor } from "./generated/concert/v1/event_service.js";
import type { StateEntry } from "./generated/concert/v1/state.js";
import {
  type WatchedChange,
  WatchStateRequest,
  type WatchStateResponse,
} from "./generated/concert/v1/state_service.js";
import type { Json } from "./json_value.js";
import { message } from "./message.js";
import { WATCH_STATE } from "./methods.js";
import { toDate } from "./time.js";

/**
 * What became of a key: "there" for what it held when the watch began; "set"; "deleted"; "cleared" when whatever was at and under the path
 * `key` is gone; "superseded" when it was set, but has changed again since and what it held is in nobody's memory any more: the later
 * change follows.
 */
export type ChangeKind = "there" | "set" | "deleted" | "cleared" | "superseded";

/** What a watcher is told of a key at a revision. `value` is undefined unless it is there or set. */
export interface KeyChange {
  readonly key: string;
  readonly kind: ChangeKind;
  readonly value: Json | undefined;
  readonly revision: bigint;
  readonly writer: string;
  readonly changedAt: Date;
}

/** Brings a map of what the watched keys hold up to date. */
export function applyChange(held: Map<string, Json>, { kind, key, value }: KeyChange): void {
  if (kind === "there" || kind === "set") held.set(key, value ?? null);
  else if (kind === "deleted") held.delete(key);
  else if (kind === "cleared") {
    for (const each of held.keys()) if (each === key || each.startsWith(`${key}/`)) held.delete(each);
  }
}

/**
 * Changes as they come: `for await (const change of client.state.watch({ prefix: "site" }))`. First what the keys hold, all of it at one
 * revision, then each change once and in order, over reconnects and restarts. One iteration at a time.
 */
export class StateWatch implements AsyncIterable<KeyChange>, AsyncDisposable {
  readonly #request: WatchStateRequest;
  readonly #following: Following<WatchStateRequest, WatchStateResponse>;
  #cursor: Cursor;
  #begun: boolean;
  #there: KeyChange[] = [];
  #told = new Map<string, bigint>();
  #ready: KeyChange[] = [];

  /** See State.watch. */
  constructor(caller: Caller, keys: readonly string[], prefix: string, after: Cursor | bigint | undefined) {
    this.#request = message(WatchStateRequest, { keys: [...keys], prefix });
    this.#cursor = after === undefined ? Cursor.create() : { ...toCursor(after) };
    this.#begun = after !== undefined;
    this.#following = new Following(caller, WATCH_STATE, () => this.#resumed());
  }

  /** The position up to which everything was handed out; resume with `after` another time. Its sequence is 0 before that. */
  get cursor(): Cursor {
    return { ...this.#cursor };
  }

  /** Waits for what the keys hold: nothing that is written afterwards is missed. */
  async ready(): Promise<this> {
    while (!this.#begun) {
      const response = await this.#following.next();
      if (response === undefined) break;
      this.#ready.push(...this.#take(response));
    }
    return this;
  }

  /** What is there, then each change once, in order. */
  async *[Symbol.asyncIterator](): AsyncGenerator<KeyChange, void, void> {
    try {
      for (;;) {
        yield* this.#ready.splice(0);
        const response = await this.#following.next();
        if (response === undefined) return;
        this.#ready.push(...this.#take(response));
      }
    } finally {
      this.close();
    }
  }

  /** Ends the watch; iterations end with it. */
  close(): void {
    this.#following.close();
  }

  /** See `close`. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }

  /** What a response tells that was not told before. What is there is told once all of it has come. */
  #take({ entries, changes, bookmark }: WatchStateResponse): KeyChange[] {
    this.#there.push(...entries.map(there));
    let found = changes.map(toChange).filter((change) => this.#isNew(change));
    if (bookmark !== undefined) {
      this.#begun = true;
      found = [...this.#there, ...found];
      this.#there = [];
      const { sequence } = this.#cursor;
      const { lastSequence } = bookmark;
      const reached = sequence < lastSequence ? lastSequence : sequence; // Bigints: Math.max does not take them.
      this.#cursor = message(Cursor, { logId: bookmark.logId, sequence: reached });
      for (const [told, revision] of this.#told) if (revision <= reached) this.#told.delete(told);
    }
    return found;
  }

  /** A stream that breaks between two bookmarks may tell again what came after the first. */
  #isNew({ revision, key, kind }: KeyChange): boolean {
    const told = `${revision} ${kind} ${key}`;
    if (revision <= this.#cursor.sequence || this.#told.has(told)) return false;
    this.#told.set(told, revision);
    return true;
  }

  #resumed(): WatchStateRequest {
    this.#there = [];
    return this.#begun ? { ...this.#request, after: this.cursor } : { ...this.#request };
  }
}

function there({ key, value, revision, writer, updatedAt }: StateEntry): KeyChange {
  return { key, kind: "there", value, revision, writer, changedAt: toDate(updatedAt) };
}

function toChange({ key, outcome, revision, writer, changedAt }: WatchedChange): KeyChange {
  const kind = outcome === undefined || outcome.$case === "value" ? "set" : outcome.$case;
  const value = outcome?.$case === "value" ? (outcome.value as Json) : undefined;
  return { key, kind, value, revision, writer, changedAt: toDate(changedAt) };
}
