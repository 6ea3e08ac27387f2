package concert

import (
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	v1 "concert.dev/clients/go/concertv1"
)

// lease is until when a session stands for sure, by the monotonic clock of this process, and the heartbeats that renew it.
type lease struct {
	// expired is called once, on a goroutine of its own, when no renewal was answered in time.
	expired func()

	mu         sync.Mutex
	length     time.Duration
	until      time.Time
	answeredAt time.Time
	due        bool
	nonce      uint64
	sent       map[uint64]time.Time
	timer      *time.Timer
	ended      bool
}

// begin counts anew from when a Hello was sent that has been answered; heartbeats of the stream before are forgotten.
func (l *lease) begin(length time.Duration, sentAt time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.length, l.answeredAt, l.due, l.sent = length, time.Now(), false, map[uint64]time.Time{}
	l.renew(sentAt)
}

// end stops the clock.
func (l *lease) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	if l.timer != nil {
		l.timer.Stop()
	}
}

// beat says that a heartbeat is due.
func (l *lease) beat() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.due = true
}

// nextHeartbeat is the encoded heartbeat that is due, or nil.
func (l *lease) nextHeartbeat() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.due {
		return nil
	}
	l.due = false
	l.nonce++
	l.sent[l.nonce] = time.Now()
	heartbeat := &v1.ClientMessage_Heartbeat{Heartbeat: &v1.Heartbeat{Nonce: l.nonce}}
	encoded, _ := proto.Marshal(&v1.ClientMessage{Message: heartbeat})
	return encoded
}

// acknowledge renews the lease from when the heartbeat was sent.
func (l *lease) acknowledge(nonce uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	sentAt, known := l.sent[nonce]
	if !known {
		return
	}
	for older := range l.sent {
		if older <= nonce {
			delete(l.sent, older)
		}
	}
	l.answeredAt = time.Now()
	l.renew(sentAt)
}

// silent tells whether heartbeats have gone unanswered for too long.
func (l *lease) silent() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Since(l.answeredAt) >= silenceMax(l.length)
}

// pause is that between two heartbeats.
func (l *lease) pause() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return heartbeatPause(l.length)
}

func (l *lease) renew(sentAt time.Time) {
	if until := sentAt.Add(leaseShare(l.length)); until.After(l.until) {
		l.until = until
	}
	if l.timer == nil && !l.ended {
		l.timer = time.AfterFunc(time.Until(l.until), l.check)
	}
}

// check looks, when the lease as it was has run out, whether it was renewed since.
func (l *lease) check() {
	l.mu.Lock()
	if l.ended {
		l.mu.Unlock()
		return
	}
	if left := time.Until(l.until); left > 0 {
		l.timer.Reset(left)
		l.mu.Unlock()
		return
	}
	l.ended = true
	l.mu.Unlock()
	l.expired()
}
