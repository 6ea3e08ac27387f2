package dev.concert;

import dev.concert.internal.Methods;
import dev.concert.internal.Origin;
import dev.concert.v1.Agent;
import dev.concert.v1.DrainAgentRequest;
import dev.concert.v1.GetAgentRequest;
import dev.concert.v1.ListAgentsRequest;
import dev.concert.v1.ListAgentsResponse;
import java.util.List;

/** The agents of a namespace. */
public final class Agents {
    private final Origin origin;

    Agents(Origin origin) {
        this.origin = origin;
    }

    /** Agents by id, those too that are gone while they are kept. */
    public List<Agent> list() {
        return list(ListAgentsRequest.getDefaultInstance());
    }

    /** Those that are asked for; pages are seen to here. */
    public List<Agent> list(ListAgentsRequest request) {
        return Pages.read(
                origin,
                Methods.LIST_AGENTS,
                request,
                ListAgentsResponse::getAgentsList,
                ListAgentsResponse::getNextPageToken);
    }

    /** One agent. */
    public Agent get(String agentId) {
        GetAgentRequest request =
                GetAgentRequest.newBuilder().setAgentId(agentId).build();
        return origin.caller().ask(Methods.GET_AGENT, request).getAgent();
    }

    /** Tells an agent to take no new tasks and leave when it has none; the sequence of the event. */
    public long drain(String agentId) {
        DrainAgentRequest request =
                DrainAgentRequest.newBuilder().setAgentId(agentId).build();
        return origin.caller().ask(Methods.DRAIN_AGENT, request).getSequence();
    }
}
