/** What a client asks of a coordinator, one rpc at a time. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import {
  AlreadyExists,
  type Client,
  CursorInFuture,
  connect,
  InvalidArgument,
  InvalidPayload,
  type Json,
  LockLost,
  LockTimeout,
  NotFound,
  NotHolder,
  StaleFence,
  StateConflictError,
  Unavailable,
} from "@concert-dev/client";
import { gate, until } from "./conditions.js";
import { Coordinator } from "./coordinator.js";

let coordinator: Coordinator;
let client: Client;

before(async () => {
  coordinator = await Coordinator.start();
  client = connect(coordinator.address, { namespace: "client" });
});

after(async () => {
  await client.close();
  await coordinator[Symbol.asyncDispose]();
});

test("what is published is read again, as it was", async () => {
  const data = { text: "Grüße, 世界 🙂", list: [1, 2.5, -0.5, null, true], deep: { __proto__: null, empty: {} } };
  const sequence = await client.publish("read", data, { metadata: { colour: "blue" }, eventId: "only-once" });
  assert.equal(typeof sequence, "bigint");
  const event = await client.events.get(sequence);
  assert.equal(event.payload?.$case, "custom");
  const custom = event.payload.value;
  assert.deepEqual(custom.data?.content, { $case: "json", value: { ...data, deep: { empty: {} } } });
  assert.deepEqual(event.metadata, { colour: "blue" });
  assert.equal(await client.publish("read", data, { eventId: "only-once" }), sequence);
});

test("a key named __proto__ is a key like others", async () => {
  const value = JSON.parse('{"__proto__": {"admin": true}, "b": 1}') as Json;
  await client.state.update({ odd: value });
  const read = (await client.state.get("odd"))?.value as Record<string, Json>;
  assert.deepEqual(Object.keys(read).sort(), ["__proto__", "b"]);
  assert.equal((read as { admin?: boolean }).admin, undefined);
});

test("numbers at the edge of JSON come back as they were", async () => {
  const numbers = [0, -0, 2 ** 53, -(2 ** 53), Number.MAX_VALUE, Number.MIN_VALUE, 0.1];
  await client.state.update({ numbers }, { strategy: "replace" });
  assert.deepEqual((await client.state.get("numbers"))?.value, numbers);
});

test("what cannot be sent is refused before it is", async () => {
  const far = 2n ** 53n + 1n;
  const circular: { self?: unknown } = {};
  circular.self = circular;
  const bad: unknown[] = [
    Number.NaN,
    Number.POSITIVE_INFINITY,
    far,
    "\ud800",
    new Date(),
    new Map(),
    () => 1,
    circular,
  ];
  for (const value of bad) await assert.rejects(client.publish("bad", value as never), InvalidPayload, String(value));
  await assert.rejects(client.publish("big", "x".repeat(1024 * 1024 + 1)), InvalidPayload);
});

test("a subscription gets what came before and what comes after, once and in order", async () => {
  const first = await client.publish("counted", 1);
  await client.publish("other");
  const subscription = client.subscribe({ customNames: ["counted"], after: first - 1n });
  const seen: Json[] = [];
  const last = gate();
  const reading = (async () => {
    for await (const event of subscription) {
      if (event.payload?.$case === "custom") seen.push(event.payload.value.data?.content?.value as Json);
      if (seen.length === 3) break;
    }
    last.open();
  })();
  await until(() => seen.length === 1);
  await client.publish("counted", 2);
  await client.publish("counted", 3);
  await reading;
  assert.deepEqual(seen, [1, 2, 3]);
  assert.ok(subscription.cursor.sequence >= first + 3n);
});

test("a subscription that is closed ends, also while it waits", async () => {
  const subscription = await client.subscribe().ready();
  const ended = (async () => {
    for await (const _event of subscription) assert.fail("nothing was published");
  })();
  subscription.close();
  await ended;
});

test("a cursor from the future is refused", async () => {
  const subscription = client.subscribe({ after: 1_000_000_000n });
  await assert.rejects(async () => {
    for await (const _event of subscription) break;
  }, CursorInFuture);
});

test("a named subscription goes on after what was processed", async () => {
  await using first = await client.namedSubscription("invoices", { customNames: ["paid"] }).ready();
  for (const number of [1, 2, 3]) await client.publish("paid", number);
  const seen: Json[] = [];
  for await (const event of first) {
    if (event.payload?.$case === "custom") seen.push(event.payload.value.data?.content?.value as Json);
    if (seen.length === 3) break; // The third is not processed: it comes again.
  }
  for await (const event of client.namedSubscription("invoices", { customNames: ["paid"] })) {
    if (event.payload?.$case === "custom") seen.push(event.payload.value.data?.content?.value as Json);
    break;
  }
  assert.deepEqual(seen, [1, 2, 3, 3]);
  assert.equal(await client.subscriptions.delete("invoices"), true);
  assert.throws(() => client.subscribe({ types: ["no_such_type"] }), InvalidArgument);
});

test("a lost conflict tells who won, and modify tries again", async () => {
  await client.state.update({ "site/pages": 1 });
  await using other = connect(coordinator.address, { namespace: "client" });
  const conflict = await client.state.update({ "site/pages": 2 }, { baseRevision: 0n }).then(
    () => assert.fail("it was not refused"),
    (error: unknown) => error,
  );
  assert.ok(conflict instanceof StateConflictError);
  assert.equal(conflict.keys[0]?.key, "site/pages");
  assert.equal(conflict.keys[0]?.current, 1);
  assert.ok(conflict.currentRevision > 0n);
  const add = (by: Client) => by.state.modify("count", (count) => ((count as number | undefined) ?? 0) + 1);
  await Promise.all(Array.from({ length: 10 }, (_each, index) => add(index % 2 === 0 ? client : other)));
  assert.equal((await client.state.get("count"))?.value, 10);
});

test("state is listed, deleted, watched and remembered", async () => {
  const first = await client.state.update({ "watched/a": 1, "watched/b": 2 });
  const watch = client.state.watch({ prefix: "watched" });
  const seen: string[] = [];
  const watching = (async () => {
    for await (const change of watch) {
      seen.push(`${change.key} ${change.kind} ${JSON.stringify(change.value)}`);
      if (change.kind === "deleted") break;
    }
  })();
  await until(() => seen.length === 2);
  await client.state.update({ "watched/a": 3 }, { strategy: "replace" });
  await client.state.delete("watched/b");
  await watching;
  assert.deepEqual(seen, ["watched/a there 1", "watched/b there 2", "watched/a set 3", "watched/b deleted undefined"]);
  assert.deepEqual(
    (await client.state.list("watched")).map(({ key }) => key),
    ["watched/a"],
  );
  assert.equal((await client.state.get("watched/b", { at: first }))?.value, 2);
  const history = await client.state.history({ key: "watched/a" });
  assert.deepEqual(
    history.map(({ updates }) => updates.get("watched/a")),
    [1, 3],
  );
  await assert.rejects(client.state.delete("watched/b"), NotFound);
});

test("a lock is exclusive, and its fencing token guards what relies on it", async () => {
  const lock = await client.lock("bucket/blog");
  await assert.rejects(client.lock("bucket/blog", { waitMs: 0 }), (error) => {
    assert.ok(error instanceof LockTimeout);
    assert.equal(error.holders[0]?.fencingToken, lock.fencingToken);
    return true;
  });
  await client.publish("guarded", 1, { fences: [lock] });
  await lock.release();
  await lock.release();
  await assert.rejects(client.publish("guarded", 2, { fences: [lock] }), StaleFence);
  await assert.rejects(client.locks.release(lock.fencingToken), NotHolder);
  await assert.rejects(client.locks.get("bucket/blog"), NotFound);
  const next = await client.withLock("bucket/blog", (held) => held.fencingToken);
  assert.ok(next > lock.fencingToken);
});

test("a lock that is lost aborts its signal, and the end of its scope says so", async () => {
  const lost = client.withLock(
    "fragile",
    async (lock) => {
      await client.locks.release(lock.fencingToken); // Somebody else gave it back.
      await new Promise((resolve) => lock.signal.addEventListener("abort", resolve, { once: true }));
      return "did not notice";
    },
    { leaseMs: 1_000 },
  );
  await assert.rejects(lost, LockLost);
});

test("a wait for a lock ends with its signal, and leaves nothing behind", async () => {
  await using _held = await client.lock("wanted");
  const stop = new AbortController();
  const waiting = client.lock("wanted", { signal: stop.signal });
  await until(async () => (await client.locks.get("wanted")).waiters.length === 1);
  stop.abort(new Error("enough"));
  await assert.rejects(waiting, /enough/);
  await until(async () => (await client.locks.get("wanted")).waiters.length === 0);
});

test("subscriptions that exist already, and where nobody is", async () => {
  await client.subscriptions.create("twice");
  await assert.rejects(client.subscriptions.create("twice"), AlreadyExists);
  await using nowhere = connect("127.0.0.1:1", { retryMs: 200 });
  await assert.rejects(nowhere.publish("x"), (error) => {
    assert.ok(error instanceof Unavailable);
    assert.match(error.message, /127\.0\.0\.1:1.*is a coordinator running, and is this its address/s);
    return true;
  });
});

test("the second address serves when nobody is at the first", async () => {
  await using two = connect(["127.0.0.1:1", coordinator.address], { namespace: "client" });
  assert.ok((await two.publish("x")) > 0n);
});
