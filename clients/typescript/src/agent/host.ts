/** Hosting agents: keeps them registered, executes what they are given, and reports what came of it. */
import { Connection, type ConnectionOptions } from "../connection.js";
import { InvalidArgument } from "../errors.js";
import { SESSION_LEASE_MS_DEFAULT } from "../limits.js";
import { log } from "../log.js";
import { type Agent, slotsOf } from "./agent.js";
import { HostedAgent } from "./hosted.js";
import { IoThread } from "./io_thread.js";

/** Where the coordinator is, and how long the agents outlive their streams. */
export interface HostOptions extends ConnectionOptions {
  /** 2 s to 5 min, 15 s when left out. */
  leaseMs?: number;
}

/**
 * Hosts agents in this process: `await using host = AgentHost.start([agent], { address })`, then `await host.wait()`.
 *
 * It goes on trying to register them while no coordinator is there; `registered` waits for that. Leaving the scope stops what runs. Two
 * agents of the same role are two instances. For every attempt token a handler is called at most once in a process, whatever happens to the
 * connection.
 */
export class AgentHost implements AsyncDisposable {
  readonly #connection: Connection;
  readonly #thread: IoThread;
  readonly #hosted: readonly HostedAgent[];
  #closed: Promise<void> | undefined;

  /** Begins. Throws InvalidArgument. */
  static start(agents: Agent | readonly Agent[], options: HostOptions = {}): AgentHost {
    return new AgentHost("name" in agents ? [agents] : agents, options);
  }

  private constructor(agents: readonly Agent[], options: HostOptions) {
    if (agents.length === 0) throw new InvalidArgument("there is no agent to host");
    for (const agent of agents) slotsOf(agent);
    const { leaseMs = SESSION_LEASE_MS_DEFAULT, ...connection } = options;
    this.#connection = new Connection(connection);
    this.#thread = new IoThread(
      connection,
      (word) => this.#hosted[word.agent]?.hear(word),
      (error) => {
        for (const each of this.#hosted) each.fail(error);
      },
    );
    this.#hosted = agents.map((agent, place) => new HostedAgent(agent, place, this.#thread, this.#connection));
    for (const each of this.#hosted) each.start(leaseMs);
  }

  /** The ids of the agents, in the order they were given. */
  get agentIds(): string[] {
    return this.#hosted.map((each) => each.agentId);
  }

  /** Waits until every agent has a session. Throws what keeps one from ever having it. */
  async registered(): Promise<void> {
    await Promise.all(this.#hosted.map((each) => each.registered()));
  }

  /** Tells the coordinator what the agents' capabilities and labels are now. Throws PermissionDenied. */
  async update(): Promise<void> {
    await Promise.all(this.#hosted.map((each) => each.update()));
  }

  /** No new tasks; those that run finish, then the agents leave. */
  drain(): void {
    for (const each of this.#hosted) void each.finish();
  }

  /** Stops what runs, unreported: the coordinator gives it to others. Then the agents leave. */
  cancel(): void {
    for (const each of this.#hosted) void each.stop();
  }

  /** Waits until every agent has left. Throws what kept one from registering. */
  async wait(): Promise<void> {
    await Promise.all(this.#hosted.map((each) => each.over));
  }

  /** Stops what runs, says goodbye, and ends the I/O thread. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  /** See `close`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    await Promise.all(this.#hosted.map((each) => each.stop()));
    await this.#thread.stop();
    this.#connection.close();
  }
}

/**
 * Hosts agents until SIGTERM or SIGINT, or until they were drained from elsewhere.
 *
 * SIGTERM drains: no new tasks, those that run finish. A second SIGTERM, or SIGINT, stops what runs.
 */
export async function runAgents(agents: Agent | readonly Agent[], options: HostOptions = {}): Promise<void> {
  const host = AgentHost.start(agents, options);
  let drains = 0;
  const onTerm = () => {
    drains++;
    if (drains > 1) host.cancel();
    else {
      log.info("draining");
      host.drain();
    }
  };
  const onInt = () => host.cancel();
  process.on("SIGTERM", onTerm);
  process.on("SIGINT", onInt);
  try {
    await host.wait();
  } finally {
    process.off("SIGTERM", onTerm);
    process.off("SIGINT", onInt);
    await host.close();
  }
}
