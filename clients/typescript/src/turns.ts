/**
 * Turns within one process (rule L5): the coordinator lets one holder take a lock twice, so two scopes of one holder would both get in.
 * Here they line up instead, before they ask.
 *
 * A scope inside another one may enter again (the coordinator counts such grants); several shared scopes may be inside together.
 */
import { sleep } from "./time.js";

/** Says which scopes belong together: those inside one another. */
export type Owner = symbol;

interface Turn {
  readonly owner: Owner;
  readonly shared: boolean;
}

interface Waiting {
  readonly turn: Turn;
  readonly enter: () => void;
}

/** Who is inside, and who waits, for one resource of one holder. */
class Queue {
  readonly inside: Turn[] = [];
  readonly waiting: Waiting[] = [];

  has(owner: Owner): boolean {
    return this.inside.some((each) => each.owner === owner);
  }

  hasRoom({ owner, shared }: Turn): boolean {
    if (this.inside.length === 0 || this.has(owner)) return true;
    return shared && this.inside.every((each) => each.shared);
  }
}

const queues = new Map<string, Queue>();

/** The turns of one scope: on each of its resources, in the order of their names so that scopes cannot block each other. */
export class Turns {
  readonly #keys: readonly string[];
  readonly #turn: Turn;
  readonly #entered: string[] = [];

  /** Without a holder every request is a holder of its own, and there is nothing to line up for. */
  constructor(holder: string, resources: readonly string[], turn: Turn) {
    const sorted = [...new Set(resources)].sort();
    this.#keys = holder === "" ? [] : sorted.map((resource) => JSON.stringify([holder, resource]));
    this.#turn = turn;
  }

  /** Waits for all of them, at most so long; false when it took longer. What was entered is then left again. */
  async enter(waitMs: number, signal: AbortSignal | undefined): Promise<boolean> {
    const given = new AbortController();
    const late = sleep(waitMs, given.signal).then(
      () => false,
      () => false,
    );
    try {
      for (const key of this.#keys) {
        if (!(await this.#enter(key, late, signal))) {
          this.leave();
          return false;
        }
      }
      return true;
    } catch (error) {
      this.leave();
      throw error;
    } finally {
      given.abort();
    }
  }

  /** Lets the next in line in. */
  leave(): void {
    for (const key of this.#entered.splice(0)) {
      const queue = queues.get(key);
      if (queue === undefined) continue;
      queue.inside.splice(queue.inside.indexOf(this.#turn), 1);
      letIn(key, queue);
    }
  }

  async #enter(key: string, late: Promise<boolean>, signal: AbortSignal | undefined): Promise<boolean> {
    signal?.throwIfAborted();
    const queue = queues.get(key) ?? new Queue();
    queues.set(key, queue);
    if (queue.has(this.#turn.owner) || (queue.waiting.length === 0 && queue.hasRoom(this.#turn))) {
      queue.inside.push(this.#turn);
      this.#entered.push(key);
      return true;
    }
    let waiting: Waiting | undefined;
    const turn = new Promise<boolean>((resolve, reject) => {
      const enter = () => {
        this.#entered.push(key);
        resolve(true);
      };
      waiting = { turn: this.#turn, enter };
      queue.waiting.push(waiting);
      signal?.addEventListener("abort", () => reject(signal.reason), { once: true });
    });
    try {
      if (await Promise.race([turn, late])) return true;
    } catch (error) {
      this.#withdraw(key, queue, waiting);
      throw error;
    }
    return this.#withdraw(key, queue, waiting);
  }

  /** Whether it was let in before it could be withdrawn. */
  #withdraw(key: string, queue: Queue, waiting: Waiting | undefined): boolean {
    const place = waiting === undefined ? -1 : queue.waiting.indexOf(waiting);
    if (place < 0) return true;
    queue.waiting.splice(place, 1);
    letIn(key, queue);
    return false;
  }
}

function letIn(key: string, queue: Queue): void {
  for (let next = queue.waiting[0]; next !== undefined && queue.hasRoom(next.turn); next = queue.waiting[0]) {
    queue.waiting.shift();
    queue.inside.push(next.turn);
    next.enter();
  }
  if (queue.inside.length === 0 && queue.waiting.length === 0) queues.delete(key);
}
