package agent_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace"

	"concert.dev/clients/go/agent"
	"concert.dev/clients/go/concert"
	v1 "concert.dev/clients/go/concertv1"
	"concert.dev/clients/go/internal/coordinator"
)

func TestMain(m *testing.M) { coordinator.Main(m) }

func patience(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func connect(t *testing.T, address string) *concert.Client {
	t.Helper()
	client, err := concert.Connect(address, concert.WithNamespace(t.Name()), concert.WithRetryTimeout(3*time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func host(t *testing.T, client *concert.Client, a agent.Agent) *agent.Host {
	t.Helper()
	host, err := agent.Start(t.Context(), client, a)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = host.Close() })
	if err := host.Registered(patience(t)); err != nil {
		t.Fatal(err)
	}
	return host
}

func submit(t *testing.T, client *concert.Client, tasks ...concert.TaskSpec) *concert.RunHandle {
	t.Helper()
	run, err := client.SubmitRun(patience(t), concert.RunSpec{Tasks: tasks})
	if err != nil {
		t.Fatal(err)
	}
	return run
}

func wait(t *testing.T, run *concert.RunHandle) map[string]*v1.Task {
	t.Helper()
	over, err := run.Wait(patience(t))
	if err != nil {
		t.Fatal(err)
	}
	tasks := map[string]*v1.Task{}
	for _, task := range over.GetTasks() {
		tasks[task.GetTaskId()] = task
	}
	return tasks
}

func TestAnAgentDoesTasksInOrderAndIsHandedResults(t *testing.T) {
	ctx, client := patience(t), connect(t, coordinator.Shared(t))
	host(t, client, agent.Agent{Name: "greeter", Capabilities: []agent.Capability{{
		Name: "greeting", Execute: func(ctx context.Context, task *agent.Task) (any, error) {
			var guest struct{ Name string }
			if err := task.Input(&guest); err != nil {
				return nil, err
			}
			task.Progress(0.5, "thinking of "+guest.Name)
			held, lock, err := task.Lock(ctx, "guest-book")
			if err != nil {
				return nil, err
			}
			defer lock.Unlock()
			if _, err := task.Publish(held, "greeted", guest.Name); err != nil {
				return nil, err
			}
			change := concert.Change{Set: map[string]any{"guests/" + guest.Name: "greeted"}}
			return fmt.Sprintf("Hello, %s! Before you: %v", guest.Name, task.Results()), task.SetState(change)
		},
	}}})
	run := submit(t, client,
		concert.TaskSpec{ID: "second", Capability: "greeting", Input: map[string]string{"name": "Grace"}, DependsOn: concert.OnTask("first")},
		concert.TaskSpec{ID: "first", Capability: "greeting", Input: map[string]string{"name": "Ada"}},
	)
	wait(t, run)
	var said string
	if err := run.Result(ctx, "second", &said); err != nil || said != "Hello, Grace! Before you: map[first:Hello, Ada! Before you: map[]]" {
		t.Errorf("got %q, %v", said, err)
	}
	if entry, _, err := client.State.Get(ctx, "guests/Ada"); entry.Value != "greeted" || err != nil {
		t.Errorf("got %v, %v", entry.Value, err)
	}
}

type tooHot struct{ degrees int }

func (e *tooHot) Error() string { return fmt.Sprintf("%d degrees", e.degrees) }

// journal is what was logged since the test began.
type journal struct {
	sync.Mutex
	strings.Builder
}

func (j *journal) Write(line []byte) (int, error) {
	j.Lock()
	defer j.Unlock()
	return j.Builder.Write(line)
}

func (j *journal) String() string {
	j.Lock()
	defer j.Unlock()
	return j.Builder.String()
}

func listen(t *testing.T) *journal {
	t.Helper()
	heard, before := &journal{}, slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(heard, nil)))
	t.Cleanup(func() { slog.SetDefault(before) })
	return heard
}

