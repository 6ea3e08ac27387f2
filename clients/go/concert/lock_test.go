package concert_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"concert.dev/clients/go/concert"
	v1 "concert.dev/clients/go/concertv1"
	"concert.dev/clients/go/internal/coordinator"
)

func TestALockKeepsEverybodyElseOut(t *testing.T) {
	ctx, client := patience(t), shared(t)
	held, lock, err := client.Lock(ctx, "door")
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = client.Lock(ctx, "door", concert.Wait(50*time.Millisecond))
	var timeout *concert.LockTimeoutError
	if !errors.As(err, &timeout) || len(timeout.Holders) != 1 || timeout.Holders[0].GetFencingToken() != lock.FencingToken() {
		t.Errorf("got %v", err)
	}
	must[uint64](t)(client.State.Set(held, "rooms/1", "open", concert.Fenced(lock)))
	if err := lock.Unlock(); err != nil {
		t.Error(err)
	}
	if held.Err() == nil || lock.Unlock() != nil {
		t.Error("the scope stands after it was left, or cannot be left twice")
	}
	if _, err := client.State.Set(ctx, "rooms/1", "shut", concert.Fenced(lock)); !errors.Is(err, concert.ErrStaleFence) {
		t.Errorf("got %v", err)
	}
	_, next, err := client.Lock(ctx, "door")
	if err != nil || next.FencingToken() <= lock.FencingToken() {
		t.Errorf("token %d after %d, %v", next.FencingToken(), lock.FencingToken(), err)
	}
	_ = next.Unlock()
}

func TestALeaseIsRenewedWhileTheScopeStands(t *testing.T) {
	ctx, client := patience(t), shared(t)
	held, lock, err := client.Lock(ctx, "door", concert.Lease(4*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-held.Done():
		t.Errorf("lost: %v", context.Cause(held))
	case <-time.After(6 * time.Second):
	}
	if err := lock.Unlock(); err != nil {
		t.Error(err)
	}
}

func TestALostLeaseEndsTheScopeBeforeSomebodyElseHasTheLock(t *testing.T) {
	ctx := patience(t)
	process := coordinator.Start(t)
	client := connect(t, process.Address)
	held, lock, err := client.Lock(ctx, "door", concert.Lease(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	process.Kill()
	select {
	case <-held.Done():
	case <-ctx.Done():
		t.Fatal("the scope stands without a coordinator")
	}
	if cause := context.Cause(held); !errors.Is(cause, concert.ErrLockLost) {
		t.Errorf("the cause is %v", cause)
	}
	if err := lock.Unlock(); !errors.Is(err, concert.ErrLockLost) {
		t.Errorf("got %v", err)
	}
}

func TestScopesOfOneSessionTakeTurns(t *testing.T) {
	ctx := patience(t)
	session := openSession(t, shared(t), concert.SessionOptions{})
	inside, most := 0, 0
	var mu sync.Mutex
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			err := session.WithLock(ctx, "door", func(ctx context.Context, _ *concert.Lock) error {
				mu.Lock()
				inside++
				most = max(most, inside)
				mu.Unlock()
				time.Sleep(time.Millisecond)
				mu.Lock()
				inside--
				mu.Unlock()
				return session.WithLock(ctx, "door", func(context.Context, *concert.Lock) error { return nil })
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if most != 1 {
		t.Errorf("%d scopes were inside at once", most)
	}
}

func TestASessionThatIsOverEndsItsScopes(t *testing.T) {
	ctx, client := patience(t), shared(t)
	session := openSession(t, client, concert.SessionOptions{Agent: &v1.AgentSpec{AgentId: "a"}})
	held, lock, err := session.Lock(ctx, "door")
	if err != nil {
		t.Fatal(err)
	}
	openSession(t, client, concert.SessionOptions{Agent: &v1.AgentSpec{AgentId: "a"}, Takeover: true})
	select {
	case <-held.Done():
	case <-ctx.Done():
		t.Fatal("the scope stands after the session was taken over")
	}
	if err := lock.Unlock(); !errors.Is(err, concert.ErrLockLost) {
		t.Errorf("got %v", err)
	}
	if _, err := session.Publish(ctx, "n", nil); !errors.Is(err, concert.ErrSessionOver) {
		t.Errorf("got %v", err)
	}
}

func TestALockGrantedTooLateIsGivenBack(t *testing.T) {
	ctx, client := patience(t), shared(t)
	first, second := openSession(t, client, concert.SessionOptions{}), openSession(t, client, concert.SessionOptions{})
	_, lock, err := first.Lock(ctx, "door")
	if err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	if _, _, err := second.Lock(short, "door"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if err := lock.Unlock(); err != nil {
		t.Error(err)
	}
	_, again, err := first.Lock(ctx, "door")
	if err != nil {
		t.Fatal(err)
	}
	_ = again.Unlock()
}

func TestADeadlockIsTold(t *testing.T) {
	ctx, client := patience(t), shared(t)
	one, two := openSession(t, client, concert.SessionOptions{}), openSession(t, client, concert.SessionOptions{})
	heldA, a, err := one.Lock(ctx, "a")
	if err != nil {
		t.Fatal(err)
	}
	heldB, b, err := two.Lock(ctx, "b")
	if err != nil {
		t.Fatal(err)
	}
	refused := make(chan error, 2)
	go func() {
		_, got, err := one.Lock(heldA, "b")
		if err == nil {
			defer got.Unlock()
		}
		refused <- err
		_ = a.Unlock()
	}()
	go func() {
		_, got, err := two.Lock(heldB, "a")
		if err == nil {
			defer got.Unlock()
		}
		refused <- err
		_ = b.Unlock()
	}()
	var deadlock *concert.DeadlockError
	if err := <-refused; !errors.As(err, &deadlock) || len(deadlock.Cycle) != 2 {
		t.Errorf("got %v", err)
	}
	if err := <-refused; err != nil {
		t.Errorf("the other one got %v", err)
	}
}
