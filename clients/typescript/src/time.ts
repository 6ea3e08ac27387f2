/** Times as callers write them (milliseconds, Date) and as the contract carries them. */
import { Duration } from "./generated/google/protobuf/duration.js";
import { Timestamp } from "./generated/google/protobuf/timestamp.js";

/** As the contract carries it. */
export function toDuration(ms: number): Duration {
  const nanos = BigInt(Math.round(ms * 1e6));
  return Object.assign(Duration.create(), { seconds: nanos / 1_000_000_000n, nanos: Number(nanos % 1_000_000_000n) });
}

/** In milliseconds; 0 when it is not set. */
export function fromDuration(duration: Duration | undefined): number {
  return duration === undefined ? 0 : Number(duration.seconds) * 1000 + duration.nanos / 1e6;
}

/** As the contract carries it. */
export function toTimestamp(date: Date): Timestamp {
  const ms = date.getTime();
  const seconds = Math.floor(ms / 1000);
  return Object.assign(Timestamp.create(), { seconds: BigInt(seconds), nanos: (ms - seconds * 1000) * 1_000_000 });
}

/** As a Date, whose resolution is a millisecond; the epoch when it is not set. */
export function toDate(timestamp: Timestamp | undefined): Date {
  return new Date(timestamp === undefined ? 0 : Number(timestamp.seconds) * 1000 + Math.floor(timestamp.nanos / 1e6));
}

/** Waits; ends early, by throwing its reason, when the signal is aborted. */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(signal.reason);
      return;
    }
    const onAbort = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", onAbort);
      resolve();
    }, ms);
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}

/** Waits for a promise, at most so long: whether it was settled in time. Never throws what the promise does. */
export async function settlesWithin(promise: Promise<unknown>, ms: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => resolve(false), ms);
  });
  const settled = promise.then(
    () => true,
    () => true,
  );
  try {
    return await Promise.race([settled, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** A promise, and what settles it. */
export class Deferred<T> {
  resolve!: (value: T) => void;
  reject!: (error: unknown) => void;
  readonly promise: Promise<T>;

  constructor() {
    this.promise = new Promise<T>((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
  }
}
