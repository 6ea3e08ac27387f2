/**
 * One load on one server, for `make bench-languages`: `node build/benchmark/load.js KIND ADDRESS NAMESPACE WARM_UP_SECONDS SECONDS`. Prints
 * what it measured as one JSON object; benchmarks/languages says what the kinds are.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { connect, draft, type Session, task } from "@concert-dev/client";
import { AgentHost } from "@concert-dev/client/agent";
import { CustomEvent, EventDraft, Payload, PublishRequest } from "@concert-dev/client/v1";
import * as grpc from "@grpc/grpc-js";
import { message } from "#internal/message.js";
import { CONNECT_PATH, PUBLISH } from "#internal/methods.js";
import { decodeFrame, encodeCommand, encodeFrame } from "#internal/wire.js";

const IN_FLIGHT = 32;
const EVENTS_A_BATCH = 100;
const BATCHES_IN_FLIGHT = 4;
const TASKS_A_RUN = 500;
const CHAIN_TASKS = 100;
const PAYLOAD = new Uint8Array(64).fill(120);

const [kind = "", address = "", namespace = "", warmUp = "1", seconds = "2"] = process.argv.slice(2);

/** What came, and whether there is to be more. */
const count = { done: 0, over: false };

/** How much came in the measured time, a second. */
async function measured(): Promise<{ rate: number; client_cpu_share: number }> {
  await sleep(Number(warmUp) * 1000);
  const [before, begun, cpu] = [count.done, performance.now(), process.cpuUsage()];
  await sleep(Number(seconds) * 1000);
  const took = (performance.now() - begun) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  const rate = (count.done - before) / took;
  count.over = true;
  return { rate, client_cpu_share: (user + system) / 1e6 / took };
}

/** The language's gRPC without the client: k answers lead to a frame of k new commands. */
async function bare() {
  const custom = message(CustomEvent, {
    name: "measured",
    data: message(Payload, { content: { $case: "data", value: PAYLOAD } }),
  });
  const request = message(PublishRequest, {
    namespace,
    requestId: "bare-0000000001",
    events: [message(EventDraft, { custom })],
  });
  const command = encodeCommand(1n << 21n, "", PUBLISH.commandField, PublishRequest.encode(request).finish());
  const frames = Array.from({ length: IN_FLIGHT + 1 }, (_each, size) => encodeFrame(Array(size).fill(command)));
  const client = new grpc.Client(address, grpc.credentials.createInsecure());
  const identity = (bytes: Buffer) => bytes;
  const stream = client.makeBidiStreamRequest(CONNECT_PATH, identity, identity);
  stream.on("error", () => {});
  stream.on("data", (frame: Buffer) => {
    const answers = decodeFrame(frame).length;
    count.done += answers;
    if (!count.over) stream.write(frames[answers] as Buffer);
  });
  stream.write(frames[IN_FLIGHT] as Buffer);
  const figures = await measured();
  stream.cancel();
  client.close();
  return figures;
}

async function inSession(load: (session: Session) => Promise<object>): Promise<object> {
  await using client = connect(address, { namespace });
  await using session = await client.session();
  return await load(session);
}

/** `width` loops until it is over. */
function loops(width: number, act: (loop: number) => Promise<unknown>): Promise<unknown> {
  return Promise.all(
    Array.from({ length: width }, async (_each, loop) => {
      while (!count.over) await act(loop);
    }),
  );
}

async function commands(session: Session): Promise<object> {
  const taken: number[] = [];
  const running = loops(IN_FLIGHT, async () => {
    const begun = performance.now();
    await session.publish("measured", PAYLOAD);
    taken.push((performance.now() - begun) / 1000);
    count.done++;
  });
  const figures = await measured();
  await running;
  taken.sort((one, other) => one - other);
  const quantile = (part: number) => taken[Math.floor(taken.length * part)] ?? 0;
  return { ...figures, p50_seconds: quantile(0.5), p99_seconds: quantile(0.99) };
}

async function locks(session: Session): Promise<object> {
  const running = loops(IN_FLIGHT, async (loop) => {
    const lock = await session.lock(`resource-${loop}`);
    await lock.release();
    count.done++;
  });
  const figures = await measured();
  await running;
  return figures;
}

async function tasks(): Promise<object> {
  await using client = connect(address, { namespace });
  const agent = {
    name: "measured",
    slots: IN_FLIGHT,
    execute() {
      count.done++;
    },
  };
  await using host = AgentHost.start(agent, { address, namespace });
  await host.registered();
  const running = loops(2, async () => {
    const all = Array.from({ length: TASKS_A_RUN }, (_each, number) => task(`t${number}`, { agent: "measured" }));
    const run = await client.submitRun({ tasks: all });
    await run.wait();
  });
  const figures = await measured();
  await running;
  const dependsOn = (number: number) => (number === 0 ? {} : { dependsOn: [`t${number - 1}`] });
  const chain = Array.from({ length: CHAIN_TASKS }, (_each, number) =>
    task(`t${number}`, { agent: "measured", ...dependsOn(number) }),
  );
  const begun = performance.now();
  await (await client.submitRun({ tasks: chain })).wait();
  return { ...figures, round_trip_seconds: (performance.now() - begun) / 1000 / CHAIN_TASKS };
}

async function subscribe(session: Session): Promise<object> {
  const subscription = await session.subscribe({ customNames: ["measured"] }).ready();
  const reading = (async () => {
    for await (const events of subscription.batches()) count.done += events.length;
  })();
  const drafts = Array.from({ length: EVENTS_A_BATCH }, () => draft("measured", PAYLOAD));
  const running = loops(BATCHES_IN_FLIGHT, () => session.publishMany(drafts));
  const figures = await measured();
  await running;
  subscription.close();
  await reading;
  return figures;
}

const kinds: Record<string, () => Promise<object>> = {
  bare,
  commands: () => inSession(commands),
  locks: () => inSession(locks),
  tasks,
  subscribe: () => inSession(subscribe),
};
const load = kinds[kind];
if (load === undefined) throw new Error(`a load is one of ${Object.keys(kinds).join(", ")}, not ${kind}`);
console.log(JSON.stringify(await load()));
