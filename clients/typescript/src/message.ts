/** Building messages of the contract. */

interface Creates<T> {
  create(): T;
}

const bases = new WeakMap<Creates<object>, object>();

/**
 * A message with these fields; the others are as the contract has them when they are not set. Lists and maps that are not given are shared
 * between messages, and frozen.
 */
export function message<T extends object>(codec: Creates<T>, fields: Partial<T>): T {
  return { ...((bases.get(codec) as T | undefined) ?? baseOf(codec)), ...fields };
}

function baseOf<T extends object>(codec: Creates<T>): T {
  const base = codec.create();
  for (const value of Object.values(base)) if (typeof value === "object" && value !== null) Object.freeze(value);
  bases.set(codec, base);
  return base;
}
