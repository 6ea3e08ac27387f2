/** What a handler is handed: the task, and everything it may say and ask while it works on it. */
import type { Caller, Origin } from "../caller.js";
import { InvalidArgument } from "../errors.js";
import { type DraftOptions, draft, publish } from "../events.js";
import type { LockGrant } from "../generated/concert/v1/lock.js";
import type { Payload } from "../generated/concert/v1/payload.js";
import { GetTaskResultRequest } from "../generated/concert/v1/run_service.js";
import { TaskProgress } from "../generated/concert/v1/session_service.js";
import type { StateChange } from "../generated/concert/v1/state.js";
import { type AgentTask, Progress, type TaskResult, type TaskSpec } from "../generated/concert/v1/task.js";
import type { Json, JsonLike } from "../json_value.js";
import { PROGRESS_MESSAGE_BYTES_MAX, PROGRESS_MS_MIN, STATE_CHANGES_PER_REPORT_MAX } from "../limits.js";
import type { Lock, LockOptions } from "../lock.js";
import { log, say } from "../log.js";
import { message } from "../message.js";
import { GET_TASK_RESULT, TASK_PROGRESS } from "../methods.js";
import { clip, fromPayload, type PayloadLike } from "../payload.js";
import type { RunOptions } from "../run_spec.js";
import type { ChangeRequest, RunHandle } from "../runs.js";
import { type ChangeOptions, type State, stateChange } from "../state.js";
import { Surface } from "../surface.js";
import { fromDuration, sleep } from "../time.js";

/** What a task is given and gives: JSON, bytes, or nothing. */
export type Value = Json | Uint8Array | undefined;

/** Results of the direct dependencies by task id, or by the name of an agent that did one of them. Iterating gives them by task id. */
export class PreviousResults implements Iterable<[string, Value]> {
  readonly #byTask = new Map<string, Value>();
  readonly #byAgent = new Map<string, Map<string, Value>>();

  constructor(results: Iterable<readonly [taskId: string, agentName: string, result: Value]> = []) {
    for (const [taskId, agentName, result] of results) {
      this.#byTask.set(taskId, result);
      const tasks = this.#byAgent.get(agentName) ?? new Map();
      this.#byAgent.set(agentName, tasks.set(taskId, result));
    }
  }

  /** Of a task, or of an agent that did one; undefined when there is none. Throws for an agent that did several: use `byAgent`. */
  get(name: string): Value {
    if (this.#byTask.has(name)) return this.#byTask.get(name);
    const tasks = this.byAgent(name);
    if (tasks.size > 1) throw new InvalidArgument(`${name} did several tasks: ${[...tasks.keys()].join(", ")}`);
    return tasks.values().next().value;
  }

  /** The results of that agent by task id. */
  byAgent(agentName: string): ReadonlyMap<string, Value> {
    return this.#byAgent.get(agentName) ?? new Map();
  }

  /** How many there are. */
  get size(): number {
    return this.#byTask.size;
  }

  [Symbol.iterator](): IterableIterator<[string, Value]> {
    return this.#byTask.entries();
  }
}

/** One attempt of a task. */
export class TaskContext<Input = Value> {
  readonly namespace: string;
  readonly runId: string;
  readonly taskId: string;
  /** Which attempt this is, from 1. */
  readonly attempt: number;
  readonly attemptToken: bigint;
  readonly capability: string;
  readonly agentName: string;
  readonly policy: string;
  /** JSON, or bytes. */
  readonly input: Input;
  /** Of the run; JSON, or bytes. */
  readonly runContext: Value;
  /** The grants that came with the task, by resource. */
  readonly locks: ReadonlyMap<string, LockGrant>;
  readonly traceparent: string;
  readonly metadata: Readonly<Record<string, string>>;
  /** When the attempt times out, by this machine's clock; undefined when it does not. */
  readonly deadline: Date | undefined;
  /** Aborted when the attempt is to stop; the reason is a Cancelled that says why. Hand it to whatever takes a signal. */
  readonly signal: AbortSignal;
  /** Everything else that can be asked of the coordinator, in the name of this attempt. */
  readonly client: Surface;
  readonly state: State;
  #previousResults = new PreviousResults();
  #cleaningUp = false;
  readonly #task: AgentTask;
  readonly #caller: Caller;
  readonly #origin: Origin;
  readonly #deadlineAt: number;
  readonly #changes: StateChange[] = [];
  readonly #reporting = new AbortController();
  #progress: Progress | undefined;
  #progressCount = 0;
  #reporter: Promise<void> | undefined;

