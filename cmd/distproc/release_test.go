//go:build unix

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/distproc/distproc/cmd/distproc/internal/balancer"
)

// beforeReleases is the commit that stands for the last release while there is none: the
// last one before upgrades were tested.
const beforeReleases = "0f28d0c8c6ae472ca7e78f51a6759fcc290a74a3"

// TestLastRelease has the program of the last release and this one in one cluster.
func TestLastRelease(t *testing.T) {
	t.Parallel()
	if !*long {
		t.Skip("builds the last release; pass -long")
	}
	old := buildRelease(t)
	t.Run("roll", func(t *testing.T) { t.Parallel(); testRoll(t, old) })
	t.Run("form", func(t *testing.T) { t.Parallel(); testForm(t, old) })
}

// buildRelease builds the program of the last release: of the newest tag like v1.2.3 before
// this commit. It skips the test if git does not have that commit.
func buildRelease(t *testing.T) (program string) {
	t.Helper()
	commit := beforeReleases
	if tag, err := exec.Command("git", "describe", "--tags", "--abbrev=0", "--match", "v[0-9]*", "HEAD^").Output(); err == nil {
		commit = strings.TrimSpace(string(tag))
	}
	if out, err := exec.Command("git", "cat-file", "-e", commit+"^{commit}").CombinedOutput(); err != nil {
		t.Skipf("git does not have the last release, %s, as in a shallow clone: %v: %s", commit, err, out)
	}
	dir := t.TempDir()
	must(t, "", "sh", "-c", `git -C "$(git rev-parse --show-toplevel)" archive "$1" | tar -x -C "$2"`, "sh", commit, dir)
	return buildIn(t, dir)
}

// buildIn builds the program of a source tree, with more arguments of go build.
func buildIn(t *testing.T, tree string, args ...string) (program string) {
	t.Helper()
	program = filepath.Join(t.TempDir(), "distproc")
	must(t, tree, append([]string{"go", "build", "-buildvcs=false", "-o", program}, append(args, "./cmd/distproc")...)...)
	return program
}

// must runs a command in a folder.
func must(t *testing.T, dir string, command ...string) (out string) {
	t.Helper()
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "CGO_ENABLED=0")
	text, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(command, " "), err, text)
	}
	return string(text)
}

// A mixture is a cluster of three nodes, each of which is of one version or another, with
// callers of each kind of workers over HTTP.
type mixture struct {
	t      *testing.T
	dir    string
	names  []string
	addrs  []string // of the gateways
	nodes  []*process
	source *httptest.Server

	mu     sync.Mutex
	runs   map[string]int // of the source, by kind and id; guarded by mu
	active map[string]int // of these, now; guarded by mu
	sums   map[string]int // of serial kinds; guarded by mu

	calls, failed atomic.Int64
	again         atomic.Int64             // calls that were made again: see noQuorum
	sent          [mixtureIDs]atomic.Int64 // to the serial kinds, by id
}

const (
	mixtureIDs   = 30
	mixtureKinds = `
[kind.kept]
source = "SOURCE/kept/{id}"
ttl = "1h"

[kind.account]
source = "SOURCE/account/{id}"
serial = true

[kind.lock]
source = "SOURCE/lock/{id}"
serial = true
strict = true
`
)

func newMixture(t *testing.T) *mixture {
	m := &mixture{t: t, dir: t.TempDir(), nodes: make([]*process, 3), runs: map[string]int{}, active: map[string]int{}, sums: map[string]int{}}
	m.source = httptest.NewServer(m)
	t.Cleanup(m.source.Close)
	kinds := strings.ReplaceAll(mixtureKinds, "SOURCE", m.source.URL)
	if err := os.WriteFile(filepath.Join(m.dir, "kinds.toml"), []byte(kinds), 0o600); err != nil {
		t.Fatal(err)
	}
	host := testHost()
	for i := range 3 {
		m.names = append(m.names, fmt.Sprintf("%d@%s", i+1, host))
		m.addrs = append(m.addrs, fmt.Sprintf("%s:%d", host, 8081+i))
	}
	return m
}

// ServeHTTP is the source of all kinds. A serial kind adds the message to the sum of its
// id, and no two calls for one id come at a time.
func (m *mixture) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id, body := r.URL.Path, 0
	if data, err := io.ReadAll(r.Body); err != nil || len(data) > 0 && json.Unmarshal(data, &body) != nil {
		http.Error(w, "no number", http.StatusBadRequest)
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.runs[id]++
	if m.active[id]++; m.active[id] > 1 {
		m.t.Errorf("two runs for %s at a time", id)
	}
	if m.sums[id] += body; r.Method == http.MethodPost {
		m.mu.Unlock()
		time.Sleep(time.Millisecond)
		m.mu.Lock()
	}
	m.active[id]--
	fmt.Fprint(w, m.sums[id])
}

