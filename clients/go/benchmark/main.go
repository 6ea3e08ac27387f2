// One load on one server: `benchmark KIND ADDRESS NAMESPACE WARM_UP_SECONDS SECONDS` prints what was measured as JSON
// (benchmarks/languages). The kind bare is grpc-go without this client: frames of publishing commands, 32 without an answer, to a
// server that answers each. The others ask a coordinator through the client.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"concert.dev/clients/go/agent"
	"concert.dev/clients/go/concert"
	v1 "concert.dev/clients/go/concertv1"
)

const (
	inFlight = 32
	batch    = 100
	chain    = 100
	wide     = 500
	giveUp   = 30 * time.Second
)

var data = make([]byte, 64)

type measured = map[string]float64

type load struct {
	address, namespace string
	warmUp, seconds    time.Duration
}

func main() {
	if len(os.Args) != 6 {
		log.Fatal("usage: benchmark KIND ADDRESS NAMESPACE WARM_UP_SECONDS SECONDS")
	}
	kinds := map[string]func(*load, context.Context) (measured, error){
		"bare": (*load).bare, "commands": (*load).commands, "locks": (*load).locks, "tasks": (*load).tasks, "subscribe": (*load).subscribe,
	}
	kind, known := kinds[os.Args[1]]
	if !known {
		log.Fatalf("there is no load %s", os.Args[1])
	}
	l := &load{os.Args[2], os.Args[3], duration(os.Args[4]), duration(os.Args[5])}
	found, err := kind(l, context.Background())
	if err != nil {
		log.Fatal(err)
	}
	encoded, _ := json.Marshal(found)
	fmt.Println(string(encoded))
}

func duration(seconds string) time.Duration {
	count, err := strconv.ParseFloat(seconds, 64)
	if err != nil {
		log.Fatal(err)
	}
	return time.Duration(count * float64(time.Second))
}

// rate counts what comes, and the part of it that falls into the measured time.
type rate struct {
	count   atomic.Int64
	mu      sync.Mutex
	samples []time.Duration
}

func (r *rate) add(count int) { r.count.Add(int64(count)) }

func (r *rate) took(since time.Time) {
	r.count.Add(1)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.samples = append(r.samples, time.Since(since))
}

// measure waits out the warm-up and the measured time; how many came a second.
func (r *rate) measure(ctx context.Context, l *load) float64 {
	pause(ctx, l.warmUp)
	r.mu.Lock()
	r.samples = nil
	r.mu.Unlock()
	before, began := r.count.Load(), time.Now()
	pause(ctx, l.seconds)
	return float64(r.count.Load()-before) / time.Since(began).Seconds()
}

// quantile in seconds of what was measured; 0 without any.
func (r *rate) quantile(part float64) float64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.samples) == 0 {
		return 0
	}
	slices.Sort(r.samples)
	return r.samples[int(part*float64(len(r.samples)-1))].Seconds()
}

func pause(ctx context.Context, length time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(length):
	}
}

// ---- without the client

func (l *load) bare(ctx context.Context) (measured, error) {
	connection, err := grpc.NewClient(l.address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, err
	}
	defer connection.Close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stream, err := v1.NewSessionServiceClient(connection).Connect(ctx)
	if err != nil {
		return nil, err
	}
	var r rate
	id := uint64(0)
	send := func(count int) error { // k answers lead to a frame of k new commands
		frame := &v1.ConnectRequest{}
		for range count {
			id++
			publish := &v1.PublishRequest{RequestId: fmt.Sprint(l.namespace, "-", id), Events: []*v1.EventDraft{{
				Custom: &v1.CustomEvent{Name: "measured", Data: concert.Bytes(data, "application/octet-stream")},
			}}}
			command := &v1.Command{CorrelationId: id, Request: &v1.Command_Publish{Publish: publish}}
			frame.Messages = append(frame.Messages, &v1.ClientMessage{Message: &v1.ClientMessage_Command{Command: command}})
		}
		return stream.Send(frame)
	}
	go func() {
		err := send(inFlight)
		for err == nil {
			var answers *v1.ConnectResponse
			if answers, err = stream.Recv(); err == nil {
				r.add(len(answers.GetMessages()))
				err = send(len(answers.GetMessages()))
			}
		}
		cancel(err)
	}()
	answers := r.measure(ctx, l)
	return measured{"rate": answers}, context.Cause(ctx)
}

// ---- through the client

// session runs what is to be measured over a session.
func (l *load) session(ctx context.Context, do func(context.Context, *concert.Client, *concert.Session) (measured, error)) (measured, error) {
	client, err := concert.Connect(l.address, concert.WithNamespace(l.namespace))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	session, err := client.OpenSession(ctx, concert.SessionOptions{})
	if err != nil {
		return nil, err
	}
	defer session.Close(ctx)
	return do(ctx, client, session)
}

