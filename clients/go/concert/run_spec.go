package concert

import (
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	v1 "concert.dev/clients/go/concertv1"
)

// TaskSpec is one task of a run, for exactly one of: a Capability, an Agent (its name), an AgentID.
type TaskSpec struct {
	// ID is unique within the run, 1 to 128 bytes.
	ID                         string
	Capability, Agent, AgentID string
	// Input is what it works on: JSON, bytes, a *concertv1.Payload, or nil; see ToPayload.
	Input any
	// DependsOn has to have succeeded before it starts, After has to be over, whatever the outcome; see OnTask.
	DependsOn, After []*v1.Dependency
	// Capabilities it stands for beside its target's, so that dependencies by capability find it.
	Capabilities []string
	// Locks are taken with its assignment and released with its attempt; see TaskLocks.
	Locks []*v1.TaskLock
	// Policy governs it; empty means the run's, then that of the agent name it targets, then "default".
	Policy string
	// Priority is 0 to 9, higher first; nil means the policy's.
	Priority *uint32
	// MaxExecutionTime is for one attempt; 0 means the policy's.
	MaxExecutionTime time.Duration
	// Retry says how failures are tried again; nil means the policy's.
	Retry *Retry
	// Metadata are annotations.
	Metadata map[string]string
}

// Retry says how failures are tried again; what is 0 is the policy's.
type Retry struct {
	// AttemptsMax counts the first one too.
	AttemptsMax                int
	BackoffInitial, BackoffMax time.Duration
	BackoffMultiplier          float64
	// LostAttemptsMax are attempts that may be lost with a session before the task fails.
	LostAttemptsMax int
}

// OnTask refers to tasks of the same run, by id.
func OnTask(taskIDs ...string) []*v1.Dependency {
	var found []*v1.Dependency
	for _, id := range taskIDs {
		found = append(found, &v1.Dependency{On: &v1.Dependency_TaskId{TaskId: id}})
	}
	return found
}

// OnAgent refers to every other task for those agent names.
func OnAgent(names ...string) []*v1.Dependency {
	var found []*v1.Dependency
	for _, name := range names {
		found = append(found, &v1.Dependency{On: &v1.Dependency_AgentName{AgentName: name}})
	}
	return found
}

// OnCapability refers to every other task that asks for, or whose agent declares, those capabilities.
func OnCapability(capabilities ...string) []*v1.Dependency {
	var found []*v1.Dependency
	for _, capability := range capabilities {
		found = append(found, &v1.Dependency{On: &v1.Dependency_Capability{Capability: capability}})
	}
	return found
}

// TaskLocks are exclusive locks on resources.
func TaskLocks(resources ...string) []*v1.TaskLock {
	var found []*v1.TaskLock
	for _, resource := range resources {
		found = append(found, &v1.TaskLock{Resource: resource, Mode: v1.LockMode_LOCK_MODE_EXCLUSIVE})
	}
	return found
}

// Encode makes the contract's TaskSpec.
func (t TaskSpec) Encode() (*v1.TaskSpec, error) {
	target := &v1.TaskTarget{}
	named := 0
	if t.Capability != "" {
		target.Target = &v1.TaskTarget_Capability{Capability: t.Capability}
		named++
	}
	if t.Agent != "" {
		target.Target = &v1.TaskTarget_AgentName{AgentName: t.Agent}
		named++
	}
	if t.AgentID != "" {
		target.Target = &v1.TaskTarget_AgentId{AgentId: t.AgentID}
		named++
	}
	if named != 1 {
		return nil, invalid("task %q is for exactly one of Capability, Agent and AgentID", t.ID)
	}
	input, err := ToPayload(t.Input)
	if err != nil {
		return nil, err
	}
	return &v1.TaskSpec{
		TaskId: t.ID, Target: target, DependsOn: t.DependsOn, After: t.After, Input: input, Capabilities: t.Capabilities,
		Locks: t.Locks, Policy: t.Policy, Priority: t.Priority, MaxExecutionTime: durationOf(t.MaxExecutionTime),
		Retry: t.Retry.encode(), Metadata: t.Metadata,
	}, nil
}

func (r *Retry) encode() *v1.RetryPolicy {
	if r == nil {
		return nil
	}
	return &v1.RetryPolicy{
		AttemptsMax: uint32(r.AttemptsMax), BackoffInitial: durationOf(r.BackoffInitial), BackoffMax: durationOf(r.BackoffMax),
		BackoffMultiplier: r.BackoffMultiplier, LostAttemptsMax: uint32(r.LostAttemptsMax),
	}
}

// RunSpec is a run of Tasks, in any order, or of Agents (names).
type RunSpec struct {
	// ID is unique within the namespace, 1 to 128 bytes; when empty the coordinator names it.
	ID string
	// Name is for people, at most 256 bytes.
	Name string
	// Tasks, at most 10 000.
	Tasks []TaskSpec
	// Agents instead of tasks: one task for each agent name, with the capabilities, dependencies and afters of that name's latest
	// registration.
	Agents []string
	// Context is handed to every task: JSON, bytes, a *concertv1.Payload, or nil.
	Context any
	// Timeout is for the run; 0 means the coordinator's.
	Timeout time.Duration
	// RunningMax limits how many of its tasks run at once; 0 means no limit of its own.
	RunningMax int
	// FailFast has the first task that fails for good cancel everything unfinished.
	FailFast bool
	// Policy is that of tasks that name none.
	Policy string
	// Priority is that of tasks that name none; nil means the policy's.
	Priority *uint32
	// Metadata are annotations.
	Metadata map[string]string
	// Open has it begin perhaps without tasks, and be over only after RunHandle.AddTasks closed it.
	Open bool
}

// Encode makes the contract's RunSpec.
func (r RunSpec) Encode() (*v1.RunSpec, error) {
	tasks, err := encodeTasks(r.Tasks)
	if err != nil {
		return nil, err
	}
	runContext, err := ToPayload(r.Context)
	if err != nil {
		return nil, err
	}
	return &v1.RunSpec{
		RunId: r.ID, Name: r.Name, Tasks: tasks, Agents: r.Agents, Context: runContext, Timeout: durationOf(r.Timeout),
		RunningMax: uint32(r.RunningMax), FailFast: r.FailFast, Policy: r.Policy, Priority: r.Priority,
		Metadata: r.Metadata, Open: r.Open,
	}, nil
}

func encodeTasks(tasks []TaskSpec) ([]*v1.TaskSpec, error) {
	var encoded []*v1.TaskSpec
	for _, task := range tasks {
		one, err := task.Encode()
		if err != nil {
			return nil, err
		}
		encoded = append(encoded, one)
	}
	return encoded, nil
}

func durationOf(duration time.Duration) *durationpb.Duration {
	if duration == 0 {
		return nil
	}
	return durationpb.New(duration)
}
