package main

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"syscall"
	"time"
)

// Faults that take more than one step, and the rules that only they can break.

const (
	faultDrain = time.Second      // a node's --drain-delay
	pairTime   = 6 * time.Second  // until two nodes that do not reach each other do without
	twinTime   = 6 * time.Second  // from when a split is over, until the later one of two nodes of one name has left
	burstSize  = 25               // messages for each serial id, by each node
	burstTime  = time.Second / 10 // until queues are full
	joinedTime = 10 * time.Second // that a new process has to be ready
)

const (
	ruleTwin  rule = "of two nodes of one name, the later one has not left"
	ruleStale rule = "a server ran messages although another one had had its id"
)

// roll restarts the nodes one after the other.
func (c *faultCluster) roll(nodes []int) {
	for i, node := range nodes {
		select {
		case <-c.over:
			return
		default:
		}
		c.restarting[node].Lock()
		c.stop(node)
		c.launch(node, []string{"join", "state"}[i%2])
		p := c.process(node)
		select {
		case <-p.joined:
		case <-p.done:
		case <-time.After(joinedTime):
			c.t.Errorf("node %d is not ready after %v", node, joinedTime)
		}
		c.restarting[node].Unlock()
	}
}

// pause stops a node for a time. All queues of serial ids are full by then if the fault is to be so.
func (c *faultCluster) pause(f plannedFault) error {
	if f.how == "full" {
		for i := range faultNodes {
			fmt.Fprintln(c.process(i+1).in, "burst") // fails if it is down
		}
		c.sleep(burstTime)
	}
	p := c.process(f.nodes[0])
	var at int
	c.note(func() {
		at = len(p.Pauses)
		p.Pauses = append(p.Pauses, span{Begin: c.now()})
	})
	err := p.cmd.Process.Signal(syscall.SIGSTOP)
	c.sleep(f.length)
	err = errors.Join(err, p.cmd.Process.Signal(syscall.SIGCONT))
	c.note(func() { p.Pauses[at].End = c.now() })
	return err
}

func (c *faultCluster) partition(f plannedFault) error {
	err := c.net.strike(f)
	c.sleep(f.length)
	return errors.Join(err, c.net.heal(f))
}

// twin splits the cluster and starts a node of the same name and address in the other part. Long enough
// after the split is over it kills that node, which has left by then.
func (c *faultCluster) twin(f plannedFault, done *fault) error {
	if err := errors.Join(c.net.strike(f), c.net.move(f, 1)); err != nil {
		return err
	}
	p := c.launchTwin(f.nodes[0])
	c.sleep(f.length)
	err := c.net.heal(f)
	c.note(func() { done.Healed = c.now() })
	c.sleep(twinTime + time.Second)
	c.endProcess(p)
	return errors.Join(err, c.net.move(f, -1))
}

// checkTwins checks that the later one of two nodes of one name was alone soon after the split.
func (r *report) checkTwins() {
	for _, f := range r.history.Faults {
		due := f.Healed + twinTime
		if f.Healed == 0 || f.End <= due {
			continue
		}
		for _, p := range r.history.Processes {
			if p.Twin && p.Life.Begin >= f.Begin && p.Life.Begin < f.End && !p.aloneAt(due) {
				r.violate(ruleTwin, "%v node %d, %v after the split: %+v", due, p.Node, twinTime, p.Views)
			}
		}
	}
}

// aloneAt reports whether the process knew of no other node at a time, but had before.
func (p *processHistory) aloneAt(at time.Duration) bool {
	alone := false
	for _, v := range p.Views {
		if v.At <= at {
			alone = p.met() < v.At && !v.cluster()
		}
	}
	return alone
}

// A tenure is all that one server ran.
type tenure struct {
	runs  []placedRun   // in order
	ended time.Duration // when the first that ended did; 0 if none has
}

// tenures returns those of one id in the order in which they began.
func tenures(runs []placedRun) []*tenure {
	slices.SortFunc(runs, func(a, b placedRun) int { return cmp.Compare(a.Begin, b.Begin) })
	byServer, list := map[int64]*tenure{}, []*tenure(nil)
	for _, run := range runs {
		t := byServer[run.Server]
		if t == nil {
			t = &tenure{}
			byServer[run.Server], list = t, append(list, t)
		}
		t.runs = append(t.runs, run)
		if run.End != 0 && (t.ended == 0 || run.End < t.ended) {
			t.ended = run.End
		}
	}
	return list
}

// checkStale looks for servers that ran more than one message after another server of their id, on
// another node, had run one. The second server has the newer state. One message may have been on its way
// when its process was paused. In a partition each part has its own server.
func (r *report) checkStale(id int64, runs []placedRun) {
	list := tenures(runs)
	for i, older := range list {
		last := older.runs[len(older.runs)-1]
		for _, newer := range list[i+1:] {
			if newer.runs[0].Begin > last.Begin {
				break
			}
			stale := slices.DeleteFunc(slices.Clone(older.runs), func(run placedRun) bool {
				return newer.ended == 0 || run.Begin < newer.ended || r.history.parted(span{newer.ended, run.Begin})
			})
			if newer.runs[0].node != last.node && len(stale) > 1 && !r.stands(last.node, newer.runs[0].node, newer.ended) {
				r.violate(ruleStale, "id %d: %+v on node %d, and node %d had run %+v", id, *stale[1].servedEntry, last.node,
					newer.runs[0].node, *newer.runs[0].servedEntry)
			}
		}
	}
}

// stands reports whether one of two nodes did hardly run when the newer server began: a node that is merely slow does not
// notice that others have taken it for failed.
func (r *report) stands(a, b int, at time.Duration) bool {
	for _, p := range r.history.Processes {
		if p.host() == a || p.host() == b {
			before := span{at - signTime - settleTime, at}
			if before.shared(p.Stalls)-before.shared(p.Pauses) > pauseTime {
				return true
			}
		}
	}
	return false
}

// parted reports whether nodes could not reach each other in s, or had not all met yet.
func (h *history) parted(s span) bool {
	for _, f := range h.Faults {
		switch f.Kind {
		case faultStart, faultCut, faultSplit, faultMute, faultDeaf, faultTwin, faultPair:
			if s.overlaps(f.trouble()) {
				return true
			}
		}
	}
	return false
}
