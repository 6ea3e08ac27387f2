package concert

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	v1 "concert.dev/clients/go/concertv1"
	pauses "concert.dev/clients/go/internal/backoff"
)

// Subscriptions are the named subscriptions of a namespace.
type Subscriptions struct{ origin origin }

// Create makes a new one. It fails with ErrAlreadyExists, ErrLimitReached.
func (s *Subscriptions) Create(ctx context.Context, name string, start Start) (*v1.NamedSubscription, error) {
	request := &v1.CreateSubscriptionRequest{Name: name}
	switch {
	case start.cursor != nil:
		request.Start = &v1.CreateSubscriptionRequest_After{After: start.cursor}
	case !start.since.IsZero():
		request.Start = &v1.CreateSubscriptionRequest_Since{Since: timestamppb.New(start.since)}
	default:
		request.Start = &v1.CreateSubscriptionRequest_Position{Position: start.position()}
	}
	response, err := ask[*v1.CreateSubscriptionResponse](ctx, s.origin, createSubscriptionMethod, request)
	return response.GetSubscription(), err
}

// List tells of all of them, by name: how far each is, and how many events the log has after that.
func (s *Subscriptions) List(ctx context.Context) ([]*v1.NamedSubscription, error) {
	return readPages(ctx, 0, func(ctx context.Context, size uint32, token string) ([]*v1.NamedSubscription, string, error) {
		request := &v1.ListSubscriptionsRequest{PageSize: size, PageToken: token}
		page, err := ask[*v1.ListSubscriptionsResponse](ctx, s.origin, listSubscriptionsMethod, request)
		return page.GetSubscriptions(), page.GetNextPageToken(), err
	})
}

// Acknowledge says that everything up to a cursor was dealt with; durable when it returns. It fails with ErrCursorBehind,
// ErrCursorInFuture, ErrNotFound, and ErrLogMismatch when the coordinator has another log now: look at what is there, then Reset.
func (s *Subscriptions) Acknowledge(ctx context.Context, name string, cursor *v1.Cursor) (*v1.NamedSubscription, error) {
	return s.acknowledge(ctx, &v1.AcknowledgeRequest{Name: name, Cursor: cursor})
}

// Reset puts a subscription at a cursor wherever it was, also backwards and onto another log.
func (s *Subscriptions) Reset(ctx context.Context, name string, cursor *v1.Cursor) (*v1.NamedSubscription, error) {
	return s.acknowledge(ctx, &v1.AcknowledgeRequest{Name: name, Cursor: cursor, Reset_: true})
}

// Delete tells whether it was there.
func (s *Subscriptions) Delete(ctx context.Context, name string) (bool, error) {
	request := &v1.DeleteSubscriptionRequest{Name: name}
	response, err := ask[*v1.DeleteSubscriptionResponse](ctx, s.origin, deleteSubscriptionMethod, request)
	return response.GetDeleted(), err
}

func (s *Subscriptions) acknowledge(ctx context.Context, request *v1.AcknowledgeRequest) (*v1.NamedSubscription, error) {
	response, err := ask[*v1.AcknowledgeResponse](ctx, s.origin, acknowledgeMethod, request)
	return response.GetSubscription(), err
}

// NamedSubscription is events under a name whose place the coordinator keeps: a consumer that crashed or was away goes on where the
// last one stopped. Every event comes at least once, across crashes of either side: it counts as processed when the next one is
// asked for, and is acknowledged soon after, beside the loop, the latest position only.
//
// For one goroutine at a time.
type NamedSubscription struct {
	name          string
	subscriptions *Subscriptions
	inner         *Subscription
	manual        bool
	stop          context.CancelFunc
	stopped       chan struct{}
	due           chan struct{}

	mu           sync.Mutex
	handed       *v1.Event
	processed    *v1.Cursor
	acknowledged uint64
	failed       error
}

// NamedOption says how a named subscription is consumed.
type NamedOption func(*NamedSubscription)

// AckManually has only NamedSubscription.Ack acknowledge.
func AckManually() NamedOption { return func(n *NamedSubscription) { n.manual = true } }

// NamedSubscription makes the subscription if there is none, and then it begins at start; it returns when it stands. Close it.
func (s *Surface) NamedSubscription(
	ctx context.Context, name string, filter *v1.EventFilter, start Start, options ...NamedOption,
) (*NamedSubscription, error) {
	n := &NamedSubscription{
		name: name, subscriptions: s.Subscriptions, processed: &v1.Cursor{},
		stopped: make(chan struct{}), due: make(chan struct{}, 1),
	}
	for _, option := range options {
		option(n)
	}
	if _, err := s.Subscriptions.Create(ctx, name, start); err != nil && !errors.Is(err, ErrAlreadyExists) {
		return nil, err
	}
	request := &v1.SubscribeRequest{Filter: filter, Start: &v1.SubscribeRequest_Subscription{Subscription: name}}
	inner, err := subscribe(ctx, s.origin, request)
	if err != nil {
		return nil, err
	}
	n.inner = inner
	beside, stop := context.WithCancel(context.WithoutCancel(ctx))
	n.stop = stop
	go n.acknowledgeBeside(beside)
	return n, nil
}

