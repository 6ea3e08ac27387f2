package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	"concert.dev/clients/go/concert"
	v1 "concert.dev/clients/go/concertv1"
)

var operations map[string]operation

func init() { // what refers to each other through the table
	operations = map[string]operation{
		"connect": opConnect, "open_session": opOpenSession, "host_agent": opHostAgent, "update_agent": opUpdateAgent,
		"drain": opDrain, "close": opClose, "publish": opPublish, "list_events": opListEvents, "subscribe": opSubscribe,
		"next": opNext, "ack": opAck, "acknowledge": opAcknowledge, "submit_run": opSubmitRun, "wait_run": opWaitRun,
		"get_run": opGetRun, "cancel_run": opCancelRun, "add_tasks": opAddTasks, "retry_run": opRetryRun,
		"task_result": opTaskResult, "acquire": opAcquire, "release": opRelease, "update_state": opUpdateState,
		"delete_state": opDeleteState, "get_state": opGetState, "modify_state": opModifyState, "server_info": opServerInfo,
	}
}

// place is where a coordinator is.
type place struct {
	Address         any
	Namespace       string
	Writer          string
	CallSeconds     seconds `json:"call_seconds"`
	RetrySeconds    seconds `json:"retry_seconds"`
	RootCertificate string  `json:"root_certificate"`
	Certificate     string
	PrivateKey      string `json:"private_key"`
	Token           string
	TokenFile       string `json:"token_file"`
	TokenFunction   string `json:"token_function"`
}

func (p place) connect() (*concert.Client, error) {
	options := []concert.Option{concert.WithNamespace(p.Namespace), concert.WithWriter(p.Writer)}
	if p.CallSeconds > 0 {
		options = append(options, concert.WithCallTimeout(time.Duration(p.CallSeconds)))
	}
	if p.RetrySeconds > 0 {
		options = append(options, concert.WithRetryTimeout(time.Duration(p.RetrySeconds)))
	}
	if p.RootCertificate != "" {
		files := concert.TLSFiles{CA: p.RootCertificate, Certificate: p.Certificate, Key: p.PrivateKey}
		options = append(options, concert.WithTLSFiles(files))
	}
	switch {
	case p.Token != "":
		options = append(options, concert.WithToken(concert.Token(p.Token)))
	case p.TokenFile != "":
		options = append(options, concert.WithToken(concert.TokenFile(p.TokenFile)))
	case p.TokenFunction != "":
		options = append(options, concert.WithToken(func(context.Context) (string, error) {
			read, err := os.ReadFile(p.TokenFunction)
			return strings.TrimSpace(string(read)), err
		}))
	}
	address := fmt.Sprint(p.Address)
	if several, ok := p.Address.([]any); ok {
		address = strings.Trim(strings.ReplaceAll(fmt.Sprint(several), " ", ","), "[]")
	}
	return concert.Connect(address, options...)
}

type clientThing struct{ *concert.Client }

func (c clientThing) end() error { return c.Close() }

type sessionThing struct{ *concert.Session }

func (s sessionThing) end() error {
	s.Close(context.Background())
	return nil
}

// surfaceOf is what can be asked through a client, a session or an attempt.
func surfaceOf(thing any) (*concert.Surface, error) {
	switch caller := thing.(type) {
	case clientThing:
		return &caller.Surface, nil
	case sessionThing:
		return &caller.Surface, nil
	case *concert.Surface:
		return caller, nil
	}
	return nil, fmt.Errorf("a %T is no caller", thing)
}

// asked reads the arguments of an op on a caller.
func asked[A any](thing any, raw json.RawMessage) (*concert.Surface, A, error) {
	var args A
	if err := json.Unmarshal(raw, &args); err != nil {
		return nil, args, err
	}
	surface, err := surfaceOf(thing)
	return surface, args, err
}

func opConnect(d *driver, _ context.Context, _ any, _ string, raw json.RawMessage) (object, error) {
	var args struct {
		place
		As string
	}
	if err := json.Unmarshal(raw, &args); err != nil {
		return nil, err
	}
	client, err := args.connect()
	if err == nil {
		d.keep(args.As, clientThing{client})
	}
	return nil, err
}

