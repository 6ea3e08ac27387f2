/** The commands of a session that have no reply yet: in order, bounded, ready to be sent again. */
import { type ConcertError, SessionOver } from "./errors.js";
import { COMMANDS_PENDING_BYTES_MAX, COMMANDS_PENDING_MAX } from "./limits.js";
import { encodeCommand, framedSize } from "./wire.js";

/** What is asked for, the request written. */
export interface Asked {
  /** For errors. */
  readonly name: string;
  /** Its field in Command. */
  readonly field: number;
  readonly request: Uint8Array;
  readonly attemptToken: bigint;
  readonly traceparent: string;
}

/** What came of it: the field in Reply, and the outcome as it was written. */
export interface Answer {
  readonly field: number;
  readonly outcome: Uint8Array;
}

/** One of them. Written once, since it may be sent more often. */
export class Command {
  readonly asked: Asked;
  readonly encoded: Uint8Array;
  readonly size: number;
  readonly answer: Promise<Answer>;
  /** Whether nobody waits for the answer any more. */
  abandoned = false;
  #resolve!: (answer: Answer) => void;
  #reject!: (error: ConcertError) => void;

  constructor(correlationId: bigint, asked: Asked) {
    this.asked = asked;
    this.encoded = encodeCommand(correlationId, asked.traceparent, asked.field, asked.request);
    this.size = framedSize(this.encoded);
    this.answer = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.answer.catch(() => {}); // Whoever still waits is told.
  }

  /** Tells the caller. */
  settle(answer: Answer): void {
    this.#resolve(answer);
  }

  /** Tells the caller. */
  fail(error: ConcertError): void {
    this.#reject(error);
  }
}

/** All of them. `outgoing` are those that the present stream has not carried. */
export class Commands {
  outgoing: Uint8Array[] = [];
  readonly #wake: () => void;
  readonly #pending = new Map<bigint, Command>();
  readonly #waiting: { readonly size: number; readonly enter: () => void }[] = [];
  #pendingBytes = 0;
  #correlationId = 0n;
  #over: string | undefined;

  /** Calls `wake` when there is something to send. */
  constructor(wake: () => void) {
    this.#wake = wake;
  }

  /** How many have no reply. */
  get size(): number {
    return this.#pending.size;
  }

  /** Takes a command up; waits, in order, while too much is pending. Throws SessionOver once closed. */
  add(asked: Asked): Command | Promise<Command> {
    const command = new Command(++this.#correlationId, asked);
    const correlationId = this.#correlationId;
    if (this.#over !== undefined) throw new SessionOver(this.#over);
    if (this.#waiting.length === 0 && this.#hasRoom(command.size)) return this.#enter(correlationId, command);
    return new Promise((resolve, reject) => {
      const enter = () => {
        if (this.#over !== undefined) reject(new SessionOver(this.#over));
        else resolve(this.#enter(correlationId, command));
      };
      this.#waiting.push({ size: command.size, enter });
    });
  }

  /** Takes out the command that a reply is for. */
  take(correlationId: bigint): Command | undefined {
    const command = this.#pending.get(correlationId);
    if (command === undefined) return undefined;
    this.#pending.delete(correlationId);
    this.#pendingBytes -= command.size;
    this.#admit();
    return command;
  }

  /** Has everything without a reply sent on another stream, in the same order. */
  sendAgain(): void {
    this.outgoing = Array.from(this.#pending.values(), (command) => command.encoded);
    this.#wake();
  }

  /** Fails the commands of an attempt that no longer counts. */
  forgetAttempt(attemptToken: bigint, error: ConcertError): void {
    for (const [correlationId, command] of this.#pending) {
      if (command.asked.attemptToken === attemptToken) this.take(correlationId)?.fail(error);
    }
  }

  /** Fails everything, now and from now on, with SessionOver. */
  close(because: string): void {
    this.#over = because;
    for (const command of this.#pending.values()) command.fail(new SessionOver(because));
    this.#pending.clear();
    this.outgoing = [];
    for (const { enter } of this.#waiting.splice(0)) enter();
  }

  #enter(correlationId: bigint, command: Command): Command {
    this.#pending.set(correlationId, command);
    this.#pendingBytes += command.size;
    this.outgoing.push(command.encoded);
    this.#wake();
    return command;
  }

  #admit(): void {
    for (let next = this.#waiting[0]; next !== undefined && this.#hasRoom(next.size); next = this.#waiting[0]) {
      this.#waiting.shift();
      next.enter();
    }
  }

  /** One command always has; more while both limits are kept. */
  #hasRoom(size: number): boolean {
    if (this.#pending.size === 0) return true;
    return this.#pending.size < COMMANDS_PENDING_MAX && this.#pendingBytes + size <= COMMANDS_PENDING_BYTES_MAX;
  }
}
