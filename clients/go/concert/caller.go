package concert

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"
)

// caller carries calls: as unary rpcs, or in the frames of a session.
type caller interface {
	// call makes a call. What is UNAVAILABLE is tried again under the same request_id. The request may be completed in place.
	call(ctx context.Context, m *method, request proto.Message) (proto.Message, error)
	// stream makes a call whose responses follow one another, once.
	stream(ctx context.Context, m *method, request proto.Message) (responses, error)
	// onLost has lost called when the session behind it is over, at once if it is already. It returns what takes that back.
	onLost(lost func(error)) (forget func())
	// lockIdentity names whoever holds the locks taken through it; empty when each request is a holder of its own.
	lockIdentity() string
	// place names the coordinator and the namespace: holders of one name in two places are two.
	place() string
	// retryTimeout is how long something that is UNAVAILABLE is tried again.
	retryTimeout() time.Duration
}

// responses is a stream of them; the error that ends it is of this package, and Unavailable when it ended well.
type responses interface {
	next() (proto.Message, error)
	close()
}

// origin is who asks: through which caller, in which attempt (its token; 0 outside), as which writer of state.
type origin struct {
	caller
	attemptToken uint64
	writer       string
}

// ask makes a call whose response is of a known type.
func ask[R proto.Message](ctx context.Context, c caller, m *method, request proto.Message) (R, error) {
	var none R
	response, err := c.call(ctx, m, request)
	if err != nil {
		return none, err
	}
	typed, ok := response.(R)
	if !ok {
		return none, unavailable("%s was answered by a %T", m.name, response)
	}
	return typed, nil
}

// requestIDs gives unique request ids: a random prefix and a counter.
type requestIDs struct {
	prefix string
	count  atomic.Uint64
}

func newRequestIDs() *requestIDs { return &requestIDs{prefix: randomHex(8)} }

func (r *requestIDs) next() string { return fmt.Sprintf("%s-%d", r.prefix, r.count.Add(1)) }

func randomHex(size int) string {
	random := make([]byte, size)
	_, _ = rand.Read(random)
	return hex.EncodeToString(random)
}
