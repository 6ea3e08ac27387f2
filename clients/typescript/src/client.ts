/** The front door: connect, and what it gives. */
import { randomBytes } from "node:crypto";
import { Connection, type ConnectionOptions } from "./connection.js";
import type { SessionOver } from "./errors.js";
import { AgentSpec } from "./generated/concert/v1/agent.js";
import { message } from "./message.js";
import { SessionStream } from "./session_stream.js";
import { Surface } from "./surface.js";

/** Where to connect to, and as whom. */
export interface ConnectOptions extends ConnectionOptions {
  /**
   * Names this client where it writes shared state outside a session, at most 128 bytes; a random name when left out, so that its own
   * writes are not taken for somebody else's.
   */
  writer?: string;
}

/** A session that is asked for. */
export interface SessionOptions {
  agentId?: string;
  agentName?: string;
  /** 2 s to 5 min, 15 s when left out. */
  leaseMs?: number;
  /** Ends the session that lives under the `agentId`. */
  takeover?: boolean;
  labels?: Readonly<Record<string, string>>;
}

/** Calls to a coordinator, each an rpc of its own. Made by `connect`. */
export class Client extends Surface implements AsyncDisposable {
  readonly addresses: readonly string[];
  readonly namespace: string;
  readonly #connection: Connection;

  /** Over `connection`, which it closes with itself. */
  constructor(connection: Connection, writer: string) {
    super({ caller: connection, attemptToken: 0n, writer });
    this.#connection = connection;
    this.addresses = connection.addresses;
    this.namespace = connection.namespace === "" ? "default" : connection.namespace;
  }

  /**
   * A session: one stream that carries every call, and one lease over its locks. Throws AlreadyExists when an agent lives under the id.
   * Agents that take tasks are hosted with `@concert-dev/client/agent` instead.
   */
  async session(options: SessionOptions = {}): Promise<Session> {
    const { agentId = "", agentName = "", labels = {}, ...settings } = options;
    const spec = message(AgentSpec, { agentId, agentName, labels: { ...labels } });
    const stream = new SessionStream(this.#connection, spec, settings);
    await stream.open();
    return new Session(stream);
  }

  /** Closes the connection; calls still open are cancelled. */
  async close(): Promise<void> {
    this.#connection.close();
  }

  /** See `close`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** Calls that travel as frames of one stream, many at a time. Every call throws SessionOver once it is over. */
export class Session extends Surface implements AsyncDisposable {
  readonly #stream: SessionStream;

  /** Over an open `stream`, which it closes with itself. */
  constructor(stream: SessionStream) {
    super({ caller: stream, attemptToken: 0n, writer: "" });
    this.#stream = stream;
  }

  /** The sequence of its AGENT_REGISTERED event. */
  get sessionId(): bigint {
    return this.#stream.sessionId;
  }

  /** The id it is under. */
  get agentId(): string {
    return this.#stream.agentId;
  }

  /** How long it outlives its stream. */
  get leaseMs(): number {
    return this.#stream.leaseMs;
  }

  /** Every limit of the coordinator by name, its unit last. */
  get limits(): Readonly<Record<string, bigint>> {
    return this.#stream.limits;
  }

  /** Why it is over; undefined while it lives. */
  get over(): SessionOver | undefined {
    return this.#stream.over;
  }

  /** Waits until it is over and says why. */
  waitOver(): Promise<SessionOver> {
    return this.#stream.waitOver();
  }

  /** Has `lost` called when it is over; returns what takes that back. */
  onLost(lost: () => void): () => void {
    return this.#stream.onLost(lost);
  }

  /** Says goodbye: its locks are released at once. */
  close(reason?: string): Promise<void> {
    return this.#stream.close(reason);
  }

  /** See `close`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** A client for a coordinator: `await using client = connect("127.0.0.1:7420")`. Connects with the first call, not here. */
export function connect(address?: string | readonly string[], options: Omit<ConnectOptions, "address"> = {}): Client {
  const { writer, ...connection } = options;
  const where = address === undefined ? {} : { address };
  return new Client(new Connection({ ...connection, ...where }), writer ?? `client-${randomBytes(8).toString("hex")}`);
}
