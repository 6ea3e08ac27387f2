package concert

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	pauses "concert.dev/clients/go/internal/backoff"
	"concert.dev/clients/go/internal/frames"
)

// connection is the way to a coordinator: channels with keepalive, unary calls with retry, server streams.
type connection struct {
	target      string
	namespace   string
	writer      string
	metadata    metadata.MD
	credentials credentials.TransportCredentials
	token       TokenSource
	options     []grpc.DialOption
	callTimeout time.Duration
	retry       time.Duration
	requestIDs  *requestIDs

	mu      sync.Mutex
	channel *grpc.ClientConn
	// made is the version of the TLSFiles that the channel was opened with.
	made    string
	retired map[*grpc.ClientConn]struct{}
	closed  bool
}

var _ caller = (*connection)(nil)

func (c *connection) lockIdentity() string        { return "" }
func (c *connection) place() string               { return c.target + "/" + c.namespace }
func (c *connection) retryTimeout() time.Duration { return c.retry }
func (c *connection) onLost(func(error)) func()   { return func() {} }

// openChannel opens a channel of its own, to be closed by whoever asked for it; it connects with the first call.
func (c *connection) openChannel() (*grpc.ClientConn, error) {
	secure := c.credentials
	if secure == nil {
		secure = insecure.NewCredentials()
	}
	target, resolve := resolveTarget(c.target)
	options := append([]grpc.DialOption{
		grpc.WithTransportCredentials(secure),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{
			Time: keepalivePing, Timeout: keepaliveTimeout, PermitWithoutStream: true,
		}),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second},
			MinConnectTimeout: 5 * time.Second,
		}),
		grpc.WithDefaultCallOptions(
			grpc.MaxCallRecvMsgSize(messageBytesMax), grpc.MaxCallSendMsgSize(messageBytesMax),
			grpc.ForceCodecV2(frames.Codec{}),
		),
		grpc.WithDefaultServiceConfig(`{"loadBalancingConfig":[{"pick_first":{"shuffleAddressList":true}}]}`),
		grpc.WithDisableServiceConfig(),
		grpc.WithDisableRetry(), // retries are ours, under one request_id
	}, resolve...)
	if c.token != nil {
		options = append(options, grpc.WithPerRPCCredentials(bearer{c.token, isLocal(c.target)}))
	}
	channel, err := grpc.NewClient(target, append(options, c.options...)...)
	if err != nil && strings.Contains(err.Error(), "transport level security") { // what grpc-go says of RequireTransportSecurity
		return nil, invalid("a token is not sent to %s in plain text: give TLS (concert.WithTLS, concert.WithTLSFiles)", c.target)
	}
	if err != nil {
		return nil, invalid("%q is no address of a coordinator: %v", c.target, err)
	}
	return channel, nil
}

// shared is the channel of unary calls and server streams, and the version of the files that it was opened with.
func (c *connection) shared() (*grpc.ClientConn, string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.channel, c.made
}

// renewed is a refusal over a channel of that version. A caller who is not known by a certificate that was renewed since may be by the
// new one: that is UNAVAILABLE, and another channel takes the place of this one, whose calls have as long as any call to end.
func (c *connection) renewed(made string, refusal error) error {
	var unknown *UnauthenticatedError
	files, followed := c.credentials.(fromFiles)
	if !followed || !errors.As(refusal, &unknown) || files.version() == made {
		return refusal
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.made == made && !c.closed {
		channel, err := c.openChannel()
		if err != nil {
			return refusal
		}
		old := c.channel
		c.channel, c.made = channel, files.version()
		c.retired[old] = struct{}{}
		time.AfterFunc(c.callTimeout, func() { c.retire(old) })
	}
	return unavailable("the connection to %s was made with a certificate that was renewed since", c.target)
}

// dropped is a refusal of a call that its caller did not cancel: what a coordinator that shuts down cancels is UNAVAILABLE.
func (c *connection) dropped(refusal error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if codeOf(refusal) != codes.Canceled || c.closed {
		return refusal
	}
	return unavailable("the coordinator at %s dropped the call: %v", c.target, refusal)
}

func (c *connection) retire(channel *grpc.ClientConn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.retired, channel)
	_ = channel.Close()
}

// open makes the channel that calls share.
func (c *connection) open() error {
	made := ""
	if files, given := c.credentials.(fromFiles); given {
		if _, err := files.config(); err != nil {
			return invalid("no TLS with these files: %v", err)
		}
		made = files.version()
	}
	channel, err := c.openChannel()
	if err != nil {
		return err
	}
	c.channel, c.made, c.retired = channel, made, map[*grpc.ClientConn]struct{}{}
	return nil
}

func (c *connection) close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for channel := range c.retired {
		_ = channel.Close()
	}
	return c.channel.Close()
}

// outgoing is ctx with what goes with every call.
func (c *connection) outgoing(ctx context.Context) context.Context {
	sent := metadata.Join(c.metadata)
	if traceparent := Traceparent(ctx); traceparent != "" {
		sent.Set("traceparent", traceparent)
	}
	return metadata.NewOutgoingContext(ctx, sent)
}

