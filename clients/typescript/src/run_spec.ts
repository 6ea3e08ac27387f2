/** What a submitter writes: runs, tasks, and what they refer to. */
import { InvalidArgument } from "./errors.js";
import { Dependency } from "./generated/concert/v1/agent.js";
import { RetryPolicy } from "./generated/concert/v1/policy.js";
import { RunSpec } from "./generated/concert/v1/run.js";
import { TaskLock, TaskSpec, TaskTarget } from "./generated/concert/v1/task.js";
import { type LockModeName, lockMode } from "./lock.js";
import { message } from "./message.js";
import { type PayloadLike, toPayload } from "./payload.js";
import { toDuration } from "./time.js";

/** A task id, or what `onTask`, `onAgent`, `onCapability` make. */
export type DependencyLike = string | Dependency;

/** One task of a run, for exactly one of: a `capability`, an `agent` (its name), an `agentId`. */
export interface TaskOptions {
  capability?: string;
  agent?: string;
  agentId?: string;
  input?: PayloadLike;
  /** What has to have succeeded before. */
  dependsOn?: readonly DependencyLike[];
  /** What has to be over before, whatever the outcome. */
  after?: readonly DependencyLike[];
  /** Capabilities it stands for beside its target's, so that dependencies by capability find it. */
  capabilities?: readonly string[];
  /** Resource names, or what `taskLock` makes. */
  locks?: readonly (string | TaskLock)[];
  policy?: string;
  priority?: number;
  /** For one attempt. */
  maxExecutionMs?: number;
  retry?: RetryPolicy;
  metadata?: Readonly<Record<string, string>>;
}

/** A run of `tasks` (made with `task`, in any order) or of `agents` (names). */
export interface RunOptions {
  tasks?: readonly TaskSpec[];
  agents?: readonly string[];
  runId?: string;
  name?: string;
  /** Handed to every task. */
  context?: PayloadLike;
  timeoutMs?: number;
  /** How many of its tasks run at once; 0 for no limit of its own. */
  runningMax?: number;
  /** Whether the first task that fails for good cancels everything unfinished. */
  failFast?: boolean;
  policy?: string;
  priority?: number;
  metadata?: Readonly<Record<string, string>>;
  /** May begin without tasks, and is over only after `addTasks` with `last`. */
  open?: boolean;
}

/** How failures are tried again; what is left out is the policy's. `attemptsMax` counts the first one too. */
export interface RetryOptions {
  attemptsMax?: number;
  backoffInitialMs?: number;
  backoffMaxMs?: number;
  backoffMultiplier?: number;
  lostAttemptsMax?: number;
}

/** Refers to the task of that id; a plain string does the same. */
export function onTask(taskId: string): Dependency {
  return message(Dependency, { on: { $case: "taskId", value: taskId } });
}

/** Refers to every other task for that agent name. */
export function onAgent(agentName: string): Dependency {
  return message(Dependency, { on: { $case: "agentName", value: agentName } });
}

/** Refers to every other task that asks for, or whose agent declares, that capability. */
export function onCapability(capability: string): Dependency {
  return message(Dependency, { on: { $case: "capability", value: capability } });
}

/** Each as a Dependency. */
export function dependencies(entries: readonly DependencyLike[] | undefined): Dependency[] {
  return (entries ?? []).map((each) => (typeof each === "string" ? onTask(each) : each));
}

/** A lock that a task declares: taken with its assignment, released with its attempt. */
export function taskLock(
  resource: string,
  { mode = "exclusive", guards = "" }: { mode?: LockModeName; guards?: string } = {},
) {
  return message(TaskLock, { resource, mode: lockMode(mode), guards });
}

/** See RetryOptions. */
export function retry(options: RetryOptions): RetryPolicy {
  const { attemptsMax = 0, backoffInitialMs, backoffMaxMs, backoffMultiplier = 0, lostAttemptsMax = 0 } = options;
  return message(RetryPolicy, {
    attemptsMax,
    backoffMultiplier,
    lostAttemptsMax,
    backoffInitial: backoffInitialMs === undefined ? undefined : toDuration(backoffInitialMs),
    backoffMax: backoffMaxMs === undefined ? undefined : toDuration(backoffMaxMs),
  });
}

/** See TaskOptions. Throws InvalidArgument, InvalidPayload. */
export function task(taskId: string, options: TaskOptions): TaskSpec {
  return message(TaskSpec, {
    taskId,
    target: message(TaskTarget, { target: targetOf(taskId, options) }),
    dependsOn: dependencies(options.dependsOn),
    after: dependencies(options.after),
    capabilities: [...(options.capabilities ?? [])],
    locks: (options.locks ?? []).map((each) => (typeof each === "string" ? taskLock(each) : each)),
    policy: options.policy ?? "",
    priority: options.priority,
    retry: options.retry,
    metadata: { ...options.metadata },
    input: options.input === undefined ? undefined : toPayload(options.input),
    maxExecutionTime: options.maxExecutionMs === undefined ? undefined : toDuration(options.maxExecutionMs),
  });
}

/** See RunOptions. Throws InvalidPayload. */
export function runSpec(options: RunOptions): RunSpec {
  return message(RunSpec, {
    runId: options.runId ?? "",
    name: options.name ?? "",
    tasks: [...(options.tasks ?? [])],
    agents: [...(options.agents ?? [])],
    runningMax: options.runningMax ?? 0,
    failFast: options.failFast ?? false,
    policy: options.policy ?? "",
    priority: options.priority,
    metadata: { ...options.metadata },
    open: options.open ?? false,
    context: options.context === undefined ? undefined : toPayload(options.context),
    timeout: options.timeoutMs === undefined ? undefined : toDuration(options.timeoutMs),
  });
}

function targetOf(taskId: string, { capability, agent, agentId }: TaskOptions): TaskTarget["target"] {
  const targets: Exclude<TaskTarget["target"], undefined>[] = [];
  if (capability) targets.push({ $case: "capability", value: capability });
  if (agent) targets.push({ $case: "agentName", value: agent });
  if (agentId) targets.push({ $case: "agentId", value: agentId });
  if (targets.length !== 1) {
    throw new InvalidArgument(`task ${JSON.stringify(taskId)} is for exactly one of capability, agent and agentId`);
  }
  return targets[0];
}
