// Package account writes what a cluster says about itself as the JSON of the gateway: its
// members, its live workers, and which node owns an id.
//
// The endpoints /v1/nodes, /v1/workers and /v1/why answer with these types, and the page
// shows the same. The names of their fields are part of the stable API, and openapi.json
// of the gateway describes them. Texts that may come from anywhere are clipped, and have
// no characters that control a terminal or the order of text.
package account

import (
	"encoding/base64"
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/distproc/distproc/node"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire/text"
)

// An Ident is an id in JSON. It is always a string, as an integer may be of any size.
type Ident struct {
	ID       string `json:"id"`
	Encoding string `json:"id_encoding,omitempty"`
}

// IdentOf returns an id for JSON.
func IdentOf(id worker.ID) Ident {
	text, encoding := TextOf(id.String())
	return Ident{text, encoding}
}

// TextOf returns s as a JSON string can hold it: as it is, or as base64 with the encoding
// "base64".
func TextOf(s string) (text, encoding string) {
	if utf8.ValidString(s) {
		return s, ""
	}
	return base64.StdEncoding.EncodeToString([]byte(s)), "base64"
}

// Millis returns a duration in whole milliseconds; 0 if it is negative.
func Millis(d time.Duration) int64 { return max(0, d).Milliseconds() }

const maxText = 4096 // bytes

// Clip makes a text that may come from anywhere fit for an answer and the log.
func Clip(s string) string { return text.Line(s, maxText) }

func hex(n uint64) string { return strconv.FormatUint(n, 16) }

// A Node is a member. If it did not answer, it has a Problem and no Report.
type Node struct {
	Name        string `json:"name"`
	Addr        string `json:"addr"`
	State       string `json:"state"`
	Since       int64  `json:"since_ms"`           // in that state
	Until       *int64 `json:"until_ms,omitempty"` // for which a failed one keeps its slot; nil if it has not failed, or for ever
	Incarnation string `json:"incarnation"`        // hexadecimal: many JSON readers round large numbers
	Problem     string `json:"problem,omitempty"`
	*Report
}

// A Report is what a node reports about itself.
type Report struct {
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

// NodesOf returns members for JSON. The list is never nil.
func NodesOf(infos []node.NodeInfo) []Node {
	list := make([]Node, 0, len(infos))
	for _, n := range infos {
		list = append(list, NodeOf(n))
	}
	return list
}

// NodeOf returns a member for JSON.
func NodeOf(n node.NodeInfo) Node {
	j := Node{
		Name: n.Name, Addr: n.Addr, State: n.State.String(), Since: Millis(n.Since), Incarnation: hex(n.Incarnation), Problem: Clip(n.Problem),
	}
	if n.Kept > 0 && n.Kept < worker.Forever/2 {
		until := Millis(n.Kept)
		j.Until = &until
	}
	if n.Problem != "" {
		return j
	}
	j.Report = &Report{
		RTT: float64(n.RTT) / float64(time.Millisecond), Workers: n.Workers, Requests: n.Requests, Rate: math.Round(10*n.Rate) / 10,
		Stuck: n.Stuck, Kinds: n.Kinds, Differs: n.Differs, Apart: n.Apart, Unready: Clip(n.Unready), Uptime: Millis(n.Uptime),
		Version: n.Version, Memory: n.Memory, Goroutines: n.Goroutines, Quorum: quorumOf(n.Quorum),
	}
	if j.Kinds == nil {
		j.Kinds = map[string]string{}
	}
	if j.Differs == nil {
		j.Differs = []string{}
	}
	return j
}

func quorumOf(q *worker.Quorum) *Quorum {
	if q == nil {
		return nil
	}
	return &Quorum{
		Lease: Millis(q.Lease), Epoch: q.Epoch, Views: q.Views, Voters: append([]string{}, q.Voters...), Voter: q.Voter, Leads: q.Leads,
		Quorum: q.Quorum, Silent: q.Silent, Why: Clip(q.Why),
	}
}

// A Worker is a [worker.Info].
type Worker struct {
	Ident
	Kind  string `json:"kind"`
	Node  string `json:"node"`
	Age   int64  `json:"age_ms"`
	TTL   int64  `json:"ttl_ms"`
	Hits  uint64 `json:"hits"`
	Queue int    `json:"queue"`
}

// WorkerOf returns a live worker for JSON.
func WorkerOf(w worker.Info) Worker {
	return Worker{IdentOf(w.ID), w.Kind, w.Node, Millis(w.Age), Millis(w.TTL), w.Hits, w.Queue}
}
