package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strings"
	"sync"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	grpccodes "google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"concert.dev/clients/go/concert"
	v1 "concert.dev/clients/go/concertv1"
	"concert.dev/clients/go/internal/text"
)

const instrumentation = "concert.dev/clients/go/agent"

// attempt is one execution.
type attempt struct {
	host    *Host
	inbox   *inbox
	agent   Agent
	token   uint64
	task    *Task
	ctx     context.Context
	cancel  context.CancelCauseFunc
	started chan struct{}
	began   bool

	mu     sync.Mutex
	reason string
}

// failure is what TaskFailed will say.
type failure struct {
	kind, message, traceback string
	notRetryable, cancelled  bool
}

// panicked is a panic of the agent's code, as an error.
type panicked struct {
	value any
	stack string
}

func (p *panicked) Error() string { return fmt.Sprintf("panic: %v", p.value) }

// stop cancels the execution; a reason that wants no report replaces one that does.
func (a *attempt) stop(reason string) {
	a.mu.Lock()
	if a.reason == "" || silent(reason) {
		a.reason = reason
	}
	a.mu.Unlock()
	a.cancel(&Stopped{reason})
}

func (a *attempt) stopReason() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.reason
}

// run executes and reports.
func (a *attempt) run() {
	defer a.cancel(nil)
	release := a.host.slots.take()
	defer release()
	if reason := a.stopReason(); reason != "" {
		a.finish(nil, &Stopped{reason})
		return
	}
	a.started = make(chan struct{})
	go a.reportStarted()
	result, err := a.work()
	a.task.silence()
	a.cleanUp()
	<-a.started
	a.finish(result, err)
}

// work is the agent's own part, in a span of the run's trace.
func (a *attempt) work() (any, error) {
	if err := a.task.fetchResults(a.ctx); err != nil {
		return nil, err
	}
	name := a.task.Capability
	if name == "" {
		name = a.agent.Name
	}
	ctx := concert.WithTraceparent(a.ctx, a.task.Message.GetTraceparent())
	ctx, span := otel.Tracer(instrumentation).Start(ctx, "execute "+name, trace.WithAttributes(
		attribute.String("concert.run_id", a.task.RunID), attribute.String("concert.task_id", a.task.TaskID),
		attribute.Int("concert.attempt", a.task.Attempt), attribute.Int64("concert.attempt_token", int64(a.task.Token)),
	))
	defer span.End()
	a.began = true
	result, err := a.execute(ctx)
	if err != nil {
		span.RecordError(err)
		span.SetStatus(codes.Error, err.Error())
	}
	return result, err
}

func (a *attempt) execute(ctx context.Context) (result any, err error) {
	defer recovered(&err)
	if a.agent.Validate != nil {
		if err := a.agent.Validate(ctx, a.task); err != nil {
			if ctx.Err() != nil {
				return nil, err
			}
			return nil, &preconditionFailed{err}
		}
	}
	handler := a.agent.handler(a.task.Capability)
	if handler == nil {
		return nil, NotRetryable(fmt.Errorf("%s has nothing that executes %q", a.agent.Name, a.task.Capability))
	}
	return handler(ctx, a.task)
}

func recovered(err *error) {
	if value := recover(); value != nil {
		*err = &panicked{value, string(debug.Stack())}
	}
}

func (a *attempt) cleanUp() {
	if !a.began || a.agent.Cleanup == nil {
		return
	}
	ctx := concert.WithTraceparent(context.WithoutCancel(a.ctx), a.task.Message.GetTraceparent())
	ctx, cancel := context.WithTimeout(ctx, cleanupMax)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		var err error
		defer func() { done <- err }()
		defer recovered(&err)
		err = a.agent.Cleanup(ctx, a.task)
	}()
	err := context.DeadlineExceeded
	select {
	case failed := <-done:
		err = failed
	case <-ctx.Done():
	}
	if err != nil {
		slog.Error("concert: the clean-up of an attempt failed", "agent", a.agent.Name, "attempt", a.task.Token, "because", err)
	}
}

// ---- outcomes

// finish reports what came of it, unless nobody waits for that.
func (a *attempt) finish(result any, err error) {
	if silent(a.stopReason()) {
		return
	}
	if err == nil {
		completed, unfit := a.completed(result)
		if unfit == nil {
			if err = a.send(completed); err == nil {
				return
			}
			if errors.Is(err, concert.ErrStaleAttempt) || errors.Is(err, concert.ErrRunOver) || errors.Is(err, concert.ErrSessionOver) {
				a.notTaken(err)
				return
			}
			unfit = refused(err)
		}
		a.fail(*unfit)
		return
	}
	a.fail(a.failed(err))
}

