package concert

import (
	"context"
	"errors"
	"io"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	v1 "concert.dev/clients/go/concertv1"
	"concert.dev/clients/go/internal/frames"
)

// link is one Connect stream, on a channel of its own so that a reconnect never inherits the state of the one before, with the
// coordinator's Welcome and what came with it.
type link struct {
	ctx         context.Context
	cancel      context.CancelFunc
	channel     *grpc.ClientConn
	stream      grpc.ClientStream
	target      string
	welcome     *v1.Welcome
	first       []*v1.CoordinatorMessage
	helloSentAt time.Time
}

// openLink opens a stream with a Hello; it takes at most 10 s.
func openLink(ctx context.Context, c *connection, hello *v1.Hello) (*link, error) {
	channel, err := c.openChannel()
	if err != nil {
		return nil, err
	}
	l := &link{channel: channel, target: c.target}
	l.ctx, l.cancel = context.WithCancel(ctx)
	impatient := time.AfterFunc(welcomeTimeout, l.cancel)
	err = l.greet(c, hello)
	if !impatient.Stop() && ctx.Err() == nil {
		err = unavailable("%s: Hello was not answered in time", c.target)
	}
	if err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

func (l *link) greet(c *connection, hello *v1.Hello) error {
	kind := &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}
	stream, err := l.channel.NewStream(c.outgoing(l.ctx), kind, v1.SessionService_Connect_FullMethodName)
	if err != nil {
		return fromRPC(l.ctx, "Connect", l.target, err)
	}
	l.stream = stream
	l.helloSentAt = time.Now()
	encoded, err := proto.Marshal(&v1.ClientMessage{Message: &v1.ClientMessage_Hello{Hello: hello}})
	if err != nil {
		return invalid("the agent's description cannot be encoded: %v", err)
	}
	greeting := &frames.Frame{}
	greeting.Add(encoded)
	if err := l.write(greeting); err != nil {
		return err
	}
	var messages []*v1.CoordinatorMessage
	for len(messages) == 0 {
		if messages, err = l.read(); err != nil {
			return err
		}
	}
	l.welcome, l.first = messages[0].GetWelcome(), messages[1:]
	if l.welcome == nil {
		return unavailable("the coordinator did not answer Hello with Welcome")
	}
	if level := l.welcome.GetFeatureLevel(); level < featureLevelMin {
		return tooOld(l.target, level)
	}
	return nil
}

// write sends a frame once there is room for it. What broke the stream is read, not told here.
func (l *link) write(frame *frames.Frame) error {
	err := l.stream.SendMsg(frame)
	if err == nil || errors.Is(err, io.EOF) {
		return nil
	}
	return fromRPC(l.ctx, "Connect", l.target, err)
}

// read returns the messages of the next frame; Unavailable when the stream ended well.
func (l *link) read() ([]*v1.CoordinatorMessage, error) {
	frame := &v1.ConnectResponse{}
	err := l.stream.RecvMsg(frame)
	switch {
	case err == nil:
		return frame.GetMessages(), nil
	case errors.Is(err, io.EOF):
		return nil, unavailable("the stream ended")
	}
	return nil, fromRPC(l.ctx, "Connect", l.target, err)
}

// close ends the stream and its channel.
func (l *link) close() {
	l.cancel()
	_ = l.channel.Close()
}
