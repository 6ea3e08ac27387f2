// Package turns lines up the lock scopes of one holder in this process (rule L5): the coordinator lets one holder take a lock
// twice, so two scopes of one holder would both get in. Here they take turns before they ask.
//
// A scope inside of a scope may enter again; several shared scopes may be inside together.
package turns

import (
	"context"
	"slices"
	"sync"
)

type key struct{ holder, resource string }

type scope struct {
	parent *scope
	shared bool
}

func (s *scope) inside(other *scope) bool {
	for each := s; each != nil; each = each.parent {
		if each == other {
			return true
		}
	}
	return false
}

type waiter struct {
	scope *scope
	turn  chan struct{}
}

type queue struct {
	inside  []*scope
	waiting []*waiter
}

func (q *queue) hasRoom(asking *scope) bool {
	allShared := true
	for _, each := range q.inside {
		if asking.inside(each) {
			return true
		}
		allShared = allShared && each.shared
	}
	return len(q.inside) == 0 || (asking.shared && allShared)
}

func (q *queue) reenters(asking *scope) bool {
	return slices.ContainsFunc(q.inside, asking.inside)
}

var (
	mu     sync.Mutex
	queues = map[key]*queue{}
)

type contextKey struct{}

// Turns are the turns of one scope: on each of its resources, in the order of their names so that scopes cannot block each
// other.
type Turns struct {
	scope   *scope
	holder  string
	entered []key
}

// Enter waits for the turn on every resource. The context it returns is that of the scope: what enters with it is inside. An
// empty holder means that every request is a holder of its own, and that there is nothing to line up for.
func Enter(ctx context.Context, holder string, resources []string, shared bool) (*Turns, context.Context, error) {
	parent, _ := ctx.Value(contextKey{}).(*scope)
	t := &Turns{scope: &scope{parent: parent, shared: shared}, holder: holder}
	if holder == "" {
		return t, ctx, nil
	}
	names := slices.Clone(resources)
	slices.Sort(names)
	for _, resource := range slices.Compact(names) {
		each := key{holder, resource}
		if err := t.enter(ctx, each); err != nil {
			t.Leave()
			return nil, nil, err
		}
		t.entered = append(t.entered, each)
	}
	return t, context.WithValue(ctx, contextKey{}, t.scope), nil
}

// Within is ctx inside of the scope that inside is of.
func Within(ctx, inside context.Context) context.Context {
	if entered, ok := inside.Value(contextKey{}).(*scope); ok {
		return context.WithValue(ctx, contextKey{}, entered)
	}
	return ctx
}

// Leave lets the next in line in. It may be called again.
func (t *Turns) Leave() {
	mu.Lock()
	defer mu.Unlock()
	for _, each := range t.entered {
		queues[each].leave(each, t.scope)
	}
	t.entered = nil
}

func (t *Turns) enter(ctx context.Context, k key) error {
	mu.Lock()
	q := queues[k]
	if q == nil {
		q = &queue{}
		queues[k] = q
	}
	if q.reenters(t.scope) || (len(q.waiting) == 0 && q.hasRoom(t.scope)) {
		q.inside = append(q.inside, t.scope)
		mu.Unlock()
		return nil
	}
	w := &waiter{scope: t.scope, turn: make(chan struct{})}
	q.waiting = append(q.waiting, w)
	mu.Unlock()
	select {
	case <-w.turn:
		return nil
	case <-ctx.Done():
	}
	mu.Lock()
	defer mu.Unlock()
	if at := slices.Index(q.waiting, w); at >= 0 {
		q.waiting = slices.Delete(q.waiting, at, at+1)
		q.letIn(k)
	} else {
		q.leave(k, t.scope)
	}
	return ctx.Err()
}

func (q *queue) leave(k key, s *scope) {
	if at := slices.Index(q.inside, s); at >= 0 {
		q.inside = slices.Delete(q.inside, at, at+1)
	}
	q.letIn(k)
}

func (q *queue) letIn(k key) {
	for len(q.waiting) > 0 && q.hasRoom(q.waiting[0].scope) {
		next := q.waiting[0]
		q.waiting = q.waiting[1:]
		q.inside = append(q.inside, next.scope)
		close(next.turn)
	}
	if len(q.inside) == 0 && len(q.waiting) == 0 {
		delete(queues, k)
	}
}
