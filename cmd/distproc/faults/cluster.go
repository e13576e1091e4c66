//go:build unix

package faults

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	formTime  = 3 * time.Second        // from the start to the first fault
	calmTime  = 3 * time.Second        // without faults, after settleTime
	leaveTime = 15 * time.Second       // that a node has to leave: its drain delay, 5 s for HTTP requests, and 5 s for its calls
	pollTime  = 500 * time.Millisecond // between two looks at what has happened so far
)

// A run is what a cluster goes through.
type run struct {
	program  string
	env      []string // of the processes, besides that of this one
	dir      string   // for records and logs
	net      network
	episodes [][]plannedFault
	rest     time.Duration       // after each episode
	alone    bool                // there are no clients
	strict   []string            // kinds to call, if the run is about strict kinds
	timing   string              // of strict kinds: local, lan or wan
	until    func(*history) bool // looks at what has happened so far, and ends the run early; nil if nothing does
}

// A cluster is the nodes of one run, and a process with a client of each.
type cluster struct {
	run
	base time.Duration // on the clock of all; records count from here
	over chan struct{} // closed when the run ends early

	restarting [faultNodes + 1]sync.Mutex   // held during a restart, a pause or a bad use of a node
	logged     [faultNodes + 1]atomic.Int64 // bytes, by node, of all its processes

	mu        sync.Mutex
	processes []*process               // guarded by mu
	current   [faultNodes + 1]*process // by node; 0 is the clients'; guarded by mu
	faults    []*fault                 // without End while they are on; guarded by mu
	failures  []error                  // of the run itself; guarded by mu
}

// play runs a cluster through episodes of faults, with rest after each, and returns what
// happened. The error has what went wrong with the run itself.
func play(ctx context.Context, r run) (*history, error) {
	c := &cluster{run: r, base: monotonic(), over: make(chan struct{})}
	defer c.kill()
	var wg sync.WaitGroup
	wg.Go(func() {
		c.form()
		for _, plan := range c.episodes {
			c.strikeAll(plan)
			c.sleep(c.rest)
		}
	})
	if early := c.watch(ctx, &wg); early != nil {
		return early, c.failure()
	}
	end := c.now()
	if !c.alone {
		c.stop(0)
	}
	for i := range faultNodes {
		wg.Go(func() { c.stop(i + 1) })
	}
	wg.Wait()
	return c.history(end), c.failure()
}

// watch waits for the run. It returns what had happened by then if until ended it.
func (c *cluster) watch(ctx context.Context, wg *sync.WaitGroup) *history {
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
		case <-ctx.Done():
			close(c.over)
			<-done
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
func (c *cluster) sleep(d time.Duration) {
	select {
	case <-time.After(d):
	case <-c.over:
	}
}

// fail notes that the run does not go as it should.
func (c *cluster) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failures = append(c.failures, err)
}

func (c *cluster) failure() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return errors.Join(c.failures...)
}

// history returns what happened until end.
func (c *cluster) history(end time.Duration) *history {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := &history{TTL: faultTTL, Nodes: faultNodes, End: end}
	if len(c.strict) > 0 {
		h.Lease = leases[c.timing]
	}
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

func (c *cluster) now() time.Duration { return monotonic() - c.base }

func (c *cluster) name(i int) string { return fmt.Sprintf("%d@%s", i, c.net.host(i)) }

// form starts all nodes at once, and then the clients.
func (c *cluster) form() {
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
	c.note(func() {
		f.End = c.now()
		c.faults = append(c.faults, f)
	})
	c.sleep(formTime)
	if len(c.strict) > 0 {
		c.sleep(2 * leases[c.timing]) // the voters begin, and wait for the time of a lease
	}
}

func (c *cluster) process(i int) *process {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.current[i]
}

// note changes what history reads.
func (c *cluster) note(change func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change()
}

// end kills node i.
func (c *cluster) end(i int) error { return c.endProcess(c.process(i)) }

func (c *cluster) endProcess(p *process) error {
	c.note(func() { p.killed = true })
	err := p.signal(syscall.SIGKILL)
	<-p.done
	return err
}

// stop sends SIGTERM and waits.
func (c *cluster) stop(i int) {
	p := c.process(i)
	c.note(func() { p.Asked = c.now() })
	_ = p.signal(syscall.SIGTERM) // if it has ended, its Problems say so
	select {
	case <-p.done:
	case <-time.After(leaveTime):
		c.fail(fmt.Errorf("node %d runs on, %v after SIGTERM; its log has its goroutines", i, leaveTime))
		_ = p.signal(syscall.SIGQUIT)
		<-p.done
	}
}

// kill ends all processes that still run, as those of a run that failed.
func (c *cluster) kill() {
	for _, p := range c.processes {
		_ = p.signal(syscall.SIGKILL) // it may have ended
		<-p.done
	}
}
