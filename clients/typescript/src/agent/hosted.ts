/** One agent of a host: its attempts, on the program's thread. What it is told comes from the I/O thread. */
import { randomBytes } from "node:crypto";
import type { Connection } from "../connection.js";
import { AgentSpec } from "../generated/concert/v1/agent.js";
import { AgentTask } from "../generated/concert/v1/task.js";
import { LOST_ATTEMPTS_MS_MAX } from "../limits.js";
import { log, say } from "../log.js";
import { uncarry } from "../status.js";
import { Deferred, settlesWithin } from "../time.js";
import { type Agent, slotsOf, specOf } from "./agent.js";
import { Attempt, LOST, STOPPED } from "./attempt.js";
import { type AgentWord, HostedSession, type IoThread } from "./io_thread.js";
import { Slots } from "./slots.js";

export class HostedAgent {
  readonly agent: Agent;
  readonly agentId: string;
  readonly #place: number;
  readonly #thread: IoThread;
  readonly #connection: Connection;
  readonly #slots: Slots;
  readonly #over = new Deferred<void>();
  readonly #attempts = new Map<bigint, Attempt>();
  readonly #running = new Set<Promise<void>>();
  #registered = new Deferred<void>();
  #session: HostedSession | undefined;
  #finishing: Promise<void> | undefined;
  #isOver = false;

  constructor(agent: Agent, place: number, thread: IoThread, connection: Connection) {
    this.agent = agent;
    this.agentId = agent.agentId || `${agent.name}-${randomBytes(4).toString("hex")}`;
    this.#place = place;
    this.#thread = thread;
    this.#connection = connection;
    this.#slots = new Slots(slotsOf(agent));
    this.#over.promise.catch(() => {}); // Whoever waits is told.
  }

  /** When it has left for good. Rejected with what kept it from registering. */
  get over(): Promise<void> {
    return this.#over.promise;
  }

  /** Begins to register. */
  start(leaseMs: number): void {
    this.#thread.post({ do: "host", agent: this.#place, spec: this.#spec(), leaseMs });
  }

  /** Waits until it has a session. Throws what keeps it from ever having one. */
  async registered(): Promise<void> {
    await Promise.race([this.#registered.promise, this.over]);
  }

  /** Has the agent described anew. */
  async update(): Promise<void> {
    await this.#thread.ask({ do: "update", agent: this.#place, spec: this.#spec() });
  }

  /** No new tasks, and goodbye when there are none left. `announce`: the coordinator does not know yet. */
  finish({ announce = true } = {}): Promise<void> {
    this.#finishing ??= this.#finish(announce);
    return this.#finishing;
  }

  /** Stops what runs, and finishes. */
  stop(): Promise<void> {
    for (const attempt of this.#attempts.values()) attempt.stop(STOPPED);
    return this.finish({ announce: false });
  }

  /** What the I/O thread says. */
  hear(word: AgentWord): void {
    switch (word.tell) {
      case "registered":
        log.info(`${this.agentId} is registered, session ${word.sessionId}`);
        this.#sessionOf(word.session);
        this.#registered.resolve();
        return;
      case "task":
        this.#onTask(this.#sessionOf(word.session), AgentTask.decode(word.task));
        return;
      case "cancel":
        this.#attempts.get(word.attemptToken)?.stop(word.reason, word.graceMs);
        return;
      case "drain":
        void this.finish({ announce: false });
        return;
      case "lost":
        log.warn(`session of ${this.agentId} is over: ${word.because}`);
        void this.#onLost();
        return;
      case "ended":
        if (word.error !== undefined) this.fail(uncarry(word.error));
        else if (this.#finishing === undefined) this.#leave();
    }
  }

  /** It can never have a session again. */
  fail(error: Error): void {
    this.#isOver = true;
    this.#over.reject(error);
  }

  #spec(): Uint8Array {
    return AgentSpec.encode(specOf(this.agent, this.agentId)).finish();
  }

  #leave(): void {
    this.#isOver = true;
    this.#over.resolve();
  }

  /** The present session. Its first tasks may come with the word that it is open. */
  #sessionOf(number: number): HostedSession {
    if (this.#session?.number !== number) {
      this.#session = new HostedSession(this.#thread, this.#connection, this.#place, number);
    }
    return this.#session;
  }

  #onTask(session: HostedSession, task: AgentTask): void {
    const attempt = new Attempt(this.agent, session, task);
    this.#attempts.set(attempt.token, attempt);
    const running = this.#slots
      .hold(() => attempt.run())
      .catch((error) => log.error(`attempt ${attempt.token} of ${this.agentId} broke the runtime: ${say(error)}`))
      .finally(() => {
        this.#running.delete(running);
        this.#attempts.delete(attempt.token);
        this.#thread.post({ do: "settle", agent: this.#place, attemptToken: attempt.token });
      });
    this.#running.add(running);
  }

  /** Begins another session once the attempts of the lost one are over, or take unreasonably long to be. */
  async #onLost(): Promise<void> {
    const lost = this.#session;
    this.#session = undefined;
    this.#registered = new Deferred();
    lost?.lose();
    for (const attempt of this.#attempts.values()) if (attempt.session === lost) attempt.stop(LOST);
    if (!(await settlesWithin(Promise.all(this.#running), LOST_ATTEMPTS_MS_MAX))) {
      log.error(`${this.#running.size} attempts of ${this.agentId} do not let themselves be stopped`);
    }
    if (this.#finishing === undefined) this.#thread.post({ do: "proceed", agent: this.#place });
  }

  async #finish(announce: boolean): Promise<void> {
    try {
      if (this.#isOver) return;
      if (announce) await this.#thread.ask({ do: "drain", agent: this.#place });
      while (this.#running.size > 0) await Promise.all(this.#running);
      await this.#thread.ask({ do: "stop", agent: this.#place, reason: "drained" });
    } catch (error) {
      log.warn(`${this.agentId} left without a word: ${say(error)}`);
    } finally {
      this.#leave();
    }
  }
}
