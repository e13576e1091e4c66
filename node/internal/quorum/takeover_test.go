package quorum

import (
	"context"
	"flag"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

var simTakeover = flag.Int("sim.takeover", 0, "print the times without a place, of so many seeds of each event; about 2 s a seed")

// A takeover is an event in a calm cluster of five nodes, the first three of which are voters.
// The first one leads, and all run short calls. It says for how long ids may have no place: no
// node runs a call of them or may start one, seen from the last node.
type takeover struct {
	name   string
	victim string // whose ids are its own; all ids if it is new
	do     func(*director)
	own    time.Duration // at most, as others
	others time.Duration
	leaves time.Duration // for how long a node may leave at most; 0 if none does
}

const (
	takeoverIDs   = 30
	takeoverTime  = 25 * time.Second // is watched after the event
	takeoverEvery = 5 * time.Millisecond
	ms            = time.Millisecond
)

var takeovers = []takeover{
	{name: "leadership moves", victim: "1@h", own: 0, others: 0,
		do: func(d *director) { d.node("1@h").q.voter.stepDown(context.Background()) }},
	{name: "a member dies", victim: "4@h", own: 5100 * ms, others: 1000 * ms,
		do: func(d *director) { d.node("4@h").kill() }},
	{name: "a member is paused for 20 s", victim: "4@h", own: 5100 * ms, others: 1000 * ms,
		do: func(d *director) { d.node("4@h").pause(20 * time.Second) }},
	{name: "the leader dies, and its ids with it", victim: "1@h", own: 8300 * ms, others: 2400 * ms,
		do: func(d *director) { d.node("1@h").kill() }},
	{name: "a member dies, and the leader 4 s later", victim: "4@h", own: 11000 * ms, others: 7000 * ms,
		do: func(d *director) {
			d.node("4@h").kill()
			time.Sleep(4 * time.Second)
			d.node("1@h").kill()
		}},
	{name: "kill -9, and a restart under the same name 0.3 s later", victim: "4@h", own: 5100 * ms, others: 0,
		do: func(d *director) {
			d.node("4@h").kill()
			time.Sleep(300 * ms)
			d.boot("4@h")
		}},
	{name: "SIGTERM of a member", victim: "4@h", own: 200 * ms, others: 200 * ms, leaves: 200 * ms,
		do: func(d *director) { d.leave("4@h") }},
	{name: "SIGTERM of the leader", victim: "1@h", own: 200 * ms, others: 200 * ms, leaves: 200 * ms,
		do: func(d *director) { d.leave("1@h") }},
	{name: "one joins", own: 700 * ms,
		do: func(d *director) { d.boot("6@h") }},
	{name: "three join at once", own: 700 * ms,
		do: func(d *director) { d.bootAll("6@h", "7@h", "8@h") }},
	{name: "split: the leader and a member against three", victim: "4@h", own: 7000 * ms, others: 7000 * ms,
		do: func(d *director) { d.split("1@h", "4@h") }},
	{name: "split: the leader against four", victim: "1@h", own: 7000 * ms, others: 2400 * ms,
		do: func(d *director) { d.split("1@h") }},
	{name: "a member hears nothing, and is heard", victim: "4@h", own: 6200 * ms, others: 800 * ms,
		do: func(d *director) { d.cutOneWay("", "4@h") }},
	{name: "a member hears all, and is not heard", victim: "4@h", own: 5100 * ms, others: 1000 * ms,
		do: func(d *director) { d.cutOneWay("4@h", "") }},
	{name: "rolling restart of all, each before the last one is back", victim: "1@h", own: 900 * ms, others: 3000 * ms, leaves: 1200 * ms,
		do: (*director).rollSoon},
	{name: "rolling restart of all, 0.5 s apart", victim: "1@h", own: 900 * ms, others: 3000 * ms, leaves: 1200 * ms,
		do: func(d *director) { d.rollAll(500 * ms) }},
	{name: "rolling restart of all, 4 s apart", victim: "1@h", own: 900 * ms, others: 3000 * ms, leaves: 1200 * ms,
		do: func(d *director) { d.rollAll(4 * time.Second) }},
}

// rollAll restarts all nodes, one after the other.
func (d *director) rollAll(apart time.Duration) {
	for _, name := range d.names {
		d.leave(name)
		time.Sleep(300 * ms)
		d.boot(name)
		time.Sleep(apart)
	}
}

// rollSoon restarts all nodes. Each is told to leave when the last one has left, and takes 0.5 s
// to start again.
func (d *director) rollSoon() {
	var starts sync.WaitGroup
	for _, name := range d.names {
		d.leave(name)
		starts.Go(func() {
			time.Sleep(500 * ms)
			d.boot(name)
		})
	}
	starts.Wait()
}

// cutOneWay cuts the links from one node to all, or from all to one.
func (d *director) cutOneWay(from, to string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, name := range d.names {
		switch name {
		case from, to:
		default:
			a, b := from, to
			if a == "" {
				a = name
			} else {
				b = name
			}
			d.cut[[2]string{a, b}] = true
		}
	}
}

// places reports whether the node runs a call of the id that will be answered, or may start one.
func (n *simNode) places(id worker.ID) bool {
	if time.Duration(n.paused.Load()) > n.w.now() {
		return false
	}
	n.mu.Lock()
	r := n.running[id]
	n.mu.Unlock()
	if r != nil {
		return n.q.Valid(r.since, n.q.Clock())
	}
	rights := n.q.Rights()
	v, _, _ := rights.verdict(worker.Key{ID: id})
	return v == Granted && rights.leased(n.q.Clock())
}

// gaps returns the longest time for which each id has no place, until time after do has
// returned.
func (d *director) gaps(do func(), after time.Duration) []time.Duration {
	longest, since := make([]time.Duration, takeoverIDs), make([]time.Duration, takeoverIDs)
	for i := range since {
		since[i] = d.now()
	}
	done := make(chan struct{})
	go func() { defer close(done); do() }()
	end := Forever
	for d.now() < end {
		time.Sleep(takeoverEvery)
		select {
		case <-done:
			end, done = d.now()+after, nil
		default:
		}
		var nodes []*simNode
		for _, n := range d.living() {
			d.mu.Lock()
			cut := d.cut[[2]string{n.name, "5@h"}] || d.cut[[2]string{"5@h", n.name}]
			d.mu.Unlock()
			if !cut {
				nodes = append(nodes, n)
			}
		}
		for i := range since {
			if slices.ContainsFunc(nodes, func(n *simNode) bool { return n.places(worker.IntID(int64(i))) }) {
				since[i] = d.now()
			}
			longest[i] = max(longest[i], d.now()-since[i])
		}
	}
	return longest
}

// A takeoverTime is what one or more runs of a takeover have shown.
type takeoverTimes struct{ own, others, leaves []time.Duration }

// run has the event happen once.
func (e takeover) run(t *testing.T, seed uint64) (times takeoverTimes) {
	d := newCalm(t, seed, "4@h", "5@h")
	if *simLog {
		d.showLog()
	}
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for _, name := range append(slices.Clone(d.names), "6@h", "7@h", "8@h") {
		if !strings.ContainsAny(name, "678") {
			d.boot(name)
		}
		wg.Go(func() { d.eager(ctx, name) })
	}
	time.Sleep(12 * time.Second)
	d.lead("1@h")
	d.rest(3, 5)
	before := d.node("5@h").q.Rights().Newest()
	found := d.gaps(func() { e.do(d) }, takeoverTime)
	for i, gap := range found {
		if m, _ := before.Acting(worker.IntID(int64(i))); e.victim == "" || m.Name == e.victim {
			times.own = append(times.own, gap)
		} else {
			times.others = append(times.others, gap)
		}
	}
	times.leaves = d.left
	stop()
	wg.Wait()
	d.killAll()
	if found := d.history.check(); found.bad() || found.Answered < 100 {
		t.Errorf("%+v", found)
	}
	return times
}

// TestTakeover has ids without a place for no longer than model/README.md says, and a second.
// With -sim.takeover it prints a table.
func TestTakeover(t *testing.T) {
	const slack = time.Second
	if *simTakeover > 0 {
		fmt.Println("| event | own ids | others | to leave |\n|---|---|---|---|")
	} else {
		t.Parallel()
	}
	slots := make(chan struct{}, runtime.GOMAXPROCS(0))
	rows := make([]string, len(takeovers))
	var wg sync.WaitGroup
	for i, e := range takeovers {
		wg.Go(func() {
			var sum takeoverTimes
			for seed := range uint64(max(1, *simTakeover)) {
				func() {
					slots <- struct{}{}
					defer func() { <-slots }() // also if the run ends the goroutine
					synctest.Test(t, func(t *testing.T) {
						times := e.run(t, *simSeed+seed)
						sum.own, sum.others = append(sum.own, times.own...), append(sum.others, times.others...)
						sum.leaves = append(sum.leaves, times.leaves...)
					})
				}()
			}
			rows[i] = fmt.Sprintf("| %s | %s | %s | %s |", e.name, p50max(sum.own), p50max(sum.others), p50max(sum.leaves))
			for _, of := range []struct {
				what  string
				times []time.Duration
				limit time.Duration
			}{{"its own ids", sum.own, e.own}, {"other ids", sum.others, e.others}} {
				if most := slices.Max(append(of.times, 0)); most > of.limit+slack {
					t.Errorf("%s: %s have no place for %v, want at most %v", e.name, of.what, most, of.limit)
				}
			}
			if most := slices.Max(append(sum.leaves, 0)); most > e.leaves+slack {
				t.Errorf("%s: to leave takes %v, want at most %v", e.name, most, e.leaves)
			}
		})
	}
	wg.Wait()
	if *simTakeover > 0 {
		fmt.Println(strings.Join(rows, "\n"))
	}
}

// p50max returns the median and the longest of some times, in seconds.
func p50max(times []time.Duration) string {
	if len(times) == 0 {
		return "–"
	}
	slices.Sort(times)
	return fmt.Sprintf("%.2f / %.2f", times[(len(times)-1)/2].Seconds(), times[len(times)-1].Seconds())
}

// TestMinority checks that the side of a split without a majority refuses calls, at the latest
// when the time of a lease is over.
func TestMinority(t *testing.T) {
	calmly(t, []string{"4@h", "5@h"}, func(d *director) {
		d.split("1@h", "4@h")
		began := d.now()
		for _, name := range []string{"1@h", "4@h"} {
			n, id := d.node(name), worker.IntID(0)
			for i := int64(1); !n.q.Owns(id); i++ {
				id = worker.IntID(i)
			}
			for n.places(id) {
				time.Sleep(takeoverEvery)
			}
			err := n.q.Await(d.t.Context(), worker.Key{ID: id})
			if err == nil || err.Code != wire.NoQuorum || err.Outcome != wire.NotRun {
				d.t.Errorf("%s refuses a call with %v", name, err)
			}
			if took := d.now() - began; took > d.timing.outlived() {
				d.t.Errorf("%s refuses calls after %v", name, took)
			}
		}
	})
}

// TestClockSetBack has nodes start again with an older time than before: they get their ids back.
func TestClockSetBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newCalm(t, 1, "4@h", "5@h")
		d.mu.Lock()
		d.lives = 100
		d.mu.Unlock()
		d.settle()
		for i, name := range []string{"1@h", "4@h"} {
			d.node(name).kill()
			d.mu.Lock()
			d.lives = uint64(i)
			d.mu.Unlock()
			n := d.boot(name)
			time.Sleep(20 * time.Second)
			if r := n.q.Rights(); r.Left(n.q.Clock()) == 0 || r.Newest().seat(r.me) < 0 {
				t.Errorf("%v has no place: %+v", r.me, r.Newest())
			}
		}
		d.killAll()
	})
}

