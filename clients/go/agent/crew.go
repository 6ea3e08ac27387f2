package agent

import "sync"

// crew counts who is at work. Its zero value is nobody.
type crew struct {
	mu    sync.Mutex
	count int
	empty chan struct{}
}

// join counts one more; call what it returns when that one is done.
func (c *crew) join() (leave func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.count == 0 {
		c.empty = make(chan struct{})
	}
	c.count++
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.count--; c.count == 0 {
			close(c.empty)
		}
	}
}

// idle is closed when those that are at work now, and whoever joins meanwhile, are done.
func (c *crew) idle() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.count == 0 {
		nobody := make(chan struct{})
		close(nobody)
		return nobody
	}
	return c.empty
}

// anybody tells whether somebody is at work.
func (c *crew) anybody() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.count > 0
}
