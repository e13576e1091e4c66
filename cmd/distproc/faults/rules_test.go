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

const second = time.Second

// goodHistory returns a history of two nodes without a violation: node 2 was killed and
// started again, clients called.
func goodHistory() *history {
	const both = "epoch 1, 1 alive 7, 2 alive 9"
	sizes := []sizeEntry{{4 * second, 20, 1 << 20, 0}, {5 * second, 25, 2 << 20, 0}, {26 * second, 25, 3 << 20, 0}}
	return &history{
		TTL: faultTTL, Nodes: 2, End: 30 * second,
		Faults: []fault{
			{Kind: faultStart, Nodes: []int{1, 2}, span: span{0, second}},
			{Kind: faultKill, Nodes: []int{2}, span: span{10 * second, 12 * second}},
		},
		Processes: []*processHistory{
			{
				Node: 1, Life: span{0, 31 * second}, Asked: 30 * second, Sizes: sizes,
				Views: []viewEntry{{second, both}, {10 * second, "epoch 1, 1 alive 7, 2 failed 8"}, {12 * second, both}},
				Runs: map[int64]*runEntry{
					1: {1, 4, span{15 * second, 15*second + 10*time.Millisecond}, false},
					2: {2, 5, span{25 * second, 25*second + 10*time.Millisecond}, false},
				},
				Calls: []callEntry{
					{
						ID: 4, span: span{15 * second, 15*second + 11*time.Millisecond},
						Value: 1, Node: 1, Age: 10 * time.Millisecond, Degraded: true,
					},
					{
						ID: 5, span: span{25*second + 100*time.Millisecond, 25*second + 101*time.Millisecond},
						Value: 2, Node: 1, Age: 100 * time.Millisecond, Cached: true,
					},
					{ID: 5, span: span{25 * second, 25*second + 5*time.Millisecond}, Brief: true, Err: "deadline exceeded"},
				},
				Servers: map[int64]*serverEntry{3: {3, 6, span{15 * second, 16 * second}}, 4: {4, 6, span{25 * second, 26 * second}}},
				Served: map[int64]*servedEntry{
					5: {5, 50, 6, 3, span{15 * second, 15*second + 10*time.Millisecond}, false},
					6: {6, 60, 6, 4, span{25 * second, 25*second + 10*time.Millisecond}, true},
				},
			},
			{Node: 2, Life: span{0, 10 * second}},
			{
				Node: 2, Life: span{11 * second, 31 * second}, Asked: 30 * second, Sizes: sizes, Views: []viewEntry{{12 * second, both}},
				Runs: map[int64]*runEntry{2<<32 + 1: {2<<32 + 1, 4, span{15 * second, 15*second + 20*time.Millisecond}, false}},
				Calls: []callEntry{
					{ID: 6, Message: 50, span: span{15 * second, 15*second + 11*time.Millisecond}, Value: 5, Node: 1},
					{ID: 6, Message: 60, span: span{25 * second, 25*second + 11*time.Millisecond}, Err: "failed", Outcome: worker.OutcomeRan},
					{ID: 6, Message: 70, span: span{16 * second, 20 * second}, Err: "unreachable", Outcome: worker.OutcomeNotRun},
					{ID: 6, Message: 80, span: span{25 * second, 25*second + 1}, Brief: true, Err: "deadline exceeded", Outcome: worker.OutcomeNotRun},
				},
				Servers: map[int64]*serverEntry{}, Served: map[int64]*servedEntry{},
			},
			{
				Life:  span{second, 31 * second},
				Calls: []callEntry{{ID: 4, Via: 2, span: span{11 * second, 14 * second}, Err: "unreachable"}},
			},
		},
	}
}

// A ruleTest spoils a history that is good otherwise.
type ruleTest struct {
	name  string
	spoil func(*history)
	want  []Rule // that it breaks
}

func testRules(t *testing.T, tests []ruleTest) {
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := goodHistory()
			test.spoil(h)
			r := check(h)
			for _, rule := range test.want {
				if len(r.Violations[rule]) == 0 {
					t.Errorf("not found: %q", rule)
				}
			}
			if len(r.Violations) != len(test.want) {
				t.Errorf("want %q, found:\n%s", test.want, r)
			}
		})
	}
}

