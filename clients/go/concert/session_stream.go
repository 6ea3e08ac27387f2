package concert

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	v1 "concert.dev/clients/go/concertv1"
	pauses "concert.dev/clients/go/internal/backoff"
	"concert.dev/clients/go/internal/frames"
	"concert.dev/clients/go/internal/text"
)

// sessionStream is a session: commands multiplexed over a Connect stream that is opened anew and resumed for as long as the lease
// lasts.
//
// Theory of operation. Every command is encoded once and stays among the commands, in order, until its reply is here. Whatever is
// ready when the stream can be written goes out as one frame. When the stream breaks, a new one is opened with the session id;
// after its Welcome everything pending is sent again, in order, under the same request ids, which the coordinator recognises.
//
// The lease is tracked on this process's monotonic clock, from the moment the last answered heartbeat was sent. The coordinator
// counts from when it received it, which is later, so this side always knows first that the lease is gone. Then, or when the
// coordinator says that the session is over, SESSION_OVER is the answer to everything pending and to come, and whoever registered
// with onLost is called. A session is never reopened: its attempts and locks are gone; begin another.
type sessionStream struct {
	connection *connection
	inbox      Inbox
	identity   string
	takeover   bool
	requestIDs *requestIDs
	commands   *commands
	lease      lease
	ctx        context.Context
	cancel     context.CancelFunc
	finished   chan struct{}
	drained    chan struct{}
	succeeding atomic.Bool

	mu      sync.Mutex
	helloID string // the Hello that opens the session is said again under it until a Welcome is heard
	spec    *v1.AgentSpec
	asked   time.Duration
	id      uint64
	agentID string
	logID   string
	limits  map[string]int64
	over    error
	expired bool
	closing bool
	lost    map[*func(error)]struct{}
}

var _ caller = (*sessionStream)(nil)

func newSessionStream(c *connection, spec *v1.AgentSpec, lease time.Duration, takeover bool, inbox Inbox) *sessionStream {
	s := &sessionStream{
		connection: c, inbox: inbox, identity: "session/" + randomHex(8), takeover: takeover,
		requestIDs: newRequestIDs(), commands: newCommands(),
		finished: make(chan struct{}), drained: make(chan struct{}, 1),
		spec: spec, asked: lease, agentID: spec.GetAgentId(), lost: map[*func(error)]struct{}{},
	}
	s.helloID = s.requestIDs.next()
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.lease.expired = func() {
		s.mu.Lock()
		s.expired = s.over == nil
		s.mu.Unlock()
		s.end(sessionOver("the lease ran out without a renewal being answered"))
	}
	return s
}

// open opens the session. It fails with ErrAlreadyExists when an agent lives under the id, Unavailable after the retry timeout.
func (s *sessionStream) open(ctx context.Context) error {
	stop := context.AfterFunc(ctx, s.cancel)
	retryUntil := time.Now().Add(s.connection.retry)
	var pause pauses.Backoff
	for {
		opened, err := s.openLink()
		if err == nil {
			if !stop() {
				opened.close()
				return ended(ctx, "Connect")
			}
			if err := s.adopt(opened); err != nil {
				opened.close()
				return err
			}
			go s.keepOpen(opened)
			return nil
		}
		over := errors.Is(err, ErrSessionOver)
		if over { // what the same Hello opened has ended unheard of
			s.renameHello()
		}
		wait := pause.Pause(retryAfter(err))
		if ctx.Err() == nil && (over || resumable(err)) && time.Now().Add(wait).Before(retryUntil) && pauses.Sleep(ctx, wait) == nil {
			continue
		}
		s.cancel()
		if !stop() {
			return ended(ctx, "Connect")
		}
		return err
	}
}

// describe is what Hello will say of the agent from now on; UpdateAgent says it to the session that there is.
func (s *sessionStream) describe(spec *v1.AgentSpec) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.spec = spec
	s.helloID = s.requestIDs.next()
}

func (s *sessionStream) renameHello() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.helloID = s.requestIDs.next()
}

