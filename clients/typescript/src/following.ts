/** Following a stream of the coordinator: opened again, where it was left, whenever it breaks, ends or falls silent. */
import { Backoff } from "./backoff.js";
import type { Caller, Responses } from "./caller.js";
import { Cancelled, ConcertError, Unavailable } from "./errors.js";
import { BOOKMARK_SILENCE_MS_MAX } from "./limits.js";
import { log, say } from "./log.js";
import type { Method } from "./methods.js";
import { sleep } from "./time.js";
import { isTransient, retryAfterMs } from "./transience.js";

/**
 * The responses of a stream that proves with bookmarks that it is alive. What cannot be mended by waiting is thrown, and so is whatever
 * stands in the way of the very first response for longer than the caller's `retryMs`.
 */
export class Following<Request, Response> {
  readonly #caller: Caller;
  readonly #method: Method<Request, Response>;
  readonly #request: () => Request;
  readonly #closed = new AbortController();
  #established = false;
  #responses: Responses<Response> | undefined;

  /** `request` is asked for each time the stream is opened: it says where to go on. */
  constructor(caller: Caller, method: Method<Request, Response>, request: () => Request) {
    this.#caller = caller;
    this.#method = method;
    this.#request = request;
  }

  /** The next response; undefined once closed. */
  async next(): Promise<Response | undefined> {
    const giveUpAt = performance.now() + this.#caller.retryMs;
    const backoff = new Backoff();
    while (!this.#closed.signal.aborted) {
      try {
        const response = await this.#read();
        this.#established = true;
        return response;
      } catch (error) {
        if (this.#closed.signal.aborted) break;
        if (!(error instanceof ConcertError)) throw error;
        const pause = backoff.pauseMs(retryAfterMs(error));
        if (!isTransient(error) || (!this.#established && performance.now() + pause > giveUpAt)) throw error;
        log.info(`${this.#method.name} goes on in ${Math.round(pause)} ms: ${say(error)}`);
        await sleep(pause, this.#closed.signal).catch(() => {});
      }
    }
    return undefined;
  }

  /** Ends the stream; a `next` that waits is told so. */
  close(): void {
    this.#closed.abort(new Cancelled("it was closed"));
    this.#drop();
  }

  async #read(): Promise<Response> {
    this.#responses ??= this.#caller.stream(this.#method, this.#request());
    const responses = this.#responses;
    let timer: NodeJS.Timeout | undefined;
    const silence = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => reject(new Unavailable("no bookmark came")), BOOKMARK_SILENCE_MS_MAX);
    });
    try {
      const response = await Promise.race([responses.next(), silence]);
      if (response === undefined) throw new Unavailable("the stream ended");
      return response;
    } catch (error) {
      this.#drop();
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  #drop(): void {
    this.#responses?.close();
    this.#responses = undefined;
  }
}
