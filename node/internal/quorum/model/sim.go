package model

import (
	"container/heap"
	"math/rand/v2"
)

// The parameters of the protocol, in seconds but for drift.
const (
	lease      = 5.0
	drift      = 0.01 // greatest error of the rate of a clock
	renewEvery = 1.0
	deafAfter  = 1.5
)

// A sim is one run of the simulation: real time, processes in slots, the network between
// them, and the history.
type sim struct {
	network
	r       *rand.Rand
	mutant  Mutant
	now     float64
	events  events
	count   int // events so far
	nodes   []*node
	ids     int
	minGap  float64 // least time between two views of one leader
	history history

	calm   bool // no random faults: drills and scenes
	sharp  bool // faults by an adversary who knows the protocol
	quiet  bool // the faults are over
	rarity float64

	hold      bool // the leader proposes no view
	stall     int  // slot; the leader pauses once before it answers that; -1: none
	onCommit  func()
	onWin     func()
	epochs    int // highest epoch committed
	elections int
	left      []float64 // how long each member took to leave that has left
}

func newSim(seed uint64, m Mutant, slots int, calm bool) *sim {
	r := rand.New(rand.NewPCG(seed, 0))
	s := &sim{r: r, mutant: m, calm: calm, ids: 7, nodes: make([]*node, slots), stall: -1}
	s.minGap = []float64{0, 0.3, 1}[r.IntN(3)]
	s.rarity = []float64{9, 25}[r.IntN(2)]
	s.sharp = !calm && r.IntN(2) == 0
	s.network = newNetwork(s)
	s.start()
	return s
}

// start makes an empty history.
func (s *sim) start() {
	s.history = history{sim: s, calls: make([][]*call, s.ids), high: make([]token, s.ids)}
}

// An event is a step of a process, or what happens to it from outside.
type event struct {
	at  float64
	seq int
	do  func()
}

type events []*event // a heap, the earliest first

func (q events) Len() int { return len(q) }
func (q events) Less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].seq < q[j].seq
}
func (q events) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *events) Push(x any)   { *q = append(*q, x.(*event)) }
func (q *events) Pop() any {
	last := len(*q) - 1
	e := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	return e
}

// at does f after d seconds, whatever the state of any process.
func (s *sim) at(d float64, f func()) {
	s.count++
	heap.Push(&s.events, &event{s.now + d, s.count, f})
}

// run lets the time pass until end.
func (s *sim) run(end float64) {
	for len(s.events) > 0 && s.events[0].at < end {
		e := heap.Pop(&s.events).(*event)
		s.now = e.at
		e.do()
	}
	s.now = end
}

// placeOf returns the process that has x: it runs x or may start it under a valid lease.
// It is up, not paused, and not cut off from the given slot. If there is none, placeOf
// returns nil.
func (s *sim) placeOf(x id, slot int) *node {
	for _, n := range s.nodes {
		if n != nil && s.reaches(n, slot) && n.places(x) {
			return n
		}
	}
	return nil
}

func (s *sim) reaches(n *node, slot int) bool {
	return !s.cut[slot][n.me.slot] && !s.cut[n.me.slot][slot]
}

func (n *node) places(x id) bool {
	switch c := n.runs[x]; {
	case !n.up || n.paused > n.now:
		return false
	case c != nil:
		return n.leased() && c.generation == n.generation
	default:
		return !n.leaving && n.may(x)
	}
}
