/** Waiting for what has to become true. */
import { setTimeout as sleep } from "node:timers/promises";

const MS_MAX = 60_000;

/** Waits until it holds (is neither false nor undefined), and returns that. */
export async function until<T>(
  condition: () => T | undefined | false | Promise<T | undefined | false>,
): Promise<Exclude<T, false>> {
  const giveUpAt = performance.now() + MS_MAX;
  for (;;) {
    const found = await condition();
    if (found !== undefined && found !== false) return found as Exclude<T, false>;
    if (performance.now() > giveUpAt) throw new Error(`it did not become true in time: ${condition}`);
    await sleep(20);
  }
}

/** A promise, and what settles it. */
export function gate<T = void>(): { opened: Promise<T>; open: (value: T) => void } {
  let open!: (value: T) => void;
  const opened = new Promise<T>((resolve) => {
    open = resolve;
  });
  return { opened, open };
}
