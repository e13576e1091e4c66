//go:build unix

package faults

import (
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/distproc/distproc/node/worker"
)

// strictGood returns a history without a violation, in which node 2 was killed. Counter 7
// was on node 1, and then on node 2. Its last call was on its way when node 2 was killed.
func strictGood() *history {
	const ms = time.Millisecond
	h := goodHistory()
	h.Lease = 2 * second
	clients, nodes := h.Processes[3], h.Processes[:3]
	clients.StrictCalls = map[int64]*strictCall{}
	for _, p := range h.Processes {
		p.StrictRuns = map[int64]*strictRun{}
	}
	call := func(message int64, begin time.Duration, before int64) *strictCall {
		c := &strictCall{Kind: counterKind, ID: 7, strictRequest: strictRequest{Message: message, Op: opAdd}, span: span{begin, begin + 100*ms}, Via: 1, Before: before, After: before + 1, Node: 1}
		clients.StrictCalls[message] = c
		return c
	}
	run := func(process int, c *strictCall, token worker.Token) *strictRun {
		r := &strictRun{Number: c.Message, Kind: c.Kind, ID: c.ID, Message: c.Message, Node: nodes[process].Node, Token: token, span: span{c.Begin + 10*ms, c.End - 10*ms}}
		nodes[process].StrictRuns[c.Message] = r
		clients.Writes = append(clients.Writes, writeEntry{r.End - 10*ms, c.Kind, c.ID, c.Message, token, c.After})
		return r
	}
	run(0, call(1, 5*second, 0), worker.Token{Epoch: 1, Count: 1})
	run(0, call(2, 6*second, 1), worker.Token{Epoch: 1, Count: 2})
	c := call(3, 9*second, 2)
	c.Node = 2
	run(1, c, worker.Token{Epoch: 2, Count: 1})
	c = call(4, 10*second-50*ms, 3)
	run(1, c, worker.Token{Epoch: 2, Count: 2}).End = 0
	c.Err, c.Outcome = "unreachable", worker.OutcomeUnknown
	c = call(5, 10*second, 0)
	c.Err, c.Outcome = "no quorum", worker.OutcomeNotRun
	return h
}

// TestStrictRules breaks each rule for strict kinds in a history that is good otherwise.
func TestStrictRules(t *testing.T) {
	t.Parallel()
	call := func(h *history, message int64) *strictCall { return h.Processes[3].StrictCalls[message] }
	run := func(h *history, message int64) *strictRun {
		for _, p := range h.Processes {
			if r := p.StrictRuns[message]; r != nil {
				return r
			}
		}
		return nil
	}
	writes := func(h *history) []writeEntry { return h.Processes[3].Writes }
	fail := func(c *strictCall, o worker.Outcome) { c.Err, c.Outcome = "failed", o }
	for _, test := range []ruleTest{
		{"nothing", func(*history) {}, nil},
		{"two runs at once", func(h *history) {
			call(h, 2).span = call(h, 1).span
			run(h, 2).span = run(h, 1).span
		}, []Rule{ruleAtOnce}},
		{"a run in one that was acknowledged", func(h *history) {
			run(h, 4).Begin = run(h, 3).Begin + 1
		}, []Rule{ruleInside}},
		{"a run in one that was acknowledged, of a process that stood still", func(h *history) {
			run(h, 4).Begin = run(h, 3).Begin + 1
			h.Processes[1].Stalls = []span{{9 * second, 9*second + 1}}
		}, nil},
		{"a run in one that was not acknowledged", func(h *history) {
			run(h, 4).Begin = run(h, 3).Begin + 1
			fail(call(h, 3), worker.OutcomeUnknown)
		}, nil},
		{"a lower token", func(h *history) { run(h, 3).Token.Epoch = 0 }, []Rule{ruleTokens}},
		{"the same token", func(h *history) { run(h, 2).Token.Count = 1 }, []Rule{ruleTokens}},
		{"a lower token that is accepted", func(h *history) { writes(h)[2].Token.Epoch = 0 }, []Rule{ruleTokens}},
		{"refused with a lease", func(h *history) {
			run(h, 4).Refused = true
			fail(call(h, 4), worker.OutcomeRan)
		}, []Rule{ruleRefused}},
		{"refused without", func(h *history) { run(h, 4).Refused = true }, nil},
		{"run although it is said not to", func(h *history) { fail(call(h, 4), worker.OutcomeNotRun) }, []Rule{ruleNotRun, ruleCounted}},
		{"run twice", func(h *history) {
			again := *run(h, 3)
			again.Token.Count, again.Begin, again.End = 3, 9*second+500*time.Millisecond, 9*second+600*time.Millisecond
			h.Processes[1].StrictRuns[33] = &again
		}, []Rule{ruleNotRun}},
		{"an answer without a run", func(h *history) { delete(h.Processes[1].StrictRuns, 3) }, []Rule{ruleNotRun}},
		{"an answer before its run has ended", func(h *history) { run(h, 3).End = call(h, 3).End + 1 }, []Rule{ruleNotRun}},
		{"an answer of another node", func(h *history) { call(h, 3).Node = 1 }, []Rule{ruleNotRun}},
		{"an increment that is lost", func(h *history) {
			h.Processes[3].Writes = writes(h)[:2]
		}, []Rule{ruleCounted}},
		{"an increment that is counted twice", func(h *history) {
			w := writes(h)[3]
			w.Value++
			h.Processes[3].Writes = append(writes(h), w)
		}, []Rule{ruleCounted}},
		{"an unknown increment that is not counted", func(h *history) { h.Processes[3].Writes = writes(h)[:3] }, nil},
		{"an answer that is stale", func(h *history) { call(h, 3).Before, call(h, 3).After = 1, 2 }, []Rule{ruleCounted, ruleLinear}},
		{"a call of a process that was killed", func(h *history) {
			c := call(h, 3)
			c.End = 0
			fail(c, worker.OutcomeUnknown)
		}, nil},
		{"what came after the end", func(h *history) {
			h.End = 8 * second
			h.Faults = h.Faults[:1]
			for _, c := range h.Processes {
				c.Calls, c.Served, c.Servers = nil, nil, nil
			}
			run(h, 3).Token.Epoch, writes(h)[2].Token.Epoch = 0, 0
		}, nil},
		{"a call fails long after the fault", func(h *history) {
			c := call(h, 5)
			c.Begin, c.End = 23*second, 24*second
		}, []Rule{ruleStrict}},
		{"a slow call long after the fault", func(h *history) {
			for _, s := range []*span{&call(h, 3).span, &run(h, 3).span} {
				s.Begin, s.End = 23*second, 24*second+10*time.Millisecond
			}
			run(h, 3).End--
			h.Processes[2].StrictRuns[3] = run(h, 3)
			delete(h.Processes[1].StrictRuns, 3)
			run(h, 4).Token = worker.Token{Epoch: 1, Count: 3}
			h.Processes[3].Writes = append(writes(h)[:2], writes(h)[3], writes(h)[2])
			writes(h)[2].Token = worker.Token{Epoch: 1, Count: 3}
		}, []Rule{ruleStrict}},
		{"two disks are lost, and calls go on", func(h *history) {
			h.Faults = append(h.Faults, fault{Kind: faultWipe, Nodes: []int{1}, span: span{second, second}},
				fault{Kind: faultWipe, Nodes: []int{3}, span: span{2 * second, 2 * second}})
		}, []Rule{ruleStranger}},
		{"one disk is lost twice", func(h *history) {
			h.Faults = append(h.Faults, fault{Kind: faultWipe, Nodes: []int{1}, span: span{second, second}},
				fault{Kind: faultWipe, Nodes: []int{1}, span: span{2 * second, 2 * second}})
		}, nil},
		{"views that never agree", func(h *history) { h.Processes[0].Views = h.Processes[0].Views[:2] }, []Rule{ruleViews}},
		{"views that waver later", func(h *history) {
			p := h.Processes[0]
			p.Views = append(p.Views, viewEntry{25 * second, "epoch 1, 1 alive 7, 2 failed 9"})
		}, nil},
		{"files", func(h *history) { h.Processes[2].Sizes = []sizeEntry{{26 * second, 20, 1 << 20, 21}} }, []Rule{ruleGrowth}},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := strictGood()
			test.spoil(h)
			r := check(h)
			for _, rule := range test.want {
				if len(r.Violations[rule]) == 0 {
					t.Errorf("not found: %q", rule)
				}
			}
			if len(r.Violations) != len(test.want) {
				t.Errorf("want %q, found:\n%s", test.want, r.violations())
			}
		})
	}
}

