/** What travels as what between the runner and this driver. */
import {
  ConcertError,
  Event,
  EventType,
  fromPayload,
  onAgent,
  onCapability,
  type Run,
  type RunOptions,
  RunStatus,
  retry,
  TaskStatus,
  task,
  taskLock,
} from "@concert-dev/client";

/** Arguments and answers: what JSON gives. */
// biome-ignore lint/suspicious/noExplicitAny: the runner decides what is in there
export type Args = Record<string, any>;

const DETAILS = [
  "violations",
  "cycle",
  "resource",
  "conflictType",
  "currentRevision",
  "conflictSequence",
  "keys",
  "token",
  "currentToken",
  "holders",
  "position",
  "logId",
  "oldestSequence",
  "requestedLogId",
  "featureLevel",
  "needed",
] as const;
const VALUES = new Set(["current", "attempted"]);

/** A value of a request as the client takes it. */
export function decoded(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(decoded);
  if (typeof value !== "object" || value === null) return value;
  const object = value as Args;
  if ("$bytes" in object) return new Uint8Array(Buffer.from(object.$bytes, "base64"));
  if ("$number" in object) return /^-?\d+$/.test(object.$number) ? BigInt(object.$number) : Number(object.$number);
  if ("$unencodable" in object) return () => "no JSON has a function";
  return Object.fromEntries(Object.entries(object).map(([key, item]) => [key, decoded(item)]));
}

/** What the client gave, as an answer has it. */
export function encoded(value: unknown): unknown {
  if (value === undefined) return null;
  if (value instanceof Uint8Array) return { $bytes: Buffer.from(value).toString("base64") };
  if (Array.isArray(value)) return value.map(encoded);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, encoded(item)]));
}

/** A line: sequences and tokens are numbers in it. */
export function toLine(message: object): string {
  return `${JSON.stringify(message, (_key, value) => (typeof value === "bigint" ? Number(value) : value))}\n`;
}

/** What went wrong, with all that the typed error unpacked. */
export function errorOf(error: unknown): Args {
  if (!(error instanceof ConcertError)) return { code: "DRIVER", message: String(error) };
  const details: Args = {};
  for (const name of DETAILS) {
    if (name in error) details[snake(name)] = snakeKeys((error as unknown as Args)[name]);
  }
  const retryAfterMs = (error as unknown as { retryAfterMs?: number }).retryAfterMs;
  if (retryAfterMs !== undefined) details.retry_after = retryAfterMs / 1000;
  return { code: error.code, reason: error.reason, message: error.message, details };
}

/** An event, reduced to what is judged; with `raw` as it would be written again. A type that this client does not know is its number. */
export function eventOf(event: Event, raw = false): Args {
  const said: Args = { sequence: event.sequence, type: EventType[event.type] ?? event.type };
  for (const name of ["agentId", "runId", "taskId", "traceparent"] as const) {
    if (event[name] !== "") said[snake(name)] = event[name];
  }
  if (event.payload?.$case === "custom") {
    said.custom_name = event.payload.value.name;
    said.data = encoded(fromPayload(event.payload.value.data));
  }
  if (raw) said.raw = encoded(Event.encode(event).finish());
  return said;
}

/** A run, reduced to what is judged. */
export function runOf(run: Run): Args {
  const tasks = run.tasks.map((each) => [
    each.taskId,
    {
      status: TaskStatus[each.status],
      attempts: each.attempts,
      error_type: each.error?.errorType ?? "",
      error: each.error?.message ?? "",
    },
  ]);
  return { status: RunStatus[run.status], tasks: Object.fromEntries(tasks) };
}

/** What submitRun takes. */
export function runOptions(run: Args): RunOptions {
  const { tasks = [], timeout, ...rest } = camelKeys(run);
  return { ...rest, tasks: tasks.map(taskOf), ...(timeout !== undefined && { timeoutMs: timeout * 1000 }) };
}

/** What `task` makes of a task. */
export function taskOf(said: Args) {
  const { task_id, max_execution_time, retry: again, depends_on, after, locks, ...rest } = said;
  return task(task_id, {
    ...camelKeys(rest),
    ...(depends_on && { dependsOn: depends_on.map(dependency) }),
    ...(after && { after: after.map(dependency) }),
    ...(locks && {
      locks: locks.map((each: string | Args) => (typeof each === "string" ? each : taskLock(each.resource, each))),
    }),
    ...(max_execution_time !== undefined && { maxExecutionMs: max_execution_time * 1000 }),
    ...(again && { retry: retry(milliseconds(again, "backoff_initial", "backoff_max")) }),
  });
}

/** Arguments under the client's names. */
export function camelKeys(args: Args): Args {
  const camel = (key: string) => key.replace(/_(\w)/g, (_all, letter) => letter.toUpperCase());
  return Object.fromEntries(Object.entries(args).map(([key, value]) => [camel(key), value]));
}

/** Arguments under the client's names, those in seconds in milliseconds. */
export function milliseconds(args: Args, ...inSeconds: string[]): Args {
  const entries = Object.entries(args).map(([key, value]) =>
    inSeconds.includes(key) ? [`${key}_ms`, value * 1000] : [key, value],
  );
  return camelKeys(Object.fromEntries(entries));
}

function dependency(entry: string | Args) {
  if (typeof entry === "string") return entry;
  return "agent" in entry ? onAgent(entry.agent) : onCapability(entry.capability);
}

function snake(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

function snakeKeys(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(snakeKeys);
  if (value instanceof Date) return value.toISOString();
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [snake(key), VALUES.has(key) ? encoded(item) : snakeKeys(item)]),
  );
}
