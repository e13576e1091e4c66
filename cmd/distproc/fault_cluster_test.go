package main

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

const (
	formTime  = 3 * time.Second // from the start to the first fault
	calmTime  = 3 * time.Second // without faults, after settleTime
	leaveTime = 8 * time.Second // that a node has to leave: 5 s for its calls
)

// A faultCluster is the nodes of one run, and a process with a client of each.
type faultCluster struct {
	t      *testing.T
	binary string // distproc-fault
	dir    string
	net    faultNet
	base   time.Duration // on the clock of all; what is recorded counts from here

	restarting [faultNodes + 1]sync.Mutex   // one restart or pause of a node at a time, and none while it is used badly
	logged     [faultNodes + 1]atomic.Int64 // bytes, by node, of all its processes

	mu        sync.Mutex
	processes []*faultProcess               // guarded by mu
	current   [faultNodes + 1]*faultProcess // by node; 0 is the clients'; guarded by mu
	faults    []fault                       // that have ended; guarded by mu
}

// runFaults runs a cluster through episodes of faults, with rest after each, and returns what happened.
func runFaults(t *testing.T, binary string, net faultNet, episodes [][]plannedFault, rest time.Duration) *history {
	c := &faultCluster{t: t, binary: binary, dir: t.ArtifactDir(), net: net, base: monotonic()}
	defer c.kill()
	c.form()
	for _, plan := range episodes {
		c.play(plan)
		time.Sleep(rest)
	}
	end := c.now()
	c.stop(0)
	var wg sync.WaitGroup
	for i := range faultNodes {
		wg.Go(func() { c.stop(i + 1) })
	}
	wg.Wait()
	slices.SortFunc(c.faults, func(a, b fault) int { return cmp.Compare(a.Begin, b.Begin) })
	h := &history{TTL: faultTTL, Nodes: faultNodes, End: end, Faults: c.faults}
	for _, p := range c.processes {
		p.load()
		h.Processes = append(h.Processes, &p.processHistory)
	}
	return h
}

func (c *faultCluster) now() time.Duration { return monotonic() - c.base }

func (c *faultCluster) name(i int) string { return fmt.Sprintf("%d@%s", i, c.net.host(i)) }

// form starts all nodes at once, and then the clients.
func (c *faultCluster) form() {
	f := fault{Kind: faultStart, span: span{Begin: c.now()}}
	var wg sync.WaitGroup
	for i := range faultNodes {
		f.Nodes = append(f.Nodes, i+1)
		wg.Go(func() { c.launch(i + 1) })
	}
	wg.Wait()
	c.launch(0)
	f.End = c.now()
	c.faults = append(c.faults, f)
	time.Sleep(formTime)
}

// play strikes as planned, and returns when the last fault has ended.
func (c *faultCluster) play(plan []plannedFault) {
	begin := time.Now()
	var wg sync.WaitGroup
	for _, f := range plan {
		wg.Go(func() {
			time.Sleep(time.Until(begin.Add(f.at)))
			if err := c.strike(f); err != nil {
				c.t.Errorf("%v: %v", f, err)
			}
		})
	}
	wg.Wait()
}

// strike does what was planned, from its begin to its end.
func (c *faultCluster) strike(f plannedFault) error {
	i := f.nodes[0]
	if f.kind != faultReset && !slices.Contains(partitionFaults, f.kind) {
		c.restarting[i].Lock()
		defer c.restarting[i].Unlock()
	}
	s, logged := span{Begin: c.now()}, c.logged[i].Load()
	var err error
	switch f.kind {
	case faultKill:
		p := c.process(i)
		c.expect(func() { p.killed = true })
		err = p.cmd.Process.Kill()
		<-p.done
		time.Sleep(f.length)
		c.launch(i)
	case faultTerm:
		c.stop(i)
		time.Sleep(f.length)
		c.launch(i)
	case faultPause:
		p := c.process(i)
		err = p.cmd.Process.Signal(syscall.SIGSTOP)
		time.Sleep(f.length)
		err = errors.Join(err, p.cmd.Process.Signal(syscall.SIGCONT))
		p.Pauses = append(p.Pauses, span{s.Begin, c.now()})
	case faultGreedy, faultFlood:
		err = c.misuse(f)
	case faultLog:
		r := c.process(i).stderr
		if f.how == "gone" {
			r.pipe.Close() // it may be gone already
			break
		}
		r.stuck.Lock()
		time.Sleep(f.length)
		r.stuck.Unlock()
	default:
		err = c.net.strike(f)
		time.Sleep(f.length)
		err = errors.Join(err, c.net.heal(f))
	}
	s.End = c.now()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.faults = append(c.faults, fault{f.kind, f.nodes, s, c.logged[i].Load() - logged})
	return err
}

func (c *faultCluster) process(i int) *faultProcess {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.current[i]
}

// expect notes before a process is ended that this is wanted.
func (c *faultCluster) expect(note func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	note()
}

// stop sends SIGTERM and waits.
func (c *faultCluster) stop(i int) {
	p := c.process(i)
	c.expect(func() { p.Asked = c.now() })
	p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(leaveTime):
		c.t.Errorf("node %d runs on, %v after SIGTERM", i, leaveTime)
		p.cmd.Process.Signal(syscall.SIGQUIT) // for its goroutines
		<-p.done
	}
}

// kill ends all processes that still run, as those of a test that failed.
func (c *faultCluster) kill() {
	for _, p := range c.processes {
		if p.cmd.Process != nil {
			p.cmd.Process.Kill()
			<-p.done
		}
	}
}
