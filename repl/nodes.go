package repl

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"go.starlark.net/starlark"

	"github.com/distproc/distproc/node"
	"github.com/distproc/distproc/node/worker"
)

func (sh *Shell) nodes(r *request) (starlark.Value, error) {
	detail := false
	if err := r.unpack("detail?", &detail); err != nil {
		return nil, err
	}
	if detail {
		return sh.nodeTable(r)
	}
	members, err := sh.cluster.Members(r.ctx)
	if err != nil {
		return nil, &requestError{what: "nodes()", err: err}
	}
	var alive []starlark.Value
	for _, m := range members {
		if m.State == node.StateAlive {
			alive = append(alive, starlark.String(m.Name))
		}
	}
	return starlark.NewList(alive), nil
}

var nodeFields = []string{
	"name", "state", "since", "until", "rtt", "ids", "rate", "uptime",
	"lease", "view_epoch", "voter", "leads", "quorum", "incarnation", "why",
}

func (sh *Shell) nodeTable(r *request) (starlark.Value, error) {
	infos, err := sh.cluster.Nodes(r.ctx)
	if err != nil {
		return nil, &requestError{what: "nodes(detail=True)", err: err}
	}
	t := &table{kind: "nodes", header: nodeFields, none: "no nodes"}
	for _, n := range infos {
		t.rows = append(t.rows, nodeRow(n))
	}
	return t, nil
}

// nodeRow returns the row of a node.
func nodeRow(n node.NodeInfo) *record {
	row := &record{kind: "node", fields: nodeFields, values: make(starlark.Tuple, len(nodeFields))}
	set := func(field string, v starlark.Value) { row.values[slices.Index(nodeFields, field)] = v }
	for _, field := range nodeFields {
		set(field, starlark.None)
	}
	set("name", starlark.String(n.Name))
	set("state", starlark.String(n.State.String()))
	set("incarnation", starlark.String(strconv.FormatUint(n.Incarnation, 16)))
	if n.Since > 0 {
		set("since", duration(n.Since))
	}
	if n.Kept > worker.Forever/2 {
		set("until", starlark.String("forever"))
	} else if n.Kept > 0 {
		set("until", duration(n.Kept))
	}
	if n.Problem != "" {
		set("why", starlark.String(printable(n.Problem)))
		return row
	}
	set("rtt", duration(n.RTT))
	set("ids", starlark.MakeInt(n.Workers))
	set("rate", starlark.Float(n.Rate))
	set("uptime", duration(n.Uptime))
	var why []string
	if q := n.Quorum; q != nil {
		set("lease", seconds(q.Lease))
		set("view_epoch", starlark.MakeUint64(q.Epoch))
		set("voter", starlark.Bool(q.Voter))
		set("leads", starlark.Bool(q.Leads))
		set("quorum", starlark.Bool(q.Quorum))
		if !q.Quorum {
			why = append(why, "no quorum: "+q.Why)
		}
	}
	if n.Apart {
		why = append(why, "apart: serves no serial kind; see h(alone)")
	}
	if len(n.Differs) > 0 {
		why = append(why, "kinds differ: "+strings.Join(n.Differs, ", "))
	}
	if len(why) > 0 {
		set("why", starlark.String(printable(strings.Join(why, "; "))))
	}
	return row
}

func (sh *Shell) runtimeInfo(r *request) (starlark.Value, error) {
	if err := r.unpack(); err != nil {
		return nil, err
	}
	infos, err := sh.cluster.Nodes(r.ctx)
	if err != nil {
		return nil, &requestError{what: "runtime_info()", err: err}
	}
	self, alive := sh.cluster.Self(), 0
	var own node.NodeInfo
	for _, n := range infos {
		if n.State == node.StateAlive {
			alive++
		}
		if n.Name == self {
			own = n
		}
	}
	if own.Problem != "" {
		return nil, &requestError{what: "runtime_info()", err: errors.New(own.Problem)}
	}
	a := &account{kind: "runtime_info", names: []string{"node", "addr", "version", "uptime", "workers", "requests", "memory", "goroutines", "members", "alive"},
		values: starlark.Tuple{
			starlark.String(self), starlark.String(own.Addr), starlark.String(own.Version), duration(own.Uptime),
			starlark.MakeInt(own.Workers), starlark.MakeUint64(own.Requests), starlark.MakeUint64(own.Memory),
			starlark.MakeInt(own.Goroutines), starlark.MakeInt(len(infos)), starlark.MakeInt(alive),
		}}
	a.say("node", self+" at "+own.Addr)
	a.say("version", own.Version)
	a.say("up", shortly(own.Uptime))
	a.say("workers", fmt.Sprintf("%d live, %s since the start", own.Workers, counted(own.Requests, "request answered", "requests answered")))
	a.say("memory", fmt.Sprintf("%s of heap, %d goroutines", mebibytes(int64(own.Memory)), own.Goroutines))
	a.say("values", values(own))
	a.say("cluster", fmt.Sprintf("%d members, %d of them alive", len(infos), alive))
	return a, nil
}

// values describes the memory of a node's values.
func values(n node.NodeInfo) string {
	text := mebibytes(n.Values)
	if n.MaxValues > 0 {
		text += " of at most " + mebibytes(n.MaxValues)
	}
	return text + fmt.Sprintf(", %d workers evicted", n.Evicted)
}