// start starts node i, and waits until it is ready.
func (m *mixture) start(i int, program string) {
	m.t.Helper()
	m.nodes[i] = startProgram(m.t, program, m.dir, "node", "--name", m.names[i], "--join", strings.Join(m.names, ","),
		"--config", "kinds.toml", "--voters", strings.Join(m.names, ","), "--data-dir", filepath.Join(m.dir, fmt.Sprint("data", i)),
		"--http", m.addrs[i], "--drain-delay", "400ms")
}

func (m *mixture) awaitReady(i int) {
	m.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		resp, err := http.Get("http://" + m.addrs[i] + "/readyz")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
		if time.Now().After(deadline) {
			m.t.Fatalf("%s is not ready: %v", m.names[i], err)
		}
	}
}

// replace ends node i by SIGTERM, and starts it again with a program.
func (m *mixture) replace(i int, program string) {
	m.t.Helper()
	if err := m.nodes[i].cmd.Process.Signal(syscall.SIGTERM); err != nil {
		m.t.Fatal(err)
	}
	if err := m.nodes[i].cmd.Wait(); err != nil {
		m.t.Errorf("%s: %v", m.names[i], err)
	}
	m.start(i, program)
	m.awaitReady(i)
}

// load makes calls until ctx ends. None may fail.
func (m *mixture) load(ctx context.Context, b *balancer.Balancer) {
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { b.Probe(ctx) })
	for k := range 4 {
		wg.Go(func() {
			for n := k; ctx.Err() == nil; n++ {
				m.call(b, n%4, n/4%mixtureIDs)
				time.Sleep(2 * time.Millisecond) // leaves something of the processor to the nodes
			}
		})
	}
}

// call makes one call of a kind.
func (m *mixture) call(b *balancer.Balancer, kind, id int) {
	path, body := [...]string{"/v1/value/%d?kind=kept", "/v1/value/%d?kind=default", "/v1/call/account/%d?", "/v1/call/lock/%d?"}[kind], ""
	if kind >= 2 {
		body = "1"
		m.sent[id].Add(1)
	}
	path = fmt.Sprintf(path+"&timeout=7s", id)
	m.calls.Add(1)
	answer, err := b.Do(context.Background(), path, body)
	for deadline := time.Now().Add(patience); noQuorum(answer) && time.Now().Before(deadline); {
		m.again.Add(1)
		time.Sleep(50 * time.Millisecond)
		answer, err = b.Do(context.Background(), path, body)
	}
	if (err != nil || answer.Status != http.StatusOK) && m.failed.Add(1) < 10 {
		m.t.Errorf("%s: %d %s, %v", path, answer.Status, answer.Body, err)
	}
}

// noQuorum reports whether a call did not run because the voters had no leader for the time of
// a lease. On a busy machine they may not, and the caller is told to try again.
func noQuorum(a balancer.Answer) bool {
	return a.Status == http.StatusServiceUnavailable && bytes.Contains(a.Body, []byte(`"code":"no-quorum"`)) && bytes.Contains(a.Body, []byte(`"outcome":"not run"`))
}

// clients attaches a shell and bench of one version to a node of another.
func (m *mixture) clients(program, name string) {
	m.t.Helper()
	code := `print(len(nodes(detail=True)), len(request(range(10), kind="kept")), len(workers()) > 0, why(7) != None)`
	if got := must(m.t, "", program, "repl", "--attach", name, "-e", code); got != "3 10 True True\n" {
		m.t.Errorf("a shell on %s prints %s", name, got)
	}
	must(m.t, "", program, "bench", "--join", name, "--requests", "200", "--concurrency", "4")
}

// testRoll upgrades the nodes of a cluster one by one, and then goes back to the last
// release: all calls succeed, and no call of a serial kind is lost or runs twice. A call
// that overtakes the value that is handed over loads it again; see testForm.
func testRoll(t *testing.T, old string) {
	m := newMixture(t)
	for i := range 3 {
		m.start(i, old)
	}
	for i := range 3 {
		m.awaitReady(i)
	}
	b := balancer.New(m.addrs)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()
	wg.Go(func() { m.load(ctx, b) })
	for round, program := range []string{"distproc", old} {
		for i := range 3 {
			time.Sleep(200 * time.Millisecond) // of load
			m.replace(i, program)
			for deadline := time.Now().Add(patience); !b.Ready(i); time.Sleep(10 * time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatalf("%s is ready, and the balancer does not know", m.names[i])
				}
			}
			if round == 0 && i == 1 { // 1 and 2 are new, and 3 is old
				m.clients(old, m.names[0])
				m.clients("distproc", m.names[2])
			}
		}
	}
	stop()
	wg.Wait()
	if n := b.Refusals.Load(); n > 0 {
		t.Errorf("%d connections were refused", n)
	}
	t.Logf("%d of %d calls failed; %d were made again as the voters had no leader", m.failed.Load(), m.calls.Load(), m.again.Load())
	m.check()
}