// close says Goodbye, waiting at most 5 s for the answer, and ends the session.
func (s *sessionStream) close(ctx context.Context, reason string) {
	s.mu.Lock()
	s.closing = true
	open := s.over == nil
	s.mu.Unlock()
	if open {
		bounded, cancel := context.WithTimeout(ctx, closeTimeout)
		if _, err := s.call(bounded, goodbyeMethod, &v1.Goodbye{Reason: text.Clip(reason, goodbyeReasonBytesMax)}); err != nil {
			slog.Debug("concert: goodbye was not answered", "error", err)
		}
		cancel()
		s.end(sessionOver("the session was closed"))
	}
	<-s.finished
}

func (s *sessionStream) isOver() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.over
}

// ---- caller

func (s *sessionStream) lockIdentity() string        { return s.identity }
func (s *sessionStream) place() string               { return s.connection.place() }
func (s *sessionStream) retryTimeout() time.Duration { return s.connection.retry }

func (s *sessionStream) stream(ctx context.Context, m *method, request proto.Message) (responses, error) {
	return s.connection.stream(ctx, m, request)
}

// onLost is also called when the session is closed while something still relies on it.
func (s *sessionStream) onLost(lost func(error)) func() {
	key := &lost
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over != nil {
		go lost(s.over)
		return func() {}
	}
	s.lost[key] = struct{}{}
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.lost, key)
	}
}

// call goes over the stream when it can travel there, else as an rpc. Without a deadline the session is the bound: either a reply
// comes or the session ends.
func (s *sessionStream) call(ctx context.Context, m *method, request proto.Message) (proto.Message, error) {
	if m.frame == nil {
		return s.connection.call(ctx, m, request)
	}
	setIfEmpty(request, "request_id", s.requestIDs.next)
	traceparent := Traceparent(ctx)
	var pause pauses.Backoff
	var retryUntil time.Time
	for {
		response, err := s.once(ctx, m, request, traceparent)
		var away *UnavailableError
		if !errors.As(err, &away) {
			return response, err
		}
		now := time.Now()
		if retryUntil.IsZero() {
			retryUntil = now.Add(s.connection.retry)
		}
		wait := pause.Pause(away.RetryAfter)
		if now.Add(wait).After(retryUntil) {
			return nil, err
		}
		if pauses.Sleep(ctx, wait) != nil {
			return nil, ended(ctx, m.name)
		}
	}
}

func (s *sessionStream) once(ctx context.Context, m *method, request proto.Message, traceparent string) (proto.Message, error) {
	sent, err := s.commands.add(ctx, m, request, traceparent)
	if err != nil {
		return nil, err
	}
	select {
	case <-sent.answered:
	case <-ctx.Done():
		if !s.commands.abandon(sent) {
			return nil, ended(ctx, m.name)
		}
	}
	return sent.response, sent.err
}

// ---- streams

func (s *sessionStream) hello() *v1.Hello {
	tokens := s.inbox.AttemptTokens()
	s.mu.Lock()
	defer s.mu.Unlock()
	spec := proto.CloneOf(s.spec)
	spec.AgentId = s.agentID
	hello := &v1.Hello{
		Namespace: s.connection.namespace, Agent: spec, SessionId: s.id, Takeover: s.takeover && s.id == 0,
		FeatureLevel: featureLevel, Lease: durationpb.New(s.asked),
	}
	if s.id != 0 {
		hello.AttemptTokens = tokens
	} else {
		hello.RequestId = s.helloID
	}
	return hello
}

// openLink opens a stream. A Welcome that comes when its lease may be over already is as good as none: the same Hello takes the session
// up, with a lease that is whole.
func (s *sessionStream) openLink() (*link, error) {
	hello := s.hello()
	opened, err := openLink(s.ctx, s.connection, hello)
	if err != nil {
		return nil, err
	}
	granted := opened.welcome.GetLease().AsDuration()
	if granted <= 0 {
		granted = hello.GetLease().AsDuration()
	}
	if time.Since(opened.helloSentAt) < leaseShare(granted) {
		return opened, nil
	}
	opened.close()
	return nil, unavailable("%s: Hello was answered so late that the lease may be over", opened.target)
}

