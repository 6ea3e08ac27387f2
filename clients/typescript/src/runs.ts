/** Runs: tasks that order themselves, and a handle to follow them by. */
import { Backoff } from "./backoff.js";
import type { Origin } from "./caller.js";
import { ConcertError, InternalError, InvalidArgument, Unavailable } from "./errors.js";
import { Events } from "./events.js";
import { type Fences, toFences } from "./fences.js";
import type { Event } from "./generated/concert/v1/event.js";
import { type Run, type RunPlan, type RunSpec, RunStatus } from "./generated/concert/v1/run.js";
import {
  AddTasksRequest,
  CancelRunRequest,
  GetRunRequest,
  GetTaskResultRequest,
  ListRunsRequest,
  PlanRunRequest,
  RetryRunRequest,
  SubmitRunRequest,
  WatchRunRequest,
} from "./generated/concert/v1/run_service.js";
import type { TaskSpec } from "./generated/concert/v1/task.js";
import type { Json } from "./json_value.js";
import { LIST_ENTRIES_MAX } from "./limits.js";
import { log, say } from "./log.js";
import { message } from "./message.js";
import {
  ADD_TASKS,
  CANCEL_RUN,
  GET_RUN,
  GET_TASK_RESULT,
  LIST_RUNS,
  PLAN_RUN,
  RETRY_RUN,
  SUBMIT_RUN,
  WATCH_RUN,
} from "./methods.js";
import { readPages } from "./pages.js";
import { fromPayload } from "./payload.js";
import { sleep } from "./time.js";
import { isTransient, retryAfterMs } from "./transience.js";

const OVER = new Set<RunStatus>([
  RunStatus.SUCCEEDED,
  RunStatus.PARTIAL_FAILURE,
  RunStatus.FAILED,
  RunStatus.CANCELLED,
  RunStatus.TIMED_OUT,
]);

/** What goes with a change. */
export interface ChangeRequest {
  requestId?: string;
  /** Locks that this relies on; if one is no longer held nothing happens. */
  fences?: Fences;
}

/**
 * What happened to a run: `events` since the update before, and `run` as they leave it, where the coordinator sent it (in the first update
 * and the last, and after a reconnect). True at `sequence`.
 */
export interface RunUpdate {
  readonly run: Run | undefined;
  readonly events: readonly Event[];
  readonly sequence: bigint;
}

/** A run, by its id. */
export class RunHandle {
  readonly runId: string;
  readonly #origin: Origin;

  constructor(origin: Origin, runId: string) {
    this.runId = runId;
    this.#origin = origin;
  }

  /** The run with its tasks; of a very large one, the later tasks as they were a moment later. Throws NotFound. */
  async get(): Promise<Run> {
    const request = message(GetRunRequest, { runId: this.runId });
    let response = await this.#origin.caller.call(GET_RUN, request);
    const run = response.run as Run;
    while (response.nextPageToken !== "") {
      request.pageToken = response.nextPageToken;
      response = await this.#origin.caller.call(GET_RUN, request);
      run.tasks.push(...(response.run?.tasks ?? []));
    }
    return run;
  }