// repeat has so many goroutines do something again and again while it is measured.
func (l *load) repeat(ctx context.Context, do func(ctx context.Context, number int) error) (measured, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var r rate
	var group sync.WaitGroup
	over := atomic.Bool{}
	for number := range inFlight {
		group.Go(func() {
			for !over.Load() {
				began := time.Now()
				if err := do(ctx, number); err != nil {
					cancel(err)
					return
				}
				r.took(began)
			}
		})
	}
	answers := r.measure(ctx, l)
	over.Store(true)
	group.Wait()
	return measured{"rate": answers, "p50_seconds": r.quantile(0.5), "p99_seconds": r.quantile(0.99)}, context.Cause(ctx)
}

func (l *load) commands(ctx context.Context) (measured, error) {
	return l.session(ctx, func(ctx context.Context, _ *concert.Client, session *concert.Session) (measured, error) {
		return l.repeat(ctx, func(ctx context.Context, _ int) error {
			_, err := session.Publish(ctx, "measured", data)
			return err
		})
	})
}

func (l *load) locks(ctx context.Context) (measured, error) {
	return l.session(ctx, func(ctx context.Context, _ *concert.Client, session *concert.Session) (measured, error) {
		return l.repeat(ctx, func(ctx context.Context, number int) error {
			_, lock, err := session.Lock(ctx, fmt.Sprint("lock-", number))
			if err != nil {
				return err
			}
			return lock.Unlock()
		})
	})
}

// tasks measures round trips of tasks through an agent: many at once, and one after another.
func (l *load) tasks(ctx context.Context) (measured, error) {
	return l.session(ctx, func(ctx context.Context, client *concert.Client, session *concert.Session) (measured, error) {
		var r rate
		host, err := agent.Start(ctx, client, agent.Agent{Name: "step", Slots: inFlight, Execute: func(context.Context, *agent.Task) (any, error) {
			r.add(1)
			return nil, nil
		}})
		if err != nil {
			return nil, err
		}
		defer host.Close()
		if err := host.Registered(ctx); err != nil {
			return nil, err
		}
		running, cancel := context.WithCancelCause(ctx)
		defer cancel(nil)
		over := atomic.Bool{}
		submitted := make(chan struct{})
		go func() {
			defer close(submitted)
			for !over.Load() {
				if err := runTasks(running, session, wide, false); err != nil {
					cancel(err)
				}
			}
		}()
		answers := r.measure(running, l)
		over.Store(true)
		select {
		case <-submitted:
		case <-time.After(giveUp):
		}
		if err := context.Cause(running); err != nil {
			return nil, err
		}
		began := time.Now()
		err = runTasks(ctx, session, chain, true)
		return measured{"rate": answers, "round_trip_seconds": time.Since(began).Seconds() / chain}, err
	})
}

func runTasks(ctx context.Context, session *concert.Session, count int, chained bool) error {
	var tasks []concert.TaskSpec
	for number := range count {
		task := concert.TaskSpec{ID: fmt.Sprint("t", number), Capability: "step"}
		if chained && number > 0 {
			task.DependsOn = concert.OnTask(fmt.Sprint("t", number-1))
		}
		tasks = append(tasks, task)
	}
	run, err := session.SubmitRun(ctx, concert.RunSpec{Tasks: tasks})
	if err != nil {
		return err
	}
	_, err = run.Wait(ctx)
	return err
}

// subscribe measures events that one session publishes and a subscription follows.
func (l *load) subscribe(ctx context.Context) (measured, error) {
	return l.session(ctx, func(ctx context.Context, client *concert.Client, session *concert.Session) (measured, error) {
		ctx, cancel := context.WithCancelCause(ctx)
		defer cancel(nil)
		events, err := client.Subscribe(ctx, &v1.EventFilter{CustomNames: []string{"measured"}}, concert.FromLatest())
		if err != nil {
			return nil, err
		}
		defer events.Close()
		var published, followed rate
		drafts := slices.Repeat([]concert.Draft{{Name: "measured", Data: data}}, batch)
		for range inFlight / 8 {
			go func() {
				for {
					if _, err := session.PublishAll(ctx, drafts); err != nil {
						cancel(err)
						return
					}
					published.add(batch)
				}
			}()
		}
		go func() {
			for {
				got, err := events.NextBatch(ctx)
				if err != nil {
					cancel(err)
					return
				}
				followed.add(len(got))
			}
		}()
		answers := followed.measure(ctx, l)
		return measured{"rate": answers}, context.Cause(ctx)
	})
}
