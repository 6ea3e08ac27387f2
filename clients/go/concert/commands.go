package concert

import (
	"container/list"
	"context"
	"sync"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	v1 "concert.dev/clients/go/concertv1"
	"concert.dev/clients/go/internal/frames"
)

// command is one that has no reply yet. It is encoded once, since it may be sent more often.
type command struct {
	id           uint64
	method       *method
	encoded      []byte
	size         int
	attemptToken uint64
	answered     chan struct{}
	response     proto.Message
	err          error
	// abandoned says that its caller stopped waiting.
	abandoned bool
}

// commands are the commands of a session that have no reply yet: in order, bounded, ready to be sent again.
type commands struct {
	mu           sync.Mutex
	pending      map[uint64]*list.Element
	order        *list.List
	outgoing     []*command
	pendingBytes int
	lastID       uint64
	turn         chan struct{}
	room         chan struct{}
	wake         chan struct{}
	over         error
}

func newCommands() *commands {
	return &commands{
		pending: map[uint64]*list.Element{},
		order:   list.New(),
		turn:    make(chan struct{}, 1),
		room:    make(chan struct{}, 1),
		wake:    make(chan struct{}, 1),
	}
}

// add takes a command up; it waits, in order, while too much is pending.
func (c *commands) add(ctx context.Context, m *method, request proto.Message, traceparent string) (*command, error) {
	made := &command{method: m, answered: make(chan struct{}), attemptToken: attemptOf(request)}
	asked := &v1.Command{Traceparent: traceparent}
	asked.ProtoReflect().Set(m.frame, protoreflect.ValueOfMessage(request.ProtoReflect()))
	c.mu.Lock()
	c.lastID++
	made.id = c.lastID
	c.mu.Unlock()
	asked.CorrelationId = made.id
	encoded, err := proto.Marshal(&v1.ClientMessage{Message: &v1.ClientMessage_Command{Command: asked}})
	if err != nil {
		return nil, invalidPayload("%s cannot be encoded: %v", m.name, err)
	}
	if len(encoded) > messageBytesMax-1024 {
		return nil, invalid("%s takes %d bytes: a message has at most %d", m.name, len(encoded), messageBytesMax-1024)
	}
	made.encoded, made.size = encoded, frames.Size(encoded)
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return nil, ended(ctx, m.name)
	}
	for {
		c.mu.Lock()
		if c.over != nil {
			defer c.mu.Unlock()
			return nil, c.over
		}
		if c.hasRoom(made.size) {
			c.pending[made.id] = c.order.PushBack(made)
			c.pendingBytes += made.size
			c.outgoing = append(c.outgoing, made)
			c.mu.Unlock()
			c.poke()
			return made, nil
		}
		c.mu.Unlock()
		select {
		case <-c.room:
		case <-ctx.Done():
			return nil, ended(ctx, m.name)
		}
	}
}

// hasRoom: one command always has; more while both limits are kept.
func (c *commands) hasRoom(size int) bool {
	if len(c.pending) == 0 {
		return true
	}
	return len(c.pending) < commandsPendingMax && c.pendingBytes+size <= commandsPendingBytesMax
}

// poke says that there is something to send.
func (c *commands) poke() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// fill puts what was not sent yet into a frame, as much as it takes; a command that is larger than a frame travels alone.
func (c *commands) fill(frame *frames.Frame, size int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.outgoing) > 0 {
		next := c.outgoing[0]
		size += next.size
		if size > frameBytesMax && !frame.Empty() {
			return
		}
		c.outgoing[0] = nil
		c.outgoing = c.outgoing[1:]
		if _, waited := c.pending[next.id]; waited {
			frame.Add(next.encoded)
		}
	}
	c.outgoing = nil
}

// settle answers the command that a reply is for. It returns the command if its caller waits no more.
func (c *commands) settle(id uint64, response proto.Message, err error) *command {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.take(id, response, err)
}

func (c *commands) take(id uint64, response proto.Message, err error) *command {
	element := c.pending[id]
	if element == nil {
		return nil
	}
	settled := c.order.Remove(element).(*command)
	delete(c.pending, id)
	c.pendingBytes -= settled.size
	select {
	case c.room <- struct{}{}:
	default:
	}
	settled.response, settled.err = response, err
	close(settled.answered)
	if settled.abandoned {
		return settled
	}
	return nil
}

// abandon says that the caller of a command waits no more. Whether its answer was there already.
func (c *commands) abandon(left *command) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, waits := c.pending[left.id]; !waits {
		return true
	}
	left.abandoned = true
	return false
}

// sendAgain has everything without a reply sent on another stream, in the same order.
func (c *commands) sendAgain() {
	c.mu.Lock()
	c.outgoing = make([]*command, 0, c.order.Len())
	for each := c.order.Front(); each != nil; each = each.Next() {
		c.outgoing = append(c.outgoing, each.Value.(*command))
	}
	c.mu.Unlock()
	c.poke()
}

// forgetAttempt fails the commands of an attempt that no longer counts.
func (c *commands) forgetAttempt(token uint64, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for each := c.order.Front(); each != nil; {
		pending := each.Value.(*command)
		each = each.Next()
		if pending.attemptToken == token {
			c.take(pending.id, nil, err)
		}
	}
}

// close fails everything, now and from now on.
func (c *commands) close(over error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = over
	for each := c.order.Front(); each != nil; each = c.order.Front() {
		c.take(each.Value.(*command).id, nil, over)
	}
	c.outgoing = nil
}

func attemptOf(request proto.Message) uint64 {
	if within, ok := request.(interface{ GetAttemptToken() uint64 }); ok {
		return within.GetAttemptToken()
	}
	return 0
}
