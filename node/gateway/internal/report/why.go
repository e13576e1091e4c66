package report

import (
	"cmp"
	"fmt"
	"time"

	"github.com/distproc/distproc/node"
	"github.com/distproc/distproc/node/worker"
)

// A Worker is a [worker.Info].
type Worker struct {
	ID
	Kind  string `json:"kind"`
	Node  string `json:"node"`
	Age   int64  `json:"age_ms"`
	TTL   int64  `json:"ttl_ms"`
	Hits  uint64 `json:"hits"`
	Queue int    `json:"queue"`
}

// WorkerOf returns the form of a worker.
func WorkerOf(w worker.Info) Worker {
	return Worker{IDOf(w.ID), w.Kind, w.Node, Millis(w.Age), Millis(w.TTL), w.Hits, w.Queue}
}

// A Custody is a [worker.Custody].
type Custody struct {
	Node string `json:"node"`
	*Quorum
	Acting   string   `json:"acting,omitempty"`
	Holders  []Holder `json:"holders"`
	Occupied string   `json:"occupied,omitempty"`
	Waits    string   `json:"waits,omitempty"`
	Runs     int64    `json:"runs_ms"`
	Stuck    bool     `json:"stuck"`
	Token    string   `json:"token,omitempty"`
}

// A Holder is a [worker.Holder].
type Holder struct {
	Member string `json:"member"`
	Epoch  uint64 `json:"view_epoch"`
	Busy   int    `json:"busy"`
}

// CustodyOf returns the form of a custody; nil if c is nil.
func CustodyOf(c *worker.Custody) *Custody {
	if c == nil {
		return nil
	}
	j := &Custody{
		Node: c.Node, Quorum: QuorumOf(&c.Quorum), Acting: c.Acting, Holders: []Holder{}, Occupied: c.Occupied,
		Waits: Clip(c.Waits), Runs: Millis(c.Runs), Stuck: c.Stuck,
	}
	for _, h := range c.Holders[:min(len(c.Holders), worker.MaxHolders)] {
		j.Holders = append(j.Holders, Holder{h.Member, h.Epoch, h.Busy})
	}
	if c.Token != (worker.Token{}) {
		j.Token = c.Token.String()
	}
	return j
}

// A Why is a [node.Explanation].
type Why struct {
	ID
	Kind     string   `json:"kind"`
	Owner    string   `json:"owner"`
	Rule     string   `json:"rule"`
	Index    int      `json:"index"`
	Members  int      `json:"members"`
	Epoch    string   `json:"epoch"` // hexadecimal
	State    string   `json:"state"`
	Fallback string   `json:"fallback,omitempty"`
	Via      string   `json:"via,omitempty"`
	Asked    string   `json:"asked"`
	Live     bool     `json:"live"`
	Loading  bool     `json:"loading"`
	Serial   bool     `json:"serial"`
	Apart    bool     `json:"apart"`
	Worker   *Worker  `json:"worker,omitempty"`  // nil if there is none
	TTL      int64    `json:"ttl_ms"`            // of the kind
	Custody  *Custody `json:"custody,omitempty"` // nil unless the kind is strict
	Text     string   `json:"text"`
}

// WhyOf returns the form of an explanation.
func WhyOf(e node.Explanation) Why {
	j := Why{
		ID: IDOf(e.ID), Kind: e.Kind, Owner: e.Owner, Rule: Clip(e.Rule), Index: e.Index, Members: e.Members,
		Epoch: Hex(e.Epoch), State: e.State.String(), Fallback: e.Fallback, Via: e.Via, Asked: e.Asked,
		Live: e.Live, Loading: e.Loading, Serial: e.Serial, Apart: e.Apart, TTL: Millis(e.TTL),
		Text: Clip(sentence(e)), Custody: CustodyOf(e.Custody),
	}
	if e.Live {
		w := WorkerOf(e.Worker)
		j.Worker = &w
	}
	return j
}

// sentence writes an explanation as a sentence.
func sentence(e node.Explanation) string {
	s := fmt.Sprintf("%s: %s (%s) is at index %d in the sorted list of %d members; ",
		e.Rule, e.Owner, e.State, e.Index, e.Members)
	if c := e.Custody; c != nil {
		s = fmt.Sprintf("in view %d %s acts for it; ", c.Epoch, cmp.Or(c.Acting, "no member"))
		if c.Waits != "" {
			return s + "a call waits for " + c.Waits
		}
	}
	switch {
	case e.Apart && e.Serial && !e.Live:
		return s + "no worker starts: this node was disconnected, and its former cluster may serve the id"
	case !e.Live:
		return s + "no worker runs on " + e.Asked
	case e.Loading && e.Serial:
		return s + "a worker is busy on " + e.Asked
	case e.Loading:
		return s + "a worker is loading on " + e.Asked
	}
	return s + fmt.Sprintf("a worker runs on %s and expires in %v", e.Asked, e.Worker.TTL.Round(time.Millisecond))
}
