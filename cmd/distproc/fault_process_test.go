package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const (
	readyTime   = 10 * time.Second // that a node has to listen
	faultCookie = "DISTPROC_COOKIE=the cookie of the tests"
)

// A faultProcess is one process of a cluster.
type faultProcess struct {
	processHistory
	cmd    *exec.Cmd
	record string
	log    string
	stderr *stderrReader // nil if the process could not be started
	killed bool
	ready  chan struct{}
	done   chan struct{}
}

// needFaultNode makes sure that TestMain runs faultNode under the name distproc-fault. If not, the nodes would be
// tests, which start nodes, and so on.
func needFaultNode(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("distproc-fault"); err != nil || os.Getenv("FAULT_PROCESS") != "" {
		t.Fatal("TestMain has to run faultNode as distproc-fault")
	}
}

// launch starts node i, or the clients if i is 0, and waits until it is ready.
func (c *faultCluster) launch(i int) {
	p := &faultProcess{ready: make(chan struct{}), done: make(chan struct{})}
	p.Node, p.Life.Begin = i, c.now()
	c.mu.Lock()
	number := len(c.processes)
	c.processes = append(c.processes, p)
	c.current[i] = p
	c.mu.Unlock()
	p.record = filepath.Join(c.dir, fmt.Sprintf("%04d.record", number))
	p.log = filepath.Join(c.dir, fmt.Sprintf("%04d.log", number))

	var others []string
	for j := range faultNodes {
		if j+1 != i {
			others = append(others, c.name(j+1))
		}
	}
	args := append(c.net.enter(i), c.binary)
	env := append(os.Environ(), faultCookie, "HOME="+c.dir, "FAULT_RECORD="+p.record,
		fmt.Sprintf("FAULT_PROCESS=%d", number), fmt.Sprintf("FAULT_BASE=%d", c.base))
	if i == 0 {
		env = append(env, "FAULT_ATTACH="+strings.Join(others, " "))
	} else {
		args = append(args, "node", "--name", c.name(i), "--join", strings.Join(others, ","),
			"--ttl", faultTTL.String(), "--log-level", "debug")
	}
	p.cmd = exec.Command(args[0], args[1:]...)
	p.cmd.Env = env
	if err := p.run(c); err != nil {
		c.t.Errorf("start node %d: %v", i, err)
		close(p.done)
		return
	}
	select {
	case <-p.ready:
	case <-p.done:
	case <-time.After(readyTime):
		c.t.Errorf("node %d does not listen after %v", i, readyTime)
	}
}

// run runs the process, and notes how it ends.
func (p *faultProcess) run(c *faultCluster) error {
	stderr, log, err := readStderr(p.log, &c.logged[p.Node])
	if err != nil {
		return err
	}
	defer log.Close()
	p.stderr, p.cmd.Stderr = stderr, log
	in, err := p.cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := p.cmd.Start(); err != nil {
		return err
	}
	go func() { // ends with the process, for which kill waits
		defer close(p.done)
		defer in.Close()
		lines := bufio.NewReader(out)
		if line, _ := lines.ReadString('\n'); line == "ready\n" {
			close(p.ready)
		}
		io.Copy(io.Discard, lines)
		err := p.cmd.Wait()
		c.mu.Lock()
		defer c.mu.Unlock()
		p.Life.End = c.now()
		if !p.killed && (p.Asked == 0 || err != nil) {
			p.Problems = append(p.Problems, fmt.Sprintf("it exited: %v", err))
		}
	}()
	return nil
}

// load reads what the process recorded.
func (p *faultProcess) load() {
	p.Runs, p.Servers, p.Served = map[int64]*runEntry{}, map[int64]*serverEntry{}, map[int64]*servedEntry{}
	data, err := os.ReadFile(p.record)
	if err != nil {
		p.Problems = append(p.Problems, err.Error())
		return
	}
	for line := range bytes.Lines(data) {
		var e entry
		if err := json.Unmarshal(line, &e); err != nil {
			continue // kill -9 came in the middle of the last one
		}
		switch {
		case e.Run != nil:
			p.Runs[e.Run.Number] = e.Run
		case e.Server != nil:
			p.Servers[e.Server.Number] = e.Server
		case e.Served != nil:
			p.Served[e.Served.Number] = e.Served
		case e.Program != nil:
			p.Programs = append(p.Programs, *e.Program)
		case e.Call != nil:
			p.Calls = append(p.Calls, *e.Call)
		case e.View != nil:
			p.Views = append(p.Views, *e.View)
		case e.Size != nil:
			p.Sizes = append(p.Sizes, *e.Size)
			p.Peak = max(p.Peak, e.Peak)
		case e.Stall != nil:
			p.Stalls = append(p.Stalls, *e.Stall)
		}
	}
	if p.stderr != nil {
		<-p.stderr.done
	}
	log, _ := os.ReadFile(p.log)
	for _, bad := range []string{"panic:", "fatal error:", "DATA RACE"} {
		if i := bytes.Index(log, []byte(bad)); i >= 0 {
			p.Problems = append(p.Problems, string(log[i:min(len(log), i+3000)]))
		}
	}
}
