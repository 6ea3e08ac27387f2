package agent

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"concert.dev/clients/go/concert"
	v1 "concert.dev/clients/go/concertv1"
	"concert.dev/clients/go/internal/backoff"
)

// Host keeps one agent registered, session after session, and executes what it is given.
type Host struct {
	client *concert.Client
	slots  slots
	// base is what the contexts of attempts derive from.
	base context.Context
	// ctx ends when there is to be no other session.
	ctx        context.Context
	stop       context.CancelFunc
	registered chan struct{}
	noticed    chan struct{}
	over       chan struct{}
	attempts   crew
	finishing  sync.Once
	noticing   sync.Once

	mu      sync.Mutex
	agent   Agent
	session *concert.Session
	live    map[uint64]*attempt
	seen    map[uint64]struct{}
	order   []uint64
	closed  bool
	err     error
}

// Start begins to register an agent, and goes on trying while no coordinator is there; Registered waits for that. Values of ctx reach
// the handlers, its end does not: Close the host.
func Start(ctx context.Context, client *concert.Client, agent Agent) (*Host, error) {
	if err := agent.check(); err != nil {
		return nil, err
	}
	h := &Host{
		client: client, agent: agent, base: context.WithoutCancel(ctx), registered: make(chan struct{}),
		noticed: make(chan struct{}), over: make(chan struct{}), live: map[uint64]*attempt{}, seen: map[uint64]struct{}{},
	}
	h.slots.limit = agent.Slots
	h.ctx, h.stop = context.WithCancel(context.Background())
	go h.keep()
	return h, nil
}

// AgentID is the agent's.
func (h *Host) AgentID() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.agent.ID
}

