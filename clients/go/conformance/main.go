// The conformance driver of the Go client: does what the runner says (clients/conformance/README.md).
//
// This file has the line protocol, values.go what travels as what, agents.go the agents, whose handlers take their orders from the
// runner too, and the others the ops.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/sdk/trace"
	oteltrace "go.opentelemetry.io/otel/trace"
)

// request is a line of the runner.
type request struct {
	ID   int             `json:"id"`
	Op   string          `json:"op"`
	On   string          `json:"on"`
	Args json.RawMessage `json:"args"`
}

// object is a JSON object.
type object = map[string]any

// operation does an op on a thing; its context is that of the handler for an attempt.
type operation func(d *driver, ctx context.Context, thing any, on string, args json.RawMessage) (object, error)

type driver struct {
	mu     sync.Mutex
	things map[string]any
	order  []string
	output sync.Mutex
}

func main() {
	otel.SetTracerProvider(trace.NewTracerProvider())
	d := &driver{things: map[string]any{}}
	terminated := make(chan os.Signal, 1)
	signal.Notify(terminated, syscall.SIGTERM)
	ended := make(chan error, 1)
	go func() { ended <- d.read(os.Stdin) }()
	select {
	case err := <-ended:
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	case <-terminated:
		d.drainAll()
	}
	d.closeAll()
}

func (d *driver) read(input io.Reader) error {
	lines := bufio.NewReaderSize(input, 1<<20)
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		var asked request
		if err := json.Unmarshal(line, &asked); err != nil {
			return fmt.Errorf("the runner wrote what is no request: %w", err)
		}
		go d.answer(asked)
	}
}

// say writes a line.
func (d *driver) say(message object) {
	line, err := json.Marshal(message)
	if err != nil {
		line, _ = json.Marshal(object{"id": message["id"], "error": object{"code": "DRIVER", "message": err.Error()}})
	}
	d.output.Lock()
	defer d.output.Unlock()
	_, _ = os.Stdout.Write(append(line, '\n'))
}

func (d *driver) answer(asked request) {
	result, err := d.do(asked)
	switch {
	case err != nil:
		d.say(object{"id": asked.ID, "error": errorOf(err)})
	case result == nil:
		d.say(object{"id": asked.ID, "result": object{}})
	default:
		d.say(object{"id": asked.ID, "result": result})
	}
}

var errUnknownOp = errors.New("the driver does not know this op")

func (d *driver) do(asked request) (object, error) {
	thing := d.thing(asked.On)
	if attempt, ok := thing.(*remoteAttempt); ok && asked.Op != "close" {
		return attempt.order(asked)
	}
	found, known := operations[asked.Op]
	if !known {
		return nil, errUnknownOp
	}
	return found.within(d, context.Background(), thing, asked)
}

// within does an op, inside a span that the application opens if there is a name for it.
func (o operation) within(d *driver, ctx context.Context, thing any, asked request) (object, error) {
	var args struct{ Span string }
	if err := json.Unmarshal(asked.Args, &args); err != nil {
		return nil, err
	}
	if args.Span != "" {
		var span oteltrace.Span
		ctx, span = otel.Tracer("concert.conformance").Start(ctx, args.Span)
		defer span.End()
	}
	return o(d, ctx, thing, asked.On, asked.Args)
}

// ---- things

func (d *driver) thing(name string) any {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.things[name]
}

func (d *driver) keep(name string, thing any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.things[name] = thing
	d.order = append(d.order, name)
}

func (d *driver) forget(name string) any {
	d.mu.Lock()
	defer d.mu.Unlock()
	thing := d.things[name]
	delete(d.things, name)
	return thing
}

// closer is a thing that can be ended.
type closer interface{ end() error }

func (d *driver) close(name string) error {
	if thing, ok := d.forget(name).(closer); ok {
		return thing.end()
	}
	return nil
}

func (d *driver) closeAll() {
	d.mu.Lock()
	order := d.order
	d.mu.Unlock()
	for i := len(order) - 1; i >= 0; i-- {
		_ = d.close(order[i])
	}
}

func (d *driver) drainAll() {
	d.mu.Lock()
	var agents []*remoteAgent
	for _, thing := range d.things {
		if agent, ok := thing.(*remoteAgent); ok {
			agents = append(agents, agent)
		}
	}
	d.mu.Unlock()
	for _, agent := range agents {
		agent.host.Drain()
	}
	for _, agent := range agents {
		<-agent.left
	}
}
