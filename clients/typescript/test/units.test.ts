/** What needs no coordinator. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { toPayload } from "@concert-dev/client";
import { ConnectRequest, ConnectResponse, Hello, Payload } from "@concert-dev/client/v1";
import { Commands } from "#internal/commands.js";
import { Lease } from "#internal/lease.js";
import { clip, clipStart } from "#internal/payload.js";
import { fromDuration, toDate, toDuration, toTimestamp } from "#internal/time.js";
import { decodeFrame, encodeCommand, encodeFrame, encodeHeartbeat, encodeHello, framedSize } from "#internal/wire.js";

test("frames are what the generated code reads and writes", () => {
  const messages = [
    encodeHello(Hello.create({ namespace: "n", sessionId: 7n })),
    encodeHeartbeat(3n),
    encodeCommand(2n ** 40n, "00-trace", 20, new Uint8Array(300)),
  ];
  const frame = encodeFrame(messages);
  assert.equal(
    frame.length,
    messages.reduce((sum, each) => sum + framedSize(each), 0),
  );
  const [hello, heartbeat, command] = ConnectRequest.decode(frame).messages.map((each) => each.message);
  assert.equal(hello?.$case === "hello" && hello.value.sessionId, 7n);
  assert.equal(heartbeat?.$case === "heartbeat" && heartbeat.value.nonce, 3n);
  assert.equal(command?.$case === "command" && command.value.correlationId, 2n ** 40n);
  assert.equal(command?.$case === "command" && command.value.request?.$case, "publish");
});

test("what comes down is taken apart as far as it has to be, and what is not known is passed over", () => {
  const frame = ConnectResponse.encode(
    ConnectResponse.create({
      messages: [
        { message: { $case: "task", value: { attemptToken: 9n, runId: "r" } } },
        {
          message: {
            $case: "reply",
            value: { correlationId: 5n, outcome: { $case: "publish", value: { sequences: [1n] } } },
          },
        },
        { message: { $case: "heartbeatAck", value: { nonce: 4n } } },
      ],
    }),
  ).finish();
  const unknown = new Uint8Array([0x0a, 0x04, 0xfa, 0x01, 0x01, 0x78]); // A message of field 31: a newer coordinator's.
  const incoming = decodeFrame(Buffer.concat([frame, unknown]));
  assert.deepEqual(
    incoming.map((each) => each.kind),
    ["task", "reply", "heartbeatAck", "unknown"],
  );
  assert.equal(incoming[0]?.kind === "task" && incoming[0].attemptToken, 9n);
  assert.equal(incoming[1]?.kind === "reply" && incoming[1].field, 20);
});

test("unknown fields and enum values are kept", () => {
  const bytes = new Uint8Array([0x12, 0x01, 0x07, 0xf8, 0x07, 0x2a]); // data, and field 127 = 42.
  assert.deepEqual(Payload.encode(Payload.decode(bytes)).finish(), bytes);
});

test("JSON is written as protobuf has it, null and nothing apart", () => {
  const value = { nothing: null, list: [[], {}], text: "é", left: undefined };
  const read = Payload.decode(Payload.encode(toPayload(value)).finish());
  assert.deepEqual(read.content, { $case: "json", value: { nothing: null, list: [[], {}], text: "é" } });
  assert.deepEqual(Payload.decode(Payload.encode(toPayload(null)).finish()).content, { $case: "json", value: null });
});

test("text is cut at whole characters", () => {
  assert.equal(clip("äöü", 6), "äöü");
  assert.equal(clip("äöüä", 6), "ä…");
  assert.equal(clipStart("äöüä", 6), "…ä");
  assert.ok(Buffer.byteLength(clip("🙂".repeat(50), 99)) <= 99);
});

test("times are carried to the nanosecond and before the epoch", () => {
  assert.deepEqual({ ...toDuration(1500.25) }, { ...toDuration(0), seconds: 1n, nanos: 500_250_000 });
  assert.equal(fromDuration(toDuration(1500.25)), 1500.25);
  const before = new Date("1969-12-31T23:59:59.250Z");
  assert.deepEqual(toDate(toTimestamp(before)), before);
});

test("commands without a reply are sent again in their order, and are bounded", async () => {
  const commands = new Commands(() => {});
  const asked = (attemptToken = 0n) => ({
    name: "Publish",
    field: 20,
    request: new Uint8Array(8),
    attemptToken,
    traceparent: "",
  });
  const first = await commands.add(asked());
  await commands.add(asked(1n));
  commands.outgoing = [];
  commands.sendAgain();
  assert.equal(commands.outgoing.length, 2);
  commands.take(1n)?.settle({ field: 20, outcome: new Uint8Array() });
  assert.equal((await first.answer).field, 20);
  while (commands.size < 2048) await commands.add(asked());
  let admitted = false;
  const waiting = Promise.resolve(commands.add(asked())).then(() => {
    admitted = true;
  });
  await new Promise(setImmediate);
  assert.equal(admitted, false);
  commands.take(2n);
  await waiting;
  commands.close("it is over");
  assert.throws(() => commands.add(asked()), /it is over/);
});

test("a lease is over before the coordinator's, counted from when its renewal was sent", async () => {
  const begun = performance.now();
  const over = await new Promise<number>((resolve) => {
    new Lease(() => resolve(performance.now() - begun)).renew(begun - 100, 1000);
  });
  assert.ok(over >= 800 - 5, `${over} ms`);
});
