//go:build unix

package faults

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/distproc/distproc/node/worker"
)

// add, and the others, return a call from a begin to an end, in ms, with an answer.
func add(begin, end int, before int64) *strictCall {
	return called(counterKind, opAdd, begin, end, before, 0, 0)
}
func get(begin, end int, before int64) *strictCall {
	return called(counterKind, opGet, begin, end, before, 0, 0)
}

func read(begin, end int, before int64) *strictCall {
	return called(registerKind, opGet, begin, end, before, 0, 0)
}

func write(begin, end int, before, value int64) *strictCall {
	return called(registerKind, opWrite, begin, end, before, 0, value)
}

func compare(begin, end int, before, want, value int64) *strictCall {
	return called(registerKind, opCompare, begin, end, before, want, value)
}

func called(kind string, op operation, begin, end int, before, want, value int64) *strictCall {
	c := &strictCall{Kind: kind, ID: 7, Before: before, strictRequest: strictRequest{Op: op, Want: want, New: value}}
	c.Begin, c.End = time.Duration(begin)*time.Millisecond, time.Duration(end)*time.Millisecond
	c.After = c.apply(before)
	return c
}

// lost returns the call with no answer, and an outcome.
func lost(c *strictCall, o worker.Outcome) *strictCall {
	c.Err, c.Outcome, c.Before, c.After = "lost", o, 0, 0
	return c
}

func unknown(c *strictCall) *strictCall { return lost(c, worker.OutcomeUnknown) }

// TestLinear checks short histories.
func TestLinear(t *testing.T) {
	t.Parallel()
	wrong := add(30, 40, 1)
	wrong.After = 3
	for _, test := range []struct {
		name   string
		calls  []*strictCall
		linear bool
	}{
		{"one after the other", []*strictCall{add(0, 10, 0), add(20, 30, 1), get(40, 50, 2)}, true},
		{"at once", []*strictCall{add(0, 50, 1), add(0, 50, 0), add(10, 60, 2)}, true},
		{"counted twice", []*strictCall{add(0, 10, 0), get(20, 30, 2)}, false},
		{"a lost update", []*strictCall{add(0, 10, 0), add(5, 20, 0)}, false},
		{"a stale read", []*strictCall{add(0, 10, 0), get(20, 30, 0)}, false},
		{"a read of the future", []*strictCall{get(0, 10, 1), add(20, 30, 0)}, false},
		{"a wrong sum", []*strictCall{add(0, 10, 0), wrong}, false},
		{"unknown, and counted", []*strictCall{add(0, 10, 0), unknown(add(20, 30, 0)), get(40, 50, 2)}, true},
		{"unknown, and counted later", []*strictCall{unknown(add(0, 10, 0)), get(20, 30, 0), get(40, 50, 1)}, true},
		{"unknown, and not counted", []*strictCall{unknown(add(0, 10, 0)), get(20, 30, 0)}, true},
		{"unknown, and counted twice", []*strictCall{unknown(add(0, 10, 0)), get(20, 30, 1), get(40, 50, 2)}, false},
		{"unknown, and counted before it began", []*strictCall{get(0, 10, 1), unknown(add(20, 30, 0))}, false},
		{"ran and failed", []*strictCall{lost(add(0, 10, 0), worker.OutcomeRan), get(20, 30, 1)}, true},
		{"not run, and counted", []*strictCall{lost(add(0, 10, 0), worker.OutcomeNotRun), get(20, 30, 1)}, false},
		{"an unknown read", []*strictCall{unknown(get(0, 10, 0)), get(20, 30, 1)}, false},

		{"written", []*strictCall{write(0, 10, 0, 5), read(20, 30, 5), compare(40, 50, 5, 5, 6), read(60, 70, 6)}, true},
		{"compared in vain", []*strictCall{write(0, 10, 0, 5), compare(20, 30, 5, 4, 6), read(40, 50, 5)}, true},
		{"compared in vain, and written", []*strictCall{write(0, 10, 0, 5), compare(20, 30, 5, 4, 6), read(40, 50, 6)}, false},
		{"two succeed", []*strictCall{compare(0, 10, 0, 0, 5), compare(5, 20, 0, 0, 6)}, false},
		{"a stale number", []*strictCall{write(0, 10, 0, 5), write(20, 30, 5, 6), read(40, 50, 5)}, false},
		{"written late", []*strictCall{unknown(write(0, 10, 0, 5)), read(20, 30, 0), read(40, 50, 5)}, true},
		{"written late, over another", []*strictCall{unknown(write(0, 10, 0, 5)), write(20, 30, 0, 6), read(40, 50, 6), read(60, 70, 5)}, true},
		{"written late, twice", []*strictCall{
			unknown(write(0, 10, 0, 5)), write(20, 30, 5, 6), read(40, 50, 6), read(60, 70, 5),
		}, false},
		{"written before it began", []*strictCall{read(0, 10, 5), unknown(write(20, 30, 0, 5))}, false},
		{"not run, and written", []*strictCall{lost(write(0, 10, 0, 5), worker.OutcomeNotRun), read(20, 30, 5)}, false},
		{"a chain of unknown calls", []*strictCall{
			unknown(write(0, 10, 0, 5)), unknown(compare(0, 10, 0, 5, 6)), read(20, 30, 6),
		}, true},
		{"a chain that is broken", []*strictCall{
			write(0, 10, 0, 4), unknown(compare(20, 30, 0, 5, 6)), read(40, 50, 6),
		}, false},
	} {
		if wrong := checkLinear(test.calls, time.Minute); (len(wrong) == 0) != test.linear {
			t.Errorf("%s: linearizable should be %v; found %q", test.name, test.linear, wrong)
		}
	}
}