// Registered waits until the agent has had a session. It fails with what keeps it from ever having one.
func (h *Host) Registered(ctx context.Context) error {
	select {
	case <-h.registered:
		return nil
	default:
	}
	select {
	case <-h.registered:
		return nil
	case <-h.over:
		return h.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Update describes the agent anew, in this session and those to come: capabilities, labels, slots, handlers (rule A3). Its name and
// id stay. It fails with concert.ErrPermissionDenied.
func (h *Host) Update(ctx context.Context, agent Agent) error {
	h.mu.Lock()
	agent.ID, agent.Name = h.agent.ID, h.agent.Name
	if err := agent.check(); err != nil {
		h.mu.Unlock()
		return err
	}
	h.agent = agent
	session := h.session
	h.mu.Unlock()
	h.slots.resize(agent.Slots)
	if session == nil {
		return nil
	}
	return session.Update(ctx, agent.spec())
}

// Drain takes no new tasks; those that run finish, then the agent leaves. It does not wait: Wait does.
func (h *Host) Drain() {
	h.finishing.Do(func() { go h.finish(true) })
}

// Cancel cancels what runs, unreported: the coordinator gives it to others. Then the agent leaves.
func (h *Host) Cancel() {
	h.mu.Lock()
	h.closed = true
	running := h.running(nil)
	h.mu.Unlock()
	for _, each := range running {
		each.stop(stopped)
	}
	h.finishing.Do(func() { go h.finish(false) })
}

// Wait returns when the agent has left. It fails with what kept it from registering.
func (h *Host) Wait() error {
	<-h.over
	return h.err
}

// Close cancels what runs and waits until the agent has left.
func (h *Host) Close() error {
	h.Cancel()
	return h.Wait()
}

// finish leaves when nothing runs any more. announce: the coordinator does not know yet.
func (h *Host) finish(announce bool) {
	if announce {
		h.announceDrain()
	}
	session := h.close()
	h.stop()
	if session != nil {
		session.Goodbye(context.Background(), "drained")
	}
}

// close takes nothing more once nothing runs; it returns the session there is.
func (h *Host) close() *concert.Session {
	for {
		<-h.attempts.idle()
		h.mu.Lock()
		if !h.attempts.anybody() {
			h.closed = true
			defer h.mu.Unlock()
			return h.session
		}
		h.mu.Unlock()
	}
}

// announceDrain asks for no new tasks; it returns when those given before have come down, or when nobody answers.
func (h *Host) announceDrain() {
	h.mu.Lock()
	session := h.session
	h.mu.Unlock()
	if session == nil {
		return
	}
	ctx, cancel := context.WithTimeout(h.ctx, drainNoticeMax)
	defer cancel()
	_, err := h.client.Agents.Drain(ctx, session.AgentID())
	if err == nil {
		select {
		case <-h.noticed:
			return
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	slog.Warn("concert: an agent drains without the coordinator's word", "agent", session.AgentID(), "because", err)
}

// ---- session after session

func (h *Host) keep() {
	defer close(h.over)
	takeover := false
	for h.ctx.Err() == nil {
		in := &inbox{host: h, ready: make(chan struct{})}
		session, said, err := h.open(in, takeover)
		if err != nil {
			in.begin(nil)
			if h.ctx.Err() == nil {
				h.err = err
			}
			h.stop()
			return
		}
		in.begin(session)
		h.begin(session, said)
		<-session.Done()
		h.lost(session, in)
		takeover = session.Expired()
	}
}

// open opens a session, however long that takes: an agent may be there before its coordinator. It also returns what it said of the
// agent.
func (h *Host) open(in *inbox, takeover bool) (*concert.Session, *v1.AgentSpec, error) {
	var pause backoff.Backoff
	for {
		h.mu.Lock()
		agent := h.agent
		h.mu.Unlock()
		said := agent.spec()
		session, err := h.client.OpenSession(h.ctx, concert.SessionOptions{
			Agent: said, Lease: agent.Lease, Takeover: takeover, Inbox: in,
		})
		if err == nil || fatal(err) || h.ctx.Err() != nil {
			return session, said, err
		}
		slog.Warn("concert: an agent cannot register yet", "agent", agent.ID, "because", err)
		if backoff.Sleep(h.ctx, pause.Pause(0)) != nil {
			return nil, nil, err
		}
	}
}

// fatal tells whether no other try would change it.
func fatal(err error) bool {
	var away *concert.UnavailableError
	if errors.As(err, &away) {
		return away.Permanent
	}
	var refused *concert.Error
	if !errors.As(err, &refused) {
		return false
	}
	switch refused.Code {
	case codes.InvalidArgument, codes.PermissionDenied, codes.Unauthenticated, codes.NotFound, codes.Unimplemented:
		return true
	}
	return false
}

func (h *Host) begin(session *concert.Session, said *v1.AgentSpec) {
	h.mu.Lock()
	h.session = session
	spec := h.agent.spec()
	h.mu.Unlock()
	if !proto.Equal(spec, said) { // updated meanwhile
		go func() {
			if err := session.Update(h.ctx, spec); err != nil {
				slog.Warn("concert: an agent's description was not taken", "agent", session.AgentID(), "because", err)
			}
		}()
	}
	slog.Info("concert: an agent is registered", "agent", session.AgentID(), "session", session.ID())
	select {
	case <-h.registered:
	default:
		close(h.registered)
	}
	if h.ctx.Err() != nil { // left meanwhile
		session.Goodbye(context.Background(), "drained")
	}
}

// lost stops the attempts of a session that is over, and waits for them, though not unreasonably long.
func (h *Host) lost(session *concert.Session, in *inbox) {
	h.mu.Lock()
	h.session = nil
	running := h.running(in)
	h.mu.Unlock()
	for _, each := range running {
		each.stop(sessionLost)
	}
	select {
	case <-in.attempts.idle():
	case <-h.ctx.Done():
	case <-time.After(lostAttemptsMax):
		slog.Error("concert: attempts do not let themselves be cancelled", "agent", session.AgentID())
	}
}

// running are the attempts that came by an inbox, or by any.
func (h *Host) running(in *inbox) []*attempt {
	var found []*attempt
	for _, each := range h.live {
		if in == nil || each.inbox == in {
			found = append(found, each)
		}
	}
	return found
}

// settle: an attempt has said its last word and been heard.
func (h *Host) settle(token uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.live, token)
}

// remember tells whether a token comes for the first time.
func (h *Host) remember(token uint64) bool {
	if _, known := h.seen[token]; known {
		return false
	}
	h.seen[token] = struct{}{}
	h.order = append(h.order, token)
	if len(h.order) > tokensRemembered {
		delete(h.seen, h.order[0])
		h.order = h.order[1:]
	}
	return true
}

// inbox is what comes down one session.
type inbox struct {
	host     *Host
	ready    chan struct{}
	session  *concert.Session
	attempts crew
}

var _ concert.Inbox = (*inbox)(nil)

// begin says which session it is; nil when there is none after all.
func (in *inbox) begin(session *concert.Session) {
	in.session = session
	close(in.ready)
}

// AttemptTokens names those of this session that have not said their last word.
func (in *inbox) AttemptTokens() []uint64 {
	in.host.mu.Lock()
	defer in.host.mu.Unlock()
	var tokens []uint64
	for token, each := range in.host.live {
		if each.inbox == in {
			tokens = append(tokens, token)
		}
	}
	slices.Sort(tokens)
	return tokens
}

// Task executes a token once in this process, whatever becomes of the session (rule A5).
func (in *inbox) Task(task *v1.AgentTask) {
	h := in.host
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.remember(task.GetAttemptToken()) || h.closed {
		return
	}
	a := &attempt{host: h, inbox: in, agent: h.agent, token: task.GetAttemptToken()}
	a.ctx, a.cancel = context.WithCancelCause(h.base)
	h.live[a.token] = a
	leaveHost, leaveSession := h.attempts.join(), in.attempts.join()
	go func() {
		defer leaveHost()
		defer leaveSession()
		defer h.settle(a.token)
		<-in.ready
		if in.session == nil {
			return
		}
		a.task = newTask(in.session, task)
		a.run()
	}()
}

// Cancel stops an attempt.
func (in *inbox) Cancel(cancel *v1.CancelTask) { in.stop(cancel.GetAttemptToken(), cancel.GetReason()) }

// Stale stops an attempt that no longer counts.
func (in *inbox) Stale(token uint64) {
	in.stop(token, stale)
	in.host.settle(token)
}

func (in *inbox) stop(token uint64, reason string) {
	in.host.mu.Lock()
	found := in.host.live[token]
	in.host.mu.Unlock()
	if found != nil {
		found.stop(reason)
	}
}

// Drain: no new tasks will come.
func (in *inbox) Drain() {
	h := in.host
	h.noticing.Do(func() { close(h.noticed) })
	h.finishing.Do(func() { go h.finish(false) })
}
