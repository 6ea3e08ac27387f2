// An agent, the one that the README shows.
package main

import (
	"context"
	"fmt"
	"log"

	"concert.dev/clients/go/agent"
	"concert.dev/clients/go/concert"
)

func greet(ctx context.Context, task *agent.Task) (any, error) {
	var guest struct{ Name string }
	if err := task.Input(&guest); err != nil {
		return nil, err
	}
	task.Progress(0.5, "thinking of "+guest.Name)
	err := task.SetState(concert.Change{Set: map[string]any{"guests/" + guest.Name: "greeted"}})
	return fmt.Sprintf("Hello, %s!", guest.Name), err
}

func main() {
	client, err := concert.Connect("127.0.0.1:7420")
	if err != nil {
		log.Fatal(err)
	}
	greeter := agent.Agent{Name: "greeter", Capabilities: []agent.Capability{{Name: "greeting", Execute: greet}}}
	if err := agent.Run(context.Background(), client, greeter); err != nil { // until SIGTERM: then it drains
		log.Fatal(err)
	}
}
