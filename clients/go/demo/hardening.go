package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"concert.dev/clients/go/agent"
	"concert.dev/clients/go/concert"
)

const (
	fencingHeader  = "Concert-Fencing-Token"
	exchangeMax    = 5 * time.Second
	answerBytesMax = 256 << 10
)

var securityHeaders = map[string]string{
	"Content-Security-Policy": "default-src 'none'; img-src 'self'; style-src 'self'; font-src 'self'; form-action 'none'; " +
		"frame-ancestors 'none'; base-uri 'none'",
	"Strict-Transport-Security":    "max-age=31536000; includeSubDomains",
	"X-Content-Type-Options":       "nosniff",
	"X-Frame-Options":              "DENY",
	"Referrer-Policy":              "strict-origin-when-cross-origin",
	"Permissions-Policy":           "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
	"Cross-Origin-Opener-Policy":   "same-origin",
	"Cross-Origin-Resource-Policy": "same-origin",
}

var penalties = map[string]float64{"critical": 0.5, "high": 0.2, "medium": 0.08, "low": 0.02}

// secure configures what is required, proves that it took effect, and looks for what is wrong: both at once. What the scan finds
// lowers the score; whether it is good enough is for the quality thresholds to say.
func secure(ctx context.Context, task *agent.Task, place site, wanted requirements, sources []string) (*result, error) {
	seen, err := visit(place)
	if err != nil {
		return nil, err
	}
	configured := make(chan struct{})
	made := &result{DeploymentID: task.RunID, Configured: wanted, Findings: []finding{}}
	err = together(ctx,
		func(ctx context.Context) error {
			revision, err := configure(ctx, task, seen, wanted)
			if err == nil {
				made.SettingsRevision = revision
				close(configured)
			}
			return err
		},
		func(ctx context.Context) error {
			checks, findings, err := scan(ctx, seen, wanted, sources, configured)
			made.Checks, made.Findings = checks, findings
			return err
		},
	)
	made.SecurityScore = score(made.Findings)
	return made, err
}

// score is 1 for nothing found; each finding takes its share, never below 0.
func score(findings []finding) float64 {
	left := 1.0
	for _, each := range findings {
		left -= penalties[each.Severity]
	}
	return math.Round(max(0, left)*1e4) / 1e4
}

func configure(ctx context.Context, task *agent.Task, seen *visitor, wanted requirements) (int, error) {
	guards := concert.Guards(fmt.Sprintf("sites/%s/security", seen.site.Domain))
	ctx, lock, err := task.Lock(ctx, "distribution/"+seen.site.Domain, guards)
	if err != nil {
		return 0, err
	}
	defer lock.Unlock()
	console := &admin{seen.site, lock.FencingToken()}
	var mu sync.Mutex
	done := 0.0
	var steps []func(context.Context) error
	for name, each := range map[string]struct {
		wanted bool
		step   func(context.Context, *visitor, *admin) error
	}{
		"ssl_redirect":     {wanted.SSLRedirect, redirect},
		"security_headers": {wanted.SecurityHeaders, headers},
		"access_control":   {wanted.AccessControl, access},
	} {
		if !each.wanted {
			continue
		}
		steps = append(steps, func(ctx context.Context) error {
			if err := each.step(ctx, seen, console); err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			done++
			task.Progress(done/5, name)
			return nil
		})
	}
	if err := together(ctx, steps...); err != nil {
		return 0, err
	}
	revision := 0
	err = console.call(ctx, http.MethodGet, "", nil, &revision)
	return revision, err
}

// admin is the distribution's admin endpoint, as the holder of its lock sees it.
type admin struct {
	site  site
	token uint64
}

func (a *admin) put(ctx context.Context, section string, value any) error {
	return a.call(ctx, http.MethodPut, "/"+section, value, nil)
}

// call does something with the settings; a revision is read from the answer.
func (a *admin) call(ctx context.Context, method, path string, value any, revision *int) error {
	ctx, cancel := context.WithTimeout(ctx, exchangeMax)
	defer cancel()
	secret, err := os.ReadFile(a.site.Distribution.AdminTokenFile)
	if err != nil {
		return err
	}
	url := fmt.Sprintf("http://%s:%d/settings%s", a.site.Distribution.Address, a.site.Distribution.AdminPort, path)
	var body []byte
	if value != nil {
		if body, err = json.Marshal(value); err != nil {
			return err
		}
	}
	asked, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	asked.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(secret)))
	asked.Header.Set(fencingHeader, strconv.FormatUint(a.token, 10))
	response, err := direct.Do(asked)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, answerBytesMax))
	switch {
	case err != nil:
		return err
	case response.StatusCode == http.StatusConflict:
		return agent.NotRetryable(&StaleFenceRefused{strings.TrimSpace(string(answer))})
	case response.StatusCode != http.StatusOK:
		return notInEffect("%s %s: %d %s", method, url, response.StatusCode, strings.TrimSpace(string(answer)))
	case revision == nil:
		return nil
	}
	var settings struct {
		Revision int `json:"revision"`
	}
	err = json.Unmarshal(answer, &settings)
	*revision = settings.Revision
	return err
}

