/**
 * One execution. Its order: TaskStarted is reported, validatePreconditions, the handler, cleanup (always, once one of those two began), then
 * TaskCompleted or TaskFailed, which is repeated until it is answered or the session is over. An attempt that no longer counts (the session
 * is lost, the coordinator says so) is stopped and cleaned up, and nothing is reported of it. What fails is logged as a warning too, with its
 * stack where the agent did not mean it.
 */
import {
  Cancelled,
  ConcertError,
  InvalidArgument,
  InvalidPayload,
  RunOver,
  SessionOver,
  StaleAttempt,
  StateConflictError,
} from "../errors.js";
import { TaskCompleted, TaskFailed, TaskStarted } from "../generated/concert/v1/session_service.js";
import { type AgentTask, TaskError } from "../generated/concert/v1/task.js";
import {
  CLEANUP_MS_MAX,
  ERROR_MESSAGE_BYTES_MAX,
  ERROR_TYPE_BYTES_MAX,
  REPORT_BYTES_MAX,
  STOP_GRACE_MS_DEFAULT,
  TRACEBACK_BYTES_MAX,
} from "../limits.js";
import { log, say } from "../log.js";
import { message } from "../message.js";
import { type Method, TASK_COMPLETED, TASK_FAILED, TASK_STARTED } from "../methods.js";
import { clip, clipStart, type PayloadLike, toPayload } from "../payload.js";
import { Deferred, settlesWithin } from "../time.js";
import { inSpan } from "../tracing.js";
import { type Agent, handlerOf, NotRetryable, PreconditionFailed } from "./agent.js";
import { TaskContext } from "./context.js";
import type { HostedSession } from "./io_thread.js";

/** Why an attempt is stopped. Nobody waits for a report where it is one of these. */
export const STALE = "STALE";
export const LOST = "SESSION_LOST";
export const STOPPED = "STOPPED";
const SILENT = new Set([STALE, LOST, STOPPED]);

/** What TaskFailed will say. */
interface Failure {
  readonly error: TaskError;
  readonly notRetryable?: boolean;
  readonly cancelled?: boolean;
}

type Outcome = { readonly completed: TaskCompleted } | { readonly failed: Failure };

type Body = { readonly result: unknown } | { readonly error: unknown } | "abandoned";

export class Attempt {
  readonly token: bigint;
  readonly session: HostedSession;
  readonly #agent: Agent;
  readonly #context: TaskContext;
  readonly #stopping = new AbortController();
  readonly #abandoned = new Deferred<Body>();
  #stopReason = "";
  #started: Promise<void> = Promise.resolve();
  #began = false;
  #over = false;

  constructor(agent: Agent, session: HostedSession, task: AgentTask) {
    this.token = task.attemptToken;
    this.session = session;
    this.#agent = agent;
    this.#context = new TaskContext(task, session, this.#stopping.signal);
  }

