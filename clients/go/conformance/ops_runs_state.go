package main

import (
	"context"
	"encoding/json"
	"time"

	"concert.dev/clients/go/concert"
	v1 "concert.dev/clients/go/concertv1"
)

// ---- runs

// dependency is a task id, an agent name or a capability.
type dependency struct{ *v1.Dependency }

// UnmarshalJSON reads any of them.
func (d *dependency) UnmarshalJSON(text []byte) error {
	var id string
	if json.Unmarshal(text, &id) == nil {
		d.Dependency = concert.OnTask(id)[0]
		return nil
	}
	var other struct{ Agent, Capability string }
	if err := json.Unmarshal(text, &other); err != nil {
		return err
	}
	if other.Agent != "" {
		d.Dependency = concert.OnAgent(other.Agent)[0]
	} else {
		d.Dependency = concert.OnCapability(other.Capability)[0]
	}
	return nil
}

func dependenciesOf(entries []dependency) []*v1.Dependency {
	var found []*v1.Dependency
	for _, each := range entries {
		found = append(found, each.Dependency)
	}
	return found
}

// taskLock is a resource, or all of it.
type taskLock struct{ Resource, Mode, Guards string }

// UnmarshalJSON reads either.
func (l *taskLock) UnmarshalJSON(text []byte) error {
	if json.Unmarshal(text, &l.Resource) == nil {
		return nil
	}
	type whole taskLock
	return json.Unmarshal(text, (*whole)(l))
}

type taskArgs struct {
	TaskID           string `json:"task_id"`
	Capability       string
	Agent            string
	AgentID          string `json:"agent_id"`
	Input            value
	DependsOn        []dependency `json:"depends_on"`
	After            []dependency
	Locks            []taskLock
	Priority         *uint32
	Policy           string
	MaxExecutionTime seconds `json:"max_execution_time"`
	Retry            *struct {
		AttemptsMax       int     `json:"attempts_max"`
		BackoffInitial    seconds `json:"backoff_initial"`
		BackoffMax        seconds `json:"backoff_max"`
		BackoffMultiplier float64 `json:"backoff_multiplier"`
		LostAttemptsMax   int     `json:"lost_attempts_max"`
	}
	Metadata map[string]string
}

func (t taskArgs) spec() concert.TaskSpec {
	made := concert.TaskSpec{
		ID: t.TaskID, Capability: t.Capability, Agent: t.Agent, AgentID: t.AgentID, Input: t.Input.any,
		DependsOn: dependenciesOf(t.DependsOn), After: dependenciesOf(t.After), Priority: t.Priority, Policy: t.Policy,
		MaxExecutionTime: time.Duration(t.MaxExecutionTime), Metadata: t.Metadata,
	}
	for _, each := range t.Locks {
		lock := concert.TaskLocks(each.Resource)[0]
		lock.Guards = each.Guards
		if each.Mode == "shared" {
			lock.Mode = v1.LockMode_LOCK_MODE_SHARED
		}
		made.Locks = append(made.Locks, lock)
	}
	if t.Retry != nil {
		made.Retry = &concert.Retry{
			AttemptsMax: t.Retry.AttemptsMax, BackoffInitial: time.Duration(t.Retry.BackoffInitial),
			BackoffMax: time.Duration(t.Retry.BackoffMax), BackoffMultiplier: t.Retry.BackoffMultiplier,
			LostAttemptsMax: t.Retry.LostAttemptsMax,
		}
	}
	return made
}

func specsOf(tasks []taskArgs) []concert.TaskSpec {
	var found []concert.TaskSpec
	for _, each := range tasks {
		found = append(found, each.spec())
	}
	return found
}

func opSubmitRun(_ *driver, ctx context.Context, thing any, _ string, raw json.RawMessage) (object, error) {
	surface, args, err := asked[struct {
		Run struct {
			RunID      string `json:"run_id"`
			Name       string
			Context    value
			Timeout    seconds
			RunningMax int  `json:"running_max"`
			FailFast   bool `json:"fail_fast"`
			Policy     string
			Priority   *uint32
			Open       bool
			Agents     []string
			Metadata   map[string]string
			Tasks      []taskArgs
		}
		RequestID string `json:"request_id"`
		Fences    []fence
	}](thing, raw)
	if err != nil {
		return nil, err
	}
	run := args.Run
	handle, err := surface.SubmitRun(ctx, concert.RunSpec{
		ID: run.RunID, Name: run.Name, Context: run.Context.any, Timeout: time.Duration(run.Timeout), RunningMax: run.RunningMax,
		FailFast: run.FailFast, Policy: run.Policy, Priority: run.Priority, Open: run.Open, Agents: run.Agents,
		Metadata: run.Metadata, Tasks: specsOf(run.Tasks),
	}, concert.RequestID(args.RequestID), fencesOf(args.Fences))
	if err != nil {
		return nil, err
	}
	return object{"run_id": handle.ID}, nil
}

type runArgs struct {
	RunID  string `json:"run_id"`
	TaskID string `json:"task_id"`
	Tasks  []taskArgs
	Last   bool
}

