/** Fences: the locks that a command relies on. If one is no longer held the command is refused, with StaleFence. */
import { Fence, type LockGrant } from "./generated/concert/v1/lock.js";
import type { Lock } from "./lock.js";
import { message } from "./message.js";

/** Locks as `client.lock` hands them out, or single grants of them, or fences that somebody else sent. */
export type Fences = readonly (Lock | LockGrant | Fence)[];

/** The contract's Fence for each lock. */
export function toFences(fences: Fences | undefined): Fence[] {
  return (fences ?? []).flatMap((each) => ("grants" in each ? each.grants : [each]).map(toFence));
}

function toFence({ resource, fencingToken }: Pick<Fence, "resource" | "fencingToken">): Fence {
  return message(Fence, { resource, fencingToken });
}