func redirect(ctx context.Context, seen *visitor, console *admin) error {
	if err := console.put(ctx, "redirect", map[string]any{"https_only": true}); err != nil {
		return err
	}
	address := fmt.Sprintf("http://%s/posts/?from=plain", seen.site.Domain)
	response, err := seen.get(ctx, address)
	if err != nil {
		return err
	}
	target := response.Header.Get("Location")
	moved := response.StatusCode == http.StatusMovedPermanently || response.StatusCode == http.StatusPermanentRedirect
	if !moved || !strings.HasPrefix(target, "https://"+seen.site.Domain) {
		return notInEffect("%s answers %d and leads to %q", address, response.StatusCode, target)
	}
	if !strings.HasSuffix(target, "/posts/?from=plain") {
		return notInEffect("the redirect of %s loses the path: %q", address, target)
	}
	return nil
}

func headers(ctx context.Context, seen *visitor, console *admin) error {
	if err := console.put(ctx, "headers", map[string]any{"headers": securityHeaders}); err != nil {
		return err
	}
	for _, path := range []string{"", "no-such-page"} {
		response, err := seen.get(ctx, seen.site.URL+path)
		if err != nil {
			return err
		}
		for name, value := range securityHeaders {
			if response.Header.Get(name) != value {
				return notInEffect("/%s is sent without %s", path, name)
			}
		}
	}
	return nil
}

func access(ctx context.Context, seen *visitor, console *admin) error {
	settings := map[string]any{"deny_dotfiles": true, "listings": false, "methods": []string{"GET", "HEAD"}}
	if err := console.put(ctx, "access", settings); err != nil {
		return err
	}
	for _, probe := range []probe{dotfiles, listings, methods} {
		found, err := probe(ctx, seen)
		if err != nil {
			return err
		}
		if len(found) > 0 {
			return notInEffect("%s: %s", found[0].Where, found[0].What)
		}
	}
	return nil
}

// scan looks at once at what does not depend on the configuration, and at the rest when that is done.
func scan(
	ctx context.Context, seen *visitor, wanted requirements, sources []string, configured <-chan struct{},
) (map[string]bool, []finding, error) {
	atOnce := map[string]probe{
		"tls_versions": tlsVersions, "certificate": certificate, "traversal": traversal, "disclosure": disclosure, "hosts": hosts,
		"admin": openAdmin, "secrets": secretsOf(sources),
	}
	afterwards := map[string]probe{}
	if wanted.SecurityHeaders {
		afterwards["headers"] = headersMissing
	}
	if wanted.AccessControl {
		afterwards["dotfiles"], afterwards["listings"], afterwards["methods"] = dotfiles, listings, methods
	}
	var mu sync.Mutex
	checks, findings := map[string]bool{}, []finding{}
	var looks []func(context.Context) error
	look := func(name string, probe probe, first <-chan struct{}) {
		looks = append(looks, func(ctx context.Context) error {
			select {
			case <-first:
			case <-ctx.Done():
				return ctx.Err()
			}
			found, err := probe(ctx, seen)
			mu.Lock()
			defer mu.Unlock()
			checks[name] = len(found) == 0
			findings = append(findings, found...)
			return err
		})
	}
	now := make(chan struct{})
	close(now)
	for name, probe := range atOnce {
		look(name, probe, now)
	}
	for name, probe := range afterwards {
		look(name, probe, configured)
	}
	err := together(ctx, looks...)
	slices.SortFunc(findings, func(a, b finding) int {
		return cmp.Or(
			cmp.Compare(a.Severity, b.Severity), cmp.Compare(a.Check, b.Check), cmp.Compare(a.Where, b.Where), cmp.Compare(a.What, b.What),
		)
	})
	return checks, findings, err
}

// together does all of them in parallel; the first failure stops the others and is what is told.
func together(ctx context.Context, steps ...func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var group sync.WaitGroup
	for _, step := range steps {
		group.Go(func() {
			if err := step(ctx); err != nil {
				cancel(err)
			}
		})
	}
	group.Wait()
	return context.Cause(ctx)
}