func (a *attempt) completed(result any) (*v1.TaskCompleted, *failure) {
	payload, err := encode(result)
	report := &v1.TaskCompleted{
		RequestId: fmt.Sprintf("attempt/%d/completed", a.task.Token), AttemptToken: a.task.Token,
		Result: payload, StateChanges: a.task.staged(),
	}
	if err == nil && proto.Size(report) > reportBytesMax {
		err = fmt.Errorf("result and state changes take %d bytes together, over the limit of %d: keep large results elsewhere and"+
			" return where", proto.Size(report), reportBytesMax)
	}
	if err != nil {
		return nil, &failure{kind: "InvalidPayload", message: "the result cannot be sent: " + err.Error(), notRetryable: true}
	}
	return report, nil
}

// encode survives what panics while it is encoded.
func encode(result any) (payload *v1.Payload, err error) {
	defer recovered(&err)
	return concert.ToPayload(result)
}

func (a *attempt) failed(err error) failure {
	reason := a.stopReason()
	var stopping *Stopped
	if reason != "" && (errors.Is(err, context.Canceled) || errors.As(err, &stopping)) {
		return failure{kind: "CANCELLED", message: "stopped: " + reason, cancelled: true}
	}
	made := failure{kind: kindOf(err), message: err.Error(), cancelled: reason != ""}
	var precondition *preconditionFailed
	var final *notRetryable
	var panic *panicked
	switch {
	case errors.As(err, &precondition):
		made.kind, made.notRetryable = "PRECONDITION_FAILED", true
	case errors.As(err, &final):
		made.kind, made.notRetryable = kindOf(final.error), true
	case errors.As(err, &panic):
		made.kind, made.traceback = "panic", panic.stack
	}
	return made
}

// refused is what becomes of a completion that was refused.
func refused(err error) *failure {
	var conflict *concert.StateConflictError
	if errors.As(err, &conflict) {
		var keys []string
		for _, each := range conflict.Keys {
			keys = append(keys, each.Key+" by "+each.TheirWriter)
		}
		return &failure{kind: "STATE_CONFLICT", message: fmt.Sprintf("%s (%s)", conflict.Message, strings.Join(keys, ", "))}
	}
	var plain *concert.Error
	made := &failure{kind: kindOf(err), message: "the completion was refused: " + err.Error()}
	made.notRetryable = errors.As(err, &plain) && plain.Code == grpccodes.InvalidArgument
	return made
}

// kindOf is a word for programs: the reason of an error of Concert, else the type of the error, or of the first it wraps that has a
// type of its own.
func kindOf(err error) string {
	var plain *concert.Error
	if errors.As(err, &plain) && plain.Reason != "" {
		return string(plain.Reason)
	}
	for each := err; each != nil; each = errors.Unwrap(each) {
		name := strings.TrimPrefix(fmt.Sprintf("%T", each), "*")
		switch name {
		case "errors.errorString", "errors.joinError", "fmt.wrapError", "fmt.wrapErrors", "agent.notRetryable":
		default:
			return strings.TrimPrefix(name, "main.")
		}
	}
	return "Error"
}

// ---- reports

func (a *attempt) reportStarted() {
	defer close(a.started)
	err := a.task.report(a.ctx, &v1.TaskStarted{
		RequestId: fmt.Sprintf("attempt/%d/started", a.task.Token), AttemptToken: a.task.Token,
	})
	switch {
	case err == nil, a.ctx.Err() != nil:
	case errors.Is(err, concert.ErrStaleAttempt):
		a.stop(stale)
	case errors.Is(err, concert.ErrSessionOver):
		a.stop(sessionLost)
	default:
		a.notTaken(err)
	}
}

func (a *attempt) fail(failed failure) {
	a.warn(failed)
	err := a.send(&v1.TaskFailed{
		RequestId: fmt.Sprintf("attempt/%d/failed", a.task.Token), AttemptToken: a.task.Token,
		Error: &v1.TaskError{
			ErrorType: text.Clip(failed.kind, errorTypeBytesMax), Message: text.Clip(failed.message, errorTextBytesMax),
			Traceback: text.ClipStart(failed.traceback, tracebackBytesMax),
		},
		NotRetryable: failed.notRetryable, Cancelled: failed.cancelled,
	})
	if err != nil {
		a.notTaken(err)
	}
}

// warn says here what is reported: who runs the agent sees its log first.
func (a *attempt) warn(failed failure) {
	if failed.cancelled {
		return
	}
	attributes := []any{
		"task", a.task.RunID + "/" + a.task.TaskID, "attempt", a.task.Attempt, "error", failed.kind, "because", failed.message,
	}
	if failed.traceback != "" {
		attributes = append(attributes, "traceback", failed.traceback)
	}
	slog.Warn("concert: a task failed", attributes...)
}

// send says the last word, whatever has become of the attempt's context: the session is the bound.
func (a *attempt) send(report proto.Message) error {
	ctx := concert.WithTraceparent(context.Background(), a.task.Message.GetTraceparent())
	err := a.task.report(ctx, report)
	if err == nil {
		a.host.settle(a.task.Token)
	}
	return err
}

func (a *attempt) notTaken(err error) {
	slog.Warn("concert: a report was not taken", "agent", a.agent.Name, "attempt", a.task.Token, "because", err)
}
