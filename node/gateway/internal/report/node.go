package report

import (
	"math"
	"time"

	"github.com/distproc/distproc/node"
	"github.com/distproc/distproc/node/worker"
)

// A Node is a member. If it did not answer, it has a problem and no report.
type Node struct {
	Name        string `json:"name"`
	Addr        string `json:"addr"`
	State       string `json:"state"`
	Since       int64  `json:"since_ms"`           // in that state
	Until       *int64 `json:"until_ms,omitempty"` // for which a failed one keeps its slot; nil if it has not failed, or for ever
	Incarnation string `json:"incarnation"`        // hexadecimal
	Problem     string `json:"problem,omitempty"`
	*Self
}

// A Self is what a node reports about itself.
type Self struct {
	RTT        float64           `json:"rtt_ms"`
	Workers    int               `json:"workers"`
	Requests   uint64            `json:"requests"`
	Rate       float64           `json:"requests_per_second"`
	Stuck      int               `json:"stuck"`
	Kinds      map[string]string `json:"kinds"`
	Differs    []string          `json:"differs"`
	Apart      bool              `json:"apart"`
	Unready    string            `json:"unready,omitempty"` // why requests do not work, as far as the node knows
	Uptime     int64             `json:"uptime_ms"`
	Version    string            `json:"version"`
	Memory     uint64            `json:"memory_bytes"`
	Goroutines int               `json:"goroutines"`
	*Quorum
}

// NodeOf returns the form of a member.
func NodeOf(n node.NodeInfo) Node {
	j := Node{
		Name: n.Name, Addr: n.Addr, State: n.State.String(), Since: Millis(n.Since),
		Incarnation: Hex(n.Incarnation), Problem: Clip(n.Problem),
	}
	if n.Kept > 0 && n.Kept < worker.Forever/2 {
		until := Millis(n.Kept)
		j.Until = &until
	}
	if n.Problem != "" {
		return j
	}
	j.Self = &Self{
		RTT: float64(n.RTT) / float64(time.Millisecond), Workers: n.Workers, Requests: n.Requests,
		Rate: math.Round(10*n.Rate) / 10, Stuck: n.Stuck, Kinds: n.Kinds, Differs: n.Differs, Apart: n.Apart,
		Unready: Clip(n.Unready), Uptime: Millis(n.Uptime), Version: n.Version, Memory: n.Memory,
		Goroutines: n.Goroutines, Quorum: QuorumOf(n.Quorum),
	}
	if j.Kinds == nil {
		j.Kinds = map[string]string{}
	}
	if j.Differs == nil {
		j.Differs = []string{}
	}
	return j
}

// A Quorum is a [worker.Quorum]. A node that was started without voters has none.
type Quorum struct {
	Lease  int64    `json:"lease_ms"`
	Epoch  uint64   `json:"view_epoch"`
	Views  int      `json:"views"`
	Voters []string `json:"voters"`
	Voter  bool     `json:"voter"`
	Leads  bool     `json:"leads"`
	Quorum bool     `json:"quorum"`
	Silent []string `json:"silent,omitempty"`
	Why    string   `json:"no_quorum,omitempty"`
}

// QuorumOf returns the form of a quorum; nil if q is nil.
func QuorumOf(q *worker.Quorum) *Quorum {
	if q == nil {
		return nil
	}
	return &Quorum{
		Lease: Millis(q.Lease), Epoch: q.Epoch, Views: q.Views, Voters: append([]string{}, q.Voters...),
		Voter: q.Voter, Leads: q.Leads, Quorum: q.Quorum, Silent: q.Silent, Why: Clip(q.Why),
	}
}
