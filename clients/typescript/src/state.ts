/** Shared state: versioned values under paths, whose conflicts are never silent. */
import { Backoff } from "./backoff.js";
import type { Origin } from "./caller.js";
import { InvalidArgument, StateConflictError } from "./errors.js";
import { type Fences, toFences } from "./fences.js";
import type { Cursor } from "./generated/concert/v1/event_service.js";
import {
  MergeStrategy,
  StateChange,
  type StateEntry as StateEntryMessage,
  StateUpdate,
} from "./generated/concert/v1/state.js";
import {
  DeleteStateRequest,
  GetStateRequest,
  ListStateHistoryRequest,
  type StateRevision as StateRevisionMessage,
  UpdateStateRequest,
} from "./generated/concert/v1/state_service.js";
import type { Json, JsonLike } from "./json_value.js";
import { KEYS_PER_READ_MAX, STATE_MODIFY_ATTEMPTS_MAX } from "./limits.js";
import { message } from "./message.js";
import { DELETE_STATE, GET_STATE, LIST_STATE_HISTORY, UPDATE_STATE } from "./methods.js";
import { readPages } from "./pages.js";
import { toJson } from "./payload.js";
import { StateWatch } from "./state_watch.js";
import { sleep, toDate } from "./time.js";

/** How an update joins what is there. */
export type Strategy = "merge" | "replace" | "append";

/** A key as it was read. `revision` is the sequence of the event that changed it last. */
export interface StateEntry {
  readonly key: string;
  readonly value: Json;
  readonly revision: bigint;
  readonly writer: string;
  readonly updatedAt: Date;
}

/**
 * A change, as the history of a key or path tells it. `updates` are the values that its writer gave to what was asked for (read the key
 * `at` this revision for what came of them), `deletes` the keys it named, `prefix` a path that it cleared. `cause` is the sequence of the
 * event that led to it (an attempt's token, or 0), `reason` "UPDATED" or "TASK_RESULT".
 */
export interface StateRevision {
  readonly revision: bigint;
  readonly writer: string;
  readonly strategy: Strategy;
  readonly changedAt: Date;
  readonly cause: bigint;
  readonly reason: string;
  readonly updates: ReadonlyMap<string, Json>;
  readonly deletes: readonly string[];
  readonly prefix: string;
  readonly priority: number;
  readonly agentId: string;
  readonly runId: string;
  readonly taskId: string;
  readonly traceparent: string;
}

/** How keys are changed. */
export interface ChangeOptions {
  /** "merge" when left out. */
  strategy?: Strategy;
  /** Goes with "replace": other keys under it go. */
  prefix?: string;
  /** Nothing that overlaps may have changed after it; 0 relies on nothing being there. */
  baseRevision?: bigint;
  /** Keys that go with the same revision. */
  deletes?: readonly string[];
}

/** What goes with a write. */
export interface WriteOptions {
  /** 0 to 9; counts by the policy priority_based. Inside an attempt the task's does. */
  priority?: number;
  requestId?: string;
  /** Locks that this relies on; if one is no longer held nothing is changed. */
  fences?: Fences;
}

/** What `State.modify` wrote, and the revision it became. */
export interface Modified {
  readonly value: Json;
  readonly revision: bigint;
}

const STRATEGIES: Readonly<Record<Strategy, MergeStrategy>> = {
  merge: MergeStrategy.MERGE,
  replace: MergeStrategy.REPLACE,
  append: MergeStrategy.APPEND,
};

/** The contract's StateChange. Throws InvalidArgument for an unknown strategy, InvalidPayload for what is not JSON. */
export function stateChange(updates: Readonly<Record<string, JsonLike>>, options: ChangeOptions = {}): StateChange {
  const { strategy = "merge", prefix = "", baseRevision, deletes = [] } = options;
  if (!Object.hasOwn(STRATEGIES, strategy)) {
    throw new InvalidArgument(`a strategy is one of merge, replace, append, not ${JSON.stringify(strategy)}`);
  }
  return message(StateChange, {
    updates: Object.entries(updates).map(([key, value]) => message(StateUpdate, { key, value: toJson(value) })),
    strategy: STRATEGIES[strategy],
    prefix,
    baseRevision,
    deletes: [...deletes],
  });
}

/** The shared state of a namespace. */
export class State {
  readonly #origin: Origin;

  constructor(origin: Origin) {
    this.#origin = origin;
  }

