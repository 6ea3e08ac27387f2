/** Agents: programs that are given tasks. Make an {@link dev.concert.agent.Agent}, then {@link dev.concert.agent.AgentHost#run}. */
package dev.concert.agent;