// TestTakeovers measures how long calls of ids had no answer.
func TestTakeovers(t *testing.T) {
	t.Parallel()
	h := &history{Lease: 2 * second, End: 40 * second, Faults: []fault{
		{Kind: faultStart, Nodes: []int{1, 2, 3, 4, 5}, span: span{0, second}},
		{Kind: faultKill, target: anyNode, Nodes: []int{2}, span: span{10 * second, 13 * second}},
		{Kind: faultKill, target: anyNode, Nodes: []int{2}, span: span{14 * second, 15 * second}}, // too soon after that
		{Kind: faultPause, target: theLeader, Nodes: []int{1}, span: span{25 * second, 26 * second}},
	}}
	var calls []*strictCall
	for at := time.Duration(0); at < h.End; at += second / 2 {
		for slot := range int64(2) { // of node 1 and of node 2
			c := &strictCall{Kind: counterKind, ID: slot + strictSlots, span: span{at, at + 1}}
			if slot == 1 && at > 10*second && at < 13*second {
				fail := *c
				c = &fail
				c.Err = "no quorum"
			}
			calls = append(calls, c)
		}
	}
	want := []Takeover{
		{"kill node", 1, []time.Duration{3 * second}, []time.Duration{second / 2}},
		{"pause leader", 1, []time.Duration{second / 2}, []time.Duration{second / 2}},
	}
	if got := h.takeovers(calls); !reflect.DeepEqual(got, want) {
		t.Errorf("takeovers:\n%+v\nwant\n%+v", got, want)
	}
}

// TestStrictPlan checks that a seed always gives the same faults of all kinds, and that a
// voter loses its disk once.
func TestStrictPlan(t *testing.T) {
	t.Parallel()
	plans := func(seed uint64) [][]plannedFault {
		return strictEpisodes(rand.New(rand.NewPCG(seed, 0)), 2*second, 20*60*second)
	}
	if !reflect.DeepEqual(plans(1), plans(1)) || reflect.DeepEqual(plans(1), plans(2)) {
		t.Error("the faults do not follow from the seed")
	}
	seen := map[string]int{}
	for _, f := range slices.Concat(plans(1)...) {
		seen[fault{Kind: f.kind, target: f.target}.name()]++
		if f.at < 0 || f.at+f.length > 100*second {
			t.Errorf("%v is out of time", f)
		}
		if f.kind == faultWipe && (len(f.nodes) != 1 || f.nodes[0] > strictVoters) {
			t.Errorf("%v: want one voter", f)
		}
	}
	for _, c := range strictCards {
		if name := (fault{Kind: c.kind, target: c.target}).name(); seen[name] == 0 {
			t.Errorf("no %s, of %v", name, seen)
		}
	}
	if seen["wipe"] != 1 || seen["roll all"] == 0 {
		t.Errorf("want one wipe and some rolling restarts, of %v", seen)
	}
}