// check compares what the source has done with what was asked for.
func (m *mixture) check() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for id := range mixtureIDs {
		sum := m.sums[fmt.Sprint("/account/", id)] + m.sums[fmt.Sprint("/lock/", id)]
		if sent := int(m.sent[id].Load()); sum != sent {
			m.t.Errorf("the calls for %d add up to %d, want %d", id, sum, sent)
		}
	}
}

// testForm has a node of each version join one of the other, and hand over to it. No call
// comes meanwhile, so all values stay.
func testForm(t *testing.T, old string) {
	for _, programs := range [][]string{{old, "distproc"}, {"distproc", old}} {
		host := testHost()
		first, second := "1@"+host, "2@"+host
		a := startProgram(t, programs[0], "", "node", "--name", first, "--ttl", "1h")
		a.awaitPort(first)
		code := `print([request(id).value for id in range(20)])`
		values := must(t, "", programs[1], "repl", "--attach", first, "-e", code)
		b := startProgram(t, programs[1], "", "node", "--name", second, "--ttl", "1h", "--join", first)
		b.awaitPort(second)
		sh := startProgram(t, programs[0], "", "repl", "--attach", second)
		sh.awaitAnswer("print(len(nodes()), [owner(id) for id in range(2)])", fmt.Sprintf("2 [%q, %q]", first, second))
		if got := must(t, "", programs[0], "repl", "--attach", second, "-e", code); got != values {
			t.Errorf("after the newcomer has come the values are %s, want %s", got, values)
		}
		if err := a.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if err := a.cmd.Wait(); err != nil {
			t.Errorf("%s: %v", first, err)
		}
		if got := must(t, "", programs[0], "repl", "--attach", second, "-e", code); got != values {
			t.Errorf("after the first node has left the values are %s, want %s", got, values)
		}
	}
}

// TestOtherProtocol has a program of a later protocol meet this one. Both say which one is
// to be upgraded, and what ran goes on.
func TestOtherProtocol(t *testing.T) {
	t.Parallel()
	if !*long {
		t.Skip("builds another version; pass -long")
	}
	root, later := strings.TrimSpace(must(t, "", "git", "rev-parse", "--show-toplevel")), t.TempDir()
	text, err := os.ReadFile(filepath.Join(root, "wire", "wire.go"))
	if err != nil {
		t.Fatal(err)
	}
	versions := regexp.MustCompile(`(minVersion|maxVersion) = \d+`)
	changed := versions.ReplaceAll(text, []byte("$1 = 99"))
	if n := len(versions.FindAll(text, -1)); n != 2 || bytes.Equal(changed, text) {
		t.Fatalf("%d versions in wire.go, want 2", n)
	}
	file, overlay := filepath.Join(later, "wire.go"), filepath.Join(later, "overlay.json")
	list, err := json.Marshal(map[string]map[string]string{"Replace": {filepath.Join(root, "wire", "wire.go"): file}})
	if err != nil {
		t.Fatal(err)
	}
	for path, data := range map[string][]byte{file: changed, overlay: list} {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	program := buildIn(t, root, "-overlay", overlay)
	host := testHost()
	name, addr := "1@"+host, host+":4371"
	n := startNode(t, name)
	sh := start(t, "repl", "--attach", name)
	sh.ask("print(request(7).node)")
	for _, command := range []string{"node --name 2@HOST --join 1@HOST", "repl --attach 1@HOST", "bench --join 1@HOST --requests 1"} {
		args := strings.Fields(strings.ReplaceAll(command, "HOST", host))
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		cmd := exec.CommandContext(ctx, program, args...)
		cmd.Env = append(os.Environ(), "HOME="+t.TempDir())
		out, err := cmd.CombinedOutput()
		if cmd.ProcessState.ExitCode() != 1 || !strings.Contains(string(out), "upgrade "+addr+", which speaks ") {
			t.Errorf("%s of a later protocol: %v\n%s", command, err, out)
		}
	}
	if n.log.count("connection refused", "upgrade "+addr, "speaks 99") != 1 {
		t.Errorf("the node does not say in one line who was refused and why:\n%s", n.log)
	}
	if got := sh.ask("print(request(7).cached)"); got != "True" && got != "False" {
		t.Errorf("the shell that was there answers %s", got)
	}
}
