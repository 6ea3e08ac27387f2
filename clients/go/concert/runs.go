package concert

import (
	"context"

	v1 "concert.dev/clients/go/concertv1"
)

// Runs are the runs of a namespace.
type Runs struct{ origin origin }

// SubmitRun submits a run, whole or not at all. It fails with ErrDependencyCycle, ErrDependencyUnknown, ErrInvalidField,
// ErrAlreadyExists, ErrNotFound (an agent never registered).
func (s *Surface) SubmitRun(ctx context.Context, run RunSpec, options ...CallOption) (*RunHandle, error) {
	spec, err := run.Encode()
	if err != nil {
		return nil, err
	}
	o := collect(options)
	request := &v1.SubmitRunRequest{
		RequestId: o.requestID, AttemptToken: s.origin.attemptToken, Run: spec, Fences: o.fences,
	}
	response, err := ask[*v1.SubmitRunResponse](ctx, s.origin, submitRunMethod, request)
	if err != nil {
		return nil, err
	}
	return s.Run(response.GetRunId()), nil
}

// PlanRun tells what would happen to a run that is not submitted: groups, critical path, what no agent is there for.
func (s *Surface) PlanRun(ctx context.Context, run RunSpec) (*v1.RunPlan, error) {
	spec, err := run.Encode()
	if err != nil {
		return nil, err
	}
	response, err := ask[*v1.PlanRunResponse](ctx, s.origin, planRunMethod, &v1.PlanRunRequest{Run: spec})
	return response.GetPlan(), err
}

// Run is a handle on a run that there is already.
func (s *Surface) Run(id string) *RunHandle { return &RunHandle{ID: id, origin: s.origin} }

// List tells of runs without their tasks, newest first; with a status only those. A limit of 0 is none.
func (r *Runs) List(ctx context.Context, status v1.RunStatus, limit int) ([]*v1.Run, error) {
	return readPages(ctx, limit, func(ctx context.Context, size uint32, token string) ([]*v1.Run, string, error) {
		request := &v1.ListRunsRequest{Status: status, PageSize: size, PageToken: token}
		page, err := ask[*v1.ListRunsResponse](ctx, r.origin, listRunsMethod, request)
		return page.GetRuns(), page.GetNextPageToken(), err
	})
}

// RunHandle is a run, by its id.
type RunHandle struct {
	ID     string
	origin origin
}

// Get tells of the run with its tasks; of a very large one, the later tasks as they were a moment later. It fails with ErrNotFound.
func (r *RunHandle) Get(ctx context.Context) (*v1.Run, error) {
	request := &v1.GetRunRequest{RunId: r.ID}
	var run *v1.Run
	for {
		response, err := ask[*v1.GetRunResponse](ctx, r.origin, getRunMethod, request)
		if err != nil {
			return nil, err
		}
		run = joined(run, response.GetRun())
		if response.GetNextPageToken() == "" {
			return run, nil
		}
		request.PageToken = response.GetNextPageToken()
	}
}

// Result puts what a task that succeeded produced into what the pointer points to; see Decode. It fails with ErrNotFound.
func (r *RunHandle) Result(ctx context.Context, taskID string, into any) error {
	payload, err := r.ResultPayload(ctx, taskID)
	if err != nil {
		return err
	}
	return Decode(payload, into)
}

// ResultPayload is what a task that succeeded produced, as it is.
func (r *RunHandle) ResultPayload(ctx context.Context, taskID string) (*v1.Payload, error) {
	request := &v1.GetTaskResultRequest{RunId: r.ID, TaskId: taskID}
	response, err := ask[*v1.GetTaskResultResponse](ctx, r.origin, getTaskResultMethod, request)
	return response.GetResult(), err
}

// Cancel stops it: what has not started is cancelled, what runs is told. It returns the sequence of the event, and fails with
// ErrNotFound, ErrRunOver.
func (r *RunHandle) Cancel(ctx context.Context, options ...CallOption) (uint64, error) {
	o := collect(options)
	request := &v1.CancelRunRequest{RunId: r.ID, RequestId: o.requestID, Fences: o.fences}
	response, err := ask[*v1.CancelRunResponse](ctx, r.origin, cancelRunMethod, request)
	return response.GetSequence(), err
}

// AddTasks adds tasks, in any order, all or none: inside an attempt to its own run, outside to a run that was submitted Open. It
// returns the sequence of the event, and fails with ErrDependencyCycle, ErrDependencyUnknown, ErrInvalidField, ErrNotFound,
// ErrRunOver, ErrPermissionDenied.
func (r *RunHandle) AddTasks(ctx context.Context, tasks []TaskSpec, options ...CallOption) (uint64, error) {
	return r.addTasks(ctx, tasks, false, options)
}

// AddLastTasks is AddTasks, and closes an open run; there may be no tasks then.
func (r *RunHandle) AddLastTasks(ctx context.Context, tasks []TaskSpec, options ...CallOption) (uint64, error) {
	return r.addTasks(ctx, tasks, true, options)
}

func (r *RunHandle) addTasks(ctx context.Context, tasks []TaskSpec, last bool, options []CallOption) (uint64, error) {
	encoded, err := encodeTasks(tasks)
	if err != nil {
		return 0, err
	}
	o := collect(options)
	response, err := ask[*v1.AddTasksResponse](ctx, r.origin, addTasksMethod, &v1.AddTasksRequest{
		RequestId: o.requestID, AttemptToken: r.origin.attemptToken, RunId: r.ID, Tasks: encoded, Last: last, Fences: o.fences,
	})
	return response.GetSequence(), err
}

// Retry runs everything again that did not succeed; it returns which try that is, from 2. What succeeded keeps its result. It fails
// with ErrNotFound, ErrRunNotRetryable (it is not over, or every task succeeded).
func (r *RunHandle) Retry(ctx context.Context, options ...CallOption) (int, error) {
	o := collect(options)
	response, err := ask[*v1.RetryRunResponse](ctx, r.origin, retryRunMethod, &v1.RetryRunRequest{
		RequestId: o.requestID, AttemptToken: r.origin.attemptToken, RunId: r.ID, Fences: o.fences,
	})
	return int(response.GetGeneration()), err
}

// joined is a run that came in several messages.
func joined(run, part *v1.Run) *v1.Run {
	if run == nil {
		return part
	}
	run.Tasks = append(run.Tasks, part.GetTasks()...)
	return run
}
