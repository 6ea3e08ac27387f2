/**
 * The conformance driver of the TypeScript client: does what the runner says (clients/conformance/README.md). `values.ts` has what travels
 * as what; `operations.ts` what callers are asked; `agents.ts` the agents, whose handlers take their orders from the runner too.
 */
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { type Client, connect } from "@concert-dev/client";
import { context, trace } from "@opentelemetry/api";
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import { BasicTracerProvider } from "@opentelemetry/sdk-trace-base";
import { Attempt, RemoteAgent } from "./agents.js";
import { inSpan, type Operation, operations } from "./operations.js";
import { type Args, decoded, errorOf, milliseconds, toLine } from "./values.js";

const PLACE = [
  "address",
  "namespace",
  "lease",
  "root_certificate",
  "certificate",
  "private_key",
  "token",
  "token_file",
  "token_function",
];
const things = new Map<string, unknown>();
const say = (message: object) => process.stdout.write(toLine(message));

const ops: Record<string, Operation> = {
  ...operations(things, say),

  connect(_on: unknown, args: Args) {
    const { as: name, address, ...options } = place(args);
    things.set(name, connect(address, options));
  },

  async open_session(client: Client, { as: name, ...options }: Args) {
    const session = await client.session(milliseconds(options, "lease"));
    things.set(name, session);
    void session.waitOver().then((over) => say({ notice: "lost", on: name, error: errorOf(over) }));
    return { session_id: session.sessionId, agent_id: session.agentId, lease: session.leaseMs / 1000 };
  },

  async host_agent(_on: unknown, args: Args) {
    const where = Object.fromEntries(PLACE.filter((each) => each in args).map((each) => [each, args[each]]));
    const { as: name, ...description } = Object.fromEntries(
      Object.entries(args).filter(([each]) => !PLACE.includes(each)),
    ) as Args;
    const agent = new RemoteAgent(name, say, things, place(where), description);
    try {
      await agent.host.registered();
    } catch (error) {
      await agent.host.close();
      throw error;
    }
    things.set(name, agent);
    void agent.host.wait().then(
      () => say({ notice: "left", on: name }),
      (error) => say({ notice: "left", on: name, error: errorOf(error) }),
    );
    return { agent_id: agent.host.agentIds[0] };
  },

  async update_agent(agent: RemoteAgent, args: Args) {
    agent.describe(args);
    await agent.host.update();
  },

  async drain(agent: RemoteAgent) {
    agent.host.drain();
    await agent.host.wait();
  },

  close: (_on: unknown, _args: Args, name: string) => close(name),
};

/** Where a coordinator is and who calls: what is left out is the client's default. */
function place({ root_certificate, certificate, private_key, token_file, token_function, ...args }: Args): Args {
  const given = Object.fromEntries(Object.entries(args).filter(([, value]) => value !== undefined));
  const options = milliseconds(given, "lease", "call_seconds", "retry_seconds");
  const { callSecondsMs, retrySecondsMs, ...rest } = options;
  return {
    ...rest,
    ...(callSecondsMs !== undefined && { callMs: callSecondsMs }),
    ...(retrySecondsMs !== undefined && { retryMs: retrySecondsMs }),
    ...(root_certificate && {
      tls: { ca: readFileSync(root_certificate), ...(certificate && { certFile: certificate, keyFile: private_key }) },
    }),
    ...(token_file && { token: { file: token_file } }),
    ...(token_function && { token: () => readFileSync(token_function, "utf8").trim() }),
  };
}

async function answer({ id, op, on = "", args = {} }: Args): Promise<void> {
  const operation = Object.hasOwn(ops, op) ? ops[op] : undefined;
  const thing = things.get(on);
  try {
    const values = decoded(args) as Args;
    if (thing instanceof Attempt && op !== "close") {
      say({ id, result: (await thing.order(op, values, operation)) ?? {} });
    } else if (operation === undefined) say({ id, error: { code: "UNKNOWN_OP", message: op } });
    else say({ id, result: (await inSpan(operation, thing, values, on)) ?? {} });
  } catch (error) {
    say({ id, error: errorOf(error) });
  }
}

async function close(name: string): Promise<void> {
  const thing = things.get(name);
  things.delete(name);
  if (thing instanceof RemoteAgent) await thing.host.close();
  else if (thing !== undefined && thing !== null && "close" in (thing as object)) {
    await (thing as { close(): Promise<void> }).close();
  }
}

async function end(): Promise<never> {
  for (const name of [...things.keys()].reverse()) await close(name).catch(() => {});
  process.exit(0);
}

async function drainAll(): Promise<never> {
  const hosts = [...things.values()].filter((each) => each instanceof RemoteAgent).map(({ host }) => host);
  for (const host of hosts) host.drain();
  await Promise.allSettled(hosts.map((host) => host.wait()));
  return end();
}

context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
trace.setGlobalTracerProvider(new BasicTracerProvider());
process.on("SIGTERM", () => void drainAll());
createInterface({ input: process.stdin, crlfDelay: Number.POSITIVE_INFINITY })
  .on("line", (line) => void answer(JSON.parse(line)))
  .on("close", () => void end());
