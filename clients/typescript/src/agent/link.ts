/**
 * The I/O-thread half of a hosted agent: keeps it registered, session after session, and passes on what comes down.
 *
 * The attempts themselves run elsewhere; this side knows their tokens, so that a reconnect can name them however busy the other side is,
 * and so that no token is passed on twice.
 */
import { Backoff } from "../backoff.js";
import type { Connection } from "../connection.js";
import {
  AlreadyExists,
  ConcertError,
  FeatureMissing,
  InvalidArgument,
  NotFound,
  PermissionDenied,
  SessionOver,
  Unauthenticated,
} from "../errors.js";
import type { AgentSpec } from "../generated/concert/v1/agent.js";
import { DrainAgentRequest } from "../generated/concert/v1/agent_service.js";
import { type CancelTask, UpdateAgent } from "../generated/concert/v1/session_service.js";
import { ATTEMPT_TOKENS_REMEMBERED_MAX, DRAIN_NOTICE_MS_MAX } from "../limits.js";
import { log, say } from "../log.js";
import { message } from "../message.js";
import { DRAIN_AGENT, UPDATE_AGENT } from "../methods.js";
import type { SessionPeer } from "../session_peer.js";
import { SessionStream } from "../session_stream.js";
import { Deferred, fromDuration, settlesWithin, sleep } from "../time.js";

/** Who executes. */
export interface Inbox {
  registered(session: number, stream: SessionStream): void;
  /** It is over; when its attempts are, `AgentLink.proceed` is due. */
  lost(session: number, because: string): void;
  /** There will be no other session. */
  ended(error: unknown): void;
  /** An attempt to execute, never the same twice. */
  task(session: number, task: Uint8Array): void;
  cancel(attemptToken: bigint, reason: string, graceMs: number): void;
  /** No new tasks will come. */
  drain(): void;
}

/** Keeps one agent registered. The peer of its sessions. */
export class AgentLink implements SessionPeer {
  readonly #connection: Connection;
  readonly #leaseMs: number;
  readonly #inbox: Inbox;
  readonly #live = new Set<bigint>();
  readonly #seen = new Set<bigint>();
  readonly #stopped = new AbortController();
  readonly #drainNoticed = new Deferred<void>();
  #spec: AgentSpec;
  #session: SessionStream | undefined;
  #count = 0;
  #proceed = new Deferred<void>();

  constructor(connection: Connection, spec: AgentSpec, leaseMs: number, inbox: Inbox) {
    this.#connection = connection;
    this.#spec = spec;
    this.#leaseMs = leaseMs;
    this.#inbox = inbox;
  }

  /** Session after session, until it is stopped or can never have one. */
  async run(): Promise<void> {
    try {
      let takeover = false;
      while (!this.#stopped.signal.aborted) {
        const session = await this.#open(takeover);
        if (session === undefined) break;
        takeover = await this.#outlive(session);
      }
      this.#inbox.ended(undefined);
    } catch (error) {
      this.#inbox.ended(error);
    }
  }