// TestFaultRules breaks each rule in a history that is good otherwise.
func TestFaultRules(t *testing.T) {
	t.Parallel()
	call := func(h *history, i int) *callEntry { return &h.Processes[0].Calls[i] }
	message := func(h *history, i int) *callEntry { return &h.Processes[2].Calls[i] }
	run := func(h *history, process int, number, message int64, s span) {
		h.Processes[process].Served[number] = &servedEntry{number, message, 6, 0, s, false}
	}
	server := func(h *history, process int, number int64, s span) {
		h.Processes[process].Servers[number] = &serverEntry{number, 6, s}
	}
	pause := func(h *history, node int) {
		h.Faults = append(h.Faults, fault{Kind: faultPause, Nodes: []int{node}, span: span{14 * second, 15 * second}})
	}
	misuse := func(h *history, kind faultKind, logged int64) {
		h.Faults = append(h.Faults, fault{Kind: kind, Nodes: []int{2}, span: span{22 * second, 27 * second}, Logged: logged})
	}
	heap := func(h *history, bytes uint64) {
		h.Processes[2].Sizes = append(h.Processes[2].Sizes, sizeEntry{15 * second, 20, bytes, 0})
	}
	queue := func(h *history, busy time.Duration) {
		begin := 25*second + 20*time.Millisecond
		message(h, 2).Err, message(h, 2).span = "deadline exceeded", span{begin, begin + second}
		h.Processes[0].Served[7] = &servedEntry{7, 90, 6, 4, span{begin, begin + busy}, false}
	}
	program := func(h *history, entries ...programEntry) { h.Processes[2].Programs = entries }
	testRules(t, []ruleTest{
		{"nothing", func(*history) {}, nil},
		{"a failed call", func(h *history) { call(h, 0).Err = "unreachable" }, []Rule{ruleFailed}},
		{"a failed call in a hurry", func(h *history) { call(h, 2).Err = "unreachable" }, []Rule{ruleFailed}},
		{"a failed call of a paused node", func(h *history) {
			call(h, 0).Err = "unreachable"
			h.Processes[0].Pauses = []span{{14 * second, 16 * second}}
		}, nil},
		{"a failed call of a node that leaves", func(h *history) {
			call(h, 0).Err = "closed"
			h.Processes[0].Asked = 15 * second
		}, nil},
		{"a client's call fails while its node is well", func(h *history) { h.Processes[3].Calls[0].Via = 1 }, []Rule{ruleFailed}},
		{"a client's call fails long after its node was struck", func(h *history) {
			h.Processes[3].Calls[0].span = span{23 * second, 24 * second}
		}, []Rule{ruleFailed}},
		{"a slow call", func(h *history) { call(h, 0).Begin = 10 * second }, []Rule{ruleSlow}},
		{"a slow call of a process that did not run", func(h *history) {
			call(h, 0).Begin = 10 * second
			h.Processes[0].Stalls = []span{{11 * second, 14 * second}}
		}, nil},
		{"a slow call long after the fault", func(h *history) {
			call(h, 1).Begin -= 2 * second
		}, []Rule{ruleLate}},
		{"a slow call of a direct client that has not met the fault", func(h *history) {
			call(h, 1).Begin, call(h, 1).By = call(h, 1).Begin-2*second, directClient
			pause(h, 2)
		}, nil},
		{"a slow call of a direct client long after the fault", func(h *history) {
			call(h, 1).Begin, call(h, 1).By = call(h, 1).Begin-2*second, directClient
		}, []Rule{ruleLate}},
		{"a slow call while a node hardly runs", func(h *history) {
			call(h, 1).Begin -= 2 * second
			h.Processes[2].Stalls = []span{{17 * second, 26 * second}}
		}, nil},
		{"an answer of no process", func(h *history) { call(h, 0).Value = 9 << 32 }, []Rule{ruleRun}},
		{"an answer of no run", func(h *history) { call(h, 0).Value = 77 }, []Rule{ruleRun}},
		{"an answer of another id's run", func(h *history) { call(h, 0).ID = 6 }, []Rule{ruleRun}},
		{"an answer of a run that failed", func(h *history) { h.Processes[0].Runs[1].Failed = true }, []Rule{ruleRun}},
		{"an answer of a run that never ended", func(h *history) { h.Processes[0].Runs[1].End = 0 }, []Rule{ruleRun}},
		{"an answer before its run", func(h *history) { call(h, 0).End = 15*second + 5*time.Millisecond }, []Rule{ruleRun}},
		{"an answer of another node's run", func(h *history) { call(h, 0).Node = 2 }, []Rule{ruleRun}},
		{"an answer that was handed over", func(h *history) { call(h, 0).Node, call(h, 0).Cached = 2, true }, nil},
		{"an answer that was handed over in a whole cluster", func(h *history) { call(h, 1).Node = 2 }, []Rule{ruleRun}},
		{"an old answer that was handed over", func(h *history) {
			h.Processes[0].Runs[1].span = span{12 * second, 12*second + 10*time.Millisecond}
			call(h, 0).Node, call(h, 0).Cached = 2, true
		}, []Rule{ruleAge}},
		{"an old answer", func(h *history) {
			c := call(h, 1)
			c.Begin, c.End, c.Age = c.Begin+second, c.End+second, c.Age+second
		}, []Rule{ruleAge}},
		{"an answer that seems too young", func(h *history) {
			call(h, 1).Begin += 40 * time.Millisecond
			call(h, 1).End += 40 * time.Millisecond
			call(h, 1).Age = 0
		}, []Rule{ruleAge}},
		{"an answer that was handed over and back", func(h *history) {
			c := call(h, 0)
			c.Begin, c.End = c.Begin+500*time.Millisecond, c.End+500*time.Millisecond
			c.Cached, c.Age = true, 300*time.Millisecond
		}, nil},
		{"an old answer of a node that hardly runs", func(h *history) {
			c := call(h, 1)
			c.Begin, c.End, c.Age, c.Cached = c.Begin+second, c.End+second, c.Age+second, false
			h.Processes[0].Stalls = []span{{25*second + 500*time.Millisecond, 27 * second}}
		}, nil},
		{"a failed call in a hurry while its node is being dialled", func(h *history) {
			call(h, 2).Err = "2@a: unreachable: no answer yet"
		}, nil},
		{"a failed call that had time while its node was being dialled", func(h *history) {
			call(h, 0).Err = "2@a: unreachable: no answer yet"
		}, []Rule{ruleFailed}},
		{"an answer that seems too old", func(h *history) { call(h, 1).Age += second }, []Rule{ruleAge}},
		{"a degraded answer in a whole cluster", func(h *history) { call(h, 1).Degraded = true }, []Rule{ruleDegraded}},
		{"two runs at once", func(h *history) { h.Processes[0].Runs[2] = &runEntry{2, 4, h.Processes[0].Runs[1].span, false} },
			[]Rule{ruleOverlap, ruleRun}},
		{"a run beside one that was killed", func(h *history) {
			h.Processes[1].Life.End = 12 * second
			h.Processes[1].Runs = map[int64]*runEntry{1 << 32: {1 << 32, 8, span{Begin: 9 * second}, false}}
			h.Processes[2].Runs[3] = &runEntry{3, 8, span{11 * second, 11*second + 1}, false}
		}, []Rule{ruleOverlap}},
		{"two runs at once on two nodes, in a whole cluster", func(h *history) {
			h.Processes[2].Runs[3] = &runEntry{3, 5, h.Processes[0].Runs[2].span, false}
		}, []Rule{ruleSplit}},
		{"another epoch", func(h *history) { h.Processes[2].Views[0].Text = "epoch 2, 1 alive 7, 2 alive 9" }, []Rule{ruleViews}},
		{"a node that is not seen again", func(h *history) { h.Processes[0].Views = h.Processes[0].Views[:2] }, []Rule{ruleViews}},
		{"all miss one", func(h *history) {
			h.Processes[0].Views[2].Text, h.Processes[2].Views[0].Text = "epoch 1, 1 alive 7", "epoch 1, 1 alive 7"
		}, []Rule{ruleViews}},
		{"a stranger", func(h *history) {
			for _, i := range []int{0, 2} {
				v := h.Processes[i].Views
				v[len(v)-1].Text += ", 3 failed 1"
			}
		}, []Rule{ruleViews}},
		{"views that waver", func(h *history) {
			p := h.Processes[0]
			p.Views = append(p.Views, viewEntry{25 * second, "epoch 1, 1 alive 7, 2 failed 9"}, viewEntry{26 * second, p.Views[2].Text})
		}, []Rule{ruleViews}},
		{"goroutines", func(h *history) { h.Processes[2].Sizes = []sizeEntry{{26 * second, 60, 1 << 20, 0}} }, []Rule{ruleGrowth}},
		{"memory", func(h *history) { h.Processes[2].Sizes = []sizeEntry{{26 * second, 20, 9 << 20, 0}} }, []Rule{ruleGrowth}},
		{"a message runs twice", func(h *history) { run(h, 2, 9, 50, span{17 * second, 18 * second}) }, []Rule{ruleOnce}},
		{"an answer to another message", func(h *history) { message(h, 0).Message = 51 }, []Rule{ruleOutcome}},
		{"an answer of another run of a server", func(h *history) { message(h, 0).Value = 6 }, []Rule{ruleOutcome}},
		{"an answer of a run that fails", func(h *history) { h.Processes[0].Served[5].Failed = true }, []Rule{ruleOutcome}},
		{"a message runs that is said not to", func(h *history) { run(h, 2, 9, 70, span{17 * second, 18 * second}) }, []Rule{ruleOutcome}},
		{"a message is said to run that does not", func(h *history) { message(h, 1).Message = 61 }, []Rule{ruleOutcome}},
		{"a message runs of which nothing is known", func(h *history) {
			run(h, 2, 9, 70, span{17 * second, 18 * second})
			message(h, 2).Outcome = worker.OutcomeUnknown
		}, nil},
		{"a message fails long after the fault", func(h *history) { message(h, 2).span = span{18 * second, 22*second + 1} }, []Rule{ruleThrough}},
		{"a message fails because a node leaves", func(h *history) { h.Faults[1].Kind = faultTerm }, []Rule{ruleFailed, ruleThrough}},
		{"a message fails in a hurry", func(h *history) { message(h, 3).Err = "unreachable" }, []Rule{ruleThrough}},
		{"a slow message", func(h *history) { message(h, 0).Begin = 9 * second }, []Rule{ruleThrough}},
		{"two messages run at once", func(h *history) { run(h, 0, 9, 90, span{15 * second, 16 * second}) }, []Rule{ruleOverlap}},
		{"two servers on one node", func(h *history) { server(h, 0, 9, span{15 * second, 16 * second}) }, []Rule{ruleServers}},
		{"a server beside one that was killed", func(h *history) {
			h.Processes[1].Life.End = 12 * second
			h.Processes[1].Servers = map[int64]*serverEntry{1 << 32: {1 << 32, 6, span{Begin: 9 * second}}}
			h.Processes[1].Views = h.Processes[0].Views[:1]
			server(h, 0, 9, span{11 * second, 13 * second})
		}, []Rule{ruleServers}},
		{"two servers on two nodes", func(h *history) { server(h, 2, 9, span{15 * second, 16 * second}) }, []Rule{ruleServers}},
		{"two servers, and one's node is paused", func(h *history) {
			server(h, 2, 9, span{15 * second, 16 * second})
			pause(h, 2)
		}, nil},
		{"two servers, and a third one's node is paused", func(h *history) {
			server(h, 2, 9, span{15 * second, 16 * second})
			pause(h, 3)
		}, []Rule{ruleServers}},
		{"two servers long after the pause", func(h *history) {
			server(h, 2, 9, span{25 * second, 25*second + 1})
			pause(h, 2)
		}, []Rule{ruleServers}},
		{"two servers when a node is new", func(h *history) {
			server(h, 0, 9, span{11 * second, 14 * second})
			server(h, 2, 9, span{12*second - 1, 13 * second})
		}, nil},
		{"two servers for too long when a node is new", func(h *history) {
			server(h, 0, 9, span{11 * second, 14 * second})
			server(h, 2, 9, span{12*second - 1, 13*second + 1})
		}, []Rule{ruleServers}},
		{"two servers when a node is not so new", func(h *history) {
			server(h, 0, 9, span{11 * second, 14 * second})
			server(h, 2, 9, span{12 * second, 13 * second})
		}, []Rule{ruleServers}},
		{"a slow call long after the fault, with a log that is stuck", func(h *history) {
			call(h, 1).Begin -= 2 * second
			misuse(h, faultLog, 0)
		}, []Rule{ruleLate}},
		{"a degraded answer in a flood", func(h *history) {
			call(h, 1).Degraded = true
			misuse(h, faultFlood, 0)
		}, []Rule{ruleDegraded}},
		{"a failed call while a client is greedy", func(h *history) {
			call(h, 1).Err = "deadline exceeded"
			misuse(h, faultGreedy, 0)
		}, []Rule{ruleFailed}},
		{"a message fails while a client is greedy", func(h *history) {
			message(h, 2).End = 25 * second
			misuse(h, faultGreedy, 0)
		}, []Rule{ruleThrough}},
		{"a message waits behind others", func(h *history) { queue(h, 901*time.Millisecond) }, nil},
		{"a message waits behind others that take less time", func(h *history) { queue(h, 890*time.Millisecond) }, []Rule{ruleThrough}},
		{"two servers while a client is greedy", func(h *history) {
			server(h, 2, 9, span{25 * second, 26 * second})
			misuse(h, faultGreedy, 0)
		}, []Rule{ruleServers}},
		{"a client's call fails in a flood", func(h *history) {
			h.Processes[3].Calls[0].span = span{24 * second, 25 * second}
			misuse(h, faultFlood, 0)
		}, []Rule{ruleFailed}},
		{"a message fails in a flood", func(h *history) {
			message(h, 2).End = 25 * second
			misuse(h, faultFlood, 0)
		}, []Rule{ruleThrough}},
		{"views that waver in a flood", func(h *history) {
			p := h.Processes[0]
			p.Views = append(p.Views, viewEntry{25 * second, "epoch 1, 1 alive 7, 2 failed 9"}, viewEntry{26 * second, p.Views[2].Text})
			misuse(h, faultFlood, 0)
		}, []Rule{ruleViews}},
		{"a flood in the log", func(h *history) { misuse(h, faultFlood, floodLog) }, []Rule{ruleLog}},
		{"not much in the log", func(h *history) { misuse(h, faultFlood, floodLog-1) }, nil},
		{"much in memory for a moment", func(h *history) { heap(h, 1<<20+heapRise+1) }, []Rule{ruleMemory}},
		{"not much in memory", func(h *history) { heap(h, 1<<20+heapRise) }, nil},
		{"programs", func(h *history) { program(h, programEntry{Begun: true}, programEntry{Done: true}) }, nil},
		{"two programs at once", func(h *history) { program(h, programEntry{Overlap: true}) }, []Rule{ruleProgram}},
		{"a crash", func(h *history) { h.Processes[0].Problems = []string{"panic: oh"} }, []Rule{ruleProcess}},
	})
}

