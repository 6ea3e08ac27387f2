package main

import (
	"encoding/json"
	"fmt"
	"os"

	"concert.dev/clients/go/agent"
)

// request is what a deployment asks for.
type request struct {
	Domain               string          `json:"domain"`
	ContentSources       []contentSource `json:"content_sources"`
	SecurityRequirements requirements    `json:"security_requirements"`
}

// requirements are what is asked of this agent.
type requirements struct {
	SSLRedirect     bool `json:"ssl_redirect"`
	SecurityHeaders bool `json:"security_headers"`
	AccessControl   bool `json:"access_control"`
}

// contentSource is the path of a folder, or an object with it.
type contentSource struct {
	Path string `json:"path"`
}

// UnmarshalJSON reads either.
func (c *contentSource) UnmarshalJSON(text []byte) error {
	if json.Unmarshal(text, &c.Path) == nil {
		return nil
	}
	type whole contentSource
	return json.Unmarshal(text, (*whole)(c))
}

// requested is the deployment that an attempt belongs to: the run's context, overridden by the task's own input.
func requested(task *agent.Task) (request, error) {
	asked := request{SecurityRequirements: requirements{true, true, true}}
	if err := task.RunContext(&asked); err != nil {
		return asked, err
	}
	if err := task.Input(&asked); err != nil {
		return asked, err
	}
	if asked.Domain == "" || len(asked.ContentSources) == 0 {
		return asked, fmt.Errorf("a deployment names a domain and content_sources")
	}
	return asked, nil
}

// directories are the folders of the content sources.
func (r request) directories() ([]string, error) {
	var found []string
	for _, source := range r.ContentSources {
		if stat, err := os.Stat(source.Path); err != nil || !stat.IsDir() {
			return nil, &SourceNotAccessible{source.Path}
		}
		found = append(found, source.Path)
	}
	return found, nil
}

// site is the infrastructure agent's result, as far as this agent needs it.
type site struct {
	Domain string `json:"domain"`
	URL    string `json:"url"`
	Bucket struct {
		Directory string `json:"directory"`
	} `json:"bucket"`
	Certificate struct {
		AuthorityFile string `json:"authority_file"`
	} `json:"certificate"`
	Distribution struct {
		Address        string `json:"address"`
		HTTPSPort      int    `json:"https_port"`
		HTTPPort       int    `json:"http_port"`
		AdminPort      int    `json:"admin_port"`
		AdminTokenFile string `json:"admin_token_file"`
	} `json:"distribution"`
	DNS struct {
		ZoneFile string `json:"zone_file"`
	} `json:"dns"`
}

// finding is something that is wrong. Severity: critical, high, medium or low.
type finding struct {
	Severity string `json:"severity"`
	Check    string `json:"check"`
	Where    string `json:"where"`
	What     string `json:"what"`
}

// result is what this agent found and did.
type result struct {
	DeploymentID     string          `json:"deployment_id"`
	SecurityScore    float64         `json:"security_score"`
	Configured       requirements    `json:"configured"`
	Checks           map[string]bool `json:"checks"`
	Findings         []finding       `json:"findings"`
	SettingsRevision int             `json:"settings_revision"`
}

// SourceNotAccessible says that a content source is missing or no folder.
type SourceNotAccessible struct{ Path string }

func (e *SourceNotAccessible) Error() string { return e.Path + " is no folder that can be read" }

// StaleFenceRefused says that a later holder of the lock has already written.
type StaleFenceRefused struct{ Answer string }

func (e *StaleFenceRefused) Error() string { return e.Answer }

// ConfigurationNotInEffect says that something was configured and the site does not behave so.
type ConfigurationNotInEffect struct{ What string }

func (e *ConfigurationNotInEffect) Error() string { return e.What }

func notInEffect(format string, arguments ...any) error {
	return agent.NotRetryable(&ConfigurationNotInEffect{fmt.Sprintf(format, arguments...)})
}