  /** The present session, if it is that one. Throws SessionOver. */
  session(count: number): SessionStream {
    if (this.#session === undefined || count !== this.#count) throw new SessionOver("the session is over");
    return this.#session;
  }

  /** The attempts of the lost session are over: begin another session. */
  proceed(): void {
    this.#proceed.resolve();
  }

  /** An attempt has said its last word and been heard. */
  settle(attemptToken: bigint): void {
    this.#live.delete(attemptToken);
  }

  /** Asks for no new tasks; returns when those given before have come down, or when nobody answers. */
  async drain(): Promise<void> {
    if (this.#session === undefined || this.#session.sessionId === 0n) return;
    const request = message(DrainAgentRequest, { agentId: this.#session.agentId });
    const noticed = this.#connection.call(DRAIN_AGENT, request, { timeoutMs: DRAIN_NOTICE_MS_MAX }).then(
      () => this.#drainNoticed.promise,
      (error) => log.warn(`${this.#spec.agentId} drains without the coordinator's word: ${say(error)}`),
    );
    await settlesWithin(noticed, DRAIN_NOTICE_MS_MAX);
  }

  /** Describes the agent anew, in this session and those to come (rule A3). Throws PermissionDenied and others. */
  async update(spec: AgentSpec): Promise<void> {
    this.#spec = spec;
    if (this.#session === undefined || this.#session.sessionId === 0n) return;
    this.#session.describe(spec);
    await this.#session.call(UPDATE_AGENT, message(UpdateAgent, { agent: spec }));
  }

  /** Says goodbye, if there is a session, and begins no other. */
  async stop(reason: string): Promise<void> {
    this.#stopped.abort();
    this.#proceed.resolve();
    await this.#session?.close(reason);
  }

  // ---- SessionPeer

  attemptTokens(): Iterable<bigint> {
    return [...this.#live].sort((one, other) => (one < other ? -1 : 1));
  }

  /** A token is passed on once per process, whatever becomes of the session (rule A5). */
  onTask(attemptToken: bigint, task: Uint8Array): void {
    if (this.#seen.has(attemptToken)) return;
    this.#seen.add(attemptToken);
    if (this.#seen.size > ATTEMPT_TOKENS_REMEMBERED_MAX) {
      for (const oldest of this.#seen) {
        this.#seen.delete(oldest);
        break;
      }
    }
    this.#live.add(attemptToken);
    this.#inbox.task(this.#count, task);
  }

  onCancel({ attemptToken, reason, grace }: CancelTask): void {
    if (this.#live.has(attemptToken)) this.#inbox.cancel(attemptToken, reason, fromDuration(grace));
  }

  onStale(attemptToken: bigint): void {
    this.#live.delete(attemptToken);
    this.#inbox.cancel(attemptToken, "STALE", 0);
  }

  onDrain(): void {
    this.#drainNoticed.resolve();
    this.#inbox.drain();
  }

  // ---- session after session

  /** Opens a session, however long that takes: an agent may be there before its coordinator. Undefined when stopped before. */
  async #open(takeover: boolean): Promise<SessionStream | undefined> {
    const backoff = new Backoff();
    while (!this.#stopped.signal.aborted) {
      const said = this.#spec;
      const session = new SessionStream(this.#connection, said, { leaseMs: this.#leaseMs, takeover, peer: this });
      this.#session = session;
      this.#count++;
      try {
        await session.open();
        this.#inbox.registered(this.#count, session);
        if (this.#spec !== said) {
          // Updated meanwhile.
          this.update(this.#spec).catch((error) =>
            log.warn(`the description of ${said.agentId} was not taken: ${say(error)}`),
          );
        }
        return session;
      } catch (error) {
        this.#session = undefined;
        if (this.#stopped.signal.aborted) break;
        if (!(error instanceof ConcertError) || isFatal(error)) throw error;
        const yet = error instanceof AlreadyExists ? " yet" : "";
        log.warn(`${this.#spec.agentId} cannot register${yet}: ${say(error)}`);
      }
      await sleep(backoff.pauseMs(), this.#stopped.signal).catch(() => {});
    }
    return undefined;
  }

  /**
   * Waits for the end of the session and of its attempts. Whether to take over what may be left of it: a session that was given up on this
   * side first may still stand on the other, and is this agent's own.
   */
  async #outlive(session: SessionStream): Promise<boolean> {
    const over = await session.waitOver();
    this.#session = undefined;
    this.#live.clear();
    if (this.#stopped.signal.aborted) return false;
    this.#proceed = new Deferred();
    this.#inbox.lost(this.#count, over.message);
    await this.#proceed.promise;
    return session.expired;
  }
}

/** Whether no other try would change it. */
function isFatal(error: ConcertError): boolean {
  return (
    error instanceof InvalidArgument ||
    error instanceof PermissionDenied ||
    error instanceof Unauthenticated ||
    error instanceof NotFound ||
    error instanceof FeatureMissing
  );
}
