// Package coordinator runs a real coordinator as a process of its own, for tests that kill it. It listens on a port of its choosing,
// which it keeps over restarts.
package coordinator

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	// PythonVariable names the Python that has the coordinator; the repository's own virtual environment without it.
	PythonVariable = "CONCERT_PYTHON"
	readyMax       = 2 * time.Minute
	pollPause      = 20 * time.Millisecond
)

// Process is a coordinator.
type Process struct {
	// Address it serves on.
	Address string

	t         testing.TB
	directory string
	arguments []string
	command   *exec.Cmd
	exited    chan struct{}
}

// Start starts one that keeps its data in a directory of its own, and stops it when the test ends. Without a Python that has the
// coordinator the test is skipped.
func Start(t testing.TB, arguments ...string) *Process {
	t.Helper()
	p := &Process{t: t, directory: t.TempDir(), arguments: arguments}
	p.start()
	t.Cleanup(p.stop)
	return p
}

var (
	sharing sync.Mutex
	shared  *Process
)

// Shared is one that the tests of a package have together, each in a namespace of its own; Main stops it.
func Shared(t testing.TB) string {
	t.Helper()
	sharing.Lock()
	defer sharing.Unlock()
	if shared == nil {
		directory, err := os.MkdirTemp("", "coordinator-")
		if err != nil {
			t.Fatal(err)
		}
		p := &Process{t: t, directory: directory}
		p.start()
		shared = p
	}
	return shared.Address
}

// Main is what the TestMain of a package that shares a coordinator does.
func Main(m *testing.M) {
	code := m.Run()
	if shared != nil {
		shared.stop()
		_ = os.RemoveAll(shared.directory)
	}
	os.Exit(code)
}

// Kill is SIGKILL: nothing is flushed, nobody is told.
func (p *Process) Kill() { p.end(syscall.SIGKILL) }

// Terminate is SIGTERM: it drains.
func (p *Process) Terminate() { p.end(syscall.SIGTERM) }

// Restart kills it, and starts it on the same data and port.
func (p *Process) Restart() {
	p.t.Helper()
	p.Kill()
	p.StartAgain()
}

// StartAgain starts it on the same data and port.
func (p *Process) StartAgain() {
	p.t.Helper()
	p.start()
}

func (p *Process) start() {
	p.t.Helper()
	ready := filepath.Join(p.directory, "ready.json")
	_ = os.Remove(ready)
	listen := p.Address
	if listen == "" {
		listen = "127.0.0.1:0"
	}
	arguments := append([]string{
		"-m", "coordinator_service", "--listen", listen, "--ready-file", ready, "--data-dir", filepath.Join(p.directory, "data"),
	}, p.arguments...)
	log, err := os.OpenFile(filepath.Join(p.directory, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		p.t.Fatal(err)
	}
	defer log.Close()
	p.command = exec.Command(python(p.t), arguments...)
	p.command.Stdout, p.command.Stderr = log, log
	if err := p.command.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.exited = make(chan struct{})
	go func(command *exec.Cmd, exited chan struct{}) {
		_ = command.Wait()
		close(exited)
	}(p.command, p.exited)
	p.awaitReady(ready)
}

func (p *Process) awaitReady(ready string) {
	p.t.Helper()
	for deadline := time.Now().Add(readyMax); time.Now().Before(deadline); {
		var said struct{ Address string }
		if content, err := os.ReadFile(ready); err == nil && json.Unmarshal(content, &said) == nil && said.Address != "" {
			p.Address = said.Address
			return
		}
		select {
		case <-p.exited:
			p.t.Fatalf("the coordinator ended before it served:\n%s", p.log())
		case <-time.After(pollPause):
		}
	}
	p.t.Fatalf("the coordinator does not serve:\n%s", p.log())
}

func (p *Process) end(how syscall.Signal) {
	_ = p.command.Process.Signal(how)
	<-p.exited
	p.command = nil
}

func (p *Process) stop() {
	if p.command != nil {
		p.Kill()
	}
}

func (p *Process) log() []byte {
	content, _ := os.ReadFile(filepath.Join(p.directory, "log"))
	return content[max(0, len(content)-4000):]
}

func python(t testing.TB) string {
	t.Helper()
	if named := os.Getenv(PythonVariable); named != "" {
		return named
	}
	_, here, _, _ := runtime.Caller(0)
	own := filepath.Join(filepath.Dir(here), "../../../../.venv/bin/python")
	if _, err := os.Stat(own); err != nil {
		t.Skipf("there is no coordinator to test against: set %s, or run `make setup` in the repository", PythonVariable)
	}
	return own
}
