/** What a consumer that reads for weeks needs: nothing of what it has dealt with is kept. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { NotFound } from "@concert-dev/client";
import { Event, type SubscribeResponse } from "@concert-dev/client/v1";
import type { Caller } from "#internal/caller.js";
import { NamedSubscription } from "#internal/named_subscription.js";

setFlagsFromString("--expose-gc");
const gc = runInNewContext("gc") as () => void;

/** A caller whose streams never end. */
function endless(made: (event: Event) => void, acknowledged: () => void): Caller {
  return {
    lockIdentity: "",
    place: "nowhere",
    retryMs: 1000,
    async call(method) {
      if (method.name === "Acknowledge") acknowledged();
      return method.response.create();
    },
    stream(method) {
      let sequence = 0n;
      return {
        async next() {
          await new Promise((resolve) => setImmediate(resolve));
          sequence++;
          const event = Object.assign(Event.create(), { logId: "log", sequence });
          made(event);
          return Object.assign(method.response.create() as SubscribeResponse, { events: [event] }) as never;
        },
        close() {},
      };
    },
    onLost: () => () => {},
  };
}

test("a named subscription keeps nothing of what was processed", async () => {
  let collected = 0;
  const registry = new FinalizationRegistry(() => {
    collected++;
  });
  const caller = endless(
    (event) => registry.register(event, undefined),
    () => {},
  );
  const subscription = new NamedSubscription({ caller, attemptToken: 0n, writer: "" }, "paid", {});
  let count = 0;
  for await (const _event of subscription) {
    if (++count < 2000) continue;
    for (let tries = 0; tries < 20 && collected < 1900; tries++) {
      gc();
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    break;
  }
  assert.ok(collected >= 1900, `${collected} of ${count} events were let go`);
});

test("what keeps acknowledgements from being taken is thrown to the reader", async () => {
  const caller = endless(
    () => {},
    () => {
      throw new NotFound("somebody deleted it");
    },
  );
  const subscription = new NamedSubscription({ caller, attemptToken: 0n, writer: "" }, "paid", {});
  await assert.rejects(async () => {
    for await (const _event of subscription);
  }, NotFound);
});
