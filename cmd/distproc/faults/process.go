//go:build unix

package faults

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	readyTime   = 10 * time.Second // that a node has to listen
	faultCookie = "DISTPROC_COOKIE=the cookie of the tests"
	httpPort    = 8080     // and the number of the node
	command     = "faults" // the hidden command of the program
)

// A process is one process of a cluster.
type process struct {
	processHistory
	number int
	offset int64 // of what has been read of the record
	ended  bool  // and its log has been read
	cmd    *exec.Cmd
	in     io.WriteCloser
	record string
	log    string
	stderr *stderrReader // nil if the process could not be started
	killed bool
	ready  chan struct{} // closed when it listens
	joined chan struct{} // closed when it is ready as /readyz says
	done   chan struct{}
}

// launch starts node i, or the clients if i is 0, and waits until it listens. A node
// knows the others by --join, or only by its folder of state if how is "state".
func (c *cluster) launch(i int, how string) {
	c.start(c.newProcess(i), c.net.enter(i), c.dir, how)
}

// launchTwin starts another node of the name of node i, where f.net has put its host.
func (c *cluster) launchTwin(i int) *process {
	p := c.newProcess(i)
	c.note(func() { p.Twin = true })
	home := filepath.Join(c.dir, "twin")
	if err := os.MkdirAll(home, 0o700); err != nil {
		c.fail(err)
	}
	c.start(p, c.net.enter(twinHost), home, "join")
	return p
}

// signal sends a signal to the process, unless it has ended or was never started.
func (p *process) signal(s os.Signal) error {
	if p.cmd == nil || p.cmd.Process == nil {
		return nil
	}
	if err := p.cmd.Process.Signal(s); !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil // why it has ended is among its Problems
}

func (c *cluster) newProcess(i int) *process {
	p := &process{ready: make(chan struct{}), joined: make(chan struct{}), done: make(chan struct{})}
	p.Node, p.Life.Begin = i, c.now()
	c.mu.Lock()
	defer c.mu.Unlock()
	p.number = len(c.processes)
	p.record = filepath.Join(c.dir, fmt.Sprintf("%04d.record", p.number))
	p.log = filepath.Join(c.dir, fmt.Sprintf("%04d.log", p.number))
	c.processes = append(c.processes, p)
	return p
}

// start starts a process with a home of its own by the command that enters its host.
func (c *cluster) start(p *process, enter []string, home, how string) {
	i := p.Node
	var others []string
	for j := range faultNodes {
		if j+1 != i {
			others = append(others, c.name(j+1))
		}
	}
	args := append(slices.Clone(enter), c.program, command)
	env := slices.Concat(os.Environ(), c.env, []string{
		faultCookie, "HOME=" + home, "XDG_STATE_HOME=" + filepath.Join(home, "state"), "FAULT_RECORD=" + p.record,
		fmt.Sprintf("FAULT_PROCESS=%d", p.number), fmt.Sprintf("FAULT_BASE=%d", c.base),
	})
	if len(c.strict) > 0 {
		env = append(env, "FAULT_STRICT="+strings.Join(c.strict, " "), fmt.Sprintf("FAULT_RESOURCE=%s:%d", c.net.host(0), resourcePort), "NO_PROXY=*")
	}
	if i == 0 {
		env = append(env, "FAULT_ATTACH="+strings.Join(others, " "))
	} else {
		args = append(args, "--name", c.name(i), "--ttl", faultTTL.String(), "--log-level", "debug",
			"--http", webAddr(c.net.host(i), i), "--http-open", "--drain-delay", faultDrain.String())
	}
	if i != 0 && len(c.strict) > 0 {
		args = append(args, "--voters", c.name(1)+","+c.name(2)+","+c.name(3), "--timing", c.timing)
	}
	if i != 0 && how != "state" {
		args = append(args, "--join", strings.Join(others, ","))
	}
	p.cmd = exec.Command(args[0], args[1:]...)
	p.cmd.Env = env
	err := p.run(c)
	if !p.Twin {
		c.note(func() { c.current[i] = p })
	}
	if err != nil {
		c.fail(fmt.Errorf("start node %d: %w", i, err))
		close(p.done)
		return
	}
	select {
	case <-p.ready:
	case <-p.done:
	case <-time.After(readyTime):
		c.fail(fmt.Errorf("node %d does not listen %v after its start; its log says why", i, readyTime))
	}
}

