/** What a caller (a client, a session, an attempt) can be asked: one function an op. */
import {
  type Client,
  Cursor,
  draft,
  type Event,
  type Fences,
  type Lock,
  type NamedSubscription,
  type SubscribeOptions,
  type Subscription,
  type Surface,
} from "@concert-dev/client";
import { trace } from "@opentelemetry/api";
import { type Args, camelKeys, encoded, errorOf, eventOf, milliseconds, runOf, runOptions, taskOf } from "./values.js";

/** What an op does; its result. */
// biome-ignore lint/suspicious/noExplicitAny: what an op is on, only the op knows
export type Operation = (on: any, args: Args, name: string) => unknown;

/** A subscription that is read on demand. */
export class Followed {
  readonly subscription: Subscription | NamedSubscription;
  readonly events: AsyncIterator<Event>;
  readonly seen = new Map<number, Event>();

  constructor(subscription: Subscription | NamedSubscription) {
    this.subscription = subscription;
    this.events = subscription[Symbol.asyncIterator]();
  }

  async close(): Promise<void> {
    await this.subscription.close();
  }
}

/** A lock scope that stands until it is released or lost. */
export class Held {
  readonly lock: Lock;
  #released = false;

  /** Has `lost` told when the lock is lost while it is held. */
  constructor(lock: Lock, lost: (error: unknown) => void) {
    this.lock = lock;
    lock.signal.addEventListener("abort", () => {
      if (!this.#released && lock.lost) lost(lock.signal.reason);
    });
  }

  release(): Promise<void> {
    this.#released = true;
    return this.lock.release();
  }

  async close(): Promise<void> {
    await this.release().catch(() => {});
  }
}

/** Every op of a caller, over the driver's things and its voice. */
export function operations(things: Map<string, unknown>, say: (message: object) => void): Record<string, Operation> {
  return {
    async publish(caller: Surface, { events, ...options }: Args) {
      const drafts = events.map(({ name, data, ...rest }: Args) => draft(name, data, camelKeys(rest)));
      return { sequences: await caller.publishMany(drafts, write(options)) };
    },

    async list_events(caller: Surface, { filter = {}, after = 0, limit, raw }: Args) {
      const found = await caller.events.list({ ...camelKeys(filter), after: BigInt(after), ...(limit && { limit }) });
      return { events: found.map((event) => eventOf(event, raw)) };
    },

    async subscribe(caller: Surface, args: Args) {
      const selection = camelKeys(args.filter ?? {});
      const { start, acknowledge } = args;
      const beginning = { ...(start !== undefined && { start }) };
      const subscription =
        args.name === undefined
          ? caller.subscribe({ ...selection, ...beginning, ...position(args) })
          : caller.namedSubscription(args.name, {
              ...selection,
              ...beginning,
              ...(acknowledge !== undefined && { acknowledge }),
            });
      await subscription.ready();
      things.set(args.as, new Followed(subscription));
    },

    async next(followed: Followed, { count, raw }: Args) {
      const events: Event[] = [];
      while (events.length < count) {
        const { value, done } = await followed.events.next();
        if (done) break;
        events.push(value);
        followed.seen.set(Number(value.sequence), value);
      }
      return { events: events.map((event) => eventOf(event, raw)) };
    },

    async ack(followed: Followed, { sequence }: Args) {
      await (followed.subscription as NamedSubscription).ack(followed.seen.get(sequence) as Event);
    },

    async acknowledge(client: Client, { name, cursor, reset }: Args) {
      const moved = await client.subscriptions.acknowledge(name, toCursor(cursor), { reset });
      return { sequence: moved.cursor?.sequence };
    },

    async submit_run(caller: Surface, args: Args) {
      const run = await caller.submitRun({ ...runOptions(args.run), ...write(args) });
      return { run_id: run.runId };
    },

    wait_run: async (caller: Surface, { run_id }: Args) => runOf(await caller.run(run_id).wait()),

    get_run: async (caller: Surface, { run_id }: Args) => runOf(await caller.run(run_id).get()),

    async cancel_run(caller: Surface, { run_id }: Args) {
      await caller.run(run_id).cancel();
    },

    async add_tasks(caller: Surface, { run_id, tasks = [], last }: Args) {
      await caller.run(run_id).addTasks(tasks.map(taskOf), { ...(last !== undefined && { last }) });
    },

    retry_run: async (caller: Surface, { run_id }: Args) => ({ generation: await caller.run(run_id).retry() }),

    async task_result(caller: Surface, { run_id, task_id }: Args) {
      return { value: encoded(await caller.run(run_id).result(task_id)) };
    },

    async acquire(caller: Surface, { as: name, resources, ...options }: Args) {
      const lock = await caller.lock(resources, milliseconds(options, "lease", "wait"));
      things.set(name, new Held(lock, (error) => say({ notice: "lost", on: name, error: errorOf(error) })));
      return {
        grants: lock.grants.map(({ resource, fencingToken, holder }) => ({
          resource,
          fencing_token: fencingToken,
          holder,
        })),
      };
    },

    async release(held: Held) {
      await held.release();
    },

    async update_state(caller: Surface, { updates = {}, ...options }: Args) {
      return { revision: await caller.state.update(updates, stateOptions(options)) };
    },

    async delete_state(caller: Surface, { keys = [], ...options }: Args) {
      return { revision: await caller.state.delete(keys, stateOptions(options)) };
    },

    async get_state(caller: Surface, { keys, prefix, at = 0 }: Args) {
      const when = { at: BigInt(at) };
      const entries =
        keys === undefined
          ? await caller.state.list(prefix, when)
          : [...(await caller.state.getMany(keys, when)).values()];
      const found = entries.map(({ key, value, revision, writer }) => [
        key,
        { value: encoded(value), revision, writer },
      ]);
      return { entries: Object.fromEntries(found) };
    },

    modify_state: (caller: Surface, { key, add }: Args) =>
      caller.state.modify(key, (value) => ((value as number | undefined) ?? 0) + add),

    async server_info(caller: Surface) {
      const { featureLevel, limits } = await caller.serverInfo();
      return { feature_level: featureLevel, limits };
    },
  };
}

/** Does it, inside a span that the application opens where one is named. */
export function inSpan(operation: Operation, on: unknown, { span, ...args }: Args, name: string): unknown {
  if (span === undefined) return operation(on, args, name);
  return trace.getTracer("concert.conformance").startActiveSpan(span, async (opened) => {
    try {
      return await operation(on, args, name);
    } finally {
      opened.end();
    }
  });
}

/** What `stateOptions` and others share. */
function write({ request_id, fences }: Args): { requestId?: string; fences?: Fences } {
  return {
    ...(request_id !== undefined && { requestId: request_id }),
    ...(fences !== undefined && {
      fences: fences.map((each: Args) => ({ resource: each.resource, fencingToken: BigInt(each.fencing_token) })),
    }),
  };
}

function stateOptions({ base_revision, fences, request_id, ...options }: Args) {
  return {
    ...camelKeys(options),
    ...write({ request_id, fences }),
    ...(base_revision !== undefined && { baseRevision: BigInt(base_revision) }),
  };
}

function position({ after, cursor, since }: Args): SubscribeOptions {
  if (cursor !== undefined) return { after: toCursor(cursor) };
  if (after !== undefined) return { after: BigInt(after) };
  return since === undefined ? {} : { since: new Date(since) };
}

function toCursor({ log_id = "", sequence }: Args): Cursor {
  return Cursor.create({ logId: log_id, sequence: BigInt(sequence) });
}