// adopt makes a stream the one that carries the session, and has everything pending sent again.
func (s *sessionStream) adopt(l *link) error {
	welcome := l.welcome
	s.mu.Lock()
	if s.over != nil {
		defer s.mu.Unlock()
		return s.over
	}
	if s.id != 0 && (!welcome.GetResumed() || welcome.GetSessionId() != s.id) {
		s.mu.Unlock()
		return sessionOver("the coordinator began another session instead of resuming this one")
	}
	s.id, s.agentID = welcome.GetSessionId(), welcome.GetAgentId()
	s.logID, s.limits = welcome.GetLogId(), welcome.GetLimits()
	if granted := welcome.GetLease().AsDuration(); granted > 0 {
		s.asked = granted
	}
	s.lease.begin(s.asked, l.helloSentAt)
	s.mu.Unlock()
	for _, token := range welcome.GetStaleAttemptTokens() {
		s.commands.forgetAttempt(token, refuse(codes.Aborted, ErrStaleAttempt, "the attempt no longer counts"))
		s.inbox.Stale(token)
	}
	s.commands.sendAgain()
	for _, message := range l.first {
		s.receive(message)
	}
	return nil
}

func (s *sessionStream) keepOpen(current *link) {
	defer close(s.finished)
	for {
		next, err := s.carry(current)
		if err == nil && next == nil {
			next, err = s.reopen()
		}
		if err == nil {
			if err = s.adopt(next); err != nil {
				next.close()
			}
		}
		if err != nil {
			s.end(asSessionOver(err))
			return
		}
		current = next
	}
}

func (s *sessionStream) reopen() (*link, error) {
	var pause pauses.Backoff
	for {
		opened, err := s.openLink()
		if err == nil || !mends(err) {
			return opened, err
		}
		if err := pauses.Sleep(s.ctx, pause.Pause(retryAfter(err))); err != nil {
			return nil, err
		}
	}
}

type succession struct {
	link *link
	err  error
}

// carry reads and writes a stream until it breaks (nil) or, after a Drain, another has taken its place (that one).
func (s *sessionStream) carry(l *link) (*link, error) {
	ctx, cancel := context.WithCancel(s.ctx)
	var group sync.WaitGroup
	broken := make(chan error, 3)
	successor := make(chan succession, 1)
	s.succeeding.Store(false)
	select {
	case <-s.drained:
	default:
	}
	group.Go(func() { broken <- s.readAll(l) })
	group.Go(func() { broken <- s.writeAll(ctx, l) })
	group.Go(func() { broken <- s.beat(ctx) })
	group.Go(func() { successor <- s.succeed(ctx, l) })
	var err error
	var next succession
	select {
	case err = <-broken:
		if s.succeeding.Load() { // what broke the stream may be the very one that takes its place
			select {
			case next = <-successor:
			case <-time.After(welcomeTimeout):
			}
		}
	case next = <-successor:
	}
	cancel()
	l.close()
	group.Wait()
	select {
	case next = <-successor:
	default:
	}
	switch {
	case next.link != nil:
		return next.link, nil
	case err != nil && !mends(err) && next.err == nil:
		return nil, err
	case next.err != nil && !mends(next.err):
		return nil, next.err
	}
	return nil, s.ctx.Err()
}

func (s *sessionStream) readAll(l *link) error {
	for {
		messages, err := l.read()
		if err != nil {
			return err
		}
		for _, message := range messages {
			s.receive(message)
		}
	}
}

