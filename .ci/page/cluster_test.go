// Package page drives the page of a node with a browser, against real nodes.
package page

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// kindsFile has kinds of all sorts, one of which fails now and then, and one of which is slow.
const kindsFile = `
[kind.price]
source = "exec:sh -c 'sleep 0.02; echo 1'"
ttl = "2s"
concurrency = 4

[kind.flaky]
source = "exec:sh -c 'test $1 != 7 && echo 2' sh {id}"
ttl = "1s"

[kind.tenant]
source = "exec:sh -c 'sleep 0.05; cat'"
serial = true
ttl = "1m"

[kind.ledger]
source = "exec:cat"
serial = true
strict = true
ttl = "1m"
`

var program struct {
	once sync.Once
	path string
	err  error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if program.path != "" {
		os.RemoveAll(filepath.Dir(program.path))
	}
	os.Exit(code)
}

// distproc builds the program once, and returns its path.
func distproc(t testing.TB) string {
	t.Helper()
	program.once.Do(func() {
		dir, err := os.MkdirTemp("", "distproc-page")
		if err != nil {
			program.err = err
			return
		}
		program.path = filepath.Join(dir, "distproc")
		build := exec.Command("go", "build", "-o", program.path, "./cmd/distproc")
		build.Dir = filepath.Join("..", "..")
		if out, err := build.CombinedOutput(); err != nil {
			program.err = fmt.Errorf("%w: %s", err, out)
		}
	})
	if program.err != nil {
		t.Fatal(program.err)
	}
	return program.path
}

// A cluster is three nodes on a loopback address of their own. All of them serve HTTP.
type cluster struct {
	t     testing.TB
	home  string
	host  string
	nodes [4]*process // by number; the first is nil
	flags []string    // of all nodes
}

// A process is a program that runs until the test ends.
type process struct {
	*exec.Cmd
	log   *syncBuffer
	ended chan struct{}
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

var hosts struct {
	mu   sync.Mutex
	last int
}

// newCluster starts three nodes with these flags, and waits until they are one cluster.
func newCluster(t testing.TB, flags ...string) *cluster {
	t.Helper()
	hosts.mu.Lock()
	hosts.last++
	host := fmt.Sprintf("127.77.%d.%d", os.Getpid()%250, hosts.last)
	hosts.mu.Unlock()
	c := &cluster{t: t, home: t.TempDir(), host: host, flags: flags}
	config := filepath.Join(c.home, "kinds.toml")
	if err := os.WriteFile(config, []byte(kindsFile), 0o600); err != nil {
		t.Fatal(err)
	}
	c.flags = append(c.flags, "--config", config, "--voters", c.name(1)+","+c.name(2)+","+c.name(3))
	for i := 1; i <= 3; i++ {
		c.start(i)
	}
	for i := 1; i <= 3; i++ {
		c.await(fmt.Sprintf("node %d is ready", i), func() bool { return c.get(i, "/readyz") == http.StatusOK })
	}
	return c
}

func (c *cluster) name(i int) string { return strconv.Itoa(i) + "@" + c.host }

// url returns the address of the page of a node.
func (c *cluster) url(i int) string { return fmt.Sprintf("http://%s:%d/", c.host, 8080+i) }

func (c *cluster) start(i int) {
	c.t.Helper()
	args := append([]string{"node", "--name", c.name(i), "--http", fmt.Sprintf("%s:%d", c.host, 8080+i), "--drain-delay", "10ms"}, c.flags...)
	for j := 1; j <= 3; j++ {
		args = append(args, "--join", c.name(j))
	}
	c.nodes[i] = c.run(args...)
}

// run starts the program; it is killed when the test ends.
func (c *cluster) run(args ...string) *process {
	c.t.Helper()
	p := &process{Cmd: exec.Command(distproc(c.t), args...), log: new(syncBuffer), ended: make(chan struct{})}
	p.Env = c.env()
	p.Stdout, p.Stderr = p.log, p.log
	p.SysProcAttr = endsWithTest
	if err := p.Start(); err != nil {
		c.t.Fatal(err)
	}
	go func() {
		_ = p.Wait()
		close(p.ended)
	}()
	c.t.Cleanup(func() {
		p.kill()
		if c.t.Failed() {
			c.t.Logf("%v:\n%s", args, p.log)
		}
	})
	return p
}

func (p *process) kill() {
	_ = p.Process.Kill()
	<-p.ended
}

// env has a home of its own, and nothing of the user's settings.
func (c *cluster) env() []string {
	env := []string{"HOME=" + c.home, "XDG_CONFIG_HOME=" + c.home, "XDG_STATE_HOME=" + c.home}
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "DISTPROC_") && !strings.HasPrefix(v, "HOME=") && !strings.HasPrefix(v, "XDG_") {
			env = append(env, v)
		}
	}
	return env
}

// command runs the program to its end, and returns what it prints.
func (c *cluster) command(args ...string) string {
	c.t.Helper()
	cmd := exec.Command(distproc(c.t), args...)
	cmd.Env = c.env()
	out, err := cmd.CombinedOutput()
	if err != nil {
		c.t.Fatalf("%v: %v: %s", args, err, out)
	}
	return string(out)
}

// load keeps the cluster busy until the test ends.
func (c *cluster) load() {
	for _, args := range [][]string{
		{"--rate", "200", "--ids", "300", "--zipf", "1.3"},
		{"--kind", "price", "--rate", "20", "--ids", "10"},
		{"--kind", "flaky", "--rate", "10", "--ids", "9"},
		{"--kind", "tenant", "--call", "hello", "--rate", "5", "--ids", "5"},
		{"--kind", "ledger", "--call", "hello", "--rate", "5", "--ids", "5"},
	} {
		c.run(append([]string{"bench", "--join", c.name(1), "--duration", "1h", "--concurrency", "16"}, args...)...)
	}
}

// get returns the status of an answer, or 0.
func (c *cluster) get(i int, path string) int {
	answer, err := client.Get(strings.TrimSuffix(c.url(i), "/") + path)
	if err != nil {
		return 0
	}
	defer answer.Body.Close()
	_, _ = io.Copy(io.Discard, answer.Body)
	return answer.StatusCode
}

var client = &http.Client{Timeout: 5 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

// await waits until something is so, for at most 30 s.
func (c *cluster) await(what string, so func() bool) {
	c.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !so(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			c.t.Fatalf("not so after 30 s: %s", what)
		}
	}
}

// processorTime returns the time of a processor that the nodes have taken.
func (c *cluster) processorTime() (total time.Duration) {
	for _, p := range c.nodes[1:] {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.Process.Pid))
		if err != nil {
			c.t.Fatal(err)
		}
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		for _, f := range fields[11:13] { // user and kernel, in hundredths of a second
			n, err := strconv.ParseInt(f, 10, 64)
			if err != nil {
				c.t.Fatal(err)
			}
			total += time.Duration(n) * 10 * time.Millisecond
		}
	}
	return total
}

func (p *process) signal(t testing.TB, s syscall.Signal) {
	t.Helper()
	if err := p.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}
