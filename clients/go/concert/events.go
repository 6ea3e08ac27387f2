package concert

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	v1 "concert.dev/clients/go/concertv1"
)

// Draft is a custom event to publish.
type Draft struct {
	// Name of what happened, 1 to 128 bytes; subscribers filter by it.
	Name string
	// Data is JSON, bytes, a *concertv1.Payload, or nil; see ToPayload.
	Data any
	// EventID is optional: a second draft under it is not stored again.
	EventID string
	// RunID and TaskID are what it concerns, if any.
	RunID, TaskID string
	// Metadata are annotations.
	Metadata map[string]string
}

func (d Draft) encode(ctx context.Context) (*v1.EventDraft, error) {
	data, err := ToPayload(d.Data)
	if err != nil {
		return nil, err
	}
	return &v1.EventDraft{
		Custom: &v1.CustomEvent{Name: d.Name, Data: data}, EventId: d.EventID, RunId: d.RunID, TaskId: d.TaskID,
		Metadata: d.Metadata, Traceparent: Traceparent(ctx),
	}, nil
}

// Publish states a fact under a name; it returns the fact's sequence once it is durable.
func (s *Surface) Publish(ctx context.Context, name string, data any, options ...CallOption) (uint64, error) {
	sequences, err := s.PublishAll(ctx, []Draft{{Name: name, Data: data}}, options...)
	if err != nil {
		return 0, err
	}
	return sequences[0], nil
}

// PublishAll states 1 to 1000 facts, all or none; it returns their sequences.
func (s *Surface) PublishAll(ctx context.Context, drafts []Draft, options ...CallOption) ([]uint64, error) {
	o := collect(options)
	request := &v1.PublishRequest{AttemptToken: s.origin.attemptToken, RequestId: o.requestID, Fences: o.fences}
	for _, draft := range drafts {
		encoded, err := draft.encode(ctx)
		if err != nil {
			return nil, err
		}
		request.Events = append(request.Events, encoded)
	}
	response, err := ask[*v1.PublishResponse](ctx, s.origin, publishMethod, request)
	if err == nil && len(response.GetSequences()) != len(drafts) {
		err = unavailable("%d drafts were answered with %d sequences", len(drafts), len(response.GetSequences()))
	}
	return response.GetSequences(), err
}

// Events are the history of a namespace.
type Events struct{ origin origin }

// Get reads one event. It fails with ErrNotFound, ErrCursorCompacted.
func (e *Events) Get(ctx context.Context, sequence uint64) (*v1.Event, error) {
	response, err := ask[*v1.GetEventResponse](ctx, e.origin, getEventMethod, &v1.GetEventRequest{Sequence: sequence})
	return response.GetEvent(), err
}

// History selects events of the past.
type History struct {
	// Filter selects events; nil takes all.
	Filter *v1.EventFilter
	// Since and Until bound their time: at or after, before.
	Since, Until time.Time
	// After and UpTo bound their sequence; 0 means no bound.
	After, UpTo uint64
	// Limit is how many at most; 1000 when 0.
	Limit int
	// Descending begins with the newest.
	Descending bool
}

// List reads events of the past, in order.
func (e *Events) List(ctx context.Context, history History) ([]*v1.Event, error) {
	request := &v1.ListEventsRequest{
		Filter: history.Filter, AfterSequence: history.After, UntilSequence: history.UpTo, Descending: history.Descending,
	}
	if !history.Since.IsZero() {
		request.Since = timestamppb.New(history.Since)
	}
	if !history.Until.IsZero() {
		request.Until = timestamppb.New(history.Until)
	}
	limit := history.Limit
	if limit == 0 {
		limit = pageSizeMax
	}
	var found []*v1.Event
	for len(found) < limit {
		request.PageSize = uint32(min(limit-len(found), pageSizeMax))
		page, err := ask[*v1.ListEventsResponse](ctx, e.origin, listEventsMethod, request)
		if err != nil {
			return nil, err
		}
		found = append(found, page.GetEvents()...)
		if request.PageToken = page.GetNextPageToken(); request.PageToken == "" {
			break
		}
	}
	return found, nil
}
