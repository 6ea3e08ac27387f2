package concert

import (
	"context"

	v1 "concert.dev/clients/go/concertv1"
)

// Monitor tells how a namespace does.
type Monitor struct{ origin origin }

// Health is that of the last five minutes, with the figures it is computed from.
func (m *Monitor) Health(ctx context.Context) (*v1.GetHealthResponse, error) {
	return ask[*v1.GetHealthResponse](ctx, m.origin, getHealthMethod, &v1.GetHealthRequest{})
}

// Metrics is what is counted; the request bounds how much of it.
func (m *Monitor) Metrics(ctx context.Context, request *v1.GetMetricsRequest) (*v1.Metrics, error) {
	response, err := ask[*v1.GetMetricsResponse](ctx, m.origin, getMetricsMethod, request)
	return response.GetMetrics(), err
}

// Namespaces are those that there are, by name.
func (m *Monitor) Namespaces(ctx context.Context) ([]*v1.NamespaceSummary, error) {
	return readPages(ctx, 0, func(ctx context.Context, size uint32, token string) ([]*v1.NamespaceSummary, string, error) {
		request := &v1.ListNamespacesRequest{PageSize: size, PageToken: token}
		page, err := ask[*v1.ListNamespacesResponse](ctx, m.origin, listNamespacesMethod, request)
		return page.GetNamespaces(), page.GetNextPageToken(), err
	})
}

// Explain tells why something is as it is, and what it waits for: the request names a sequence (an event and what it stands for: an
// attempt token, a fencing token, a session id, a revision), a run, a task, a resource or an agent.
func (s *Surface) Explain(ctx context.Context, request *v1.ExplainRequest) (*v1.Explanation, error) {
	response, err := ask[*v1.ExplainResponse](ctx, s.origin, explainMethod, request)
	return response.GetExplanation(), err
}
