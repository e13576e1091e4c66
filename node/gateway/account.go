package gateway

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/distproc/distproc/node"
	"github.com/distproc/distproc/node/worker"
)

// owner answers with the owner of an id.
func (g *Gateway) owner(ctx context.Context, x *exchange) error {
	owner, err := g.config.Cluster.Owner(ctx, x.id)
	if err != nil {
		return err
	}
	return x.json(struct {
		jsonID
		Owner string `json:"owner"`
	}{idOf(x.id), owner})
}

// A jsonNode is a member. If it did not answer, it has a problem and no report.
type jsonNode struct {
	Name        string `json:"name"`
	Addr        string `json:"addr"`
	State       string `json:"state"`
	Since       int64  `json:"since_ms"`           // in that state
	Until       *int64 `json:"until_ms,omitempty"` // for which a failed one keeps its slot; nil if it has not failed, or for ever
	Incarnation string `json:"incarnation"`        // hexadecimal: many JSON readers round large numbers
	Problem     string `json:"problem,omitempty"`
	*jsonReport
}

// A jsonReport is what a node reports about itself.
type jsonReport struct {
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
	*jsonQuorum
}

// A jsonQuorum is a [worker.Quorum]. A node that was started without voters has none.
type jsonQuorum struct {
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

func quorumOf(q *worker.Quorum) *jsonQuorum {
	if q == nil {
		return nil
	}
	return &jsonQuorum{
		Lease: millis(q.Lease), Epoch: q.Epoch, Views: q.Views, Voters: append([]string{}, q.Voters...), Voter: q.Voter, Leads: q.Leads,
		Quorum: q.Quorum, Silent: q.Silent, Why: clip(q.Why),
	}
}

// A jsonCustody is a [worker.Custody].
type jsonCustody struct {
	Node string `json:"node"`
	*jsonQuorum
	Acting   string       `json:"acting,omitempty"`
	Holders  []jsonHolder `json:"holders"`
	Occupied string       `json:"occupied,omitempty"`
	Waits    string       `json:"waits,omitempty"`
	Runs     int64        `json:"runs_ms"`
	Stuck    bool         `json:"stuck"`
	Token    string       `json:"token,omitempty"`
}

type jsonHolder struct {
	Member string `json:"member"`
	Epoch  uint64 `json:"view_epoch"`
	Busy   int    `json:"busy"`
}

func custodyOf(c *worker.Custody) *jsonCustody {
	if c == nil {
		return nil
	}
	j := &jsonCustody{
		Node: c.Node, jsonQuorum: quorumOf(&c.Quorum), Acting: c.Acting, Holders: []jsonHolder{}, Occupied: c.Occupied,
		Waits: clip(c.Waits), Runs: millis(c.Runs), Stuck: c.Stuck,
	}
	for _, h := range c.Holders[:min(len(c.Holders), worker.MaxHolders)] {
		j.Holders = append(j.Holders, jsonHolder{h.Member, h.Epoch, h.Busy})
	}
	if c.Token != (worker.Token{}) {
		j.Token = c.Token.String()
	}
	return j
}

// nodes lists all members.
func (g *Gateway) nodes(ctx context.Context, x *exchange) error {
	infos, err := g.config.Cluster.Nodes(ctx)
	if err != nil {
		return err
	}
	list := make([]jsonNode, 0, len(infos))
	for _, n := range infos {
		j := jsonNode{Name: n.Name, Addr: n.Addr, State: n.State.String(), Since: millis(n.Since), Incarnation: hex(n.Incarnation), Problem: clip(n.Problem)}
		if n.Kept > 0 && n.Kept < worker.Forever/2 {
			until := millis(n.Kept)
			j.Until = &until
		}
		if n.Problem == "" {
			j.jsonReport = &jsonReport{
				RTT: float64(n.RTT) / float64(time.Millisecond), Workers: n.Workers, Requests: n.Requests, Rate: math.Round(10*n.Rate) / 10, Stuck: n.Stuck,
				Kinds: n.Kinds, Differs: n.Differs, Apart: n.Apart, Unready: clip(n.Unready), Uptime: millis(n.Uptime), Version: n.Version, Memory: n.Memory, Goroutines: n.Goroutines,
				jsonQuorum: quorumOf(n.Quorum),
			}
			if j.Kinds == nil {
				j.Kinds = map[string]string{}
			}
			if j.Differs == nil {
				j.Differs = []string{}
			}
		}
		list = append(list, j)
	}
	return x.json(struct {
		Nodes []jsonNode `json:"nodes"`
	}{list})
}

func hex(n uint64) string { return strconv.FormatUint(n, 16) }

type jsonWorker struct {
	jsonID
	Kind  string `json:"kind"`
	Node  string `json:"node"`
	Age   int64  `json:"age_ms"`
	TTL   int64  `json:"ttl_ms"`
	Hits  uint64 `json:"hits"`
	Queue int    `json:"queue"`
}

func workerOf(w worker.Info) jsonWorker {
	return jsonWorker{idOf(w.ID), w.Kind, w.Node, millis(w.Age), millis(w.TTL), w.Hits, w.Queue}
}

// workers lists live workers, of one kind if it is given. The total includes those beyond
// the limit. The workers that nodes left out of their lists may be of any kind.
func (g *Gateway) workers(ctx context.Context, x *exchange) error {
	limit, err := x.limit()
	if err != nil {
		return err
	}
	infos, err := g.config.Cluster.Workers(ctx)
	if err != nil {
		return err
	}
	list, total, leftOut := []jsonWorker{}, 0, 0
	for _, w := range infos {
		leftOut += w.LeftOut
		if x.kind != "" && w.Kind != x.kind {
			continue
		}
		if total++; total <= limit {
			list = append(list, workerOf(w))
		}
	}
	return x.json(struct {
		Workers []jsonWorker `json:"workers"`
		Total   int          `json:"total"`
		LeftOut int          `json:"left_out"`
	}{list, total, leftOut})
}

// A jsonWhy is a [node.Explanation].
type jsonWhy struct {
	jsonID
	Kind     string       `json:"kind"`
	Owner    string       `json:"owner"`
	Rule     string       `json:"rule"`
	Index    int          `json:"index"`
	Members  int          `json:"members"`
	Epoch    string       `json:"epoch"` // hexadecimal
	State    string       `json:"state"`
	Fallback string       `json:"fallback,omitempty"`
	Via      string       `json:"via,omitempty"`
	Asked    string       `json:"asked"`
	Live     bool         `json:"live"`
	Loading  bool         `json:"loading"`
	Serial   bool         `json:"serial"`
	Apart    bool         `json:"apart"`
	Worker   *jsonWorker  `json:"worker,omitempty"`  // nil if there is none
	TTL      int64        `json:"ttl_ms"`            // of the kind
	Custody  *jsonCustody `json:"custody,omitempty"` // nil unless the kind is strict
	Text     string       `json:"text"`
}

// why explains which node owns an id, and describes its worker.
func (g *Gateway) why(ctx context.Context, x *exchange) error {
	e, err := g.config.Cluster.Family(x.kind).Why(ctx, x.id)
	if err != nil {
		return err
	}
	j := jsonWhy{
		jsonID: idOf(e.ID), Kind: e.Kind, Owner: e.Owner, Rule: clip(e.Rule), Index: e.Index, Members: e.Members, Epoch: hex(e.Epoch),
		State: e.State.String(), Fallback: e.Fallback, Via: e.Via, Asked: e.Asked, Live: e.Live, Loading: e.Loading, Serial: e.Serial, Apart: e.Apart, TTL: millis(e.TTL),
		Text: clip(sentence(e)), Custody: custodyOf(e.Custody),
	}
	if e.Live {
		w := workerOf(e.Worker)
		j.Worker = &w
	}
	return x.json(j)
}

// sentence writes an explanation as a sentence.
func sentence(e node.Explanation) string {
	s := fmt.Sprintf("%s: %s (%s) is at index %d in the sorted list of %d members; ", e.Rule, e.Owner, e.State, e.Index, e.Members)
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