func opOpenSession(d *driver, ctx context.Context, thing any, _ string, raw json.RawMessage) (object, error) {
	var args struct {
		As        string
		AgentID   string `json:"agent_id"`
		AgentName string `json:"agent_name"`
		Lease     seconds
		Takeover  bool
	}
	if err := json.Unmarshal(raw, &args); err != nil {
		return nil, err
	}
	session, err := thing.(clientThing).OpenSession(ctx, concert.SessionOptions{
		Agent: &v1.AgentSpec{AgentId: args.AgentID, AgentName: args.AgentName}, Lease: time.Duration(args.Lease),
		Takeover: args.Takeover,
	})
	if err != nil {
		return nil, err
	}
	d.keep(args.As, sessionThing{session})
	go func() {
		<-session.Done()
		d.say(object{"notice": "lost", "on": args.As, "error": errorOf(session.Err())})
	}()
	return object{"session_id": session.ID(), "agent_id": session.AgentID(), "lease": session.Lease().Seconds()}, nil
}

func opClose(d *driver, _ context.Context, _ any, on string, _ json.RawMessage) (object, error) {
	return nil, d.close(on)
}

func opServerInfo(_ *driver, ctx context.Context, thing any, _ string, raw json.RawMessage) (object, error) {
	surface, _, err := asked[struct{}](thing, raw)
	if err != nil {
		return nil, err
	}
	info, err := surface.ServerInfo(ctx)
	return object{"feature_level": info.GetFeatureLevel(), "limits": info.GetLimits()}, err
}

// ---- locks

type fence struct {
	Resource     string
	FencingToken uint64 `json:"fencing_token"`
}

func fencesOf(fences []fence) concert.CallOption {
	var made []*v1.Fence
	for _, each := range fences {
		made = append(made, &v1.Fence{Resource: each.Resource, FencingToken: each.FencingToken})
	}
	return concert.FencedBy(made...)
}

// lockThing is a scope that stands until it is released or lost.
type lockThing struct{ *concert.Lock }

func (l lockThing) end() error {
	_ = l.Unlock()
	return nil
}

func opAcquire(d *driver, ctx context.Context, thing any, _ string, raw json.RawMessage) (object, error) {
	surface, args, err := asked[struct {
		As             string
		Resources      []string
		Mode           string
		Lease, Wait    *seconds
		Guards, Holder string
		Priority       *uint32
	}](thing, raw)
	if err != nil {
		return nil, err
	}
	options := []concert.LockOption{concert.Guards(args.Guards), concert.HeldBy(args.Holder)}
	if args.Mode == "shared" {
		options = append(options, concert.Shared())
	}
	if args.Lease != nil {
		options = append(options, concert.Lease(time.Duration(*args.Lease)))
	}
	if args.Wait != nil {
		options = append(options, concert.Wait(time.Duration(*args.Wait)))
	}
	if args.Priority != nil {
		options = append(options, concert.LockPriority(*args.Priority))
	}
	held, lock, err := surface.LockAll(ctx, args.Resources, options...)
	if err != nil {
		return nil, err
	}
	d.keep(args.As, lockThing{lock})
	go func() {
		<-held.Done()
		if lock.Err() != nil {
			d.say(object{"notice": "lost", "on": args.As, "error": errorOf(context.Cause(held))})
		}
	}()
	var grants []object
	for _, grant := range lock.Grants {
		grants = append(grants, object{
			"resource": grant.GetResource(), "fencing_token": grant.GetFencingToken(), "holder": grant.GetHolder(),
		})
	}
	return object{"grants": grants}, nil
}

func opRelease(_ *driver, _ context.Context, thing any, _ string, _ json.RawMessage) (object, error) {
	return nil, thing.(lockThing).Unlock()
}

// ---- events

func opPublish(_ *driver, ctx context.Context, thing any, _ string, raw json.RawMessage) (object, error) {
	surface, args, err := asked[struct {
		Events []struct {
			Name     string
			Data     value
			EventID  string `json:"event_id"`
			Metadata map[string]string
		}
		RequestID string `json:"request_id"`
		Fences    []fence
	}](thing, raw)
	if err != nil {
		return nil, err
	}
	var drafts []concert.Draft
	for _, each := range args.Events {
		drafts = append(drafts, concert.Draft{Name: each.Name, Data: each.Data.any, EventID: each.EventID, Metadata: each.Metadata})
	}
	sequences, err := surface.PublishAll(ctx, drafts, concert.RequestID(args.RequestID), fencesOf(args.Fences))
	return object{"sequences": sequences}, err
}

type filter struct {
	Types       []string
	CustomNames []string `json:"custom_names"`
	RunIDs      []string `json:"run_ids"`
	TaskIDs     []string `json:"task_ids"`
	AgentIDs    []string `json:"agent_ids"`
	AgentNames  []string `json:"agent_names"`
}

