/** A session: one stream that breaks and is resumed, with commands that take effect once. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { AlreadyExists, connect, Deadlock, LockLost, LockTimeout, LockUpgrade, SessionOver } from "@concert-dev/client";
import { until } from "./conditions.js";
import { Coordinator } from "./coordinator.js";

let coordinator: Coordinator;

before(async () => {
  coordinator = await Coordinator.start();
});

after(async () => {
  await coordinator[Symbol.asyncDispose]();
});

test("many calls at once are answered each with its own answer", async () => {
  await using client = connect(coordinator.address, { namespace: "many" });
  await using session = await client.session();
  const sequences = await Promise.all(
    Array.from({ length: 500 }, (_each, number) => session.publish("counted", number)),
  );
  assert.equal(new Set(sequences).size, 500);
  const events = await client.events.list({ customNames: ["counted"] });
  assert.deepEqual(
    events.map((event) => event.payload?.$case === "custom" && event.payload.value.data?.content?.value),
    Array.from({ length: 500 }, (_each, number) => number),
  );
});

test("commands under way while the coordinator is killed take effect once, and the session goes on", async () => {
  await using own = await Coordinator.start();
  await using client = connect(own.address, { namespace: "killed" });
  await using session = await client.session({ leaseMs: 60_000 });
  const lock = await session.lock("door");
  let settled = 0;
  const publishing = Promise.all(
    Array.from({ length: 200 }, async (_each, number) => {
      await session.publish("counted", number);
      settled++;
    }),
  );
  await until(() => settled > 0);
  await own.kill();
  await own.start();
  await publishing;
  const events = await client.events.list({ customNames: ["counted"] });
  const numbers = events.map((event) => event.payload?.$case === "custom" && event.payload.value.data?.content?.value);
  assert.deepEqual(numbers, [...numbers.keys()]);
  assert.equal(numbers.length, 200);
  assert.equal(lock.lost, false);
  await lock.release();
});

test("a subscription goes on over a restart without a gap or a repeat", async () => {
  await using own = await Coordinator.start();
  await using client = connect(own.address);
  const seen: unknown[] = [];
  const subscription = await client.subscribe({ customNames: ["counted"] }).ready();
  const reading = (async () => {
    for await (const event of subscription) {
      seen.push(event.payload?.$case === "custom" && event.payload.value.data?.content?.value);
      if (seen.length === 20) break;
    }
  })();
  for (let number = 0; number < 20; number++) {
    await client.publish("counted", number);
    if (number === 9) {
      await until(() => seen.length > 0);
      await own.kill();
      await own.start();
    }
  }
  await reading;
  assert.deepEqual(seen, [...Array(20).keys()]);
});

test("a session whose lease ran out is over, and its locks are lost", async () => {
  await using own = await Coordinator.start();
  await using client = connect(own.address);
  const session = await client.session({ leaseMs: 2_000 });
  const lock = await session.lock("door");
  own.pause();
  const over = await session.waitOver();
  own.resume();
  assert.ok(over instanceof SessionOver);
  assert.ok(lock.signal.reason instanceof LockLost);
  await assert.rejects(lock.release(), LockLost);
  await assert.rejects(session.publish("late"), SessionOver);
});

test("one session lives under an agent id, and a take-over ends it", async () => {
  await using client = connect(coordinator.address, { namespace: "ids" });
  const first = await client.session({ agentId: "desk" });
  await assert.rejects(client.session({ agentId: "desk" }), AlreadyExists);
  await using _second = await client.session({ agentId: "desk", takeover: true });
  assert.ok((await first.waitOver()) instanceof SessionOver);
});

test("scopes of one session take turns, and those inside one another do not wait for themselves", async () => {
  await using client = connect(coordinator.address, { namespace: "turns" });
  await using session = await client.session();
  let inside = 0;
  const enter = () =>
    session.withLock("door", async () => {
      assert.equal(++inside, 1);
      await session.withLock("door", async () => session.publish("inside"));
      inside--;
    });
  await Promise.all([enter(), enter(), enter()]);
  const outer = await session.lock("door");
  await assert.rejects(session.lock("door", { waitMs: 50 }), LockTimeout);
  const inner = await session.lock("door", { within: outer });
  assert.equal(inner.fencingToken, outer.fencingToken);
  await inner.release();
  await outer.release();
  await assert.rejects(client.locks.get("door"));
});

test("a shared lock is not made exclusive, and a circle of waiting is refused", async () => {
  await using client = connect(coordinator.address, { namespace: "circles" });
  await using one = await client.session();
  await using two = await client.session();
  const shared = await one.lock("shared", { mode: "shared" });
  await assert.rejects(one.lock("shared", { within: shared }), LockUpgrade);
  await using _a = await one.lock("a");
  await using _b = await two.lock("b");
  const stop = new AbortController();
  const waiting = one.lock("b", { signal: stop.signal });
  await until(async () => (await client.locks.get("b")).waiters.length === 1);
  await assert.rejects(two.lock("a"), (error) => {
    assert.ok(error instanceof Deadlock);
    assert.equal(error.cycle.length, 2);
    return true;
  });
  stop.abort(new Error("enough"));
  await assert.rejects(waiting, /enough/);
});
