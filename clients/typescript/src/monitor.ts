/** What the coordinator says of itself and of what it coordinates, and why. */
import type { Origin } from "./caller.js";
import { InvalidArgument } from "./errors.js";
import type { Explanation } from "./generated/concert/v1/explanation.js";
import { TaskRef } from "./generated/concert/v1/explanation.js";
import type { Metrics } from "./generated/concert/v1/metrics.js";
import {
  ExplainRequest,
  GetHealthRequest,
  type GetHealthResponse,
  GetMetricsRequest,
  GetServerInfoRequest,
  type GetServerInfoResponse,
  ListNamespacesRequest,
  type NamespaceSummary,
} from "./generated/concert/v1/monitor_service.js";
import { message } from "./message.js";
import { EXPLAIN, GET_HEALTH, GET_METRICS, GET_SERVER_INFO, LIST_NAMESPACES } from "./methods.js";
import { readPages } from "./pages.js";

/** What is to be explained: exactly one of a sequence, a run, a run's task, a lock, an agent. */
export interface ExplainSubject {
  sequence?: bigint;
  run?: string;
  /** A task of `run`. */
  task?: string;
  lock?: string;
  agent?: string;
}

/** Health and metrics of the namespace, and which other namespaces there are. */
export class Monitor {
  readonly #origin: Origin;

  constructor(origin: Origin) {
    this.#origin = origin;
  }

  /**
   * How the namespace does: `status`, the `window` it is computed from, and its `components`, each with its fault. A namespace that cannot
   * be served is critical; nothing is thrown for that.
   */
  async health(): Promise<GetHealthResponse> {
    return this.#origin.caller.call(GET_HEALTH, GetHealthRequest.create());
  }

  /** What is counted. Throws NotFound for a run that is not kept in memory. */
  async metrics(
    options: { runId?: string; agentsMax?: number; resourcesMax?: number; runsMax?: number } = {},
  ): Promise<Metrics> {
    const { runId = "", agentsMax = 100, resourcesMax = 100, runsMax = 20 } = options;
    const request = message(GetMetricsRequest, { runId, agentsMax, resourcesMax, runsMax });
    return (await this.#origin.caller.call(GET_METRICS, request)).metrics as Metrics;
  }

  /** Every namespace by name: its last sequence, active runs, sessions, and why it cannot be served, if so. */
  async namespaces({ limit }: { limit?: number } = {}): Promise<NamespaceSummary[]> {
    const request = ListNamespacesRequest.create();
    return readPages(this.#origin.caller, LIST_NAMESPACES, request, (page) => page.namespaces, limit);
  }

  /** Version, features and limits of the coordinator. */
  async serverInfo(): Promise<GetServerInfoResponse> {
    return this.#origin.caller.call(GET_SERVER_INFO, GetServerInfoRequest.create());
  }

  /**
   * Why something is as it is, and what it waits for; `summary` says it in a sentence. Throws NotFound for what does not exist,
   * CursorInFuture for a sequence beyond the end of the log, CursorCompacted for one below the oldest event kept.
   */
  async explain(of: ExplainSubject): Promise<Explanation> {
    const request = message(ExplainRequest, { subject: subjectOf(of) });
    return (await this.#origin.caller.call(EXPLAIN, request)).explanation as Explanation;
  }
}

function subjectOf({ sequence, run, task, lock, agent }: ExplainSubject): ExplainRequest["subject"] {
  const given = [sequence, run, lock, agent].filter((each) => each !== undefined);
  if (given.length === 1) {
    if (run !== undefined && task !== undefined) {
      return { $case: "task", value: message(TaskRef, { runId: run, taskId: task }) };
    }
    if (task === undefined) {
      if (run !== undefined) return { $case: "runId", value: run };
      if (lock !== undefined) return { $case: "resource", value: lock };
      if (agent !== undefined) return { $case: "agentId", value: agent };
      if (sequence !== undefined) return { $case: "sequence", value: sequence };
    }
  }
  throw new InvalidArgument("explain one of: a sequence, a run, a run's task, a lock, an agent");
}
