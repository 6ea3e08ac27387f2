package concert

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"google.golang.org/grpc/codes"

	v1 "concert.dev/clients/go/concertv1"
	pauses "concert.dev/clients/go/internal/backoff"
	"concert.dev/clients/go/internal/turns"
)

// Lock is locks that are held, all of one request.
type Lock struct {
	// Grants in the order of the resources.
	Grants []*v1.LockGrant

	origin  origin
	turns   *turns.Turns
	end     context.CancelCauseFunc
	forget  func()
	stopped chan struct{}
	once    sync.Once
	result  error

	mu   sync.Mutex
	lost error
}

// FencingToken is that of the first lock. It strictly increases from grant to grant: send it along when touching what the lock
// protects.
func (l *Lock) FencingToken() uint64 { return l.Grants[0].GetFencingToken() }

// FencingTokens are those of all locks, by resource.
func (l *Lock) FencingTokens() map[string]uint64 {
	found := make(map[string]uint64, len(l.Grants))
	for _, grant := range l.Grants {
		found[grant.GetResource()] = grant.GetFencingToken()
	}
	return found
}

// Fences are what a command names that relies on the locks; Fenced takes the lock itself.
func (l *Lock) Fences() []*v1.Fence {
	found := make([]*v1.Fence, len(l.Grants))
	for i, grant := range l.Grants {
		found[i] = &v1.Fence{Resource: grant.GetResource(), FencingToken: grant.GetFencingToken()}
	}
	return found
}

// Holder is who holds them, as the coordinator names it.
func (l *Lock) Holder() string { return l.Grants[0].GetHolder() }

// Err is ErrLockLost once the scope has been told that the locks are gone; nil while they stand, and after Unlock.
func (l *Lock) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lost
}

// Lock takes a lock as a scope:
//
//	ctx, lock, err := client.Lock(ctx, "bucket/blog")
//	if err != nil { ... }
//	defer lock.Unlock()
//
// The context it returns ends, with a cause that is ErrLockLost, the moment this client can no longer be sure that it holds the
// lock: when the lease was not renewed in time (counted from when the renewal was sent, so before the coordinator gives the lock to
// somebody else), or when the session that the lock follows is over. It carries the scope as well: a scope that is entered with it
// is inside. Scopes of one holder in this process take turns otherwise.
//
// It fails with ErrLockTimeout, ErrLockUpgrade, ErrDeadlock, and what else a call fails with.
func (s *Surface) Lock(ctx context.Context, resource string, options ...LockOption) (context.Context, *Lock, error) {
	return s.LockAll(ctx, []string{resource}, options...)
}

// LockAll takes 1 to 64 locks as one scope, all or none; see Lock.
func (s *Surface) LockAll(ctx context.Context, resources []string, options ...LockOption) (context.Context, *Lock, error) {
	if len(resources) == 0 || len(resources) > locksPerAcquireMax {
		return nil, nil, invalid("a scope takes 1 to %d locks, not %d", locksPerAcquireMax, len(resources))
	}
	o := lockOptionsOf(options)
	turn, inside, err := takeTurn(ctx, s.origin, resources, o)
	if err != nil {
		return nil, nil, err
	}
	asked := time.Now()
	grants, err := acquire(ctx, s.origin, resources, o)
	if err != nil {
		turn.Leave()
		return nil, nil, err
	}
	held, end := context.WithCancelCause(inside)
	lock := &Lock{Grants: grants, origin: s.origin, turns: turn, end: end, forget: func() {}, stopped: make(chan struct{})}
	if s.origin.lockIdentity() != "" {
		close(lock.stopped)
		lock.forget = s.origin.onLost(func(error) { lock.lose("the session is over") })
		return held, lock, nil
	}
	lease := grants[0].GetLease().AsDuration()
	if lease <= 0 {
		lease = lockLeaseDefault
	}
	until := asked.Add(leaseShare(lease))
	if time.Since(asked) > lease-leaseShare(lease) { // it was queued: when the lease began is not known, renew it
		if until, err = lock.renew(ctx, lease); err != nil {
			close(lock.stopped)
			_ = lock.releaseQuietly()
			turn.Leave()
			return nil, nil, err
		}
	}
	go lock.keep(held, lease, until)
	return held, lock, nil
}

// WithLock runs what is to be done under a lock: its context ends when the lock is lost, and the error says so then.
func (s *Surface) WithLock(ctx context.Context, resource string, do func(context.Context, *Lock) error, options ...LockOption) (err error) {
	held, lock, err := s.Lock(ctx, resource, options...)
	if err != nil {
		return err
	}
	defer func() {
		if released := lock.Unlock(); released != nil && (err == nil || errors.Is(err, context.Canceled)) {
			err = released
		}
	}()
	return do(held, lock)
}