func TestEveryKindOfFailureIsReportedAsWhatItIs(t *testing.T) {
	heard := listen(t)
	client := connect(t, coordinator.Shared(t))
	var cleaned atomic.Int32
	does := map[string]agent.Handler{
		"error":         func(context.Context, *agent.Task) (any, error) { return nil, errors.New("out of paint") },
		"typed":         func(context.Context, *agent.Task) (any, error) { return nil, fmt.Errorf("oven: %w", &tooHot{300}) },
		"final":         func(context.Context, *agent.Task) (any, error) { return nil, agent.NotRetryable(errors.New("no wall")) },
		"panic":         func(context.Context, *agent.Task) (any, error) { panic("slipped") },
		"unencodable":   func(context.Context, *agent.Task) (any, error) { return func() {}, nil },
		"large":         func(context.Context, *agent.Task) (any, error) { return make([]byte, 5<<20), nil },
		"preconditions": func(context.Context, *agent.Task) (any, error) { return "done", nil },
	}
	a := agent.Agent{Name: "painter", Slots: 8,
		Validate: func(_ context.Context, task *agent.Task) error {
			if task.Capability == "preconditions" {
				return errors.New("no ladder")
			}
			return nil
		},
		Cleanup: func(context.Context, *agent.Task) error { cleaned.Add(1); panic("also while cleaning") },
	}
	var tasks []concert.TaskSpec
	for name, handler := range does {
		a.Capabilities = append(a.Capabilities, agent.Capability{Name: name, Execute: handler})
		tasks = append(tasks, concert.TaskSpec{ID: name, Capability: name, Retry: &concert.Retry{AttemptsMax: 2, BackoffInitial: time.Millisecond}})
	}
	host(t, client, a)
	run := submit(t, client, tasks...)
	got := wait(t, run)
	for name, wanted := range map[string]struct {
		kind     string
		attempts uint32
	}{
		"error": {"Error", 2}, "typed": {"agent_test.tooHot", 2}, "final": {"Error", 1}, "panic": {"panic", 2},
		"unencodable": {"InvalidPayload", 1}, "large": {"InvalidPayload", 1}, "preconditions": {"PRECONDITION_FAILED", 1},
	} {
		task := got[name]
		if task.GetStatus() != v1.TaskStatus_TASK_STATUS_FAILED || task.GetError().GetErrorType() != wanted.kind || task.GetAttempts() != wanted.attempts {
			t.Errorf("%s: %v after %d attempts: %v", name, task.GetStatus(), task.GetAttempts(), task.GetError())
		}
		line := fmt.Sprintf(`level=WARN msg="concert: a task failed" task=%s/%s attempt=%d error=%s because=`, run.ID, name, wanted.attempts, wanted.kind)
		if strings.Count(heard.String(), line) != 1 {
			t.Errorf("%s is not logged once: %s", name, heard)
		}
	}
	if got["panic"].GetError().GetTraceback() == "" {
		t.Error("a panic has no traceback")
	}
	if cleaned.Load() != 10 {
		t.Errorf("cleaned up %d times", cleaned.Load())
	}
}

func TestACancelReachesTheHandlerThroughItsContext(t *testing.T) {
	ctx, client := patience(t), connect(t, coordinator.Shared(t))
	began := make(chan struct{})
	causes := make(chan error, 1)
	host(t, client, agent.Agent{Name: "sleeper", Execute: func(ctx context.Context, _ *agent.Task) (any, error) {
		close(began)
		<-ctx.Done()
		causes <- context.Cause(ctx)
		return nil, ctx.Err()
	}})
	run := submit(t, client, concert.TaskSpec{ID: "nap", Capability: "sleeper"})
	<-began
	if _, err := run.Cancel(ctx); err != nil {
		t.Fatal(err)
	}
	var cause *agent.Stopped
	if err := <-causes; !errors.As(err, &cause) || cause.Reason != "CANCELLED" {
		t.Errorf("the cause is %v", err)
	}
	if got := wait(t, run)["nap"].GetStatus(); got != v1.TaskStatus_TASK_STATUS_CANCELLED {
		t.Errorf("got %v", got)
	}
}