  /**
   * One key, now or `at` a revision; undefined when it does not exist. Throws CursorInFuture, CursorCompacted (the revision is kept no
   * more).
   */
  async get(key: string, { at = 0n } = {}): Promise<StateEntry | undefined> {
    return (await this.#read([key], at)).entries.get(key);
  }

  /** Those of at most 1000 keys that exist, read at one revision. Throws as `get`. */
  async getMany(keys: Iterable<string>, { at = 0n } = {}): Promise<Map<string, StateEntry>> {
    return (await this.#read([...keys], at)).entries;
  }

  /**
   * Everything at and under a path, by key. Longer lists are read in pages, each true at its own revision unless one is given. Throws as
   * `get`.
   */
  async list(prefix = "", { limit, at = 0n }: { limit?: number; at?: bigint } = {}): Promise<StateEntry[]> {
    const request = message(GetStateRequest, { prefix, revision: at });
    const entries = await readPages(this.#origin.caller, GET_STATE, request, (page) => page.entries, limit);
    return entries.map(toEntry);
  }

  /**
   * Changes 1 to 1000 keys, all or none, and returns the new revision. Throws StateConflictError, InvalidArgument (append to what is no
   * list), NotFound (a delete of what is not there), CursorCompacted (a base too old to tell), InvalidPayload, StaleAttempt, StaleFence.
   */
  async update(
    updates: Readonly<Record<string, JsonLike>>,
    options: ChangeOptions & WriteOptions = {},
  ): Promise<bigint> {
    const request = message(UpdateStateRequest, { ...this.#write(options), change: stateChange(updates, options) });
    return (await this.#origin.caller.call(UPDATE_STATE, request)).revision;
  }

  /**
   * Deletes 1 to 1000 keys, all or none, or whatever is at and under the path `prefix`; returns the revision. Throws NotFound when there is
   * nothing to delete; otherwise as `update`.
   */
  async delete(
    keys: string | readonly string[],
    options: WriteOptions & { prefix?: string; baseRevision?: bigint } = {},
  ): Promise<bigint> {
    const request = message(DeleteStateRequest, {
      ...this.#write(options),
      keys: typeof keys === "string" ? [keys] : [...keys],
      prefix: options.prefix ?? "",
      baseRevision: options.baseRevision,
    });
    return (await this.#origin.caller.call(DELETE_STATE, request)).revision;
  }

  /**
   * The changes of a key, or of everything at and under a path, in (after, until] (0: no end), the oldest first. Throws CursorInFuture,
   * CursorCompacted.
   */
  async history(
    of: { key?: string; prefix?: string },
    options: { after?: bigint; until?: bigint; newestFirst?: boolean; limit?: number } = {},
  ): Promise<StateRevision[]> {
    const request = message(ListStateHistoryRequest, {
      key: of.key ?? "",
      prefix: of.prefix ?? "",
      afterRevision: options.after ?? 0n,
      untilRevision: options.until ?? 0n,
      descending: options.newestFirst ?? false,
    });
    const { caller } = this.#origin;
    const revisions = await readPages(caller, LIST_STATE_HISTORY, request, (page) => page.revisions, options.limit);
    return revisions.map(toRevision);
  }

  /**
   * Follows at most 1000 keys, or everything at and under a path: `for await (const change of state.watch(...))`. What is there comes
   * first, then each change; with `after` (a Cursor, or a revision) only the changes after it. Iterating throws CursorCompacted,
   * LogMismatch, CursorInFuture, InvalidArgument, and Unavailable when no coordinator was reached at all within `retryMs`.
   */
  watch(of: { keys?: readonly string[]; prefix?: string }, { after }: { after?: Cursor | bigint } = {}): StateWatch {
    return new StateWatch(this.#origin.caller, of.keys ?? [], of.prefix ?? "", after);
  }

  /**
   * Replaces a value by what `change` makes of it (of undefined when there is none), and again when another was faster. `change` may be
   * called several times. Throws StateConflictError after `attemptsMax`, and at once where somebody else's lock guards the key.
   */
  async modify(
    key: string,
    change: (value: Json | undefined) => JsonLike | Promise<JsonLike>,
    options: { attemptsMax?: number; priority?: number; fences?: Fences } = {},
  ): Promise<Modified> {
    const { attemptsMax = STATE_MODIFY_ATTEMPTS_MAX, ...write } = options;
    const backoff = new Backoff();
    for (let attempt = 1; ; attempt++) {
      const { entries, revision } = await this.#read([key], 0n);
      const value = toJson(await change(entries.get(key)?.value));
      try {
        const written = await this.update({ [key]: value }, { ...write, strategy: "replace", baseRevision: revision });
        return { value, revision: written };
      } catch (error) {
        if (!(error instanceof StateConflictError) || error.conflictType === "resource_conflict") throw error;
        if (attempt >= attemptsMax) throw error;
      }
      await sleep(backoff.pauseMs());
    }
  }

  #write({ priority = 0, requestId = "", fences }: WriteOptions) {
    const { attemptToken, writer } = this.#origin;
    return { attemptToken, writer, priority, requestId, fences: toFences(fences) };
  }

  async #read(keys: string[], at: bigint): Promise<{ entries: Map<string, StateEntry>; revision: bigint }> {
    if (keys.length < 1 || keys.length > KEYS_PER_READ_MAX) {
      throw new InvalidArgument(`a read names 1 to ${KEYS_PER_READ_MAX} keys, not ${keys.length}`);
    }
    const request = message(GetStateRequest, { keys, revision: at });
    let response = await this.#origin.caller.call(GET_STATE, request);
    const entries = [...response.entries];
    const revision = response.sequence;
    while (response.nextPageToken !== "") {
      // More than fits into a message: the rest as it was then.
      request.revision = revision;
      request.pageToken = response.nextPageToken;
      response = await this.#origin.caller.call(GET_STATE, request);
      entries.push(...response.entries);
    }
    return { entries: new Map(entries.map((each) => [each.key, toEntry(each)])), revision };
  }
}

function toEntry({ key, value, revision, writer, updatedAt }: StateEntryMessage): StateEntry {
  return { key, value, revision, writer, updatedAt: toDate(updatedAt) };
}

function toRevision(revision: StateRevisionMessage): StateRevision {
  const { updates, strategy, changedAt, _unknownFields, ...rest } = revision;
  const named = (Object.keys(STRATEGIES) as Strategy[]).find((each) => STRATEGIES[each] === strategy);
  return {
    ...rest,
    strategy: named ?? "merge",
    changedAt: toDate(changedAt),
    updates: new Map(updates.map(({ key, value }) => [key, value])),
  };
}
