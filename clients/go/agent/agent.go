// Package agent hosts agents: programs that are given tasks. An agent says what it can do, and does it:
//
//	greeter := agent.Agent{
//		Name: "greeter",
//		Capabilities: []agent.Capability{{Name: "greeting", Execute: greet}},
//	}
//	err := agent.Run(ctx, client, greeter)
//
// For each attempt token Execute is called at most once in a process, whatever happens to the connection. The order of an attempt:
// its start is reported, Validate, Execute, Cleanup (always, once one of those two began), then its completion or failure, which is
// repeated until it is answered or the session is over. Attempts that no longer count are cancelled and cleaned up, and nothing is
// reported of them.
package agent

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"time"

	v1 "concert.dev/clients/go/concertv1"
)

const (
	slotsMax          = 1000
	cleanupMax        = 30 * time.Second
	lostAttemptsMax   = time.Minute
	drainNoticeMax    = 5 * time.Second
	progressPauseMin  = 100 * time.Millisecond
	progressTextMax   = 1 << 10
	reportBytesMax    = 1 << 20
	errorTypeBytesMax = 128
	errorTextBytesMax = 4 << 10
	tracebackBytesMax = 16 << 10
	stateChangesMax   = 100
	tokensRemembered  = 1 << 16
)

// Handler does the work of a task. It returns the result: whatever encoding/json can encode, bytes, a *concertv1.Payload, or nil for
// none; at most 1 MiB, together with what was staged with Task.SetState. An error fails the attempt, which the policy may try again
// unless it is NotRetryable; so does a panic. ctx is in the task's trace, and ends when the attempt is to stop (context.Cause says
// why, as a Stopped): return then.
type Handler func(ctx context.Context, task *Task) (any, error)

// Capability is something an agent can do, as tasks ask for it by name (1 to 128 bytes).
type Capability struct {
	Name, Version string
	Labels        map[string]string
	// Execute does it; nil means the agent's own.
	Execute Handler
}

// Agent is a role with capabilities that can be given tasks. One value serves all tasks of its role in this process, up to Slots at
// once, each on a goroutine of its own.
type Agent struct {
	// Name is the role, 1 to 128 bytes.
	Name string
	// ID is this instance, 1 to 128 bytes: only one session lives under it. Empty means the name and a random suffix.
	ID string
	// Capabilities are what tasks can ask of it; none means its name.
	Capabilities []Capability
	// Execute serves tasks for the agent itself, and capabilities that have no Execute of their own.
	Execute Handler
	// Validate looks, before Execute, whether the task can be done: an error is PRECONDITION_FAILED and refuses it for good. May be
	// nil.
	Validate func(ctx context.Context, task *Task) error
	// Cleanup gives back what the attempt took. It runs once for each attempt, whatever happened, also after a cancel, before the
	// report, so that the attempt's locks still stand. Bounded by 30 s; its failure is logged, not reported. May be nil.
	Cleanup func(ctx context.Context, task *Task) error
	// DependsOn and After are for runs made of agents: what has to have succeeded, or to be over, first.
	DependsOn, After []*v1.Dependency
	// Slots is how many tasks it takes at once: 1 when 0, at most 1000.
	Slots int
	// Labels are annotations.
	Labels map[string]string
	// Lease is how long the agent outlives its stream: 2 s to 5 min, 15 s when 0.
	Lease time.Duration
}

// NotRetryable says that a task is not to be tried again.
func NotRetryable(err error) error { return &notRetryable{err} }

type notRetryable struct{ error }

func (n *notRetryable) Unwrap() error { return n.error }

// PreconditionFailed refuses a task for good, from Execute; whatever Validate fails with does so too.
func PreconditionFailed(format string, arguments ...any) error {
	return &preconditionFailed{fmt.Errorf(format, arguments...)}
}

type preconditionFailed struct{ error }

func (p *preconditionFailed) Unwrap() error { return p.error }

// Stopped is why an attempt was told to stop: the cause of its context.
type Stopped struct {
	// Reason is CANCELLED, TIMEOUT, FAIL_FAST, or one after which nothing is reported: STALE (the attempt no longer counts),
	// SESSION_LOST, STOPPED (by this process).
	Reason string
}

// Error says so.
func (s *Stopped) Error() string { return "the attempt was told to stop: " + s.Reason }

// Is has errors.Is(err, context.Canceled) hold.
func (s *Stopped) Is(target error) bool { return target == context.Canceled }

const (
	stale       = "STALE"
	sessionLost = "SESSION_LOST"
	stopped     = "STOPPED"
)

// silent tells whether nobody waits for a report of an attempt that was stopped so.
func silent(reason string) bool { return reason == stale || reason == sessionLost || reason == stopped }

// check completes an agent.
func (a *Agent) check() error {
	switch {
	case a.Name == "":
		return errors.New("concert: an agent needs a Name")
	case a.Slots < 0 || a.Slots > slotsMax:
		return fmt.Errorf("concert: %s takes 1 to %d tasks at once, not %d", a.Name, slotsMax, a.Slots)
	}
	if a.Slots == 0 {
		a.Slots = 1
	}
	if len(a.Capabilities) == 0 {
		a.Capabilities = []Capability{{Name: a.Name}}
	}
	for _, capability := range a.Capabilities {
		if capability.Execute == nil && a.Execute == nil {
			return fmt.Errorf("concert: %s has nothing that executes %q", a.Name, capability.Name)
		}
	}
	if a.ID == "" {
		random := make([]byte, 4)
		_, _ = rand.Read(random)
		a.ID = a.Name + "-" + hex.EncodeToString(random)
	}
	return nil
}

// handler is what executes a task of that capability; empty for the agent itself.
func (a *Agent) handler(capability string) Handler {
	for _, each := range a.Capabilities {
		if each.Name == capability && each.Execute != nil {
			return each.Execute
		}
	}
	if a.Execute == nil && capability == "" && len(a.Capabilities) == 1 {
		return a.Capabilities[0].Execute
	}
	return a.Execute
}

func (a *Agent) spec() *v1.AgentSpec {
	spec := &v1.AgentSpec{
		AgentId: a.ID, AgentName: a.Name, DependsOn: a.DependsOn, After: a.After, Slots: uint32(a.Slots),
		Labels: maps.Clone(a.Labels),
	}
	for _, each := range a.Capabilities {
		spec.Capabilities = append(spec.Capabilities, &v1.Capability{
			Name: each.Name, Version: each.Version, Labels: maps.Clone(each.Labels),
		})
	}
	return spec
}