func TestAnAttemptIsExecutedOnceOverARestartOfTheCoordinator(t *testing.T) {
	process := coordinator.Start(t)
	client := connect(t, process.Address)
	executed := sync.Map{}
	proceed := make(chan struct{})
	began := make(chan struct{}, 10)
	host(t, client, agent.Agent{Name: "worker", Slots: 4, Lease: 2 * time.Minute, Execute: func(ctx context.Context, task *agent.Task) (any, error) {
		if _, twice := executed.LoadOrStore(task.Token, true); twice {
			t.Errorf("attempt %d was executed twice", task.Token)
		}
		began <- struct{}{}
		select {
		case <-proceed:
		case <-ctx.Done():
		}
		return task.TaskID, ctx.Err()
	}})
	var tasks []concert.TaskSpec
	for number := range 8 {
		tasks = append(tasks, concert.TaskSpec{ID: fmt.Sprint(number), Capability: "worker"})
	}
	run := submit(t, client, tasks...)
	for range 4 {
		<-began
	}
	process.Kill()
	close(proceed) // what is reported now has nobody to hear it yet
	process.StartAgain()
	for id, task := range wait(t, run) {
		if task.GetStatus() != v1.TaskStatus_TASK_STATUS_SUCCEEDED || task.GetAttempts() != 1 {
			t.Errorf("%s: %v after %d attempts", id, task.GetStatus(), task.GetAttempts())
		}
	}
}

func TestADrainedAgentFinishesWhatItHasAndLeaves(t *testing.T) {
	ctx, client := patience(t), connect(t, coordinator.Shared(t))
	began, proceed := make(chan struct{}), make(chan struct{})
	hosted := host(t, client, agent.Agent{Name: "worker", ID: "w", Execute: func(context.Context, *agent.Task) (any, error) {
		close(began)
		<-proceed
		return "done", nil
	}})
	run := submit(t, client, concert.TaskSpec{ID: "a", Capability: "worker"})
	<-began
	hosted.Drain()
	for {
		found, err := client.Agents.Get(ctx, "w")
		if err != nil {
			t.Fatal(err)
		}
		if found.GetStatus() == v1.AgentStatus_AGENT_STATUS_DRAINING {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	close(proceed)
	if err := hosted.Wait(); err != nil {
		t.Error(err)
	}
	if got := wait(t, run)["a"]; got.GetStatus() != v1.TaskStatus_TASK_STATUS_SUCCEEDED {
		t.Errorf("got %v", got)
	}
}

func TestCapabilitiesMayChange(t *testing.T) {
	ctx, client := patience(t), connect(t, coordinator.Shared(t))
	says := func(what string) agent.Handler {
		return func(context.Context, *agent.Task) (any, error) { return what, nil }
	}
	hosted := host(t, client, agent.Agent{Name: "worker", Capabilities: []agent.Capability{{Name: "old", Execute: says("old")}}})
	run := submit(t, client, concert.TaskSpec{ID: "a", Capability: "new"})
	changed := agent.Agent{Capabilities: []agent.Capability{{Name: "new", Version: "2", Execute: says("new")}}}
	if err := hosted.Update(ctx, changed); err != nil {
		t.Fatal(err)
	}
	wait(t, run)
	var said string
	if err := run.Result(ctx, "a", &said); err != nil || said != "new" {
		t.Errorf("got %q, %v", said, err)
	}
}

func TestTheHandlerIsInTheTraceOfItsRun(t *testing.T) {
	client := connect(t, coordinator.Shared(t))
	const traceID = "0af7651916cd43dd8448eb211c80319c"
	ctx := concert.WithTraceparent(patience(t), "00-"+traceID+"-b7ad6b7169203331-01")
	seen := make(chan string, 1)
	host(t, client, agent.Agent{Name: "worker", Execute: func(ctx context.Context, _ *agent.Task) (any, error) {
		seen <- trace.SpanContextFromContext(ctx).TraceID().String()
		return nil, nil
	}})
	if _, err := client.SubmitRun(ctx, concert.RunSpec{Tasks: []concert.TaskSpec{{ID: "a", Capability: "worker"}}}); err != nil {
		t.Fatal(err)
	}
	select {
	case got := <-seen:
		if got != traceID {
			t.Errorf("the handler is in trace %s", got)
		}
	case <-ctx.Done():
		t.Fatal("nothing was executed")
	}
}

func TestWhatKeepsAnAgentFromEverRegisteringIsTold(t *testing.T) {
	client := connect(t, coordinator.Shared(t))
	hosted, err := agent.Start(t.Context(), client, agent.Agent{Name: string(make([]byte, 300)), Execute: func(context.Context, *agent.Task) (any, error) {
		return nil, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := hosted.Registered(patience(t)); !errors.Is(err, concert.ErrInvalidField) {
		t.Errorf("got %v", err)
	}
}