func (s *sessionStream) writeAll(ctx context.Context, l *link) error {
	for {
		frame, size := &frames.Frame{}, 0
		if heartbeat := s.lease.nextHeartbeat(); heartbeat != nil {
			frame.Add(heartbeat)
			size = frames.Size(heartbeat)
		}
		s.commands.fill(frame, size)
		if !frame.Empty() {
			if err := l.write(frame); err != nil {
				return err
			}
			continue
		}
		select {
		case <-s.commands.wake:
			runtime.Gosched() // whoever is about to ask for something too may travel in the same frame
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// beat has heartbeats sent; it returns when the stream has been silent for too long to be trusted.
func (s *sessionStream) beat(ctx context.Context) error {
	for !s.lease.silent() {
		s.lease.beat()
		s.commands.poke()
		if err := pauses.Sleep(ctx, s.lease.pause()); err != nil {
			return err
		}
	}
	s.mu.Lock()
	name := s.spec.GetAgentName()
	s.mu.Unlock()
	slog.Info("concert: the stream is silent, opening another", "agent", name)
	return nil
}

// succeed looks, after a Drain that names a time, for a coordinator that takes the session over before the stream ends.
func (s *sessionStream) succeed(ctx context.Context, l *link) succession {
	select {
	case <-s.drained:
	case <-ctx.Done():
		return succession{}
	}
	var pause pauses.Backoff
	wait := rand.N(reconnectJitterMax)
	for {
		if pauses.Sleep(ctx, wait) != nil {
			return succession{}
		}
		s.succeeding.Store(true)
		opened, err := s.openLink()
		if err == nil || l.ctx.Err() != nil || l.stream.Context().Err() != nil {
			return succession{opened, err}
		}
		slog.Debug("concert: no successor of a draining stream yet", "error", err)
		wait = pause.Pause(retryAfter(err))
		s.succeeding.Store(false)
	}
}

// ---- what comes in

func (s *sessionStream) receive(message *v1.CoordinatorMessage) {
	switch m := message.GetMessage().(type) {
	case *v1.CoordinatorMessage_Reply:
		s.onReply(m.Reply)
	case *v1.CoordinatorMessage_HeartbeatAck:
		s.lease.acknowledge(m.HeartbeatAck.GetNonce())
	case *v1.CoordinatorMessage_Task:
		s.inbox.Task(m.Task)
	case *v1.CoordinatorMessage_Cancel:
		s.inbox.Cancel(m.Cancel)
	case *v1.CoordinatorMessage_Drain:
		if m.Drain.ReconnectBy == nil {
			s.inbox.Drain()
			return
		}
		select {
		case s.drained <- struct{}{}:
		default:
		}
	}
}

func (s *sessionStream) onReply(reply *v1.Reply) {
	reflected := reply.ProtoReflect()
	field := reflected.WhichOneof(replyOutcome)
	var response proto.Message
	var err error
	switch {
	case field == nil:
		err = refuse(codes.Internal, "", "the coordinator answered with what this client does not know")
	case reply.GetError() != nil:
		err = fromStatus(reply.GetError())
	default:
		response = reflected.Get(field).Message().Interface()
	}
	left := s.commands.settle(reply.GetCorrelationId(), response, err)
	if granted, ok := response.(*v1.AcquireResponse); ok && left != nil {
		go s.giveBack(left.attemptToken, granted.GetGrants())
	}
}

// giveBack releases locks that were granted after their caller had stopped waiting.
func (s *sessionStream) giveBack(attemptToken uint64, grants []*v1.LockGrant) {
	request := &v1.ReleaseRequest{AttemptToken: attemptToken, FencingTokens: tokensOf(grants)}
	if _, err := s.call(s.ctx, releaseMethod, request); err != nil {
		slog.Debug("concert: giving a late grant back failed", "error", err)
	}
}

func (s *sessionStream) end(over error) {
	s.mu.Lock()
	if s.over != nil {
		s.mu.Unlock()
		return
	}
	s.over = over
	if !s.closing {
		slog.Warn("concert: a session is over", "session", s.id, "agent", s.agentID, "because", over)
	}
	lost := s.lost
	s.lost = nil
	s.mu.Unlock()
	s.lease.end()
	s.commands.close(over)
	s.cancel()
	for each := range lost {
		(*each)(over)
	}
}

// resumable tells whether another stream may succeed where this one failed.
func resumable(err error) bool {
	return transient(err) || codeOf(err) == codes.DeadlineExceeded
}

// mends tells whether a session that stands may yet have another stream. So it may also where waiting alone mends nothing, as while a
// certificate is refused: somebody replaces it, or the lease ends.
func mends(err error) bool {
	var away *UnavailableError
	return resumable(err) || errors.As(err, &away)
}

func asSessionOver(err error) error {
	if errors.Is(err, ErrSessionOver) {
		return err
	}
	return sessionOver(err.Error())
}
