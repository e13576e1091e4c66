//go:build unix

package faults

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// Faults of runs of strict kinds. Some befall the node that leads the voters, whichever
// that is when they strike; the log of a node says whether it leads.

// A target is whom a fault befalls.
type target string

const (
	anyNode   target = "node"       // one that does not lead
	theLeader target = "leader"     // of the voters
	twoNodes  target = "leader+one" // both at once
	everybody target = "all"
)

// leases is the time of a lease by timing.
var leases = map[string]time.Duration{"local": 2 * time.Second, "lan": 5 * time.Second, "wan": 15 * time.Second}

// strictVoters is how many nodes are voters: the first ones.
const strictVoters = 3

// leader returns the node that leads the voters, or the first voter if none does.
func (c *cluster) leader() int {
	best, since := 1, int64(0)
	for i := range strictVoters {
		p := c.process(i + 1)
		select {
		case <-p.done:
			continue
		default:
		}
		if p.stderr != nil && p.stderr.leads.Load() > since {
			best, since = i+1, p.stderr.leads.Load()
		}
	}
	return best
}

// aim returns the faults that a planned one is, now that it strikes. They begin at once.
func (c *cluster) aim(f plannedFault) (list []plannedFault) {
	leader := c.leader()
	f.nodes = slices.Clone(f.nodes)
	at, to := slices.Index(f.nodes, leader), 0
	if f.target == anyNode {
		to = faultNodes - 1
	}
	if f.kind != faultRing { // whose order counts
		f.nodes[to], f.nodes[at] = leader, f.nodes[to]
	}
	switch f.kind {
	case faultRoll, faultApart, faultRing:
	case faultSplit:
		f.nodes = f.nodes[:2]
	default:
		if f.target == twoNodes {
			other := f
			other.nodes = []int{f.nodes[1]}
			list = append(list, other)
		}
		f.nodes = f.nodes[:1]
	}
	return append(list, f)
}

// strikeAt inflicts a planned fault of a run of strict kinds.
func (c *cluster) strikeAt(f plannedFault) error {
	faults := c.aim(f)
	errs := make([]error, len(faults))
	var wg sync.WaitGroup
	for i, f := range faults {
		wg.Go(func() { errs[i] = c.strike(f) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// wipe kills a voter, and starts it again without what it had on its disk.
func (c *cluster) wipe(f plannedFault) error {
	i := f.nodes[0]
	err := c.end(i)
	c.sleep(f.length)
	dir := filepath.Join(c.dir, "state", "distproc", c.name(i))
	if _, statErr := os.Stat(filepath.Join(dir, "voter.json")); statErr != nil {
		err = errors.Join(err, fmt.Errorf("not the data directory of a voter: %w", statErr))
	}
	err = errors.Join(err, os.RemoveAll(dir))
	c.launch(i, f.how)
	return err
}