// webAddr is where the gateway of node i is.
func webAddr(host string, i int) string { return fmt.Sprintf("%s:%d", host, httpPort+i) }

// run runs the process, and notes how it ends.
func (p *process) run(c *cluster) error {
	stderr, log, err := readStderr(p.log, &c.logged[p.Node])
	if err != nil {
		return err
	}
	defer log.Close()
	p.stderr, p.cmd.Stderr = stderr, log
	if p.in, err = p.cmd.StdinPipe(); err != nil {
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
		defer p.in.Close()
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			switch lines.Text() {
			case "ready":
				close(p.ready)
			case "joined":
				close(p.joined)
			}
		}
		err := p.cmd.Wait()
		c.note(func() {
			p.Life.End = c.now()
			if !p.killed && (p.Asked == 0 || err != nil) {
				p.Problems = append(p.Problems, fmt.Sprintf("it exited: %v", err))
			}
		})
	}()
	return nil
}

// history returns what the process did until end. The process may still run. The
// cluster's mu is held.
func (p *process) history(end time.Duration) *processHistory {
	runs := p.Life.End == 0
	if err := p.read(); err != nil && !runs {
		p.Problems = append(p.Problems, err.Error())
	}
	if !runs && !p.ended {
		p.ended = true
		p.Problems = append(p.Problems, p.panics()...)
	}
	h := p.processHistory
	h.Pauses = slices.Clone(h.Pauses)
	for i, s := range h.Pauses {
		if s.End == 0 {
			h.Pauses[i].End = end
		}
	}
	if runs {
		h.Life.End = end
		for len(h.Calls) > 0 && h.Calls[len(h.Calls)-1].End > end { // their runs may not have been read
			h.Calls = h.Calls[:len(h.Calls)-1]
		}
	}
	return &h
}

// read adds the new entries of the record to the history.
func (p *process) read() error {
	file, err := os.Open(p.record)
	if err != nil {
		return err
	}
	defer file.Close()
	data, err := io.ReadAll(io.NewSectionReader(file, p.offset, 1<<40))
	if err != nil {
		return err
	}
	for line := range bytes.Lines(data) {
		if !bytes.HasSuffix(line, []byte("\n")) {
			break // kill -9 came in the middle of it, or the rest is to come
		}
		p.offset += int64(len(line))
		var e entry
		if err := json.Unmarshal(line, &e); err != nil {
			return fmt.Errorf("%s: %q: %w", p.record, line, err)
		}
		p.add(e)
	}
	return nil
}

func (p *processHistory) add(e entry) {
	if p.Runs == nil {
		p.Runs, p.Servers, p.Served = map[int64]*runEntry{}, map[int64]*serverEntry{}, map[int64]*servedEntry{}
		p.StrictCalls, p.StrictRuns = map[int64]*strictCall{}, map[int64]*strictRun{}
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
	case e.StrictCall != nil:
		p.StrictCalls[e.StrictCall.Message] = e.StrictCall
	case e.StrictRun != nil:
		p.StrictRuns[e.StrictRun.Number] = e.StrictRun
	case e.Write != nil:
		p.Writes = append(p.Writes, *e.Write)
	}
}

// panics returns the panics in the log of a process that has ended.
func (p *process) panics() (list []string) {
	if p.stderr != nil {
		<-p.stderr.done
	}
	log, _ := os.ReadFile(p.log)
	for _, bad := range []string{"panic:", "fatal error:", "DATA RACE"} {
		if i := bytes.Index(log, []byte(bad)); i >= 0 {
			list = append(list, string(log[i:min(len(log), i+3000)]))
		}
	}
	return list
}
