// The same echo through @grpc/grpc-js and Connect for Node, 32 in flight, by protobuf-es on both sides: medians of interleaved rounds.
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import * as grpc from "@grpc/grpc-js";
import { setTimeout as sleep } from "node:timers/promises";
import * as events from "./concert/v1/event_service_pb.js";
import * as session from "./concert/v1/session_service_pb.js";

const [address] = process.argv.slice(2);
const IN_FLIGHT = 32;
const ROUNDS = 5;
const publish = create(events.PublishRequestSchema, {
  requestId: "abc-000000000001",
  events: [{ custom: { name: "measured", data: { content: { case: "data", value: new Uint8Array(64) } } } }],
});
const frame = create(session.ConnectRequestSchema, {
  messages: [{ message: { case: "command", value: { correlationId: 1n, request: { case: "publish", value: publish } } } }],
});
const write = (schema) => (message) => Buffer.from(toBinary(schema, message));
const read = (schema) => (bytes) => fromBinary(schema, bytes);

const client = new grpc.Client(address, grpc.credentials.createInsecure());
const transport = createGrpcTransport({ baseUrl: `http://${address}` });
const connectEvents = createClient(events.EventService, transport);
const connectSession = createClient(session.SessionService, transport);

// The echo answers with the request, which a response reads as fields that it does not know.
const unaryByGrpc = () =>
  new Promise((resolve, reject) => {
    const path = "/concert.v1.EventService/Publish";
    const done = (error, response) => (error ? reject(error) : resolve(response));
    client.makeUnaryRequest(path, write(events.PublishRequestSchema), read(events.PublishRequestSchema), publish, done);
  });
const unaryByConnect = () => connectEvents.publish(publish).catch(() => {});

function streamByGrpc(onEcho) {
  const path = "/concert.v1.SessionService/Connect";
  const call = client.makeBidiStreamRequest(path, write(session.ConnectRequestSchema), read(session.ConnectRequestSchema));
  call.on("data", onEcho);
  call.on("error", () => {});
  return { send: () => call.write(frame), end: () => call.cancel() };
}

function streamByConnect(onEcho) {
  const stop = new AbortController();
  let owed = 0;
  let wake = () => {};
  async function* frames() {
    for (;;) {
      for (; owed > 0; owed--) yield frame;
      await new Promise((resolve) => {
        wake = resolve;
      });
    }
  }
  void (async () => {
    for await (const _echo of connectSession.connect(frames(), { signal: stop.signal })) onEcho();
  })().catch(() => {});
  const send = () => {
    owed++;
    wake();
  };
  return { send, end: () => stop.abort() };
}

async function measured(count) {
  await sleep(400);
  const [before, begun, cpu] = [count(), performance.now(), process.cpuUsage()];
  await sleep(1500);
  const answers = count() - before;
  const { user, system } = process.cpuUsage(cpu);
  return { rate: (answers / (performance.now() - begun)) * 1000, cpu: (user + system) / answers };
}

async function unary(call) {
  let answers = 0;
  let over = false;
  const callers = Array.from({ length: IN_FLIGHT }, async () => {
    for (; !over; answers++) await call();
  });
  const figures = await measured(() => answers);
  over = true;
  await Promise.all(callers);
  return figures;
}

async function streamed(open) {
  let echoes = 0;
  const stream = open(() => {
    echoes++;
    stream.send();
  });
  for (let each = 0; each < IN_FLIGHT; each++) stream.send();
  const figures = await measured(() => echoes);
  stream.end();
  return figures;
}

const loads = {
  "unary, grpc-js": () => unary(unaryByGrpc),
  "unary, Connect": () => unary(unaryByConnect),
  "stream, grpc-js": () => streamed(streamByGrpc),
  "stream, Connect": () => streamed(streamByConnect),
};
const found = new Map(Object.keys(loads).map((name) => [name, []]));
for (let round = 0; round < ROUNDS; round++) for (const name in loads) found.get(name).push(await loads[name]());
const median = (numbers) => numbers.sort((one, other) => one - other)[numbers.length >> 1];
for (const [name, figures] of found) {
  const [rate, cpu] = [median(figures.map((each) => each.rate)), median(figures.map((each) => each.cpu))];
  console.log(`${name}: ${rate.toFixed(0)} a second, ${cpu.toFixed(0)} us of client CPU each`);
}
process.exit(0);
