package turns

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"
)

func enter(t *testing.T, ctx context.Context, shared bool, resources ...string) (*Turns, context.Context) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	t.Cleanup(cancel)
	entered, inside, err := Enter(ctx, t.Name(), resources, shared)
	if err != nil {
		t.Fatal(err)
	}
	return entered, inside
}

func TestScopesOfOneHolderTakeTurns(t *testing.T) {
	var inside, most int
	var mu sync.Mutex
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			turn, _, err := Enter(t.Context(), t.Name(), []string{"b", "a"}, false)
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			inside++
			most = max(most, inside)
			mu.Unlock()
			time.Sleep(time.Millisecond)
			mu.Lock()
			inside--
			mu.Unlock()
			turn.Leave()
		})
	}
	group.Wait()
	if most != 1 {
		t.Errorf("%d scopes were inside at once", most)
	}
}

func TestAScopeInsideOfAScopeEntersAgain(t *testing.T) {
	outer, inside := enter(t, t.Context(), false, "a")
	inner, _ := enter(t, inside, false, "a")
	inner.Leave()
	outer.Leave()
}

func TestSharedScopesAreInsideTogetherAndKeepAnExclusiveOneOut(t *testing.T) {
	first, _ := enter(t, t.Context(), true, "a")
	second, _ := enter(t, t.Context(), true, "a")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, _, err := Enter(ctx, t.Name(), []string{"a"}, false); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("an exclusive scope got in beside shared ones: %v", err)
	}
	first.Leave()
	second.Leave()
	last, _ := enter(t, t.Context(), false, "a")
	last.Leave()
}

func TestWhoeverGivesUpWaitingLetsTheNextIn(t *testing.T) {
	first, _ := enter(t, t.Context(), false, "a")
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan error)
	go func() {
		_, _, err := Enter(ctx, t.Name(), []string{"a"}, false)
		gone <- err
	}()
	cancel()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	first.Leave()
	next, _ := enter(t, t.Context(), false, "a")
	next.Leave()
	mu.Lock()
	defer mu.Unlock()
	if len(queues) != 0 {
		t.Errorf("%d queues are left behind", len(queues))
	}
}
