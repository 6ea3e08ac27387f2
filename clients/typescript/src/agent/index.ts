/** Agents: programs that are given tasks. Write one, then `await runAgents(agent)`. */
export { type Agent, type Capability, type Handler, NotRetryable, PreconditionFailed } from "./agent.js";
export { PreviousResults, TaskContext, type Value } from "./context.js";
export { AgentHost, type HostOptions, runAgents } from "./host.js";
