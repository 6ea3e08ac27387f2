package concert

import (
	"context"
	"errors"
	"time"

	"google.golang.org/protobuf/proto"

	v1 "concert.dev/clients/go/concertv1"
	pauses "concert.dev/clients/go/internal/backoff"
)

// Inbox is given the work that comes down a session: what a runtime of agents is to a session (package agent has one). It is called
// on the goroutine that reads the stream, in order, and must not block.
type Inbox interface {
	// AttemptTokens names the attempts being executed, and those with reports that were not acknowledged.
	AttemptTokens() []uint64
	// Task is work to do, perhaps seen before: execute an attempt token once.
	Task(*v1.AgentTask)
	// Cancel is an attempt to stop.
	Cancel(*v1.CancelTask)
	// Stale is an attempt that no longer counts.
	Stale(attemptToken uint64)
	// Drain says that the agent is to take no new tasks.
	Drain()
}

// noInbox is for clients that are no agents.
type noInbox struct{}

func (noInbox) AttemptTokens() []uint64 { return nil }
func (noInbox) Task(*v1.AgentTask)      {}
func (noInbox) Cancel(*v1.CancelTask)   {}
func (noInbox) Stale(uint64)            {}
func (noInbox) Drain()                  {}

// SessionOptions say how a session begins. The zero value is that of a client that is no agent.
type SessionOptions struct {
	// Agent is who it is: an id of this instance (one is given when empty), a role, labels; what it can do, for an agent.
	Agent *v1.AgentSpec
	// Lease is how long the session outlives its stream: 2 s to 5 min, 15 s when 0.
	Lease time.Duration
	// Takeover ends the session that lives under the agent id.
	Takeover bool
	// Inbox is given what comes down; needed with capabilities.
	Inbox Inbox
}

// Session is calls that travel as frames of one stream, many at a time, and one lease over its locks. When the stream breaks it is
// opened anew, and what has no answer is sent again under the same request ids. Everything fails with ErrSessionOver once it is
// over. Every method may be called from any goroutine.
type Session struct {
	Surface
	stream *sessionStream
}

// OpenSession opens one; its stream has a connection of its own. It fails with ErrAlreadyExists when an agent lives under the id.
func (c *Client) OpenSession(ctx context.Context, options SessionOptions) (*Session, error) {
	lease := options.Lease
	if lease == 0 {
		lease = sessionLeaseDefault
	}
	if lease < sessionLeaseMin || lease > sessionLeaseMax {
		return nil, invalid("a session's lease is %v to %v, not %v", sessionLeaseMin, sessionLeaseMax, lease)
	}
	spec, inbox := options.Agent, options.Inbox
	if spec == nil {
		spec = &v1.AgentSpec{}
	}
	if inbox == nil {
		if len(spec.GetCapabilities()) > 0 {
			return nil, invalid("a session with capabilities needs an Inbox for its tasks")
		}
		inbox = noInbox{}
	}
	stream := newSessionStream(c.connection, proto.CloneOf(spec), lease, options.Takeover, inbox)
	if err := stream.open(ctx); err != nil {
		return nil, err
	}
	return &Session{newSurface(origin{caller: stream}), stream}, nil
}

// ID is the sequence of its AGENT_REGISTERED event.
func (s *Session) ID() uint64 {
	s.stream.mu.Lock()
	defer s.stream.mu.Unlock()
	return s.stream.id
}

// AgentID is the id it is under.
func (s *Session) AgentID() string {
	s.stream.mu.Lock()
	defer s.stream.mu.Unlock()
	return s.stream.agentID
}

// LogID is the log that its sequences and tokens are positions of.
func (s *Session) LogID() string {
	s.stream.mu.Lock()
	defer s.stream.mu.Unlock()
	return s.stream.logID
}

// Lease is how long it outlives its stream.
func (s *Session) Lease() time.Duration {
	s.stream.mu.Lock()
	defer s.stream.mu.Unlock()
	return s.stream.asked
}

// Limits are the coordinator's, by name, the unit last.
func (s *Session) Limits() map[string]int64 {
	s.stream.mu.Lock()
	defer s.stream.mu.Unlock()
	return s.stream.limits
}

// Done is closed when the session is over.
func (s *Session) Done() <-chan struct{} { return s.stream.ctx.Done() }

// Err is why it is over; nil while it lives.
func (s *Session) Err() error { return s.stream.isOver() }

// Expired tells whether it was given up on this side, and may still stand on the other.
func (s *Session) Expired() bool {
	s.stream.mu.Lock()
	defer s.stream.mu.Unlock()
	return s.stream.expired
}

// Close says goodbye: its locks are released at once. It waits at most 5 s for the answer.
func (s *Session) Close(ctx context.Context) { s.stream.close(ctx, "closed") }

// Goodbye is Close with a reason, for people, at most 256 bytes.
func (s *Session) Goodbye(ctx context.Context, reason string) { s.stream.close(ctx, reason) }

// Update describes the agent anew (rule A3), also in what a resumed stream says of it.
func (s *Session) Update(ctx context.Context, spec *v1.AgentSpec) error {
	s.stream.describe(proto.CloneOf(spec))
	_, err := s.stream.call(ctx, updateAgentMethod, &v1.UpdateAgent{Agent: spec})
	return err
}

// Report sends a TaskStarted, TaskProgress, TaskCompleted or TaskFailed. It is sent again until it is answered, or the session
// is over.
func (s *Session) Report(ctx context.Context, report proto.Message) (*v1.Reported, error) {
	var m *method
	switch report.(type) {
	case *v1.TaskStarted:
		m = taskStartedMethod
	case *v1.TaskProgress:
		m = taskProgressMethod
	case *v1.TaskCompleted:
		m = taskCompletedMethod
	case *v1.TaskFailed:
		m = taskFailedMethod
	default:
		return nil, invalid("a %T is no report", report)
	}
	setIfEmpty(report, "request_id", s.stream.requestIDs.next)
	var pause pauses.Backoff
	for {
		reported, err := ask[*v1.Reported](ctx, s.stream, m, report)
		var away *UnavailableError
		if !errors.As(err, &away) {
			return reported, err
		}
		if pauses.Sleep(ctx, pause.Pause(away.RetryAfter)) != nil {
			return nil, ended(ctx, m.name)
		}
	}
}

// Attempt is what can be asked in the name of an attempt: fenced by its token and by the locks it was granted.
func (s *Session) Attempt(token uint64) *Surface {
	surface := newSurface(origin{caller: s.stream, attemptToken: token})
	return &surface
}