func (c *connection) complete(request proto.Message) {
	setIfEmpty(request, "namespace", func() string { return c.namespace })
	setIfEmpty(request, "request_id", c.requestIDs.next)
}

func (c *connection) call(ctx context.Context, m *method, request proto.Message) (proto.Message, error) {
	c.complete(request)
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	retryUntil := time.Now().Add(c.retry)
	var pause pauses.Backoff
	for {
		begun := time.Now()
		response := m.newResponse()
		channel, made := c.shared()
		err := channel.Invoke(c.outgoing(ctx), m.path, request, response)
		if err == nil {
			return response, nil
		}
		refused := c.dropped(c.renewed(made, fromRPC(ctx, m.name, c.target, err)))
		var away *UnavailableError
		if !errors.As(refused, &away) || away.Permanent {
			return nil, refused
		}
		now := time.Now()
		if now.Sub(begun) > pauses.Max { // it had been accepted: a new outage, a new window
			pause.Reset()
			retryUntil = now.Add(c.retry)
		}
		wait := pause.Pause(away.RetryAfter)
		deadline, bounded := ctx.Deadline()
		if now.Add(wait).After(retryUntil) || (bounded && now.Add(wait).After(deadline)) {
			return nil, refused
		}
		if pauses.Sleep(ctx, wait) != nil {
			return nil, ended(ctx, m.name)
		}
	}
}

var errNotAnswered = errors.New("not answered in time")

// bounded gives a call that says nothing of its time the connection's.
func (c *connection) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, has := ctx.Deadline(); has || unbounded(ctx) {
		return context.WithCancel(ctx)
	}
	return context.WithTimeoutCause(ctx, c.callTimeout, timeoutError{errNotAnswered})
}

// timeoutError is a context.DeadlineExceeded that says more.
type timeoutError struct{ error }

func (timeoutError) Is(target error) bool { return target == context.DeadlineExceeded }

type unboundedKey struct{}

// withoutBound says that a call may take as long as it takes.
func withoutBound(ctx context.Context) context.Context {
	return context.WithValue(ctx, unboundedKey{}, true)
}

func unbounded(ctx context.Context) bool { return ctx.Value(unboundedKey{}) != nil }

func (c *connection) stream(ctx context.Context, m *method, request proto.Message) (responses, error) {
	setIfEmpty(request, "namespace", func() string { return c.namespace })
	ctx, cancel := context.WithCancel(ctx)
	channel, made := c.shared()
	stream, err := channel.NewStream(c.outgoing(ctx), &grpc.StreamDesc{ServerStreams: true}, m.path)
	if err == nil {
		err = stream.SendMsg(request)
	}
	if err == nil {
		err = stream.CloseSend()
	}
	if err != nil && !errors.Is(err, io.EOF) { // EOF: what ended it is read
		defer cancel()
		return nil, c.renewed(made, fromRPC(ctx, m.name, c.target, err))
	}
	return &serverStream{ctx: ctx, end: cancel, stream: stream, method: m, connection: c, made: made}, nil
}

// serverStream is an open server stream.
type serverStream struct {
	ctx        context.Context
	end        context.CancelFunc
	stream     grpc.ClientStream
	method     *method
	connection *connection
	made       string
}

func (s *serverStream) next() (proto.Message, error) {
	response := s.method.newResponse()
	err := s.stream.RecvMsg(response)
	switch {
	case err == nil:
		return response, nil
	case errors.Is(err, io.EOF):
		return nil, unavailable("the stream ended")
	}
	return nil, s.connection.renewed(s.made, fromRPC(s.ctx, s.method.name, s.connection.target, err))
}

func (s *serverStream) close() { s.end() }

// Option says how a Client connects.
type Option func(*connection)

// WithNamespace chooses the namespace; "default" without it.
func WithNamespace(namespace string) Option {
	return func(c *connection) { c.namespace = namespace }
}

// WithWriter names this client where it writes shared state outside a session, at most 128 bytes. Without it the name is random,
// so that its own writes are not taken for somebody else's.
func WithWriter(writer string) Option {
	return func(c *connection) { c.writer = writer }
}

// WithMetadata has this sent with every call.
func WithMetadata(sent map[string]string) Option {
	return func(c *connection) { c.metadata = metadata.New(sent) }
}

// WithCallTimeout is how long a call may take whose context has no deadline; 60 s without it.
func WithCallTimeout(timeout time.Duration) Option {
	return func(c *connection) { c.callTimeout = timeout }
}

// WithRetryTimeout is how long a call that is UNAVAILABLE is tried again, under one request id; 30 s without it.
func WithRetryTimeout(timeout time.Duration) Option {
	return func(c *connection) { c.retry = timeout }
}

// WithDialOptions adds options of grpc-go, for example interceptors or credentials of one's own.
func WithDialOptions(options ...grpc.DialOption) Option {
	return func(c *connection) { c.options = append(c.options, options...) }
}
