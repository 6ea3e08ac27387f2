// An agent, and a run of two tasks for it: `go run ./examples/basic [HOST:PORT]`, with a coordinator there.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"strings"

	"concert.dev/clients/go/agent"
	"concert.dev/clients/go/concert"
)

type guest struct {
	Name string `json:"name"`
}

// greet greets, and leaves in the guest book whom.
func greet(ctx context.Context, task *agent.Task) (any, error) {
	var who guest
	if err := task.Input(&who); err != nil {
		return nil, err
	}
	task.Progress(0.5, "thinking of "+who.Name)
	change := concert.Change{Set: map[string]any{"guests/" + who.Name: "greeted"}} // true together with the completion
	if err := task.SetState(change); err != nil {
		return nil, err
	}
	held, lock, err := task.Lock(ctx, "guest-book")
	if err != nil {
		return nil, err
	}
	defer lock.Unlock()
	page := map[string]any{"name": who.Name, "page": lock.FencingToken()}
	if _, err := task.Publish(held, "signed", page); err != nil {
		return nil, err
	}
	greeting := fmt.Sprintf("Hello, %s!", who.Name)
	for _, earlier := range task.Results() {
		greeting += fmt.Sprintf(" (%s)", earlier)
	}
	return greeting, nil
}

func main() {
	if err := run(context.Background(), strings.Join(os.Args[1:], "")); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, address string) error {
	client, err := concert.Connect(address)
	if err != nil {
		return err
	}
	defer client.Close()
	host, err := agent.Start(ctx, client, agent.Agent{
		Name:         "greeter",
		Capabilities: []agent.Capability{{Name: "greeting", Execute: greet}},
	})
	if err != nil {
		return err
	}
	defer host.Close()
	if err := host.Registered(ctx); err != nil {
		return err
	}
	run, err := client.SubmitRun(ctx, concert.RunSpec{Tasks: []concert.TaskSpec{
		{ID: "second", Capability: "greeting", Input: guest{"Grace"}, DependsOn: concert.OnTask("first")},
		{ID: "first", Capability: "greeting", Input: guest{"Ada"}},
	}})
	if err != nil {
		return err
	}
	if _, err := run.Wait(ctx); err != nil {
		return err
	}
	for _, task := range []string{"first", "second"} {
		var greeting string
		if err := run.Result(ctx, task, &greeting); err != nil {
			return err
		}
		fmt.Println(greeting)
	}
	entries, err := client.State.List(ctx, "guests")
	if err != nil {
		return err
	}
	var guests []string
	for _, entry := range entries {
		guests = append(guests, entry.Key)
	}
	fmt.Println("guests:", strings.Join(guests, ", "))
	return nil
}