func opWaitRun(_ *driver, ctx context.Context, thing any, _ string, raw json.RawMessage) (object, error) {
	surface, args, err := asked[runArgs](thing, raw)
	if err != nil {
		return nil, err
	}
	run, err := surface.Run(args.RunID).Wait(ctx)
	return runOf(run), err
}

func opGetRun(_ *driver, ctx context.Context, thing any, _ string, raw json.RawMessage) (object, error) {
	surface, args, err := asked[runArgs](thing, raw)
	if err != nil {
		return nil, err
	}
	run, err := surface.Run(args.RunID).Get(ctx)
	return runOf(run), err
}

func opCancelRun(_ *driver, ctx context.Context, thing any, _ string, raw json.RawMessage) (object, error) {
	surface, args, err := asked[runArgs](thing, raw)
	if err != nil {
		return nil, err
	}
	_, err = surface.Run(args.RunID).Cancel(ctx)
	return nil, err
}

func opAddTasks(_ *driver, ctx context.Context, thing any, _ string, raw json.RawMessage) (object, error) {
	surface, args, err := asked[runArgs](thing, raw)
	if err != nil {
		return nil, err
	}
	run := surface.Run(args.RunID)
	add := run.AddTasks
	if args.Last {
		add = run.AddLastTasks
	}
	_, err = add(ctx, specsOf(args.Tasks))
	return nil, err
}

func opRetryRun(_ *driver, ctx context.Context, thing any, _ string, raw json.RawMessage) (object, error) {
	surface, args, err := asked[runArgs](thing, raw)
	if err != nil {
		return nil, err
	}
	generation, err := surface.Run(args.RunID).Retry(ctx)
	return object{"generation": generation}, err
}

func opTaskResult(_ *driver, ctx context.Context, thing any, _ string, raw json.RawMessage) (object, error) {
	surface, args, err := asked[runArgs](thing, raw)
	if err != nil {
		return nil, err
	}
	payload, err := surface.Run(args.RunID).ResultPayload(ctx, args.TaskID)
	return object{"value": payloadOf(payload)}, err
}

// ---- state

type changeArgs struct {
	Updates      map[string]value
	Strategy     string
	BaseRevision *uint64 `json:"base_revision"`
	Prefix       string
	Deletes      []string
}

func (c changeArgs) change() concert.Change {
	made := concert.Change{Set: map[string]any{}, Base: c.BaseRevision, Prefix: c.Prefix, Delete: c.Deletes}
	for key, each := range c.Updates {
		made.Set[key] = each.any
	}
	made.Strategy = map[string]concert.Strategy{"replace": concert.Replace, "append": concert.Append}[c.Strategy]
	if made.Strategy == 0 {
		made.Strategy = concert.Merge
	}
	return made
}

func opUpdateState(_ *driver, ctx context.Context, thing any, _ string, raw json.RawMessage) (object, error) {
	surface, args, err := asked[struct {
		changeArgs
		Priority  uint32
		RequestID string `json:"request_id"`
		Fences    []fence
	}](thing, raw)
	if err != nil {
		return nil, err
	}
	options := []concert.CallOption{concert.RequestID(args.RequestID), concert.Priority(args.Priority), fencesOf(args.Fences)}
	revision, err := surface.State.Update(ctx, args.change(), options...)
	return object{"revision": revision}, err
}

func opDeleteState(_ *driver, ctx context.Context, thing any, _ string, raw json.RawMessage) (object, error) {
	surface, args, err := asked[struct {
		Keys         []string
		Prefix       string
		BaseRevision *uint64 `json:"base_revision"`
	}](thing, raw)
	if err != nil {
		return nil, err
	}
	deletion := concert.Deletion{Keys: args.Keys, Prefix: args.Prefix, Base: args.BaseRevision}
	revision, err := surface.State.Delete(ctx, deletion)
	return object{"revision": revision}, err
}

func opGetState(_ *driver, ctx context.Context, thing any, _ string, raw json.RawMessage) (object, error) {
	surface, args, err := asked[struct {
		Keys   []string
		Prefix string
		At     uint64
	}](thing, raw)
	if err != nil {
		return nil, err
	}
	entries := map[string]concert.Entry{}
	if args.Keys != nil {
		entries, _, err = surface.State.GetMany(ctx, args.Keys, concert.At(args.At))
	} else {
		var listed []concert.Entry
		listed, err = surface.State.List(ctx, args.Prefix, concert.At(args.At))
		for _, each := range listed {
			entries[each.Key] = each
		}
	}
	found := object{}
	for key, each := range entries {
		found[key] = object{"value": encoded(each.Value), "revision": each.Revision, "writer": each.Writer}
	}
	return object{"entries": found}, err
}

func opModifyState(_ *driver, ctx context.Context, thing any, _ string, raw json.RawMessage) (object, error) {
	surface, args, err := asked[struct {
		Key string
		Add float64
	}](thing, raw)
	if err != nil {
		return nil, err
	}
	add := func(current float64, _ bool) (float64, error) { return current + args.Add, nil }
	made, revision, err := concert.Modify(ctx, surface.State, args.Key, add)
	return object{"value": encoded(made), "revision": revision}, err
}