// TestLinearTime gives the search no time. That counts as a failure.
func TestLinearTime(t *testing.T) {
	t.Parallel()
	if wrong := checkLinear([]*strictCall{add(0, 10, 0)}, 0); len(wrong) != 1 || !strings.Contains(wrong[0], "no order found") {
		t.Errorf("found %q, want that no order was found", wrong)
	}
}

// A register is as it should be, with calls that are lost at times.
type register struct {
	rng   *rand.Rand
	value int64
	calls []*strictCall
}

// run has callers make calls. Each takes effect between its begin and its end, and if its
// outcome is unknown perhaps later or never.
func (r *register) run(kind string, length, callers int) {
	type late struct {
		*strictCall
		at int
	}
	var open []late
	busy := make([]int, callers) // until when
	for at := range length {
		for i, l := range open {
			if l.strictCall != nil && l.at == at {
				l.Before = r.value
				r.value = l.apply(r.value)
				l.After, open[i].strictCall = r.value, nil
			}
		}
		for i := range busy {
			if busy[i] >= at {
				continue
			}
			busy[i] = at + 2 + r.rng.IntN(20)
			ops := []operation{opAdd, opGet}
			if kind == registerKind {
				ops = []operation{opWrite, opGet, opCompare}
			}
			c := called(kind, ops[r.rng.IntN(len(ops))], at, busy[i], 0, r.value, int64(len(r.calls)+1))
			r.calls = append(r.calls, c)
			open = append(open, late{c, at + 1 + r.rng.IntN(busy[i]-at-1)})
			if r.rng.IntN(20) == 0 {
				c.Err, c.Outcome = "lost", worker.OutcomeUnknown
				open[len(open)-1].at = at + 1 + r.rng.IntN(length)
			}
		}
	}
	for _, l := range open {
		if l.strictCall != nil {
			unknown(l.strictCall)
		}
	}
}

// TestLinearFast checks long histories with many unknown calls, which are as they should
// be, and the same ones with one answer changed.
func TestLinearFast(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{counterKind, registerKind} {
		r := &register{rng: rand.New(rand.NewPCG(1, 0))}
		r.run(kind, 2000, 8)
		if wrong := checkLinear(r.calls, time.Minute); len(wrong) > 0 {
			t.Errorf("%d calls: %s", len(r.calls), wrong)
		}
		for _, c := range r.calls[len(r.calls)/2:] {
			if c.acknowledged() && c.Op != opGet && c.After != c.Before {
				c.Before--
				c.After = c.apply(c.Before)
				break
			}
		}
		if wrong := checkLinear(r.calls, time.Minute); len(wrong) == 0 {
			t.Errorf("%d calls of a %s, with a wrong answer among them, are found in order", len(r.calls), kind)
		}
	}
}

// An original behaves as the program that distproc replaces: each node that does not see
// the owner of an id starts a worker of its own for it, with a number of its own.
type original struct {
	nodes   int
	workers map[int]int64 // the number of the id, by node
	apart   func(a, b int) bool
}

// add has a node add 1 to the id's number, wherever it takes the worker to be.
func (o *original) add(id, node int) (before int64, at int) {
	var seen []int
	for other := range o.nodes {
		if !o.apart(node, other) {
			seen = append(seen, other)
		}
	}
	if at = id % o.nodes; o.apart(node, at) {
		at = seen[id%len(seen)]
	}
	o.workers[at]++
	return o.workers[at] - 1, at
}

// TestOriginal checks what the original does in a whole cluster, and in a split.
func TestOriginal(t *testing.T) {
	t.Parallel()
	const nodes, id = 5, 2
	history := func(split func(at int) bool) (calls []*strictCall) {
		at := 0
		o := &original{nodes: nodes, workers: map[int]int64{}, apart: func(a, b int) bool { return split(at) && (a < 3) != (b < 3) }}
		for ; at < 300; at += 10 {
			before, on := o.add(id, at/10%nodes)
			c := add(at, at+5, before)
			c.Via, c.Node = at/10%nodes+1, on+1
			calls = append(calls, c)
		}
		return calls
	}
	if wrong := checkLinear(history(func(int) bool { return false }), time.Minute); len(wrong) > 0 {
		t.Errorf("in a whole cluster: %s", wrong)
	}
	wrong := checkLinear(history(func(at int) bool { return at >= 100 && at < 200 }), time.Minute)
	if len(wrong) != 1 || !strings.Contains(wrong[0], "on node 4") { // where those apart from node 3 start another worker
		t.Errorf("in a split: found %q, want a number that another worker had as well", wrong)
	}
}
