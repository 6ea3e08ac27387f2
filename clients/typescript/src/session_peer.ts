/** Who is given the work that comes down a session. */
import type { CancelTask } from "./generated/concert/v1/session_service.js";

/** Called as messages arrive; must not block. */
export interface SessionPeer {
  /** The attempts being executed, and those with reports that were not acknowledged. */
  attemptTokens(): Iterable<bigint>;
  /** An AgentTask, written, perhaps one seen before. */
  onTask(attemptToken: bigint, task: Uint8Array): void;
  onCancel(cancel: CancelTask): void;
  /** An attempt that no longer counts. */
  onStale(attemptToken: bigint): void;
  /** The agent is to take no new tasks. */
  onDrain(): void;
}

/** For clients that are no agents: they take no tasks, so none can come. */
export const NO_PEER: SessionPeer = {
  attemptTokens: () => [],
  onTask: () => {},
  onCancel: () => {},
  onStale: () => {},
  onDrain: () => {},
};
