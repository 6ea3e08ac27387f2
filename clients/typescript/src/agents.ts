/** Who is there. */
import type { Origin } from "./caller.js";
import type { Agent } from "./generated/concert/v1/agent.js";
import { DrainAgentRequest, GetAgentRequest, ListAgentsRequest } from "./generated/concert/v1/agent_service.js";
import { message } from "./message.js";
import { DRAIN_AGENT, GET_AGENT, LIST_AGENTS } from "./methods.js";
import { readPages } from "./pages.js";

/** The agents of a namespace. */
export class Agents {
  readonly #origin: Origin;

  constructor(origin: Origin) {
    this.#origin = origin;
  }

  /** Agents by id, those too that are gone while they are kept, unless `connected`. */
  async list(
    options: { name?: string; capability?: string; connected?: boolean; limit?: number } = {},
  ): Promise<Agent[]> {
    const { name: agentName = "", capability = "", connected = false, limit } = options;
    const request = message(ListAgentsRequest, { agentName, capability, connected });
    return readPages(this.#origin.caller, LIST_AGENTS, request, (page) => page.agents, limit);
  }

  /** One agent. Throws NotFound. */
  async get(agentId: string): Promise<Agent> {
    return (await this.#origin.caller.call(GET_AGENT, message(GetAgentRequest, { agentId }))).agent as Agent;
  }

  /** Tells an agent to take no new tasks and leave when it has none; the sequence of the event. Throws NotFound. */
  async drain(agentId: string): Promise<bigint> {
    return (await this.#origin.caller.call(DRAIN_AGENT, message(DrainAgentRequest, { agentId }))).sequence;
  }
}
