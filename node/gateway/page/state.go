package page

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/distproc/distproc/node/gateway/internal/report"
	"github.com/distproc/distproc/node/observe"
)

// A commonState is the part of the event state that is the same for all pages.
type commonState struct {
	Node      string    `json:"node"` // that serves the page
	Version   string    `json:"version"`
	Run       string    `json:"run"` // another one: the node has started anew
	Time      time.Time `json:"time"`
	Routing   string    `json:"routing"`
	Pages     int       `json:"pages"`
	Every     int64     `json:"every_ms"`
	Attention []Notice  `json:"attention"` // the worst first
	Members   []Member  `json:"members"`
}

// A chosenState is the part of the event state that depends on what a page has chosen.
type chosenState struct {
	Of      string      `json:"of"` // a node; empty is all together
	Problem string      `json:"of_problem"`
	Kinds   []kindState `json:"kinds"`
	LeftOut int         `json:"kinds_left_out"`
	Hot     []hotState  `json:"hot,omitzero"`
	Queues  []hotState  `json:"queues,omitzero"`
	Live    int         `json:"live"` // workers
}

// A kindState is what a kind does now, on one node or on all.
type kindState struct {
	Kind        string        `json:"kind"`
	Serial      bool          `json:"serial"`
	Strict      bool          `json:"strict"`
	Nodes       int           `json:"nodes"`   // whose figures these are
	Differs     []string      `json:"differs"` // members that define it otherwise than the serving node, or lack it, or have it alone
	Rate        float64       `json:"rate"`
	Minute      minuteMessage `json:"minute"`
	Workers     int           `json:"workers"`
	Bytes       int64         `json:"bytes"`
	MaxBytes    int64         `json:"max_bytes"` // of all nodes; 0 if one has no limit
	Waiting     int           `json:"waiting"`
	Longest     int           `json:"longest"`
	Running     int           `json:"running"`
	Concurrency int           `json:"concurrency"` // of all nodes; 0 if one has no limit
	Queued      int           `json:"queued"`
	Stuck       int           `json:"stuck"`
	StuckFor    int64         `json:"stuck_ms"`
}

// A hotState is a worker that has much to do.
type hotState struct {
	report.ID
	Kind  string  `json:"kind"`
	Node  string  `json:"node"`
	Rate  float64 `json:"rate"`
	Hits  uint64  `json:"hits"`
	Queue int     `json:"queue"`
	Age   int64   `json:"age_ms"`
	TTL   int64   `json:"ttl_ms"`
}

// kindsOf adds up the figures of members, kind by kind. The most important kinds are first.
func kindsOf(figures [][]observe.KindFigures, p *past, own func(string) bool) []kindState {
	sums := make(map[string]*kindState)
	for _, list := range figures {
		for i := range list {
			k := &list[i]
			s := sums[k.Kind]
			if s == nil {
				s = &kindState{Kind: k.Kind, Differs: []string{}, MaxBytes: k.MaxBytes, Concurrency: k.Concurrency}
				sums[k.Kind] = s
			} else {
				s.MaxBytes, s.Concurrency = addLimit(s.MaxBytes, k.MaxBytes), addLimit(s.Concurrency, k.Concurrency)
			}
			s.add(k)
		}
	}
	weight := func(kind string) uint64 {
		if ring := p.kinds[kind]; ring != nil {
			return weigh(ring)
		}
		return 0
	}
	weights := make(map[string]uint64, len(sums))
	for kind := range sums {
		weights[kind] = weight(kind)
	}
	list := make([]kindState, 0, len(sums))
	for _, kind := range slices.SortedFunc(maps.Keys(sums), func(a, b string) int {
		if x, y := own(a), own(b); x != y {
			return map[bool]int{true: -1, false: 1}[x]
		}
		return cmp.Or(cmp.Compare(weights[b], weights[a]), cmp.Compare(a, b))
	}) {
		list = append(list, *sums[kind])
	}
	return list
}

// add adds the figures of one node, but for its limits.
func (s *kindState) add(k *observe.KindFigures) {
	s.Serial, s.Strict = s.Serial || k.Serial, s.Strict || k.Strict
	s.Nodes++
	s.Rate += k.Rate
	s.Workers += k.Workers
	s.Bytes += k.Bytes
	s.Waiting += k.Waiting
	s.Longest = max(s.Longest, k.Longest)
	s.Running += k.Running
	s.Queued += k.Queued
	s.Stuck += k.Stuck
	s.StuckFor = max(s.StuckFor, k.StuckFor.Milliseconds())
}

// addLimit adds two limits. One of 0 is no limit.
func addLimit[N int | int64](a, b N) N {
	if a == 0 || b == 0 {
		return 0
	}
	return a + b
}

// hottest returns the most hot ids of lists, by what less compares.
func hottest(lists [][]observe.HotID, compare func(a, b observe.HotID) int) []hotState {
	all := slices.Concat(lists...)
	slices.SortStableFunc(all, compare)
	states := make([]hotState, 0, min(len(all), observe.MaxHot))
	for _, id := range all[:min(len(all), observe.MaxHot)] {
		states = append(states, hotState{
			report.IDOf(id.ID), id.Kind, id.Node, id.Rate, id.Hits, id.Queue, report.Millis(id.Age), report.Millis(id.TTL),
		})
	}
	return states
}

func busier(a, b observe.HotID) int { return cmp.Compare(b.Rate, a.Rate) }

func longer(a, b observe.HotID) int { return cmp.Compare(b.Queue, a.Queue) }

// marshal returns v as one line of JSON.
func marshal(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil { // never: there are no numbers in it that JSON lacks
		data, _ = json.Marshal(map[string]string{"problem": err.Error()})
	}
	return data
}

// join makes one object of two, of which neither is empty.
func join(a, b []byte) []byte {
	return append(append(append(make([]byte, 0, len(a)+len(b)), a[:len(a)-1]...), ','), b[1:]...)
}
