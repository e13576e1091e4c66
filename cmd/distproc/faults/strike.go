//go:build unix

package faults

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"syscall"
	"time"
)

const (
	faultDrain = time.Second      // a node's --drain-delay
	burstSize  = 25               // messages for each serial id, by each node
	burstTime  = time.Second / 10 // until queues are full
	joinedTime = 10 * time.Second // that a new process has to be ready
)

// strikeAll strikes as planned. It returns when the last fault has ended.
func (c *cluster) strikeAll(plan []plannedFault) {
	begin := time.Now()
	var wg sync.WaitGroup
	for _, f := range plan {
		wg.Go(func() {
			c.sleep(time.Until(begin.Add(f.at)))
			strike := c.strike
			if f.target != "" {
				strike = c.strikeAt
			}
			if err := strike(f); err != nil {
				c.fail(fmt.Errorf("%v: %w", f, err))
			}
		})
	}
	wg.Wait()
}

// strike inflicts a planned fault from its begin to its end. Only one fault at a time
// restarts, pauses or uses a node.
func (c *cluster) strike(f plannedFault) error {
	i := f.nodes[0]
	switch alone := &c.restarting[i]; {
	case f.kind == faultReset, f.kind == faultRoll: // the latter locks one after the other
	case f.kind != faultTwin && slices.Contains(partitionFaults, f.kind), f.kind == faultApart, f.kind == faultRing:
	default:
		alone.Lock()
		defer alone.Unlock()
	}
	done := &fault{Kind: f.kind, Nodes: f.nodes, target: f.target, how: f.how, before: c.logged[i].Load()}
	c.note(func() {
		done.Begin = c.now()
		c.faults = append(c.faults, done)
	})
	err := c.inflict(f, done)
	c.note(func() { done.End, done.Logged = c.now(), c.logged[i].Load()-done.before })
	return err
}

// inflict does what strike has begun to record in done.
func (c *cluster) inflict(f plannedFault, done *fault) (err error) {
	i := f.nodes[0]
	switch f.kind {
	case faultKill:
		err = c.end(i)
		c.sleep(f.length)
		c.launch(i, f.how)
	case faultTerm:
		c.stop(i)
		c.sleep(f.length)
		c.launch(i, f.how)
	case faultRoll:
		c.roll(f.nodes)
	case faultWipe:
		err = c.wipe(f)
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

// roll restarts the nodes one after the other.
func (c *cluster) roll(nodes []int) {
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
			c.fail(fmt.Errorf("node %d is not ready %v after its start; its log says why", node, joinedTime))
		}
		c.restarting[node].Unlock()
	}
}

// pause stops a node for a time. If the fault is "full", it first fills the queues of all
// serial ids.
func (c *cluster) pause(f plannedFault) error {
	if f.how == "full" {
		for i := range faultNodes {
			_, _ = fmt.Fprintln(c.process(i+1).in, "burst") // fails if it is down
		}
		c.sleep(burstTime)
	}
	p := c.process(f.nodes[0])
	var at int
	c.note(func() {
		at = len(p.Pauses)
		p.Pauses = append(p.Pauses, span{Begin: c.now()})
	})
	err := p.signal(syscall.SIGSTOP)
	c.sleep(f.length)
	err = errors.Join(err, p.signal(syscall.SIGCONT))
	c.note(func() { p.Pauses[at].End = c.now() })
	return err
}

func (c *cluster) partition(f plannedFault) error {
	err := c.net.strike(f)
	c.sleep(f.length)
	return errors.Join(err, c.net.heal(f))
}

// twin splits the cluster and starts a node of the same name and address in the other
// part. It kills that node when it must have left, some time after the end of the split.
func (c *cluster) twin(f plannedFault, done *fault) error {
	if err := errors.Join(c.net.strike(f), c.net.move(f, 1)); err != nil {
		return err
	}
	p := c.launchTwin(f.nodes[0])
	c.sleep(f.length)
	err := c.net.heal(f)
	c.note(func() { done.Healed = c.now() })
	c.sleep(twinTime + time.Second)
	return errors.Join(err, c.endProcess(p), c.net.move(f, -1))
}
