//go:build unix

package main

import (
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

// A benchReport is the last line of distproc bench --json, as far as tests look at it.
type benchReport struct {
	Requests     *int64           `json:"requests"`
	Seconds      *float64         `json:"seconds"`
	PerSecond    *float64         `json:"per_second"`
	P50          *float64         `json:"p50_us"`
	P90          *float64         `json:"p90_us"`
	P99          *float64         `json:"p99_us"`
	P999         *float64         `json:"p999_us"`
	Max          *float64         `json:"max_us"`
	Errors       *int64           `json:"errors"`
	ErrorsByCode map[string]int64 `json:"errors_by_code"`
	Degraded     *int64           `json:"degraded"`
	Unanswered   int64            `json:"unanswered"`
	Interrupted  bool             `json:"interrupted"`
}

// finish waits until distproc bench has ended, and returns its report and its exit
// status.
func (p *process) finish() (r benchReport, status int) {
	p.t.Helper()
	var last string
	for p.out.Scan() {
		last = p.out.Text()
	}
	if err := json.Unmarshal([]byte(last), &r); err != nil || r.Requests == nil || r.Seconds == nil || r.PerSecond == nil || r.P50 == nil || r.P90 == nil ||
		r.P99 == nil || r.P999 == nil || r.Max == nil || r.Errors == nil || r.ErrorsByCode == nil || r.Degraded == nil {
		p.t.Fatalf("the last line is %q: %v", last, err)
	}
	_ = p.cmd.Wait() // ExitCode tells
	return r, p.cmd.ProcessState.ExitCode()
}

// startBench starts distproc bench with less than 20 callers on a node, and waits until
// there are more workers than that: then some callers have had answers.
func startBench(t *testing.T, name string, args ...string) *process {
	t.Helper()
	p := start(t, append([]string{"bench", "--join", name, "--json"}, args...)...)
	start(t, "repl", "--attach", name).awaitAnswer("print(len(workers()) > 20)", "True")
	return p
}

func TestBenchJSON(t *testing.T) {
	t.Parallel()
	name := "1@" + testHost()
	startNode(t, name)
	r, status := start(t, "bench", "--join", name, "--requests", "1000", "--json").finish()
	if status != 0 || *r.Requests != 1000 || *r.Errors != 0 || r.Interrupted {
		t.Errorf("exit status %d, %+v", status, r)
	}
	if perSecond := 1000 / *r.Seconds; *r.PerSecond < 0.99*perSecond || *r.PerSecond > 1.01*perSecond {
		t.Errorf("%g requests in %g s, %g per second", 1000., *r.Seconds, *r.PerSecond)
	}
	if *r.P50 <= 0 || *r.P50 > *r.P90 || *r.P90 > *r.P99 || *r.P99 > *r.P999 || *r.P999 > *r.Max || *r.Max > 1.01e6**r.Seconds {
		t.Errorf("latencies %g, %g, %g, %g, %g in %g s", *r.P50, *r.P90, *r.P99, *r.P999, *r.Max, *r.Seconds)
	}
}

// TestBenchInterrupted sends SIGINT, and SIGTERM, while a node is paused: results come
// before the node is taken for lost, with what was not answered, and the status is 0.
func TestBenchInterrupted(t *testing.T) {
	t.Parallel()
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		name := "1@" + testHost()
		n := startNode(t, name)
		p := startBench(t, name, "--duration", "5m", "--concurrency", "7")
		n.pause()
		time.Sleep(time.Second) // so that all callers wait; after 3 s they would take the node for lost
		if err := p.cmd.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		r, status := p.finish()
		if status != 0 || *r.Requests == 0 || *r.Errors != 0 || r.Unanswered != 7 || !r.Interrupted {
			t.Errorf("%v: exit status %d, %d requests, %d errors, %d unanswered\n%s", signal, status, *r.Requests, *r.Errors, r.Unanswered, p.log)
		}
	}
}