  /** From an AgentTask, as of now. */
  constructor(task: AgentTask, caller: Caller, signal: AbortSignal) {
    this.namespace = task.namespace;
    this.runId = task.runId;
    this.taskId = task.taskId;
    this.attempt = task.attempt;
    this.attemptToken = task.attemptToken;
    this.capability = task.capability;
    this.agentName = task.agentName;
    this.policy = task.policy;
    this.input = fromPayload(task.input) as Input;
    this.runContext = fromPayload(task.context);
    this.locks = new Map(task.locks.map((grant) => [grant.resource, grant]));
    this.traceparent = task.traceparent;
    this.metadata = task.metadata;
    this.signal = signal;
    const left = task.timeLeft === undefined ? Number.POSITIVE_INFINITY : fromDuration(task.timeLeft);
    this.#deadlineAt = performance.now() + left;
    this.deadline = Number.isFinite(left) ? new Date(Date.now() + left) : undefined;
    this.#task = task;
    this.#caller = caller;
    const waits = () => (this.#cleaningUp ? undefined : signal);
    this.#origin = { caller, attemptToken: this.attemptToken, writer: "", signal: waits };
    this.client = new Surface(this.#origin);
    this.state = this.client.state;
  }

  /** What the direct dependencies produced. */
  get previousResults(): PreviousResults {
    return this.#previousResults;
  }

  /** Milliseconds until the attempt times out, by the monotonic clock; infinite without a deadline. */
  timeLeftMs(): number {
    return Math.max(0, this.#deadlineAt - performance.now());
  }

  /** Reports how far the attempt is (0 to 1), in words of at most 1 KiB. Never waits: the latest report wins. */
  progress(fraction: number, words = ""): void {
    if (!(fraction >= 0 && fraction <= 1)) throw new InvalidArgument(`progress is between 0 and 1, not ${fraction}`);
    this.#progress = message(Progress, { fraction, message: clip(words, PROGRESS_MESSAGE_BYTES_MAX) });
    this.#reporter ??= this.#reportProgress().finally(() => {
      this.#reporter = undefined;
    });
  }

  /** States a fact about this task; its sequence. Throws StaleAttempt, InvalidPayload. */
  async publish(name: string, data?: PayloadLike, options: DraftOptions = {}): Promise<bigint> {
    const one = draft(name, data, { runId: this.runId, taskId: this.taskId, ...options });
    const [sequence] = await publish(this.#origin, [one], {});
    return sequence as bigint;
  }

  /**
   * Stages a change of shared state that becomes true together with the completion of the task, or not at all. At most 100 changes, and
   * 1 MiB together with the result. If they conflict the attempt fails with STATE_CONFLICT. Throws InvalidArgument, InvalidPayload.
   */
  setState(updates: Readonly<Record<string, JsonLike>>, options: ChangeOptions = {}): void {
    if (this.#changes.length >= STATE_CHANGES_PER_REPORT_MAX) {
      throw new InvalidArgument(`a completion takes at most ${STATE_CHANGES_PER_REPORT_MAX} state changes`);
    }
    this.#changes.push(stateChange(updates, options));
  }

  /** Takes locks that are held by this attempt; see `Client.lock`. Its wait, and its signal, end when the attempt is to stop. */
  lock(resources: string | readonly string[], options: LockOptions = {}): Promise<Lock> {
    return this.client.lock(resources, options);
  }

  /** See `lock` and `Client.withLock`. */
  withLock<T>(resources: string | readonly string[], body: (lock: Lock) => T | Promise<T>, options: LockOptions = {}) {
    return this.client.withLock(resources, body, options);
  }

  /** Submits a run from within this attempt; see `Client.submitRun`. */
  submitRun(options: RunOptions & ChangeRequest): Promise<RunHandle> {
    return this.client.submitRun(options);
  }

  /** Adds tasks to the run that this attempt is part of, all or none; see `RunHandle.addTasks`. */
  addTasks(tasks: readonly TaskSpec[], { last = false } = {}): Promise<bigint> {
    return this.client.run(this.runId).addTasks(tasks, { last });
  }

  // ---- for the runtime

  /** @internal What `setState` has staged. */
  get stagedChanges(): StateChange[] {
    return [...this.#changes];
  }

  /** @internal Fills `previousResults`, reading those that were handed over by reference. */
  async fetchResults(): Promise<void> {
    this.#previousResults = new PreviousResults(
      await Promise.all(this.#task.results.map((each) => this.#result(each))),
    );
  }

  /** @internal Ends the reports of progress: what is said next is final. */
  async stopReporting(): Promise<void> {
    this.#progress = undefined;
    this.#reporting.abort();
    await this.#reporter;
  }

  /** @internal The signal is aborted now, perhaps, but what is asked from here on is not ended by it. */
  beginCleanUp(): void {
    this.#cleaningUp = true;
  }

  async #result(result: TaskResult): Promise<readonly [string, string, Value]> {
    let payload: Payload | undefined = result.result;
    if (result.byReference) {
      const request = message(GetTaskResultRequest, { runId: this.runId, taskId: result.taskId });
      payload = (await this.#caller.call(GET_TASK_RESULT, request)).result;
    }
    return [result.taskId, result.agentName, fromPayload(payload)];
  }

  async #reportProgress(): Promise<void> {
    const { signal } = this.#reporting;
    while (this.#progress !== undefined && !signal.aborted) {
      const progress = this.#progress;
      this.#progress = undefined;
      const requestId = `attempt/${this.attemptToken}/progress/${++this.#progressCount}`;
      const request = message(TaskProgress, { requestId, attemptToken: this.attemptToken, progress });
      try {
        await this.#caller.call(TASK_PROGRESS, request, { signal });
      } catch (error) {
        if (!signal.aborted) log.debug(`progress of attempt ${this.attemptToken} was not taken: ${say(error)}`);
      }
      await sleep(PROGRESS_MS_MIN, signal).catch(() => {});
    }
  }
}
