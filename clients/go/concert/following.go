package concert

import (
	"context"
	"log/slog"
	"time"

	"google.golang.org/protobuf/proto"

	pauses "concert.dev/clients/go/internal/backoff"
)

// following is the responses of a stream that proves with bookmarks that it is alive: opened again, where it was left, whenever it
// breaks, ends or falls silent.
//
// What cannot be mended by waiting is told, and so is whatever stands in the way of the very first response for longer than the
// retry timeout. One goroutine at a time.
type following struct {
	caller caller
	method *method
	// request is asked for each time the stream is opened: it says where to go on.
	request     func() proto.Message
	established bool
	current     *pump
}

// pump reads a stream beside whoever waits for it, so that a wait can be given up without giving up the stream.
type pump struct {
	cancel context.CancelFunc
	read   chan delivery
}

type delivery struct {
	response proto.Message
	err      error
}

// next is the next response.
func (f *following) next(ctx context.Context) (proto.Message, error) {
	giveUpAt := time.Now().Add(f.caller.retryTimeout())
	var pause pauses.Backoff
	for {
		got, waited := f.read(ctx)
		if !waited {
			return nil, ended(ctx, f.method.name)
		}
		if got.err == nil {
			f.established = true
			return got.response, nil
		}
		f.close()
		if ctx.Err() != nil {
			return nil, ended(ctx, f.method.name)
		}
		wait := pause.Pause(retryAfter(got.err))
		if !transient(got.err) || (!f.established && time.Now().Add(wait).After(giveUpAt)) {
			return nil, got.err
		}
		slog.Info("concert: a stream is opened again", "method", f.method.name, "in", wait, "because", got.err)
		if pauses.Sleep(ctx, wait) != nil {
			return nil, ended(ctx, f.method.name)
		}
	}
}

// read waits for the next response of the stream that there is; false when ctx ended first.
func (f *following) read(ctx context.Context) (delivery, bool) {
	if f.current == nil {
		f.current = f.open(ctx)
	}
	silence := time.NewTimer(bookmarkSilenceMax)
	defer silence.Stop()
	select {
	case got := <-f.current.read:
		return got, true
	case <-silence.C:
		return delivery{err: unavailable("no bookmark came")}, true
	case <-ctx.Done():
		return delivery{}, false
	}
}

func (f *following) open(ctx context.Context) *pump {
	streaming, cancel := context.WithCancel(context.WithoutCancel(ctx))
	p := &pump{cancel: cancel, read: make(chan delivery)}
	request := f.request()
	go func() {
		defer cancel()
		stream, err := f.caller.stream(streaming, f.method, request)
		for {
			var response proto.Message
			if err == nil {
				response, err = stream.next()
			}
			select {
			case p.read <- delivery{response, err}:
			case <-streaming.Done():
				return
			}
			if err != nil {
				return
			}
		}
	}()
	return p
}

// close ends the stream.
func (f *following) close() {
	if f.current != nil {
		f.current.cancel()
		f.current = nil
	}
}
