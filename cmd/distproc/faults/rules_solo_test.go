//go:build unix

package faults

import (
	"slices"
	"testing"
	"time"

	"github.com/distproc/distproc/node/worker"
)

// TestFaultRulesAlone breaks the rules of leave-takings, HTTP clients and faults that
// come alone.
func TestFaultRulesAlone(t *testing.T) {
	t.Parallel()
	add := func(h *history, kind faultKind, s span, nodes ...int) *fault {
		h.Faults = append(h.Faults, fault{Kind: kind, Nodes: nodes, span: s})
		return &h.Faults[len(h.Faults)-1]
	}
	call := func(h *history, i int) *callEntry { return &h.Processes[0].Calls[i] }
	server := func(h *history, process int, number int64, s span) {
		h.Processes[process].Servers[number] = &serverEntry{number, 6, s}
	}
	silent := func(h *history) { h.Processes[2].Calls = nil } // node 2 itself does not call
	long := span{12 * second, 29 * second}
	// web has an HTTP client of node 2 be refused while that is restarted by SIGTERM.
	web := func(h *history) *callEntry {
		h.Faults[1].Kind = faultTerm
		h.Processes[1].Asked, h.Processes[1].Life.End = 10*second, 11*second
		h.Processes[3].Calls[0] = callEntry{
			ID: 4, Via: 2, By: webClient, span: span{11 * second, 11*second + 1}, Err: "connection refused", Outcome: worker.OutcomeNotRun,
		}
		return &h.Processes[3].Calls[0]
	}
	// twin adds a second node 2, which is alone from a time on.
	twin := func(h *history, alone time.Duration) {
		add(h, faultTwin, span{12 * second, 22 * second}, 2).Healed = 15 * second
		views := []viewEntry{{13 * second, "epoch 1, 1 alive 7, 2 alive 10"}, {alone, "epoch 3, 2 alive 11"}}
		h.Processes = append(h.Processes, &processHistory{Node: 2, Twin: true, Life: span{12 * second, 22 * second}, Views: views})
	}
	// stale has two servers of an id on two nodes, each of which runs messages after the
	// other has.
	stale := func(h *history) {
		for i := range int64(4) {
			at := 20*second + time.Duration(i)*100*time.Millisecond
			h.Processes[i%2*2].Served[90+i] = &servedEntry{90 + i, 900 + i, 9, 7 + i%2, span{at, at + time.Millisecond}, false}
		}
		h.Processes[0].Served[95] = &servedEntry{95, 905, 9, 7, span{21 * second, 21*second + 1}, false}
	}
	testRules(t, []ruleTest{
		{"a node's call fails as it begins to leave", func(h *history) {
			call(h, 0).Err = "closed"
			h.Processes[0].Asked, h.Faults[1].Kind, h.Processes[3].Calls = 15*second+1, faultTerm, nil
			silent(h)
		}, []Rule{ruleFailed}},
		{"a node's call fails that begins after it has left", func(h *history) {
			call(h, 0).Err = "closed"
			h.Processes[0].Asked, h.Faults[1].Kind, h.Processes[3].Calls = 15*second-faultDrain, faultTerm, nil
			silent(h)
		}, nil},
		{"a message fails because nodes are restarted in turn", func(h *history) {
			h.Faults[1].Kind = faultRoll
			h.Processes[3].Calls = nil
		}, []Rule{ruleThrough}},
		{"a client's call fails because nodes are restarted in turn", func(h *history) {
			h.Faults[1].Kind = faultRoll
			silent(h)
		}, []Rule{ruleFailed}},
		{"a balancer's request fails because a node is restarted", func(h *history) {
			silent(h)
			web(h).By = balancerKind
		}, []Rule{ruleFailed}},
		{"an HTTP client is refused by a node that is restarted", func(h *history) {
			silent(h)
			web(h)
		}, nil},
		{"an HTTP client is refused by a node that is there, and has not joined yet", func(h *history) {
			silent(h)
			c := web(h)
			c.Begin, c.End = 11*second+900*time.Millisecond, 11*second+901*time.Millisecond
			h.Processes[2].Views[0].At = 11 * second
		}, nil},
		{"an HTTP client is refused by a node that is killed as it is restarted", func(h *history) {
			silent(h)
			web(h)
			h.Processes = slices.Insert(h.Processes, 2, &processHistory{Node: 2, Life: span{11*second - 2, 11*second - 1}})
			h.Processes[3].Runs, h.Processes[3].Servers, h.Processes[3].Served = nil, nil, nil
			h.Processes[0].Calls = h.Processes[0].Calls[1:]
		}, nil},
		{"an HTTP client's request breaks off as a node is restarted", func(h *history) {
			silent(h)
			web(h).Err = "EOF"
		}, []Rule{ruleFailed}},
		{"an HTTP client is refused by a node that is well", func(h *history) {
			silent(h)
			web(h).Via = 1
		}, []Rule{ruleFailed}},
		{"a degraded answer as a pair is parted", func(h *history) {
			call(h, 1).Degraded = true
			add(h, faultPair, span{20 * second, 29 * second}, 1, 2)
		}, nil},
		{"a degraded answer long after a pair is parted", func(h *history) {
			call(h, 1).Degraded = true
			add(h, faultPair, long, 1, 2)
		}, []Rule{ruleDegraded}},
		{"two servers long after a pair is parted", func(h *history) {
			server(h, 2, 9, span{25 * second, 26 * second})
			add(h, faultPair, long, 1, 2)
		}, []Rule{ruleServers}},
		{"a pair that is parted lists each other as failed", func(h *history) {
			add(h, faultPair, long, 1, 2)
			p := h.Processes[0]
			p.Views = append(p.Views, viewEntry{25 * second, "epoch 1, 1 alive 7, 2 failed 9"})
		}, nil},
		{"a twin leaves", func(h *history) { twin(h, 20*second) }, nil},
		{"a twin leaves late", func(h *history) { twin(h, 21*second+1) }, []Rule{ruleTwin}},
		{"a server with an old state", func(h *history) {
			stale(h)
			add(h, faultPause, span{17 * second, 20 * second}, 1)
			h.Processes[0].Pauses = []span{{17 * second, 20 * second}}
			h.Processes[0].Stalls = []span{{17 * second, 20*second + 50*time.Millisecond}}
		}, []Rule{ruleStale}},
		{"two servers, and a node that hardly runs", func(h *history) {
			server(h, 2, 9, span{15 * second, 16 * second})
			for i := range 6 {
				at := 13*second + time.Duration(i)*300*time.Millisecond
				h.Processes[0].Stalls = append(h.Processes[0].Stalls, span{at, at + 200*time.Millisecond})
			}
		}, nil},
		{"a call fails at a node that hardly runs", func(h *history) {
			call(h, 0).Err = "unreachable"
			for i := range 6 {
				at := 14*second + time.Duration(i)*300*time.Millisecond
				h.Processes[0].Stalls = append(h.Processes[0].Stalls, span{at, at + 200*time.Millisecond})
			}
		}, nil},
		{"a call fails at a node that stands still now and then", func(h *history) {
			call(h, 0).Err = "unreachable"
			h.Processes[0].Stalls = []span{{14 * second, 15 * second}}
		}, []Rule{ruleFailed}},
		{"two servers, and a node that stands still now and then", func(h *history) {
			server(h, 2, 9, span{15 * second, 16 * second})
			for i := range 6 {
				at := 10*second + time.Duration(i)*second
				h.Processes[0].Stalls = append(h.Processes[0].Stalls, span{at, at + 200*time.Millisecond})
			}
		}, []Rule{ruleServers}},
		{"two servers in two parts of a split", func(h *history) {
			stale(h)
			add(h, faultSplit, span{19 * second, 20 * second}, 1, 3)
		}, nil},
	})
}
