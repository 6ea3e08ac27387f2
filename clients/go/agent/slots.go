package agent

import "sync"

// slots bound how many attempts execute at once, in the order they came. The coordinator keeps to the bound too, but it gives a slot
// away again that an execution which cannot be stopped still has.
type slots struct {
	mu      sync.Mutex
	limit   int
	taken   int
	waiting []chan struct{}
}

// resize changes the bound.
func (s *slots) resize(limit int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.limit = limit
	s.letIn()
}

// take waits for a slot; call what it returns to give it back.
func (s *slots) take() (release func()) {
	turn := make(chan struct{})
	s.mu.Lock()
	s.waiting = append(s.waiting, turn)
	s.letIn()
	s.mu.Unlock()
	<-turn
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.taken--
		s.letIn()
	}
}

func (s *slots) letIn() {
	for s.taken < s.limit && len(s.waiting) > 0 {
		s.taken++
		close(s.waiting[0])
		s.waiting = s.waiting[1:]
	}
}
