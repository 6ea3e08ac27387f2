// The security agent of the blog's deployment: hardens a site that the infrastructure agent has made, and tries to break in. It has
// the capabilities and the results of agent_service/security, and works while the content agent does.
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

func main() {
	client, err := concert.Connect(strings.Join(os.Args[1:], ""))
	if err != nil {
		log.Fatal(err)
	}
	security := agent.Agent{
		Name: "security", Execute: execute, Validate: validate, DependsOn: concert.OnAgent("infrastructure"),
		Labels: map[string]string{"language": "go"},
		Capabilities: []agent.Capability{
			{Name: "ssl_configuration"}, {Name: "access_control"}, {Name: "security_headers"}, {Name: "vulnerability_scanning"},
		},
	}
	if err := agent.Run(context.Background(), client, security); err != nil {
		log.Fatal(err)
	}
}

// validate refuses a malformed request.
func validate(_ context.Context, task *agent.Task) error {
	asked, err := requested(task)
	if err != nil {
		return err
	}
	_, err = asked.directories()
	return err
}

func execute(ctx context.Context, task *agent.Task) (any, error) {
	asked, err := requested(task)
	if err != nil {
		return nil, err
	}
	directories, err := asked.directories()
	if err != nil {
		return nil, agent.NotRetryable(err)
	}
	var place site
	if err := task.Result("infrastructure", &place); err != nil {
		return nil, err
	}
	secured, err := secure(ctx, task, place, asked.SecurityRequirements, directories)
	if err != nil {
		return nil, err
	}
	key := fmt.Sprintf("sites/%s/security", asked.Domain)
	change := concert.Change{Set: map[string]any{key: secured}, Strategy: concert.Replace}
	return secured, task.SetState(change)
}