// Next is the next event; the one before counts as processed. It fails as Subscription.Next does, and with why acknowledging failed
// for good.
func (n *NamedSubscription) Next(ctx context.Context) (*v1.Event, error) {
	n.settle()
	for {
		if err := n.failure(); err != nil {
			return nil, err
		}
		if events := n.inner.take(1); len(events) > 0 {
			n.mu.Lock()
			n.handed = events[0]
			n.mu.Unlock()
			return events[0], nil
		}
		n.passed(n.inner.cursor, false)
		if err := n.fetch(ctx); err != nil {
			return nil, err
		}
	}
}

// All is for range, as Subscription.All.
func (n *NamedSubscription) All(ctx context.Context) iter.Seq2[*v1.Event, error] {
	return func(yield func(*v1.Event, error) bool) {
		for {
			event, err := n.Next(ctx)
			if !yield(event, err) || err != nil {
				return
			}
		}
	}
}

// Ack acknowledges everything up to an event, if that is not acknowledged yet; durable when it returns.
func (n *NamedSubscription) Ack(ctx context.Context, event *v1.Event) error {
	return n.acknowledge(ctx, &v1.Cursor{LogId: event.GetLogId(), Sequence: event.GetSequence()})
}

// Close acknowledges what was processed (the event handed out last is not, unless another was asked for) and ends the subscription.
// Its name and place stay.
func (n *NamedSubscription) Close(ctx context.Context) error {
	n.stop()
	<-n.stopped
	n.inner.Close()
	if n.manual || n.failure() != nil {
		return n.failure()
	}
	n.mu.Lock()
	cursor := &v1.Cursor{LogId: n.processed.GetLogId(), Sequence: n.processed.GetSequence()}
	known := n.acknowledged
	n.mu.Unlock()
	if cursor.GetSequence() <= known {
		return nil
	}
	return n.acknowledge(ctx, cursor)
}

// settle counts what was handed out as processed.
func (n *NamedSubscription) settle() {
	n.mu.Lock()
	handed := n.handed
	n.handed = nil
	n.mu.Unlock()
	if handed != nil {
		n.passed(&v1.Cursor{LogId: handed.GetLogId(), Sequence: handed.GetSequence()}, true)
	}
}

// passed says that everything up to a cursor is processed; what no filter let through need not be acknowledged soon.
func (n *NamedSubscription) passed(cursor *v1.Cursor, soon bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if cursor.GetSequence() <= n.processed.GetSequence() {
		return
	}
	n.processed = &v1.Cursor{LogId: cursor.GetLogId(), Sequence: cursor.GetSequence()}
	if soon {
		select {
		case n.due <- struct{}{}:
		default:
		}
	}
}

// fetch waits for what comes next, but not longer than until acknowledging has failed for good.
func (n *NamedSubscription) fetch(ctx context.Context) error {
	waiting, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-n.stopped:
			cancel()
		case <-waiting.Done():
		}
	}()
	err := n.inner.fetch(waiting)
	if failure := n.failure(); failure != nil {
		return failure
	}
	return err
}

func (n *NamedSubscription) failure() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.failed
}

// acknowledgeBeside sends one acknowledgement at a time, of the latest position. It ends with what cannot be mended by waiting.
func (n *NamedSubscription) acknowledgeBeside(ctx context.Context) {
	defer close(n.stopped)
	for !n.manual {
		select {
		case <-n.due:
		case <-time.After(acknowledgePauseMax):
		case <-ctx.Done():
			return
		}
		n.mu.Lock()
		cursor, known := n.processed, n.acknowledged
		n.mu.Unlock()
		if cursor.GetSequence() <= known {
			continue
		}
		if err := n.acknowledge(ctx, cursor); err != nil && ctx.Err() == nil {
			if !transient(err) {
				n.mu.Lock()
				n.failed = err
				n.mu.Unlock()
				return
			}
			slog.Info("concert: what was processed is not acknowledged yet", "subscription", n.name, "because", err)
		}
		if pauses.Sleep(ctx, acknowledgePauseMin) != nil {
			return
		}
	}
	<-ctx.Done()
}

func (n *NamedSubscription) acknowledge(ctx context.Context, cursor *v1.Cursor) error {
	_, err := n.subscriptions.Acknowledge(ctx, n.name, cursor)
	if err != nil && !errors.Is(err, ErrCursorBehind) { // behind: another consumer of the name is further
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.acknowledged = max(n.acknowledged, cursor.GetSequence())
	return nil
}
