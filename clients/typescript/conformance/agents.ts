/** Agents whose handlers do what the runner says, one thing after another. */
import {
  type Agent,
  AgentHost,
  type Capability,
  NotRetryable,
  PreconditionFailed,
  type TaskContext,
} from "@concert-dev/client/agent";
import { inSpan, type Operation } from "./operations.js";
import { type Args, encoded, milliseconds } from "./values.js";

interface Order {
  readonly op: string;
  readonly args: Args;
  readonly operation: Operation | undefined;
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: unknown) => void;
}

/** One call of a handler, which takes orders until it is told to end. */
export class Attempt {
  readonly #context: TaskContext;
  readonly #orders: Order[] = [];
  #wake: () => void = () => {};
  #over = false;

  constructor(context: TaskContext) {
    this.#context = context;
  }

  /** Has an op done in the handler; its result. */
  order(op: string, args: Args, operation: Operation | undefined): Promise<unknown> {
    if (this.#over) return Promise.reject(new Error("the handler has ended"));
    return new Promise((resolve, reject) => {
      this.#orders.push({ op, args, operation, resolve, reject });
      this.#wake();
    });
  }

  /** The handler. */
  async handle(): Promise<unknown> {
    const { signal } = this.#context;
    signal.addEventListener("abort", () => this.#wake(), { once: true });
    try {
      for (;;) {
        signal.throwIfAborted();
        const order = this.#orders.shift();
        if (order === undefined) {
          await new Promise<void>((resolve) => {
            this.#wake = resolve;
          });
          continue;
        }
        if (order.op === "return") {
          order.resolve({});
          return order.args.value === null ? undefined : order.args.value;
        }
        if (order.op === "fail") {
          order.resolve({});
          throw order.args.not_retryable ? new NotRetryable(order.args.message) : new Error(order.args.message);
        }
        await this.#do(order);
      }
    } finally {
      this.#over = true;
      for (const order of this.#orders) order.reject(new Error("the handler has ended"));
    }
  }

  async #do({ op, args, operation, resolve, reject }: Order): Promise<void> {
    const { signal } = this.#context;
    const stopped = new Promise<never>((_resolve, stop) => {
      signal.addEventListener("abort", () => stop(new Error("the handler was cancelled")), { once: true });
    });
    stopped.catch(() => {});
    try {
      resolve(await Promise.race([this.#perform(op, args, operation), stopped]));
    } catch (error) {
      reject(error);
    }
  }

  async #perform(op: string, args: Args, operation: Operation | undefined): Promise<unknown> {
    const context = this.#context;
    switch (op) {
      case "progress":
        context.progress(args.fraction, args.message);
        return {};
      case "stage_state": {
        const { updates = {}, ...options } = args;
        context.setState(updates, milliseconds(options));
        return {};
      }
      case "results":
        return { results: Object.fromEntries([...context.previousResults].map(([id, value]) => [id, encoded(value)])) };
      case "block":
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, args.seconds * 1000); // What a careless handler does.
        return {};
      default:
        if (operation === undefined) throw new Error(`a handler does not know ${op}`);
        return inSpan(operation, context.client, args, "");
    }
  }
}

/** See the module. */
export class RemoteAgent implements Agent {
  readonly name: string;
  readonly agentId: string;
  readonly slots: number;
  readonly host: AgentHost;
  capabilities: (string | Capability)[] = [];
  labels: Record<string, string> = {};
  readonly #handle: string;
  readonly #say: (message: object) => void;
  readonly #things: Map<string, unknown>;
  readonly #preconditions: Record<string, string>;
  readonly #cleanupThrows: boolean;

  constructor(handle: string, say: (message: object) => void, things: Map<string, unknown>, place: Args, args: Args) {
    this.name = args.agent_name ?? handle.slice(handle.lastIndexOf(":") + 1);
    this.agentId = args.agent_id ?? "";
    this.slots = args.slots ?? 1;
    this.#handle = handle;
    this.#say = say;
    this.#things = things;
    this.#preconditions = args.preconditions ?? {};
    this.#cleanupThrows = args.cleanup_throws ?? false;
    this.describe(args);
    this.host = AgentHost.start(this, place);
  }

  /** What it says of itself from now on. */
  describe({ capabilities, labels }: Args): void {
    if (capabilities !== undefined) this.capabilities = capabilities;
    if (labels !== undefined) this.labels = labels;
  }

  validatePreconditions({ capability }: TaskContext): undefined {
    const words = this.#preconditions[capability];
    if (words !== undefined) throw new PreconditionFailed(words);
  }

  async execute(context: TaskContext): Promise<unknown> {
    const name = this.#nameOf(context);
    const attempt = new Attempt(context);
    this.#things.set(name, attempt);
    this.#say({
      notice: "executing",
      on: this.#handle,
      attempt: name,
      run_id: context.runId,
      task_id: context.taskId,
      number: context.attempt,
      attempt_token: context.attemptToken,
      capability: context.capability,
      input: encoded(context.input),
      context: encoded(context.runContext),
      locks: Object.fromEntries([...context.locks].map(([resource, grant]) => [resource, grant.fencingToken])),
      metadata: context.metadata,
      time_left: Math.min(context.timeLeftMs() / 1000, 1e9),
    });
    const onAbort = () => this.#say({ notice: "cancelled", on: this.#handle, attempt: name });
    context.signal.addEventListener("abort", onAbort, { once: true });
    try {
      return await attempt.handle();
    } finally {
      context.signal.removeEventListener("abort", onAbort);
      this.#things.delete(name);
    }
  }

  cleanup(context: TaskContext): void {
    this.#say({ notice: "cleaned_up", on: this.#handle, attempt: this.#nameOf(context) });
    if (this.#cleanupThrows) throw new Error("clean-up was told to throw");
  }

  #nameOf({ attemptToken }: TaskContext): string {
    return `${this.#handle}/${attemptToken}`;
  }
}