func (f filter) encode() *v1.EventFilter {
	made := &v1.EventFilter{
		CustomNames: f.CustomNames, RunIds: f.RunIDs, TaskIds: f.TaskIDs, AgentIds: f.AgentIDs, AgentNames: f.AgentNames,
	}
	for _, name := range f.Types {
		made.Types = append(made.Types, v1.EventType(v1.EventType_value["EVENT_TYPE_"+name]))
	}
	return made
}

type cursor struct {
	LogID    string `json:"log_id"`
	Sequence uint64
}

func (c cursor) encode() *v1.Cursor { return &v1.Cursor{LogId: c.LogID, Sequence: c.Sequence} }

func opListEvents(_ *driver, ctx context.Context, thing any, _ string, raw json.RawMessage) (object, error) {
	surface, args, err := asked[struct {
		Filter filter
		After  uint64
		Limit  int
		Raw    bool
	}](thing, raw)
	if err != nil {
		return nil, err
	}
	history := concert.History{Filter: args.Filter.encode(), After: args.After, Limit: args.Limit}
	events, err := surface.Events.List(ctx, history)
	return eventsOf(events, args.Raw), err
}

// follower is a subscription that is read on demand.
type follower struct {
	next  func(context.Context) (*v1.Event, error)
	ack   func(context.Context, *v1.Event) error
	close func() error
	seen  map[uint64]*v1.Event
}

func (f *follower) end() error { return f.close() }

func opSubscribe(d *driver, ctx context.Context, thing any, _ string, raw json.RawMessage) (object, error) {
	surface, args, err := asked[struct {
		As          string
		Filter      filter
		After       *uint64
		Cursor      *cursor
		Since       time.Time
		Start       string
		Name        string
		Acknowledge *bool
	}](thing, raw)
	if err != nil {
		return nil, err
	}
	start := concert.FromLatest()
	switch {
	case args.After != nil:
		start = concert.After(*args.After)
	case args.Cursor != nil:
		start = concert.AfterCursor(args.Cursor.encode())
	case !args.Since.IsZero():
		start = concert.Since(args.Since)
	case args.Start == "earliest":
		start = concert.FromEarliest()
	}
	f := &follower{seen: map[uint64]*v1.Event{}}
	if args.Name == "" {
		plain, err := surface.Subscribe(ctx, args.Filter.encode(), start)
		if err != nil {
			return nil, err
		}
		f.next = plain.Next
		f.close = func() error { plain.Close(); return nil }
	} else {
		var options []concert.NamedOption
		if args.Acknowledge != nil && !*args.Acknowledge {
			options = append(options, concert.AckManually())
		}
		named, err := surface.NamedSubscription(ctx, args.Name, args.Filter.encode(), start, options...)
		if err != nil {
			return nil, err
		}
		f.next, f.ack = named.Next, named.Ack
		f.close = func() error { return named.Close(context.Background()) }
	}
	d.keep(args.As, f)
	return nil, nil
}

func opNext(_ *driver, ctx context.Context, thing any, _ string, raw json.RawMessage) (object, error) {
	var args struct {
		Count int
		Raw   bool
	}
	if err := json.Unmarshal(raw, &args); err != nil {
		return nil, err
	}
	f := thing.(*follower)
	var events []*v1.Event
	for range args.Count {
		event, err := f.next(ctx)
		if err != nil {
			return nil, err
		}
		f.seen[event.GetSequence()] = event
		events = append(events, event)
	}
	return eventsOf(events, args.Raw), nil
}

func opAck(_ *driver, ctx context.Context, thing any, _ string, raw json.RawMessage) (object, error) {
	var args struct{ Sequence uint64 }
	if err := json.Unmarshal(raw, &args); err != nil {
		return nil, err
	}
	f := thing.(*follower)
	return nil, f.ack(ctx, f.seen[args.Sequence])
}

func opAcknowledge(_ *driver, ctx context.Context, thing any, _ string, raw json.RawMessage) (object, error) {
	surface, args, err := asked[struct {
		Name   string
		Cursor cursor
		Reset  bool
	}](thing, raw)
	if err != nil {
		return nil, err
	}
	move := surface.Subscriptions.Acknowledge
	if args.Reset {
		move = surface.Subscriptions.Reset
	}
	moved, err := move(ctx, args.Name, args.Cursor.encode())
	return object{"sequence": moved.GetCursor().GetSequence()}, err
}