  /**
   * Aborts the signal of the execution, if that is not over; a reason that wants no report replaces one that does. A handler that goes on in
   * spite of it for longer than the grace is left behind.
   */
  stop(reason: string, graceMs = STOP_GRACE_MS_DEFAULT): void {
    if (this.#over) return;
    if (this.#stopReason === "" || SILENT.has(reason)) this.#stopReason = reason;
    if (this.#stopping.signal.aborted) return;
    this.#stopping.abort(new Cancelled(`attempt ${this.token} is to stop: ${reason}`, { reason }));
    setTimeout(() => this.#abandoned.resolve("abandoned"), graceMs || STOP_GRACE_MS_DEFAULT).unref();
  }

  /** Executes and reports. Never throws. */
  async run(): Promise<void> {
    const outcome = await this.#execute();
    await this.#cleanUp();
    await this.#started;
    this.#over = true;
    if (!SILENT.has(this.#stopReason)) await this.#report(outcome);
  }

  async #execute(): Promise<Outcome> {
    if (this.#stopReason !== "") return this.#cancelled();
    this.#started = this.#reportStarted();
    const body = await Promise.race([this.#body(), this.#abandoned.promise]);
    await this.#context.stopReporting();
    if (body === "abandoned") {
      log.error(`attempt ${this.token} of ${this.#agent.name} goes on in spite of its signal, and is left behind`);
      return this.#cancelled();
    }
    return "result" in body ? this.#completed(body.result) : this.#failed(body.error);
  }

  async #body(): Promise<Body> {
    try {
      return { result: await this.#work() };
    } catch (error) {
      return { error };
    }
  }

  async #work(): Promise<unknown> {
    const context = this.#context;
    await context.fetchResults();
    const attributes = {
      "concert.run_id": context.runId,
      "concert.task_id": context.taskId,
      "concert.attempt": context.attempt,
      "concert.attempt_token": Number(context.attemptToken),
    };
    return inSpan(`execute ${context.capability || this.#agent.name}`, context.traceparent, attributes, async () => {
      this.#began = true;
      if ((await this.#agent.validatePreconditions?.(context)) === false) {
        throw new PreconditionFailed("the agent's preconditions do not hold");
      }
      this.#stopping.signal.throwIfAborted();
      return handlerOf(this.#agent, context.capability)(context);
    });
  }

  async #cleanUp(): Promise<void> {
    if (!this.#began || this.#agent.cleanup === undefined) return;
    this.#context.beginCleanUp();
    const cleaned = (async () => this.#agent.cleanup?.(this.#context))().catch((error) =>
      log.error(`cleanup of attempt ${this.token} of ${this.#agent.name} failed: ${say(error)}`),
    );
    if (!(await settlesWithin(cleaned, CLEANUP_MS_MAX))) {
      log.error(`cleanup of attempt ${this.token} of ${this.#agent.name} takes longer than ${CLEANUP_MS_MAX} ms`);
    }
  }

  // ---- outcomes

  #completed(result: unknown): Outcome {
    const report = message(TaskCompleted, {
      requestId: `attempt/${this.token}/completed`,
      attemptToken: this.token,
      stateChanges: this.#context.stagedChanges,
    });
    try {
      if (result !== undefined) report.result = toPayload(result as PayloadLike);
      const size = TaskCompleted.encode(report).finish().length;
      if (size > REPORT_BYTES_MAX) {
        throw new InvalidPayload(
          `result and state changes take ${size} bytes together, over the limit of ${REPORT_BYTES_MAX}: ` +
            "keep large results elsewhere and return where",
        );
      }
      return { completed: report };
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      const failure = { error: taskError("InvalidPayload", `the result cannot be sent: ${why}`), notRetryable: true };
      this.#warn(failure);
      return { failed: failure };
    }
  }

  #failed(error: unknown): Outcome {
    const stopped = this.#stopReason !== "";
    if (stopped && isAbort(error, this.#stopping.signal)) return this.#cancelled();
    const precondition = error instanceof PreconditionFailed;
    const kind = precondition ? "PRECONDITION_FAILED" : kindOf(error);
    const words = error instanceof Error ? error.message : String(error);
    const trace = error instanceof Error ? (error.stack ?? "") : "";
    const notRetryable = precondition || error instanceof NotRetryable;
    const failure = { error: taskError(kind, words || kind, trace), notRetryable, cancelled: stopped };
    this.#warn(failure, notRetryable ? "" : trace);
    return { failed: failure };
  }

  #cancelled(): Outcome {
    return { failed: { error: taskError("CANCELLED", `stopped: ${this.#stopReason}`), cancelled: true } };
  }

  /** Says here what is reported: who runs the agent sees its log first. */
  #warn({ error, cancelled = false }: Failure, trace = ""): void {
    if (cancelled) return;
    const { runId, taskId, attempt } = this.#context;
    const line = `task ${runId}/${taskId} failed at attempt ${attempt}: ${error.errorType}: ${error.message}`;
    log.warn(trace === "" ? line : `${line}\n${trace}`);
  }

  // ---- reports

  async #reportStarted(): Promise<void> {
    const request = message(TaskStarted, { requestId: `attempt/${this.token}/started`, attemptToken: this.token });
    try {
      await this.#send(TASK_STARTED, request, false);
    } catch (error) {
      if (error instanceof StaleAttempt) this.stop(STALE);
      else if (error instanceof SessionOver) this.stop(LOST);
      else log.warn(`the start of attempt ${this.token} was not taken: ${say(error)}`);
    }
  }

  async #report(outcome: Outcome): Promise<void> {
    try {
      let failure: Failure;
      if ("completed" in outcome) {
        try {
          await this.#send(TASK_COMPLETED, outcome.completed, true);
          return;
        } catch (error) {
          const goneOn = error instanceof StaleAttempt || error instanceof RunOver || error instanceof SessionOver;
          if (goneOn || !(error instanceof ConcertError)) throw error;
          failure = refused(error);
          this.#warn(failure);
        }
      } else failure = outcome.failed;
      await this.#send(TASK_FAILED, this.#failureReport(failure), true);
    } catch (error) {
      log.warn(`the report of attempt ${this.token} was not taken: ${say(error)}`);
    }
  }

  #failureReport({ error, notRetryable = false, cancelled = false }: Failure): TaskFailed {
    const requestId = `attempt/${this.token}/failed`;
    return message(TaskFailed, { requestId, attemptToken: this.token, error, notRetryable, cancelled });
  }

  async #send<Request, Response>(method: Method<Request, Response>, report: Request, settles: boolean): Promise<void> {
    await this.session.call(method, report, { retryMs: Number.POSITIVE_INFINITY, settles });
  }
}

/** What becomes of a completion that was refused. */
function refused(error: ConcertError): Failure {
  if (error instanceof StateConflictError) {
    const keys = error.keys.map((each) => `${each.key} by ${each.theirWriter}`).join(", ");
    return { error: taskError("STATE_CONFLICT", keys === "" ? error.message : `${error.message} (${keys})`) };
  }
  const words = `the completion was refused: ${error.reason || error.code}: ${error.message}`;
  return { error: taskError(error.reason || error.code, words), notRetryable: error instanceof InvalidArgument };
}

function taskError(errorType: string, words: string, trace = ""): TaskError {
  return message(TaskError, {
    errorType: clip(errorType, ERROR_TYPE_BYTES_MAX),
    message: clip(words, ERROR_MESSAGE_BYTES_MAX),
    traceback: clipStart(trace, TRACEBACK_BYTES_MAX),
  });
}

/** The name of an error's class, also of one that did not set its name. */
function kindOf(error: unknown): string {
  if (!(error instanceof Error)) return "Error";
  return error.name === "Error" ? error.constructor.name : error.name;
}

function isAbort(error: unknown, signal: AbortSignal): boolean {
  return error === signal.reason || (error instanceof Error && error.name === "AbortError");
}
