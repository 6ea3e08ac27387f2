/** Agents in this process against a real coordinator: what they are given, what becomes of it, and what they outlive. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import {
  type Client,
  connect,
  type Event,
  type Json,
  PermissionDenied,
  RunStatus,
  retry,
  setLogger,
  task,
} from "@concert-dev/client";
import { type Agent, AgentHost, NotRetryable, PreconditionFailed, type TaskContext } from "@concert-dev/client/agent";
import { gate, until } from "./conditions.js";
import { Coordinator } from "./coordinator.js";

const NAMESPACE = "agents";
const warnings: string[] = [];
let coordinator: Coordinator;
let client: Client;

before(async () => {
  const quiet = () => {};
  setLogger({ debug: quiet, info: quiet, warn: (line) => warnings.push(line), error: quiet });
  coordinator = await Coordinator.start();
  client = connect(coordinator.address, { namespace: NAMESPACE });
});

after(async () => {
  await client.close();
  await coordinator[Symbol.asyncDispose]();
});

async function hosted(agent: Agent, leaseMs = 15_000): Promise<AgentHost> {
  const host = AgentHost.start(agent, { address: coordinator.address, namespace: NAMESPACE, leaseMs });
  await host.registered();
  return host;
}

async function eventsOf(runId: string, ...types: string[]): Promise<Event[]> {
  return client.events.list({ runIds: [runId], types });
}

test("a handler does the task of its capability, and later tasks are handed what it returned", async () => {
  const agent: Agent = {
    name: "greeter",
    handlers: {
      greeting: (context: TaskContext<{ name: string }>) => `Hello, ${context.input.name}!`,
      counting: (context) => [...context.previousResults].map(([id, result]) => `${id}: ${result}`),
    },
  };
  await using _host = await hosted(agent);
  const run = await client.submitRun({
    context: { site: "blog" },
    tasks: [
      task("count", { capability: "counting", dependsOn: ["ada", "grace"] }),
      task("ada", { capability: "greeting", input: { name: "Ada" } }),
      task("grace", { capability: "greeting", input: { name: "Grace" } }),
    ],
  });
  assert.equal((await run.wait()).status, RunStatus.SUCCEEDED);
  assert.deepEqual(await run.result("count"), ["ada: Hello, Ada!", "grace: Hello, Grace!"]);
});

test("what is staged becomes true with the completion, and progress is told before it", async () => {
  const agent: Agent = {
    name: "stager",
    async execute(context) {
      context.progress(0.5, "half of it");
      await until(async () => (await eventsOf(context.runId, "task_progressed")).length > 0);
      context.setState({ "staged/count": 3 });
      assert.equal(await context.state.get("staged/count"), undefined);
      return new Uint8Array([1, 2, 3]);
    },
  };
  await using _host = await hosted(agent);
  const run = await client.submitRun({ tasks: [task("only", { agent: "stager" })] });
  assert.equal((await run.wait()).status, RunStatus.SUCCEEDED);
  assert.equal((await client.state.get("staged/count"))?.value, 3);
  assert.deepEqual(await run.result("only"), new Uint8Array([1, 2, 3]));
});

test("failures are told by their kind, in the log too, and clean-up runs after each of them", async () => {
  const cleaned: string[] = [];
  class OutOfPaint extends NotRetryable {
    override readonly name = "OutOfPaint";
  }
  const handlers = {
    throws: () => {
      throw new OutOfPaint("no more red");
    },
    circular: () => {
      const circle: { self?: object } = {};
      circle.self = circle;
      return circle;
    },
    large: () => "x".repeat(5 * 1024 * 1024),
    blunders: () => Object.values(undefined as unknown as object),
    refuses: () => assert.fail("it was refused before"),
  };
  const agent: Agent = {
    name: "failing",
    handlers,
    slots: 5,
    validatePreconditions({ capability }) {
      if (capability === "refuses") throw new PreconditionFailed("not today");
      return undefined;
    },
    cleanup({ taskId }) {
      cleaned.push(taskId);
      throw new Error("and clean-up throws too");
    },
  };
  await using _host = await hosted(agent);
  const run = await client.submitRun({
    tasks: Object.keys(handlers).map((id) => task(id, { capability: id, retry: retry({ attemptsMax: 1 }) })),
  });
  const { tasks, status } = await run.wait();
  assert.equal(status, RunStatus.FAILED);
  const errors = Object.fromEntries(tasks.map((each) => [each.taskId, each.error]));
  assert.equal(errors.throws?.errorType, "OutOfPaint");
  assert.match(errors.throws?.traceback ?? "", /agent\.test/);
  assert.equal(errors.refuses?.errorType, "PRECONDITION_FAILED");
  assert.equal(errors.circular?.errorType, "InvalidPayload");
  assert.match(errors.large?.message ?? "", /1048576/);
  assert.deepEqual(cleaned.sort(), ["blunders", "circular", "large", "refuses", "throws"]);
  assert.ok(tasks.every((each) => each.attempts === 1));
  const said = (id: string) =>
    warnings.filter((each) => each.startsWith(`task ${run.runId}/${id} failed at attempt 1`));
  assert.match(said("throws").join(), /: OutOfPaint: no more red$/);
  assert.match(said("blunders").join(), /: TypeError: .+\nTypeError: .+\n(.+\n)* +at blunders .+agent\.test/);
  assert.ok(Object.keys(handlers).every((id) => said(id).length === 1));
});

test("a handler that keeps its thread busy for longer than the lease loses nothing", async () => {
  const agent: Agent = {
    name: "busy",
    execute() {
      const until = performance.now() + 5_000; // More than twice the lease, without letting the event loop run once.
      let spins = 0;
      while (performance.now() < until) spins++;
      return spins > 0;
    },
  };
  await using _host = await hosted(agent, 2_000);
  const run = await client.submitRun({ tasks: [task("busy", { agent: "busy" })] });
  const { tasks, status } = await run.wait();
  assert.equal(status, RunStatus.SUCCEEDED);
  assert.equal(tasks[0]?.attempts, 1);
  const gone = await client.events.list({ agentNames: ["busy"], types: ["agent_detached", "agent_disconnected"] });
  assert.deepEqual(gone, []);
});

test("a cancel aborts the signal, and what the handler does with it is told", async () => {
  const started = gate();
  const reasons: unknown[] = [];
  const agent: Agent = {
    name: "patient",
    async execute({ signal }) {
      started.open();
      await new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
    },
    async cleanup(context) {
      reasons.push(context.signal.reason);
      await context.publish("cleaned_up"); // It may still ask.
    },
  };
  await using _host = await hosted(agent);
  const run = await client.submitRun({ tasks: [task("long", { agent: "patient" })] });
  await started.opened;
  await run.cancel();
  assert.equal((await run.wait()).status, RunStatus.CANCELLED);
  await until(async () => (await eventsOf(run.runId, "custom")).length === 1);
  assert.match(String(reasons[0]), /CANCELLED/);
});

test("locks of an attempt are given back with it, and a wait for one ends with it", async () => {
  await using held = await client.lock("door");
  const waiting = gate();
  const agent: Agent = {
    name: "locker",
    async execute(context) {
      waiting.open();
      await context.withLock("door", () => assert.fail("somebody holds it"));
    },
  };
  await using _host = await hosted(agent);
  const run = await client.submitRun({ tasks: [task("wants", { agent: "locker" })] });
  await waiting.opened;
  await until(async () => (await client.locks.get("door")).waiters.length === 1);
  await run.cancel();
  assert.equal((await run.wait()).status, RunStatus.CANCELLED);
  await until(async () => (await client.locks.get("door")).waiters.length === 0);
  assert.equal(held.lost, false);
});

test("an agent outlives its coordinator: the attempt goes on, is executed once, and its report arrives", async () => {
  await using own = await Coordinator.start();
  await using watcher = connect(own.address);
  const finish = gate();
  let executions = 0;
  const agent: Agent = {
    name: "survivor",
    async execute() {
      executions++;
      await finish.opened;
      return "survived";
    },
  };
  await using host = AgentHost.start(agent, { address: own.address, leaseMs: 60_000 });
  await host.registered();
  const run = await watcher.submitRun({ tasks: [task("only", { agent: "survivor" })] });
  await until(() => executions === 1);
  await own.kill();
  finish.open(); // It reports while nobody is there.
  await own.start();
  assert.equal((await run.wait()).status, RunStatus.SUCCEEDED);
  assert.equal(executions, 1);
  assert.equal(await run.result("only"), "survived");
});

test("a lease that ran out stops the handlers, and the agent begins another session", async () => {
  await using own = await Coordinator.start();
  await using watcher = connect(own.address);
  const attempts: number[] = [];
  const agent: Agent = {
    name: "phoenix",
    async execute({ attempt, signal }) {
      attempts.push(attempt);
      if (attempt > 1) return "again";
      return new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
    },
  };
  await using host = AgentHost.start(agent, { address: own.address, leaseMs: 2_000 });
  await host.registered();
  const run = await watcher.submitRun({
    tasks: [task("only", { agent: "phoenix", retry: retry({ backoffInitialMs: 50, lostAttemptsMax: 5 }) })],
  });
  await until(() => attempts.length === 1);
  own.pause();
  await new Promise((resolve) => setTimeout(resolve, 4_000)); // The lease: this is what is waited for, and it has no event.
  own.resume();
  assert.equal((await run.wait()).status, RunStatus.SUCCEEDED);
  assert.equal(await run.result("only"), "again");
});

test("an agent that drains finishes what runs, takes nothing new, and leaves", async () => {
  const finish = gate();
  const started = gate();
  const agent: Agent = {
    name: "leaver",
    async execute() {
      started.open();
      await finish.opened;
      return "done";
    },
  };
  await using host = await hosted(agent);
  const first = await client.submitRun({ tasks: [task("running", { agent: "leaver" })] });
  await started.opened;
  host.drain();
  await until(async () => (await client.events.list({ agentNames: ["leaver"], types: ["agent_draining"] })).length > 0);
  const second = await client.submitRun({ tasks: [task("late", { agent: "leaver" })] });
  finish.open();
  assert.equal((await first.wait()).status, RunStatus.SUCCEEDED);
  await host.wait();
  assert.equal((await second.get()).status, RunStatus.PENDING);
  await second.cancel();
});

test("capabilities change while the agent runs", async () => {
  const handlers: Record<string, () => Json> = { first: () => 1 };
  await using host = await hosted({ name: "learner", handlers });
  handlers.second = () => 2;
  await host.update();
  const run = await client.submitRun({ tasks: [task("new", { capability: "second" })] });
  assert.equal((await run.wait()).status, RunStatus.SUCCEEDED);
  assert.equal(await run.result("new"), 2);
});

test("what can never register says so", async () => {
  await using host = AgentHost.start({ name: "x".repeat(129) }, { address: coordinator.address, namespace: NAMESPACE });
  await assert.rejects(
    host.registered(),
    (error: Error) => /agent/.test(error.message) && !(error instanceof PermissionDenied),
  );
});