// TestOtherTiming has nodes with other leases than the leader's: they get none, and are told why.
// Then all nodes have those, one after the other, and get places again.
func TestOtherTiming(t *testing.T) {
	calmly(t, []string{"4@h", "5@h"}, func(d *director) {
		leased := func(name string) bool {
			q := d.node(name).q
			return q.Rights().Left(q.Clock()) > 0
		}
		again := func(name string) {
			d.node(name).kill()
			d.timings[name] = NewTiming(2 * time.Second)
			d.boot(name)
		}
		again("4@h")
		time.Sleep(20 * time.Second)
		if leased("4@h") {
			d.t.Error("a node whose leases are of 2 s has one, and those of the leader are of 5 s")
		}
		if err := d.node("4@h").q.Await(d.t.Context(), worker.Key{ID: worker.IntID(7)}); err == nil || !strings.Contains(err.Error(), "same --timing") {
			d.t.Errorf("%v; want what to do", err)
		}
		for _, name := range []string{"5@h", "3@h", "2@h", "1@h"} {
			again(name)
			time.Sleep(10 * time.Second)
		}
		time.Sleep(10 * time.Second)
		for _, name := range d.names {
			if !leased(name) {
				d.t.Errorf("%s has no lease, and all nodes have the same timing", name)
			}
		}
	})
}
