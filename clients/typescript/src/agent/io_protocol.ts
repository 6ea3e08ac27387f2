/** What the program's thread and the I/O thread say to each other. Plain values, so that a message port carries them. */
import type { Answer, Asked } from "../commands.js";
import type { ConnectionOptions } from "../connection.js";
import type { CarriedError } from "../status.js";

/** To the I/O thread. `agent` is the place of an agent in its host, `session` counts its sessions from 1, `id` names an answer. */
export type Order =
  | { readonly do: "host"; readonly agent: number; readonly spec: Uint8Array; readonly leaseMs: number }
  | {
      readonly do: "ask";
      readonly id: number;
      readonly agent: number;
      readonly session: number;
      readonly asked: Asked;
      readonly timeoutMs: number | undefined;
      readonly retryMs: number | undefined;
      /** Whether nothing more will be said of its attempt once it is answered. */
      readonly settles: boolean;
    }
  | { readonly do: "abandon"; readonly id: number }
  | { readonly do: "settle"; readonly agent: number; readonly attemptToken: bigint }
  | { readonly do: "proceed"; readonly agent: number }
  | { readonly do: "update"; readonly id: number; readonly agent: number; readonly spec: Uint8Array }
  | { readonly do: "drain"; readonly id: number; readonly agent: number }
  | { readonly do: "stop"; readonly id: number; readonly agent: number; readonly reason: string }
  /** The answer to "token": one of the two. */
  | { readonly do: "token"; readonly asked: number; readonly token?: string; readonly error?: CarriedError };

/** What the I/O thread is started with. */
export interface IoOptions extends ConnectionOptions {
  /** Whether tokens are asked for: the function that gives them cannot cross. */
  readonly asksForTokens?: boolean;
}

/** From the I/O thread. */
export type Word =
  | { readonly tell: "answered"; readonly id: number; readonly answer: Answer | undefined }
  | { readonly tell: "refused"; readonly id: number; readonly error: CarriedError }
  | {
      readonly tell: "registered";
      readonly agent: number;
      readonly session: number;
      readonly sessionId: bigint;
      readonly agentId: string;
    }
  | { readonly tell: "lost"; readonly agent: number; readonly session: number; readonly because: string }
  | { readonly tell: "ended"; readonly agent: number; readonly error: CarriedError | undefined }
  | { readonly tell: "task"; readonly agent: number; readonly session: number; readonly task: Uint8Array }
  | {
      readonly tell: "cancel";
      readonly agent: number;
      readonly attemptToken: bigint;
      readonly reason: string;
      readonly graceMs: number;
    }
  | { readonly tell: "drain"; readonly agent: number }
  /** A token is needed, and this side has the function that gives it. */
  | { readonly tell: "token"; readonly asked: number }
  | { readonly tell: "log"; readonly level: "debug" | "info" | "warn" | "error"; readonly message: string };

/** Posts many values as one message: whatever is there when the present turn of the event loop has run. */
export class Outbox<T> {
  readonly #post: (batch: T[]) => void;
  #batch: T[] = [];

  constructor(post: (batch: T[]) => void) {
    this.#post = post;
  }

  put(value: T): void {
    this.#batch.push(value);
    if (this.#batch.length === 1) queueMicrotask(() => this.#post(this.#batch.splice(0)));
  }
}
