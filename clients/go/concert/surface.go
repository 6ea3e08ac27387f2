package concert

import (
	"context"

	v1 "concert.dev/clients/go/concertv1"
)

// Surface is what can be asked of a coordinator: the same through a Client (unary calls), a Session (frames), and inside an
// attempt. Its methods may be called from any goroutine.
type Surface struct {
	origin origin

	// State is the shared state.
	State *State
	// Events are the history.
	Events *Events
	// Runs are the runs.
	Runs *Runs
	// Locks are the locks as a reader sees them, and taken without a scope.
	Locks *Locks
	// Subscriptions are the named ones.
	Subscriptions *Subscriptions
	// Agents are the agents.
	Agents *Agents
	// Monitor tells how the namespace does.
	Monitor *Monitor
}

func newSurface(o origin) Surface {
	return Surface{
		origin: o, State: &State{o}, Events: &Events{o}, Runs: &Runs{o}, Locks: &Locks{o},
		Subscriptions: &Subscriptions{o}, Agents: &Agents{o}, Monitor: &Monitor{o},
	}
}

// ServerInfo is version, features and limits of the coordinator.
func (s *Surface) ServerInfo(ctx context.Context) (*v1.GetServerInfoResponse, error) {
	return ask[*v1.GetServerInfoResponse](ctx, s.origin, getServerInfoMethod, &v1.GetServerInfoRequest{})
}

// CallOption says something of a call that changes something.
type CallOption func(*callOptions)

type callOptions struct {
	requestID string
	priority  uint32
	fences    []*v1.Fence
}

// RequestID names a request, at most 128 bytes: the same again, also from another process, is answered as the first was. Without
// it every call has one of its own.
func RequestID(id string) CallOption {
	return func(o *callOptions) { o.requestID = id }
}

// Fenced names locks that a call relies on: unless each is still held, nothing happens and the call fails with ErrStaleFence. Inside
// an attempt its own locks need not be named.
func Fenced(locks ...*Lock) CallOption {
	return func(o *callOptions) {
		for _, lock := range locks {
			o.fences = append(o.fences, lock.Fences()...)
		}
	}
}

// FencedBy is Fenced for fences that somebody else sent.
func FencedBy(fences ...*v1.Fence) CallOption {
	return func(o *callOptions) { o.fences = append(o.fences, fences...) }
}

// Priority is that of a write of shared state, 0 to 9, higher first: what the policy priority_based compares. Inside an attempt the
// task's counts instead.
func Priority(priority uint32) CallOption {
	return func(o *callOptions) { o.priority = priority }
}

func collect(options []CallOption) callOptions {
	var o callOptions
	for _, option := range options {
		option(&o)
	}
	return o
}
