package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"concert.dev/clients/go/agent"
	"concert.dev/clients/go/concert"
)

// remoteAgent is an agent whose handlers do what the runner says, one thing after another.
type remoteAgent struct {
	driver        *driver
	handle        string
	client        *concert.Client
	host          *agent.Host
	preconditions map[string]string
	cleanupThrows bool
	left          chan struct{}

	mu          sync.Mutex
	description agent.Agent
}

func (r *remoteAgent) end() error {
	_ = r.host.Close()
	<-r.left
	return r.client.Close()
}

// capability is a name, or all of it.
type capability struct {
	Name, Version string
	Labels        map[string]string
}

// UnmarshalJSON reads either.
func (c *capability) UnmarshalJSON(text []byte) error {
	if json.Unmarshal(text, &c.Name) == nil {
		return nil
	}
	type whole capability
	return json.Unmarshal(text, (*whole)(c))
}

type description struct {
	Capabilities *[]capability
	Labels       map[string]string
}

// describe is what it says of itself from now on.
func (r *remoteAgent) describe(said description) agent.Agent {
	r.mu.Lock()
	defer r.mu.Unlock()
	if said.Capabilities != nil {
		r.description.Capabilities = nil
		for _, each := range *said.Capabilities {
			made := agent.Capability{Name: each.Name, Version: each.Version, Labels: each.Labels}
			r.description.Capabilities = append(r.description.Capabilities, made)
		}
	}
	if said.Labels != nil {
		r.description.Labels = said.Labels
	}
	return r.description
}

func opHostAgent(d *driver, ctx context.Context, _ any, _ string, raw json.RawMessage) (object, error) {
	var args struct {
		place
		description
		As            string
		AgentID       string `json:"agent_id"`
		AgentName     string `json:"agent_name"`
		Slots         int
		Lease         seconds
		Preconditions map[string]string
		CleanupThrows bool `json:"cleanup_throws"`
	}
	if err := json.Unmarshal(raw, &args); err != nil {
		return nil, err
	}
	client, err := args.connect()
	if err != nil {
		return nil, err
	}
	r := &remoteAgent{
		driver: d, handle: args.As, client: client, preconditions: args.Preconditions, cleanupThrows: args.CleanupThrows,
		left: make(chan struct{}),
	}
	if args.AgentName == "" {
		args.AgentName = args.As[strings.LastIndex(args.As, ":")+1:]
	}
	r.description = agent.Agent{
		Name: args.AgentName, ID: args.AgentID, Slots: args.Slots, Lease: time.Duration(args.Lease),
		Execute: r.execute, Validate: r.validate, Cleanup: r.cleanup,
	}
	r.host, err = agent.Start(ctx, client, r.describe(args.description))
	if err == nil {
		err = r.host.Registered(ctx)
	}
	if err != nil {
		_ = client.Close()
		return nil, err
	}
	d.keep(args.As, r)
	go func() {
		notice := object{"notice": "left", "on": r.handle}
		if err := r.host.Wait(); err != nil {
			notice["error"] = errorOf(err)
		}
		d.say(notice)
		close(r.left)
	}()
	return object{"agent_id": r.host.AgentID()}, nil
}

func opUpdateAgent(_ *driver, ctx context.Context, thing any, _ string, raw json.RawMessage) (object, error) {
	var args description
	if err := json.Unmarshal(raw, &args); err != nil {
		return nil, err
	}
	r := thing.(*remoteAgent)
	return nil, r.host.Update(ctx, r.describe(args))
}

func opDrain(_ *driver, _ context.Context, thing any, _ string, _ json.RawMessage) (object, error) {
	r := thing.(*remoteAgent)
	r.host.Drain()
	<-r.left
	return nil, nil
}

func (r *remoteAgent) attemptName(task *agent.Task) string {
	return fmt.Sprintf("%s/%d", r.handle, task.Token)
}

func (r *remoteAgent) validate(_ context.Context, task *agent.Task) error {
	if message, named := r.preconditions[task.Capability]; named {
		return errors.New(message)
	}
	return nil
}