// Unlock gives the locks back and ends the scope's context. It fails with ErrLockLost when they were gone by then: what was done
// under them is in doubt unless it was fenced. Calling it again changes nothing.
func (l *Lock) Unlock() error {
	l.once.Do(func() {
		l.forget()
		l.end(nil)
		<-l.stopped
		defer l.turns.Leave()
		if lost := l.Err(); lost != nil {
			l.result = lost
			if l.origin.lockIdentity() == "" {
				_ = l.releaseQuietly()
			}
			return
		}
		err := l.releaseQuietly()
		switch {
		case err == nil:
		case errors.Is(err, ErrNotHolder), errors.Is(err, ErrStaleFence), errors.Is(err, ErrSessionOver):
			l.result = lockLost(fmt.Sprintf("the lock was gone when it was to be released: %v", err))
		default: // the body has run under the lock; what is left of it ends with its lease
			slog.Warn("concert: releasing a lock failed", "resource", l.Grants[0].GetResource(), "because", err)
		}
	})
	return l.result
}

func (l *Lock) lose(because string) {
	l.mu.Lock()
	if l.lost == nil {
		l.lost = lockLost(because)
	}
	lost := l.lost
	l.mu.Unlock()
	l.end(lost)
}

// keep renews the leases every third of their time, until that has not worked for too long.
func (l *Lock) keep(held context.Context, lease time.Duration, until time.Time) {
	defer close(l.stopped)
	var pause pauses.Backoff
	wait := lease / 3
	for {
		bounded, cancel := context.WithDeadline(held, until)
		renewed, err := until, pauses.Sleep(bounded, wait)
		if err == nil {
			renewed, err = l.renew(bounded, lease)
		}
		cancel()
		switch {
		case held.Err() != nil:
			return
		case err == nil:
			until, wait = renewed, lease/3
			pause.Reset()
		case errors.Is(err, ErrLockLost):
			l.lose(err.Error())
			return
		case !time.Now().Before(until):
			l.lose("the lease ran out without a renewal being answered")
			return
		default:
			slog.Info("concert: keeping a lock alive failed", "resource", l.Grants[0].GetResource(), "because", err)
			wait = min(pause.Pause(retryAfter(err)), max(0, time.Until(until)))
		}
	}
}

// renew tells until when the locks stand for sure. It fails with ErrLockLost when one is gone.
func (l *Lock) renew(ctx context.Context, lease time.Duration) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, lease)
	defer cancel()
	sentAt := time.Now()
	request := &v1.KeepAliveRequest{FencingTokens: tokensOf(l.Grants)}
	response, err := ask[*v1.KeepAliveResponse](ctx, l.origin, keepAliveMethod, request)
	if err != nil {
		return time.Time{}, err
	}
	left := lease
	for _, each := range response.GetLeases() {
		if each.TimeLeft == nil {
			return time.Time{}, lockLost("the coordinator says that the lock is gone")
		}
		left = min(left, each.GetTimeLeft().AsDuration())
	}
	if len(response.GetLeases()) < len(l.Grants) {
		return time.Time{}, lockLost("the coordinator says that the lock is gone")
	}
	return sentAt.Add(leaseShare(left)), nil
}

// releaseQuietly does so whatever has become of the caller's context, for at most 5 s.
func (l *Lock) releaseQuietly() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	request := &v1.ReleaseRequest{AttemptToken: l.origin.attemptToken, FencingTokens: tokensOf(l.Grants)}
	_, err := l.origin.call(ctx, releaseMethod, request)
	return err
}

func takeTurn(ctx context.Context, o origin, resources []string, options lockOptions) (*turns.Turns, context.Context, error) {
	holder := o.lockIdentity()
	switch {
	case o.attemptToken != 0:
		holder = fmt.Sprintf("%s/attempt/%d", o.place(), o.attemptToken)
	case holder == "" && options.request.GetHolder() != "":
		holder = o.place() + "/holder/" + options.request.GetHolder()
	}
	wait := lockWaitDefault
	if options.waits {
		wait = options.wait
	}
	waiting, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	turn, inside, err := turns.Enter(waiting, holder, resources, options.request.GetMode() == v1.LockMode_LOCK_MODE_SHARED)
	switch {
	case err == nil:
		return turn, turns.Within(ctx, inside), nil
	case ctx.Err() != nil:
		return nil, nil, ended(ctx, "Acquire")
	}
	return nil, nil, refuse(codes.DeadlineExceeded, ErrLockTimeout,
		"another scope of this process kept the lock for longer than the wait")
}

func tokensOf(grants []*v1.LockGrant) []uint64 {
	tokens := make([]uint64, len(grants))
	for i, grant := range grants {
		tokens[i] = grant.GetFencingToken()
	}
	return tokens
}
