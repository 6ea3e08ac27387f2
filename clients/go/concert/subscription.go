package concert

import (
	"context"
	"iter"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	v1 "concert.dev/clients/go/concertv1"
)

// Start is where a subscription starts.
type Start struct {
	cursor   *v1.Cursor
	since    time.Time
	earliest bool
}

// FromLatest starts with the next event; so does the zero Start.
func FromLatest() Start { return Start{} }

// FromEarliest starts with the oldest event kept.
func FromEarliest() Start { return Start{earliest: true} }

// After starts after a sequence; 0 is the beginning.
func After(sequence uint64) Start { return Start{cursor: &v1.Cursor{Sequence: sequence}} }

// AfterCursor starts after a position, as Subscription.Cursor told it.
func AfterCursor(cursor *v1.Cursor) Start { return Start{cursor: proto.CloneOf(cursor)} }

// Since starts with the first event at or after a time.
func Since(at time.Time) Start { return Start{since: at} }

func (s Start) position() v1.StartPosition {
	if s.earliest {
		return v1.StartPosition_START_POSITION_EARLIEST
	}
	return v1.StartPosition_START_POSITION_LATEST
}

func (s Start) write(request *v1.SubscribeRequest) {
	switch {
	case s.cursor != nil:
		request.Start = &v1.SubscribeRequest_After{After: s.cursor}
	case !s.since.IsZero():
		request.Start = &v1.SubscribeRequest_Since{Since: timestamppb.New(s.since)}
	default:
		request.Start = &v1.SubscribeRequest_Position{Position: s.position()}
	}
}

// Subscription is events as they come, each matching one once, in order: gap-free over reconnects and restarts. A stream that
// breaks, ends, or stays silent for longer than the coordinator's bookmarks allow is opened again with the cursor of what was seen.
// What cannot be resumed is told (ErrCursorCompacted, ErrLogMismatch): never a silent gap.
//
// For one goroutine at a time.
type Subscription struct {
	request   *v1.SubscribeRequest
	cursor    *v1.Cursor
	following *following
	events    []*v1.Event
	bookmark  *v1.Bookmark
}

// Subscribe follows the log from start; a nil filter takes every event. It returns when the coordinator has taken the subscription
// up, so that nothing published afterwards is missed. Close it.
func (s *Surface) Subscribe(ctx context.Context, filter *v1.EventFilter, start Start) (*Subscription, error) {
	request := &v1.SubscribeRequest{Filter: filter}
	start.write(request)
	return subscribe(ctx, s.origin, request)
}

func subscribe(ctx context.Context, o origin, request *v1.SubscribeRequest) (*Subscription, error) {
	s := &Subscription{request: request, cursor: &v1.Cursor{}}
	if after := request.GetAfter(); after != nil {
		s.cursor = proto.CloneOf(after)
	}
	s.following = &following{caller: o.caller, method: subscribeMethod, request: s.resumed}
	if err := s.fetch(ctx); err != nil {
		s.following.close()
		return nil, err
	}
	return s, nil
}

// Next is the next event. It fails when ctx ends (and may be called again then), and with what cannot be resumed.
func (s *Subscription) Next(ctx context.Context) (*v1.Event, error) {
	for {
		if events := s.take(1); len(events) > 0 {
			return events[0], nil
		}
		if err := s.fetch(ctx); err != nil {
			return nil, err
		}
	}
}

// NextBatch is the next events that are there, at least one.
func (s *Subscription) NextBatch(ctx context.Context) ([]*v1.Event, error) {
	for {
		if events := s.take(len(s.events)); len(events) > 0 {
			return events, nil
		}
		if err := s.fetch(ctx); err != nil {
			return nil, err
		}
	}
}

// All is for range: events until ctx ends or something cannot be resumed, which is the last thing it yields.
func (s *Subscription) All(ctx context.Context) iter.Seq2[*v1.Event, error] {
	return func(yield func(*v1.Event, error) bool) {
		for {
			event, err := s.Next(ctx)
			if !yield(event, err) || err != nil {
				return
			}
		}
	}
}

// Cursor is the position up to which everything was handed out: AfterCursor resumes there another time.
func (s *Subscription) Cursor() *v1.Cursor { return proto.CloneOf(s.cursor) }

// Close ends the subscription.
func (s *Subscription) Close() { s.following.close() }

// take hands out events that are there.
func (s *Subscription) take(count int) []*v1.Event {
	if count = min(count, len(s.events)); count == 0 {
		return nil
	}
	taken := s.events[:count]
	s.events = s.events[count:]
	last := taken[count-1]
	s.advance(last.GetLogId(), last.GetSequence())
	s.passBookmark()
	return taken
}

// fetch waits for what comes next on the stream.
func (s *Subscription) fetch(ctx context.Context) error {
	response, err := s.following.next(ctx)
	if err != nil {
		return err
	}
	told := response.(*v1.SubscribeResponse)
	for _, event := range told.GetEvents() {
		if event.GetSequence() > s.cursor.GetSequence() {
			s.events = append(s.events, event)
		}
	}
	s.bookmark = told.GetBookmark()
	s.passBookmark()
	return nil
}

// passBookmark moves the cursor over what no filter let through, once everything before it was handed out.
func (s *Subscription) passBookmark() {
	if len(s.events) == 0 && s.bookmark != nil {
		s.advance(s.bookmark.GetLogId(), s.bookmark.GetLastSequence())
		s.bookmark = nil
	}
}

func (s *Subscription) advance(logID string, sequence uint64) {
	if sequence >= s.cursor.GetSequence() {
		s.cursor.Sequence = sequence
		if logID != "" {
			s.cursor.LogId = logID
		}
	}
}

func (s *Subscription) resumed() proto.Message {
	request := proto.CloneOf(s.request)
	if s.cursor.GetSequence() > 0 {
		request.Start = &v1.SubscribeRequest_After{After: s.Cursor()}
	}
	return request
}
