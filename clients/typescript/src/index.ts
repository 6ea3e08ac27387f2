/**
 * Concert for TypeScript: let many independent agents do one job together without stepping on each other.
 *
 *     await using client = connect("127.0.0.1:7420");
 *     await client.publish("page_rendered", { path: "/" });
 *
 * This module is the public face; agents are in `@concert-dev/client/agent`, the contract's messages in `@concert-dev/client/v1`.
 */
export { Client, type ConnectOptions, connect, Session, type SessionOptions } from "./client.js";
export { ADDRESS_DEFAULT, type ConnectionOptions } from "./connection.js";
export type { TlsOptions, TokenSource } from "./credentials.js";
export type { Detail, DetailMessage, DetailType } from "./error_details.js";
export type { ConflictKey, LockHolder, LockWait } from "./error_words.js";
export * from "./errors.js";
export type { EventSelection, EventTypeLike, Start, StartOptions } from "./event_filter.js";
export { type DraftOptions, draft, type Events, type HistoryOptions, type PublishOptions } from "./events.js";
export type { Fences } from "./fences.js";
export { Event, EventDraft, EventType } from "./generated/concert/v1/event.js";
export { Cursor } from "./generated/concert/v1/event_service.js";
export { Payload } from "./generated/concert/v1/payload.js";
export { Run, RunPlan, RunStatus } from "./generated/concert/v1/run.js";
export { Task, TaskStatus } from "./generated/concert/v1/task.js";
export type { Json, JsonLike } from "./json_value.js";
export { type AcquireOptions, Lock, type LockModeName, type LockOptions } from "./lock.js";
export type { Locks } from "./locks.js";
export { type Logger, setLogger } from "./log.js";
export type { ExplainSubject, Monitor } from "./monitor.js";
export type { NamedSubscription, NamedSubscriptionOptions, Subscriptions } from "./named_subscription.js";
export { fromPayload, type PayloadLike, toPayload } from "./payload.js";
export {
  type DependencyLike,
  onAgent,
  onCapability,
  onTask,
  type RetryOptions,
  type RunOptions,
  retry,
  type TaskOptions,
  task,
  taskLock,
} from "./run_spec.js";
export type { ChangeRequest, RunHandle, Runs, RunUpdate } from "./runs.js";
export type { ChangeOptions, Modified, State, StateEntry, StateRevision, Strategy, WriteOptions } from "./state.js";
export { applyChange, type ChangeKind, type KeyChange, type StateWatch } from "./state_watch.js";
export type { SubscribeOptions, Subscription } from "./subscription.js";
export type { Surface } from "./surface.js";
export { toDate, toTimestamp } from "./time.js";
