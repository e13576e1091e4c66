package main

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

const (
	formTime  = 3 * time.Second        // from the start to the first fault
	calmTime  = 3 * time.Second        // without faults, after settleTime
	leaveTime = 15 * time.Second       // that a node has to leave: its drain delay, 5 s for HTTP requests, and 5 s for its calls
	pollTime  = 500 * time.Millisecond // between two looks at what has happened so far
)

// A faultRun is what a cluster goes through.
type faultRun struct {
	binary   string // distproc-fault
	env      []string
	net      faultNet
	episodes [][]plannedFault
	rest     time.Duration       // after each episode
	alone    bool                // there are no clients
	until    func(*history) bool // looks at what has happened so far, and ends the run early; nil if nothing does
}

// A faultCluster is the nodes of one run, and a process with a client of each.
type faultCluster struct {
	faultRun
	t    *testing.T
	dir  string
	base time.Duration // on the clock of all; what is recorded counts from here
	over chan struct{} // closed when the run ends early

	restarting [faultNodes + 1]sync.Mutex   // one restart or pause of a node at a time, and none while it is used badly
	logged     [faultNodes + 1]atomic.Int64 // bytes, by node, of all its processes

	mu        sync.Mutex
	processes []*faultProcess               // guarded by mu
	current   [faultNodes + 1]*faultProcess // by node; 0 is the clients'; guarded by mu
	faults    []*fault                      // without End while they are on; guarded by mu
}

// runFaults runs a cluster through episodes of faults, with rest after each, and returns what happened.
func runFaults(t *testing.T, run faultRun) *history {
	c := &faultCluster{faultRun: run, t: t, dir: t.ArtifactDir(), base: monotonic(), over: make(chan struct{})}
	defer c.kill()
	var wg sync.WaitGroup
	wg.Go(func() {
		c.form()
		for _, plan := range c.episodes {
			c.play(plan)
			c.sleep(c.rest)
		}
	})
	if early := c.watch(&wg); early != nil {
		return early
	}
	end := c.now()
	if !c.alone {
		c.stop(0)
	}
	for i := range faultNodes {
		wg.Go(func() { c.stop(i + 1) })
	}
	wg.Wait()
	return c.history(end)
}

// watch waits for the run. It returns what had happened by then if until ended it.
func (c *faultCluster) watch(wg *sync.WaitGroup) *history {
	done := make(chan struct{})
	go func() {
		wg.Wait()
		close(done)
	}()
	tick := time.NewTicker(pollTime)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return nil
		case <-tick.C:
		}
		if c.until == nil {
			continue
		}
		if h := c.history(c.now()); len(h.Faults) > 0 && c.until(h) {
			close(c.over)
			<-done
			return h
		}
	}
}

// sleep waits, unless the run is over.
func (c *faultCluster) sleep(d time.Duration) {
	select {
	case <-time.After(d):
	case <-c.over:
	}
}

// history returns what happened until end.
func (c *faultCluster) history(end time.Duration) *history {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := &history{TTL: faultTTL, Nodes: faultNodes, End: end}
	for _, f := range c.faults {
		h.Faults = append(h.Faults, *f)
		if f.End == 0 {
			now := &h.Faults[len(h.Faults)-1]
			now.End, now.Logged = end, c.logged[f.Nodes[0]].Load()-f.before
		}
	}
	slices.SortFunc(h.Faults, func(a, b fault) int { return cmp.Compare(a.Begin, b.Begin) })
	for _, p := range c.processes {
		h.Processes = append(h.Processes, p.history(end))
	}
	return h
}

func (c *faultCluster) now() time.Duration { return monotonic() - c.base }

func (c *faultCluster) name(i int) string { return fmt.Sprintf("%d@%s", i, c.net.host(i)) }

// form starts all nodes at once, and then the clients.
func (c *faultCluster) form() {
	f := &fault{Kind: faultStart, span: span{Begin: c.now()}}
	var wg sync.WaitGroup
	for i := range faultNodes {
		f.Nodes = append(f.Nodes, i+1)
		wg.Go(func() { c.launch(i+1, "join") })
	}
	wg.Wait()
	if !c.alone {
		c.launch(0, "")
	}
	c.mu.Lock()
	f.End = c.now()
	c.faults = append(c.faults, f)
	c.mu.Unlock()
	c.sleep(formTime)
}

// play strikes as planned, and returns when the last fault has ended.
func (c *faultCluster) play(plan []plannedFault) {
	begin := time.Now()
	var wg sync.WaitGroup
	for _, f := range plan {
		wg.Go(func() {
			c.sleep(time.Until(begin.Add(f.at)))
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
	switch alone := &c.restarting[i]; {
	case f.kind == faultReset, f.kind == faultRoll: // it locks one after the other
	case f.kind != faultTwin && slices.Contains(partitionFaults, f.kind):
	default:
		alone.Lock()
		defer alone.Unlock()
	}
	done := &fault{Kind: f.kind, Nodes: f.nodes, how: f.how, before: c.logged[i].Load()}
	c.note(func() {
		done.Begin = c.now()
		c.faults = append(c.faults, done)
	})
	err := c.inflict(f, done)
	c.note(func() { done.End, done.Logged = c.now(), c.logged[i].Load()-done.before })
	return err
}

// inflict does what was planned. What it learns goes into done.
func (c *faultCluster) inflict(f plannedFault, done *fault) (err error) {
	i := f.nodes[0]
	switch f.kind {
	case faultKill:
		c.end(i)
		c.sleep(f.length)
		c.launch(i, f.how)
	case faultTerm:
		c.stop(i)
		c.sleep(f.length)
		c.launch(i, f.how)
	case faultRoll:
		c.roll(f.nodes)
	case faultPause:
		err = c.pause(f)
	case faultTwin:
		err = c.twin(f, done)
	case faultGreedy, faultFlood:
		err = c.misuse(f)
	case faultLog:
		r := c.process(i).stderr
		if f.how == "gone" {
			r.pipe.Close() // it may be gone already
			break
		}
		r.stuck.Lock()
		c.sleep(f.length)
		r.stuck.Unlock()
	default:
		err = c.partition(f)
	}
	return err
}

func (c *faultCluster) process(i int) *faultProcess {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.current[i]
}

// note changes what history reads.
func (c *faultCluster) note(change func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change()
}

// end kills node i.
func (c *faultCluster) end(i int) { c.endProcess(c.process(i)) }

func (c *faultCluster) endProcess(p *faultProcess) {
	c.note(func() { p.killed = true })
	p.cmd.Process.Kill()
	<-p.done
}

// stop sends SIGTERM and waits.
func (c *faultCluster) stop(i int) {
	p := c.process(i)
	c.note(func() { p.Asked = c.now() })
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
