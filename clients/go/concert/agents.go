package concert

import (
	"context"

	v1 "concert.dev/clients/go/concertv1"
)

// Agents are the agents of a namespace.
type Agents struct{ origin origin }

// AgentQuery selects agents.
type AgentQuery struct {
	// Name and Capability select by role and by what they can do; empty takes all.
	Name, Capability string
	// Connected leaves those out that are gone.
	Connected bool
	// Limit is how many at most; 0 means no limit.
	Limit int
}

// List tells of agents by id, those too that are gone while they are kept.
func (a *Agents) List(ctx context.Context, query AgentQuery) ([]*v1.Agent, error) {
	return readPages(ctx, query.Limit, func(ctx context.Context, size uint32, token string) ([]*v1.Agent, string, error) {
		page, err := ask[*v1.ListAgentsResponse](ctx, a.origin, listAgentsMethod, &v1.ListAgentsRequest{
			AgentName: query.Name, Capability: query.Capability, Connected: query.Connected, PageSize: size, PageToken: token,
		})
		return page.GetAgents(), page.GetNextPageToken(), err
	})
}

// Get tells of one agent. It fails with ErrNotFound.
func (a *Agents) Get(ctx context.Context, agentID string) (*v1.Agent, error) {
	response, err := ask[*v1.GetAgentResponse](ctx, a.origin, getAgentMethod, &v1.GetAgentRequest{AgentId: agentID})
	return response.GetAgent(), err
}

// Drain tells an agent to take no new tasks and leave when it has none; it returns the sequence of the event. It fails with
// ErrNotFound.
func (a *Agents) Drain(ctx context.Context, agentID string) (uint64, error) {
	response, err := ask[*v1.DrainAgentResponse](ctx, a.origin, drainAgentMethod, &v1.DrainAgentRequest{AgentId: agentID})
	return response.GetSequence(), err
}