  /** What a task that succeeded produced: JSON, or bytes. Throws NotFound. */
  async result(taskId: string): Promise<Json | Uint8Array | undefined> {
    const request = message(GetTaskResultRequest, { runId: this.runId, taskId });
    return fromPayload((await this.#origin.caller.call(GET_TASK_RESULT, request)).result);
  }

  /** Stops it: what has not started is cancelled, what runs is told. Throws NotFound, RunOver, StaleFence. */
  async cancel({ requestId = "", fences }: ChangeRequest = {}): Promise<bigint> {
    const request = message(CancelRunRequest, { runId: this.runId, requestId, fences: toFences(fences) });
    return (await this.#origin.caller.call(CANCEL_RUN, request)).sequence;
  }

  /**
   * Adds tasks (made with `task`, in any order), all or none; the sequence of that. Inside an attempt: to its own run. Outside: to a run
   * that was submitted `open`, until `last` closes it; then there may be no tasks. Throws DependencyCycleError, DependencyUnknown,
   * InvalidArgument, NotFound, RunOver, PermissionDenied, StaleFence.
   */
  async addTasks(
    tasks: readonly TaskSpec[],
    { last = false, requestId = "", fences }: ChangeRequest & { last?: boolean } = {},
  ): Promise<bigint> {
    const { attemptToken } = this.#origin;
    const { runId } = this;
    const fields = { requestId, attemptToken, runId, tasks: [...tasks], last, fences: toFences(fences) };
    return (await this.#origin.caller.call(ADD_TASKS, message(AddTasksRequest, fields))).sequence;
  }

  /**
   * Runs everything again that did not succeed; which try that is, from 2. What succeeded keeps its result. Throws NotFound,
   * RunNotRetryable (it is not over, or every task succeeded), StaleFence.
   */
  async retry({ requestId = "", fences }: ChangeRequest = {}): Promise<number> {
    const { attemptToken } = this.#origin;
    const request = message(RetryRunRequest, { requestId, attemptToken, runId: this.runId, fences: toFences(fences) });
    return (await this.#origin.caller.call(RETRY_RUN, request)).generation;
  }

  /**
   * The run when it is over, however long that takes and however often the stream breaks meanwhile; of a run that is tried again, its
   * present generation.
   */
  async wait({ signal }: { signal?: AbortSignal } = {}): Promise<Run> {
    for await (const { run } of this.watch({ ...(signal && { signal }) })) {
      if (run !== undefined && OVER.has(run.status)) return run;
    }
    throw new InternalError(`the coordinator stopped reporting on run ${this.runId} before it was over`);
  }

  /**
   * Follows the run until it is over: the run as it is first, then every event of it once, in order. A broken stream is opened again, and
   * the events between are read from history. Throws NotFound.
   */
  async *watch({ signal }: { signal?: AbortSignal } = {}): AsyncGenerator<RunUpdate, void, void> {
    const backoff = new Backoff();
    let seen = 0n;
    const giveUpAt = performance.now() + this.#origin.caller.retryMs;
    for (;;) {
      let failure: ConcertError = new Unavailable("the stream ended before the run was over");
      try {
        for await (const update of this.#watchOnce(seen, signal)) {
          if (update.sequence > seen) seen = update.sequence;
          backoff.reset();
          yield update;
          if (update.run !== undefined && OVER.has(update.run.status)) return;
        }
      } catch (error) {
        signal?.throwIfAborted();
        if (!(error instanceof ConcertError) || !isTransient(error)) throw error;
        failure = error;
      }
      const pause = backoff.pauseMs(retryAfterMs(failure));
      if (seen === 0n && performance.now() + pause > giveUpAt) throw failure;
      log.info(`following run ${this.runId} again in ${Math.round(pause)} ms: ${say(failure)}`);
      await sleep(pause, signal);
    }
  }

  /** One stream; the events missed since `seen` come with its first update. */
  async *#watchOnce(seen: bigint, signal: AbortSignal | undefined): AsyncGenerator<RunUpdate, void, void> {
    signal?.throwIfAborted();
    let missedUntil = seen;
    let run: Run | undefined;
    const responses = this.#origin.caller.stream(WATCH_RUN, message(WatchRunRequest, { runId: this.runId }));
    const onAbort = () => responses.close();
    signal?.addEventListener("abort", onAbort, { once: true });
    try {
      for (let next = await responses.next(); next !== undefined; next = await responses.next()) {
        if (next.run !== undefined) run = joined(run, next.run);
        if (next.runContinues) continue;
        let events = next.events.filter((event) => event.sequence > seen);
        if (missedUntil !== 0n) {
          const first = events[0] === undefined ? next.sequence : events[0].sequence - 1n;
          events = [...(await this.#history(missedUntil, first)), ...events];
          missedUntil = 0n;
        }
        yield { run, events, sequence: next.sequence };
        run = undefined;
      }
    } finally {
      signal?.removeEventListener("abort", onAbort);
      responses.close();
    }
  }

  async #history(after: bigint, upTo: bigint): Promise<Event[]> {
    if (upTo <= after) return [];
    return new Events(this.#origin).list({ runIds: [this.runId], after, upTo, limit: LIST_ENTRIES_MAX });
  }
}

/** The runs of a namespace. */
export class Runs {
  readonly #origin: Origin;

  constructor(origin: Origin) {
    this.#origin = origin;
  }

  /** Runs without their tasks, newest first; with a `status` such as "running" only those. */
  async list({ status = "", limit }: { status?: string; limit?: number } = {}): Promise<Run[]> {
    const request = ListRunsRequest.create();
    if (status !== "") {
      const name = status.toUpperCase().replace(/^RUN_STATUS_/, "");
      if (!Object.hasOwn(RunStatus, name))
        throw new InvalidArgument(`there is no run status ${JSON.stringify(status)}`);
      request.status = RunStatus[name as keyof typeof RunStatus];
    }
    return readPages(this.#origin.caller, LIST_RUNS, request, (page) => page.runs, limit);
  }

  /** Submits a run, whole or not at all. */
  async submit(run: RunSpec, { requestId = "", fences }: ChangeRequest = {}): Promise<RunHandle> {
    const { attemptToken } = this.#origin;
    const request = message(SubmitRunRequest, { requestId, attemptToken, run, fences: toFences(fences) });
    return new RunHandle(this.#origin, (await this.#origin.caller.call(SUBMIT_RUN, request)).runId);
  }

  /** What would happen. */
  async plan(run: RunSpec): Promise<RunPlan> {
    return (await this.#origin.caller.call(PLAN_RUN, message(PlanRunRequest, { run }))).plan as RunPlan;
  }

  /** A handle on a run that there is already. */
  get(runId: string): RunHandle {
    return new RunHandle(this.#origin, runId);
  }
}

/** A run that came in several messages. */
function joined(run: Run | undefined, part: Run): Run {
  return run === undefined ? part : { ...run, tasks: [...run.tasks, ...part.tasks] };
}
