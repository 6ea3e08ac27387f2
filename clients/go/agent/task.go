package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"concert.dev/clients/go/concert"
	v1 "concert.dev/clients/go/concertv1"
	"concert.dev/clients/go/internal/text"
)

// Task is one attempt of a task. Its methods may be called from any goroutine.
type Task struct {
	Namespace, RunID, TaskID string
	// Attempt counts the attempts of the task from 1; Token is that of this one.
	Attempt int
	Token   uint64
	// Capability asked for; empty when the agent itself is.
	Capability string
	// AgentName is the role the task is for.
	AgentName string
	// Policy governs it.
	Policy string
	// Locks came with the task, by resource.
	Locks map[string]*v1.LockGrant
	// Deadline is when the attempt times out, by this machine's clock; zero without one. The coordinator cancels it then.
	Deadline time.Time
	// Metadata are the submitter's annotations.
	Metadata map[string]string
	// Message is what the coordinator sent.
	Message *v1.AgentTask
	// Client is everything else that can be asked of the coordinator, in the name of this attempt: fenced by its token and by its
	// locks.
	Client *concert.Surface

	report  func(ctx context.Context, report proto.Message) error
	results []result

	mu       sync.Mutex
	changes  []*v1.StateChange
	progress *v1.Progress
	said     int
	telling  bool
	silenced bool
}

type result struct {
	taskID, agentName string
	payload           *v1.Payload
}

func newTask(session *concert.Session, message *v1.AgentTask) *Task {
	t := &Task{
		Namespace: message.GetNamespace(), RunID: message.GetRunId(), TaskID: message.GetTaskId(),
		Attempt: int(message.GetAttempt()), Token: message.GetAttemptToken(), Capability: message.GetCapability(),
		AgentName: message.GetAgentName(), Policy: message.GetPolicy(), Metadata: message.GetMetadata(),
		Locks: map[string]*v1.LockGrant{}, Message: message, Client: session.Attempt(message.GetAttemptToken()),
	}
	t.report = func(ctx context.Context, report proto.Message) error {
		_, err := session.Report(ctx, report)
		return err
	}
	for _, grant := range message.GetLocks() {
		t.Locks[grant.GetResource()] = grant
	}
	if left := message.GetTimeLeft(); left != nil {
		t.Deadline = time.Now().Add(left.AsDuration())
	}
	return t
}

// Input puts what there is to work on into what the pointer points to; see concert.Decode. What does not fit is not tried again.
func (t *Task) Input(into any) error {
	return asNotRetryable(concert.Decode(t.Message.GetInput(), into))
}

// RunContext puts the run's context into what the pointer points to.
func (t *Task) RunContext(into any) error {
	return asNotRetryable(concert.Decode(t.Message.GetContext(), into))
}

// Results are the results of the direct dependencies, by task id, as JSON or bytes.
func (t *Task) Results() map[string]any {
	found := map[string]any{}
	for _, each := range t.results {
		var value any
		if concert.Decode(each.payload, &value) == nil {
			found[each.taskID] = value
		}
	}
	return found
}

// Result puts the result of a direct dependency, by its task id or by the name of the one agent that did it, into what the pointer
// points to.
func (t *Task) Result(name string, into any) error {
	var found []result
	for _, each := range t.results {
		if each.taskID == name {
			return asNotRetryable(concert.Decode(each.payload, into))
		}
		if each.agentName == name {
			found = append(found, each)
		}
	}
	switch len(found) {
	case 0:
		return NotRetryable(fmt.Errorf("task %s has no result of %s", t.TaskID, name))
	case 1:
		return asNotRetryable(concert.Decode(found[0].payload, into))
	}
	return NotRetryable(fmt.Errorf("%s did several tasks that %s depends on: name one", name, t.TaskID))
}

// Progress reports how far the attempt is (0 to 1), in words of at most 1 KiB. It never waits: the latest report wins.
func (t *Task) Progress(fraction float64, message string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.progress = &v1.Progress{Fraction: min(max(fraction, 0), 1), Message: text.Clip(message, progressTextMax)}
	if !t.telling && !t.silenced {
		t.telling = true
		go t.tellProgress()
	}
}

// SetState stages a change of shared state that becomes true together with the completion of the task, or not at all: at most 100,
// and 1 MiB together with the result. If they conflict the attempt fails with STATE_CONFLICT.
func (t *Task) SetState(change concert.Change) error {
	encoded, err := change.Encode()
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.changes) >= stateChangesMax {
		return fmt.Errorf("concert: a completion takes at most %d state changes", stateChangesMax)
	}
	t.changes = append(t.changes, encoded)
	return nil
}

// Publish states a fact about this task; it returns the fact's sequence.
func (t *Task) Publish(ctx context.Context, name string, data any) (uint64, error) {
	draft := concert.Draft{Name: name, Data: data, RunID: t.RunID, TaskID: t.TaskID}
	sequences, err := t.Client.PublishAll(ctx, []concert.Draft{draft})
	if err != nil {
		return 0, err
	}
	return sequences[0], nil
}

// Lock takes a lock as a scope, held by this attempt; see concert.Surface.Lock.
func (t *Task) Lock(ctx context.Context, resource string, options ...concert.LockOption) (context.Context, *concert.Lock, error) {
	return t.Client.Lock(ctx, resource, options...)
}

// AddTasks adds tasks to the run that this attempt is part of, all or none.
func (t *Task) AddTasks(ctx context.Context, tasks ...concert.TaskSpec) error {
	_, err := t.Client.Run(t.RunID).AddTasks(ctx, tasks)
	return err
}

// fetchResults reads those results that were handed over by reference.
func (t *Task) fetchResults(ctx context.Context) error {
	run := t.Client.Run(t.RunID)
	for _, each := range t.Message.GetResults() {
		payload := each.GetResult()
		if each.GetByReference() {
			var err error
			if payload, err = run.ResultPayload(ctx, each.GetTaskId()); err != nil {
				return err
			}
		}
		t.results = append(t.results, result{each.GetTaskId(), each.GetAgentName(), payload})
	}
	return nil
}

func (t *Task) tellProgress() {
	for {
		t.mu.Lock()
		progress := t.progress
		t.progress = nil
		if progress == nil || t.silenced {
			t.telling = false
			t.mu.Unlock()
			return
		}
		t.said++
		said := &v1.TaskProgress{
			RequestId: fmt.Sprintf("attempt/%d/progress/%d", t.Token, t.said), AttemptToken: t.Token, Progress: progress,
		}
		t.mu.Unlock()
		if err := t.report(context.Background(), said); err != nil {
			slog.Debug("concert: progress was not taken", "attempt", t.Token, "because", err)
		}
		time.Sleep(progressPauseMin)
	}
}

// silence ends the reports of progress: what is said next is final.
func (t *Task) silence() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.silenced = true
}

func (t *Task) staged() []*v1.StateChange {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.changes
}

func asNotRetryable(err error) error {
	var refused *concert.Error
	if errors.As(err, &refused) {
		return NotRetryable(err)
	}
	return err
}