// TestBenchOutlivesItsNode kills the node with kill -9, and starts it again: errors are
// counted, the rest is answered.
func TestBenchOutlivesItsNode(t *testing.T) {
	t.Parallel()
	name := "1@" + testHost()
	n := startNode(t, name)
	p := startBench(t, name, "--duration", "5m", "--concurrency", "4")
	n.cmd.Process.Kill()
	n.cmd.Wait()
	startNode(t, name)
	start(t, "repl", "--attach", name).awaitAnswer("print(len(workers()) > 20)", "True")
	p.cmd.Process.Signal(os.Interrupt)
	r, status := p.finish()
	unreachable := r.ErrorsByCode["unreachable"]
	if status != 1 || unreachable == 0 || unreachable != *r.Errors || *r.Requests <= *r.Errors || float64(unreachable) > 4*107**r.Seconds { // callers pause 10 ms
		t.Errorf("exit status %d, %d requests in %g s, errors %v", status, *r.Requests, *r.Seconds, r.ErrorsByCode)
	}
	if log := p.log.String(); !strings.Contains(log, `msg="node down`) || !strings.Contains(log, "requests failed") {
		t.Errorf("it says %s", log)
	}
}

// TestBenchDirect kills an owner with kill -9, and then the node that it is attached to:
// no request fails.
func TestBenchDirect(t *testing.T) {
	t.Parallel()
	host := testHost()
	first := startNode(t, "1@"+host)
	second := startNode(t, "2@"+host, "--join", "1@"+host)
	startNode(t, "3@"+host, "--join", "1@"+host)
	start(t, "repl", "--attach", "1@"+host).awaitAnswer("print(len(nodes()))", "3")
	third := start(t, "repl", "--attach", "3@"+host)
	third.awaitAnswer("print(len(nodes()))", "3")
	p := startBench(t, "1@"+host, "--duration", "5m", "--concurrency", "8")
	for i, n := range []*process{second, first} {
		n.cmd.Process.Kill()
		n.cmd.Wait()
		third.awaitAnswer("print(len(nodes()))", []string{"2", "1"}[i])
	}
	time.Sleep(time.Duration(amount(200, 1000)) * time.Millisecond) // of load
	p.cmd.Process.Signal(os.Interrupt)
	r, status := p.finish()
	if status != 0 || *r.Errors != 0 || *r.Requests < 100 {
		t.Errorf("exit status %d, %d requests, errors %v\n%s", status, *r.Requests, r.ErrorsByCode, p.log)
	}
	if log := p.log.String(); strings.Count(log, `msg="node down`) < 2 {
		t.Errorf("it says %s", log)
	}
}

// TestBenchAtTerminal watches the progress, and presses Ctrl-C.
func TestBenchAtTerminal(t *testing.T) {
	t.Parallel()
	name := "1@" + testHost()
	n := startNode(t, name)
	s := startAtTerminal(t, "bench", "--join", name, "--duration", "5m")
	s.await(".", "s  ", " requests  ", " per second  0 errors", "\r", ".", "s  ", " requests  ")
	n.cmd.Process.Kill()
	n.cmd.Wait()
	s.await("\r", "level=WARN msg=\"node down", "\n", " per second  ", " errors")
	if _, err := io.WriteString(s.tty, "\x03"); err != nil {
		t.Fatal(err)
	}
	s.await("\r", "nodes ", name, "\nlatency ", "\n≤ ", "distproc: ", "requests failed")
}

// TestBenchEnd holds which of --requests and --duration end a load.
func TestBenchEnd(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]time.Duration{
		"":                             10 * time.Second,
		"--duration 3s":                3 * time.Second,
		"--requests 5":                 0,
		"--requests 5 --duration 10s":  10 * time.Second,
		"--duration 1s --requests 500": time.Second,
	} {
		var b benchFlags
		f := pflag.NewFlagSet("bench", pflag.ContinueOnError)
		b.register(f)
		if err := f.Parse(append([]string{"--join", "1@a"}, strings.Fields(args)...)); err != nil {
			t.Fatal(err)
		}
		if err := b.check(f.Changed); err != nil || b.load.Duration != want {
			t.Errorf("%s: it ends after %v, want %v; %v", args, b.load.Duration, want, err)
		}
	}
}

// TestBenchIsQuietElsewhere holds that a pipe gets no progress.
func TestBenchIsQuietElsewhere(t *testing.T) {
	t.Parallel()
	name := "1@" + testHost()
	startNode(t, name)
	cmd := exec.Command("distproc", "bench", "--join", name, "--duration", "100ms")
	cmd.Env = append(cmd.Environ(), "DISTPROC_COOKIE=the cookie of the tests")
	var errors strings.Builder
	cmd.Stderr = &errors
	out, err := cmd.Output()
	if err != nil || errors.Len() > 0 || !strings.HasPrefix(string(out), "nodes ") || strings.ContainsAny(string(out), "\r\x1b{") {
		t.Errorf("%v: stderr %q, stdout\n%s", err, &errors, out)
	}
}
