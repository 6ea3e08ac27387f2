/** The program's side of the I/O thread: the one place where the two threads meet. */
import { randomBytes } from "node:crypto";
import { Worker } from "node:worker_threads";
import type { Caller, CallOptions, Responses } from "../caller.js";
import { RequestIds } from "../caller.js";
import type { Answer } from "../commands.js";
import type { Connection, ConnectionOptions } from "../connection.js";
import { ConcertError, InternalError, SessionOver, Unauthenticated } from "../errors.js";
import { log, say } from "../log.js";
import type { Method } from "../methods.js";
import { readAnswer, writeRequest } from "../session_stream.js";
import { carry, uncarry } from "../status.js";
import { Deferred } from "../time.js";
import { currentTraceparent } from "../tracing.js";
import { type IoOptions, type Order, Outbox, type Word } from "./io_protocol.js";

/** An order without what names its answer. */
type Question =
  Extract<Order, { readonly id: number }> extends infer Each
    ? Each extends { readonly do: "abandon" }
      ? never
      : Omit<Each, "id">
    : never;

/** What comes up of an agent. */
export type AgentWord = Extract<Word, { readonly agent: number }>;

/** The thread, and what is asked of it and not answered yet. */
export class IoThread {
  readonly #worker: Worker;
  readonly #outbox: Outbox<Order>;
  readonly #pending = new Map<number, Deferred<Answer | undefined>>();
  readonly #listener: (word: AgentWord) => void;
  readonly #onBroken: (error: ConcertError) => void;
  readonly #token: () => string | Promise<string>;
  #count = 0;
  #over: ConcertError | undefined;

  /** Starts it. `listener` is told what comes up; `onBroken` when the thread itself failed. */
  constructor(
    connection: ConnectionOptions,
    listener: (word: AgentWord) => void,
    onBroken: (error: ConcertError) => void,
  ) {
    this.#listener = listener;
    this.#onBroken = onBroken;
    const { token } = connection;
    this.#token = typeof token === "function" ? token : () => "";
    this.#worker = new Worker(new URL("./io_worker.js", import.meta.url), {
      workerData: crossing(connection),
      name: "concert-io",
    });
    this.#outbox = new Outbox((batch) => this.#worker.postMessage(batch));
    this.#worker.on("message", (words: Word[]) => {
      for (const word of words) this.#hear(word);
    });
    this.#worker.on("error", (error) => {
      const broken = new InternalError(`the I/O thread failed: ${error.message}`, { cause: error });
      this.#end(broken);
      this.#onBroken(broken);
    });
  }

  /** Has something done over there, in the order of posting; nothing once the thread has stopped. */
  post(order: Order): void {
    if (this.#over === undefined) this.#outbox.put(order);
  }

  /** Has something done over there and waits for it; `signal` ends the wait. */
  ask(question: Question, signal?: AbortSignal): Promise<Answer | undefined> {
    if (this.#over !== undefined) return Promise.reject(this.#over);
    if (signal?.aborted) return Promise.reject(signal.reason);
    const id = ++this.#count;
    const answered = new Deferred<Answer | undefined>();
    this.#pending.set(id, answered);
    this.#outbox.put({ ...question, id } as Order);
    if (signal === undefined) return answered.promise;
    const onAbort = () => {
      this.post({ do: "abandon", id });
      answered.reject(signal.reason);
    };
    signal.addEventListener("abort", onAbort, { once: true });
    return answered.promise.finally(() => signal.removeEventListener("abort", onAbort));
  }

  /** Ends the thread, whatever it does. */
  async stop(): Promise<void> {
    this.#end(new SessionOver("the agents of this process are no longer hosted"));
    await this.#worker.terminate();
  }

  #hear(word: Word): void {
    switch (word.tell) {
      case "answered":
        this.#take(word.id)?.resolve(word.answer);
        return;
      case "refused":
        this.#take(word.id)?.reject(uncarry(word.error));
        return;
      case "token":
        void this.#giveToken(word.asked);
        return;
      case "log":
        log[word.level](word.message);
        return;
      default:
        this.#listener(word);
    }
  }

  async #giveToken(asked: number): Promise<void> {
    try {
      this.post({ do: "token", asked, token: await this.#token() });
    } catch (error) {
      const told = error instanceof ConcertError ? error : new Unauthenticated(say(error));
      this.post({ do: "token", asked, error: carry(told) });
    }
  }

  #take(id: number): Deferred<Answer | undefined> | undefined {
    const answered = this.#pending.get(id);
    this.#pending.delete(id);
    return answered;
  }

  #end(error: ConcertError): void {
    this.#over ??= error;
    for (const answered of this.#pending.values()) answered.reject(error);
    this.#pending.clear();
  }
}

/** The options as far as they cross. */
function crossing({ token, ...options }: ConnectionOptions): IoOptions {
  if (typeof token === "function") return { ...options, asksForTokens: true };
  return token === undefined ? options : { ...options, token };
}

/** How a call of a hosted session is made. */
export interface HostedCallOptions extends CallOptions {
  retryMs?: number;
  /** Whether nothing more will be said of its attempt once it is answered. */
  settles?: boolean;
}

/** A session that lives in the I/O thread, as a caller for this one. What does not travel in frames goes over a connection of its own. */
export class HostedSession implements Caller {
  readonly lockIdentity: string;
  readonly retryMs: number;
  readonly #thread: IoThread;
  readonly #connection: Connection;
  /** Which of its agent's sessions it is, from 1. */
  readonly number: number;
  readonly #agent: number;
  readonly #requestIds = new RequestIds();
  readonly #lostCallbacks = new Set<() => void>();
  #over = false;

  get place(): string {
    return this.#connection.place;
  }

  constructor(thread: IoThread, connection: Connection, agent: number, number: number) {
    this.lockIdentity = `hosted/${randomBytes(8).toString("hex")}`;
    this.retryMs = connection.retryMs;
    this.#thread = thread;
    this.#connection = connection;
    this.#agent = agent;
    this.number = number;
  }

  async call<Request, Response>(
    method: Method<Request, Response>,
    request: Request,
    options: HostedCallOptions = {},
  ): Promise<Response> {
    if (method.commandField === 0) return this.#connection.call(method, request, options);
    const { timeoutMs, retryMs, settles = false, signal } = options;
    const asked = writeRequest(method, request, this.#requestIds, currentTraceparent());
    const where = { agent: this.#agent, session: this.number };
    const answer = await this.#thread.ask({ do: "ask", ...where, asked, timeoutMs, retryMs, settles }, signal);
    return readAnswer(method, answer as Answer);
  }

  stream<Request, Response>(method: Method<Request, Response>, request: Request): Responses<Response> {
    return this.#connection.stream(method, request);
  }

  onLost(lost: () => void): () => void {
    if (this.#over) queueMicrotask(lost);
    else this.#lostCallbacks.add(lost);
    return () => this.#lostCallbacks.delete(lost);
  }

  /** The I/O thread says that it is over. */
  lose(): void {
    this.#over = true;
    for (const lost of this.#lostCallbacks) lost();
    this.#lostCallbacks.clear();
  }
}
