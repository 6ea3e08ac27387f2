package concert

import (
	"context"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	v1 "concert.dev/clients/go/concertv1"
)

// LockOption says how locks are taken.
type LockOption func(*lockOptions)

type lockOptions struct {
	request   *v1.LockRequest
	requestID string
	fences    []*v1.Fence
	wait      time.Duration
	waits     bool
}

func lockOptionsOf(options []LockOption) lockOptions {
	o := lockOptions{request: &v1.LockRequest{Mode: v1.LockMode_LOCK_MODE_EXCLUSIVE}}
	for _, option := range options {
		option(&o)
	}
	return o
}

// Shared takes the lock together with other shared holders; it is exclusive otherwise.
func Shared() LockOption {
	return func(o *lockOptions) { o.request.Mode = v1.LockMode_LOCK_MODE_SHARED }
}

// Wait is how long to wait, 0 for not at all. Without it the policy's resource_timeout counts.
func Wait(wait time.Duration) LockOption {
	return func(o *lockOptions) { o.wait, o.waits = max(0, wait), true }
}

// Lease is how long the lock stands without a renewal: 1 s to 1 h, 30 s without it. In a session the locks follow the session
// instead.
func Lease(lease time.Duration) LockOption {
	return func(o *lockOptions) { o.request.Lease = durationpb.New(lease) }
}

// Guards is a state path that only the holder may write while it holds the lock.
func Guards(path string) LockOption {
	return func(o *lockOptions) { o.request.Guards = path }
}

// HeldBy names the holder, outside of sessions and attempts; without it each request is a holder of its own.
func HeldBy(holder string) LockOption {
	return func(o *lockOptions) { o.request.Holder = holder }
}

// LockPriority is the place in the queue, 0 to 9, higher first; without it the policy's.
func LockPriority(priority uint32) LockOption {
	return func(o *lockOptions) { o.request.Priority = &priority }
}

// LockMetadata are annotations.
func LockMetadata(metadata map[string]string) LockOption {
	return func(o *lockOptions) { o.request.Metadata = metadata }
}

// LockRequestID names the request: the same again is answered as the first was.
func LockRequestID(id string) LockOption {
	return func(o *lockOptions) { o.requestID = id }
}

// LockFenced names locks that taking these relies on.
func LockFenced(locks ...*Lock) LockOption {
	return func(o *lockOptions) {
		for _, lock := range locks {
			o.fences = append(o.fences, lock.Fences()...)
		}
	}
}

func acquire(ctx context.Context, o origin, resources []string, options lockOptions) ([]*v1.LockGrant, error) {
	request := &v1.AcquireRequest{AttemptToken: o.attemptToken, RequestId: options.requestID, Fences: options.fences}
	for _, resource := range resources {
		one := proto.CloneOf(options.request)
		one.Resource = resource
		if options.waits {
			one.WaitTimeout = durationpb.New(options.wait)
		}
		request.Requests = append(request.Requests, one)
	}
	switch {
	case !options.waits:
		ctx = withoutBound(ctx)
	case o.lockIdentity() == "":
		bounded, cancel := context.WithTimeoutCause(ctx, options.wait+lockWaitMargin, timeoutError{errNotAnswered})
		defer cancel()
		ctx = bounded
	}
	response, err := ask[*v1.AcquireResponse](ctx, o, acquireMethod, request)
	if err == nil && len(response.GetGrants()) != len(resources) {
		err = unavailable("%d locks were asked for and %d granted", len(resources), len(response.GetGrants()))
	}
	return response.GetGrants(), err
}

// Locks are the locks of a namespace: as a reader sees them, and taken without a scope.
type Locks struct{ origin origin }

// Acquire takes 1 to 64 locks, all or none, and leaves them to the caller: nothing renews them, nothing gives them back, and nobody
// is told when they are lost. Surface.Lock does all three.
func (l *Locks) Acquire(ctx context.Context, resources []string, options ...LockOption) ([]*v1.LockGrant, error) {
	return acquire(ctx, l.origin, resources, lockOptionsOf(options))
}

// Release gives 1 to 64 locks back, all or none; it returns the sequence of the first event. It fails with ErrNotHolder.
func (l *Locks) Release(ctx context.Context, fencingTokens ...uint64) (uint64, error) {
	request := &v1.ReleaseRequest{AttemptToken: l.origin.attemptToken, FencingTokens: fencingTokens}
	response, err := ask[*v1.ReleaseResponse](ctx, l.origin, releaseMethod, request)
	return response.GetSequence(), err
}

// KeepAlive makes the leases of up to 1000 locks whole again: how long each stands from now, by its token; one that is gone is left
// out.
func (l *Locks) KeepAlive(ctx context.Context, fencingTokens ...uint64) (map[uint64]time.Duration, error) {
	request := &v1.KeepAliveRequest{FencingTokens: fencingTokens}
	response, err := ask[*v1.KeepAliveResponse](ctx, l.origin, keepAliveMethod, request)
	if err != nil {
		return nil, err
	}
	left := map[uint64]time.Duration{}
	for _, each := range response.GetLeases() {
		if each.TimeLeft != nil {
			left[each.GetFencingToken()] = each.GetTimeLeft().AsDuration()
		}
	}
	return left, nil
}

// List tells of the locks that are held or waited for, by name; a limit of 0 is none.
func (l *Locks) List(ctx context.Context, prefix string, limit int) ([]*v1.Lock, error) {
	return readPages(ctx, limit, func(ctx context.Context, size uint32, token string) ([]*v1.Lock, string, error) {
		request := &v1.ListLocksRequest{Prefix: prefix, PageSize: size, PageToken: token}
		page, err := ask[*v1.ListLocksResponse](ctx, l.origin, listLocksMethod, request)
		return page.GetLocks(), page.GetNextPageToken(), err
	})
}

// Get tells of one lock. It fails with ErrNotFound when nobody holds it or waits for it.
func (l *Locks) Get(ctx context.Context, resource string) (*v1.Lock, error) {
	response, err := ask[*v1.GetLockResponse](ctx, l.origin, getLockMethod, &v1.GetLockRequest{Resource: resource})
	return response.GetLock(), err
}
