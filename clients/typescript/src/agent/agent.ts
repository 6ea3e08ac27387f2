/** What an agent is: a role with capabilities that can be given tasks. */
import { InvalidArgument } from "../errors.js";
import { AgentSpec, Capability as CapabilityMessage } from "../generated/concert/v1/agent.js";
import { AGENT_SLOTS_MAX } from "../limits.js";
import { message } from "../message.js";
import { type DependencyLike, dependencies } from "../run_spec.js";
import type { TaskContext } from "./context.js";

/** Throw it from validatePreconditions: the task fails with PRECONDITION_FAILED, for good. */
export class PreconditionFailed extends Error {
  override readonly name: string = "PreconditionFailed";
}

/** Throw it from a handler, or derive from it: the task fails and is not tried again. */
export class NotRetryable extends Error {
  override readonly name: string = "NotRetryable";
}

/** Something an agent can do, as tasks ask for it by name (1 to 128 bytes). */
export interface Capability {
  readonly name: string;
  readonly version?: string;
  readonly labels?: Readonly<Record<string, string>>;
}

/**
 * Does a task. What it returns is the result: JSON, bytes, a Payload, or undefined for none; at most 1 MiB encoded, together with what was
 * staged with `context.setState`. An error fails the attempt, which the policy may try again.
 */
// biome-ignore lint/suspicious/noExplicitAny: what the input is only the handler can know
export type Handler = (context: TaskContext<any>) => unknown;

/**
 * An agent: an object or an instance of a class. One serves all tasks of its role in this process, up to `slots` at once, so what belongs
 * to one task belongs in the TaskContext. Its functions run on the event loop of the program: one that blocks it holds up the other tasks
 * of the process, but not the heartbeats, which have a thread of their own.
 */
export interface Agent {
  /** The role, 1 to 128 bytes. */
  readonly name: string;
  /** This instance, 1 to 128 bytes: only one session lives under it. The role and a random suffix when left out. */
  readonly agentId?: string;
  /** What does the tasks of each capability. */
  readonly handlers?: Readonly<Record<string, Handler>>;
  /** Capabilities without a handler of their own, or more about those with one. The role itself when there are none at all. */
  readonly capabilities?: readonly (string | Capability)[];
  /** For runs made of agents: what has to have succeeded first. */
  readonly dependsOn?: readonly DependencyLike[];
  /** For runs made of agents: what has to be over first, whatever the outcome. */
  readonly after?: readonly DependencyLike[];
  /** How many tasks it takes at once, 1 to 1000; 1 when left out. */
  readonly slots?: number;
  /** Annotations. */
  readonly labels?: Readonly<Record<string, string>>;

  /** Does the tasks that no handler is for: those that ask for the agent itself, above all. */
  // biome-ignore lint/suspicious/noExplicitAny: what the input is only the agent can know
  execute?(context: TaskContext<any>): unknown;

  /** Throw PreconditionFailed (or return false) to refuse the task for good. Runs before the handler. */
  // biome-ignore lint/suspicious/noExplicitAny: what the input is only the agent can know
  validatePreconditions?(context: TaskContext<any>): boolean | undefined | Promise<boolean | undefined>;

  /**
   * Gives back what the attempt took. Runs once per attempt, whatever happened, also after a cancel; before the report, so that the
   * attempt's locks still stand. Bounded by 30 s, and its failure is logged, not reported.
   */
  // biome-ignore lint/suspicious/noExplicitAny: what the input is only the agent can know
  cleanup?(context: TaskContext<any>): void | Promise<void>;
}

/** How many tasks it takes at once. Throws InvalidArgument. */
export function slotsOf({ name, slots = 1 }: Agent): number {
  if (Number.isInteger(slots) && slots > 0 && slots <= AGENT_SLOTS_MAX) return slots;
  throw new InvalidArgument(`${name} takes 1 to ${AGENT_SLOTS_MAX} tasks at once, not ${slots}`);
}

/** What does a task of that capability (empty: one that asks for the agent itself). Throws NotRetryable when nothing does. */
export function handlerOf(agent: Agent, capability: string): Handler {
  const handlers = agent.handlers ?? {};
  const only = Object.keys(handlers).length === 1 && capability === "" ? Object.values(handlers)[0] : undefined;
  const handler = Object.hasOwn(handlers, capability) ? handlers[capability] : (agent.execute?.bind(agent) ?? only);
  if (handler !== undefined) return handler;
  throw new NotRetryable(
    `${agent.name} has no handler for ${capability === "" ? "tasks of the agent itself" : capability}`,
  );
}

/** What an agent says of itself. */
export function specOf(agent: Agent, agentId: string): AgentSpec {
  return message(AgentSpec, {
    agentId,
    agentName: agent.name,
    capabilities: capabilitiesOf(agent).map(({ name, version = "", labels = {} }) =>
      message(CapabilityMessage, { name, version, labels: { ...labels } }),
    ),
    dependsOn: dependencies(agent.dependsOn),
    after: dependencies(agent.after),
    slots: slotsOf(agent),
    labels: { ...agent.labels },
  });
}

function capabilitiesOf({ name, handlers = {}, capabilities = [] }: Agent): Capability[] {
  const named = capabilities.map((each) => (typeof each === "string" ? { name: each } : each));
  const known = new Set(named.map((each) => each.name));
  const all = [...named, ...Object.keys(handlers).flatMap((each) => (known.has(each) ? [] : [{ name: each }]))];
  return all.length === 0 ? [{ name }] : all;
}