func (r *remoteAgent) cleanup(_ context.Context, task *agent.Task) error {
	r.driver.say(object{"notice": "cleaned_up", "on": r.handle, "attempt": r.attemptName(task)})
	if r.cleanupThrows {
		return errors.New("clean-up was told to throw")
	}
	return nil
}

func (r *remoteAgent) execute(ctx context.Context, task *agent.Task) (any, error) {
	name := r.attemptName(task)
	attempt := &remoteAttempt{driver: r.driver, task: task, orders: make(chan order), ended: make(chan struct{})}
	r.driver.keep(name, attempt)
	defer r.driver.forget(name)
	defer close(attempt.ended)
	locks := object{}
	for resource, grant := range task.Locks {
		locks[resource] = grant.GetFencingToken()
	}
	left := 1e9
	if !task.Deadline.IsZero() {
		left = time.Until(task.Deadline).Seconds()
	}
	metadata := task.Metadata
	if metadata == nil {
		metadata = map[string]string{}
	}
	r.driver.say(object{
		"notice": "executing", "on": r.handle, "attempt": name, "run_id": task.RunID, "task_id": task.TaskID,
		"number": task.Attempt, "attempt_token": task.Token, "capability": task.Capability,
		"input": payloadOf(task.Message.GetInput()), "context": payloadOf(task.Message.GetContext()), "locks": locks,
		"metadata": metadata, "time_left": left,
	})
	result, err := attempt.handle(ctx)
	if ctx.Err() != nil && err != nil {
		r.driver.say(object{"notice": "cancelled", "on": r.handle, "attempt": name})
	}
	return result, err
}

// remoteAttempt is one call of a handler, which takes orders until it is told to end.
type remoteAttempt struct {
	driver *driver
	task   *agent.Task
	orders chan order
	ended  chan struct{}
}

type order struct {
	request
	answer chan answer
}

type answer struct {
	result object
	err    error
}

// order has an op done in the handler.
func (a *remoteAttempt) order(asked request) (object, error) {
	one := order{asked, make(chan answer, 1)}
	select {
	case a.orders <- one:
		got := <-one.answer
		return got.result, got.err
	case <-a.ended:
		return nil, errors.New("the handler has ended")
	}
}

func (a *remoteAttempt) handle(ctx context.Context) (any, error) {
	for {
		var next order
		select {
		case next = <-a.orders:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		switch next.Op {
		case "return":
			var args struct{ Value value }
			err := json.Unmarshal(next.Args, &args)
			next.answer <- answer{err: err}
			return args.Value.any, err
		case "fail":
			var args struct {
				Message      string
				NotRetryable bool `json:"not_retryable"`
			}
			err := json.Unmarshal(next.Args, &args)
			next.answer <- answer{err: err}
			if args.NotRetryable {
				return nil, agent.NotRetryable(errors.New(args.Message))
			}
			return nil, errors.New(args.Message)
		}
		result, err := a.do(ctx, next)
		next.answer <- answer{result, err}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
}

func (a *remoteAttempt) do(ctx context.Context, next order) (object, error) {
	switch next.Op {
	case "progress":
		var args struct {
			Fraction float64
			Message  string
		}
		if err := json.Unmarshal(next.Args, &args); err != nil {
			return nil, err
		}
		a.task.Progress(args.Fraction, args.Message)
		return nil, nil
	case "stage_state":
		var args changeArgs
		if err := json.Unmarshal(next.Args, &args); err != nil {
			return nil, err
		}
		return nil, a.task.SetState(args.change())
	case "results":
		return object{"results": encoded(a.task.Results())}, nil
	case "block":
		var args struct{ Seconds seconds }
		if err := json.Unmarshal(next.Args, &args); err != nil {
			return nil, err
		}
		for end := time.Now().Add(time.Duration(args.Seconds)); time.Now().Before(end); { // what a careless handler does
		}
		return nil, nil
	}
	found, known := operations[next.Op]
	if !known {
		return nil, errUnknownOp
	}
	return found.within(a.driver, ctx, a.task.Client, next.request)
}