// TestFaultPlan checks that a seed always gives the same faults, within their time, and
// that there are others.
func TestFaultPlan(t *testing.T) {
	t.Parallel()
	kinds, solo := slices.Concat(processFaults, hostileFaults, partitionFaults), slices.Concat(soloFaults, soloPartitionFaults)
	plans := func(seed uint64) [][]plannedFault {
		return episodes(rand.New(rand.NewPCG(seed, 0)), kinds, solo, 600*second)
	}
	if !reflect.DeepEqual(plans(1), plans(1)) || reflect.DeepEqual(plans(1), plans(2)) {
		t.Error("the faults do not follow from the seed")
	}
	seen, how := map[faultKind]int{}, map[string]int{}
	for _, f := range slices.Concat(plans(1)...) {
		seen[f.kind]++
		how[string(f.kind)+" "+f.how]++
		if f.at < 0 || f.length < 0 || f.at+f.length > 60*second {
			t.Errorf("%v is out of time", f)
		}
	}
	for _, kind := range allFaults {
		if seen[kind] < 1 {
			t.Errorf("%d times %s, of %v", seen[kind], kind, seen)
		}
		for _, way := range kind.ways() {
			if how[string(kind)+" "+way] == 0 {
				t.Errorf("no %s %s, of %v", kind, way, how)
			}
		}
	}
}
