package repl

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"go.starlark.net/starlark"

	"github.com/distproc/distproc/node"
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
	"name", "state", "rtt", "ids", "rate", "uptime",
	"lease", "view_epoch", "voter", "leads", "quorum", "incarnation", "why",
}

func (sh *Shell) nodeTable(r *request) (starlark.Value, error) {
	infos, err := sh.cluster.Nodes(r.ctx)
	if err != nil {
		return nil, &requestError{what: "nodes(detail=True)", err: err}
	}
	t := &table{kind: "nodes", header: nodeFields, none: "no nodes"}
	for _, n := range infos {
		row := &record{kind: "node", fields: nodeFields, values: starlark.Tuple{
			starlark.String(n.Name), starlark.String(n.State.String()),
			starlark.None, starlark.None, starlark.None, starlark.None,
			starlark.None, starlark.None, starlark.None, starlark.None, starlark.None,
			starlark.String(strconv.FormatUint(n.Incarnation, 16)), starlark.None,
		}}
		if n.Problem != "" {
			row.values[12] = starlark.String(printable(n.Problem))
		} else {
			row.values[2] = duration(n.RTT)
			row.values[3], row.values[4] = starlark.MakeInt(n.Workers), starlark.Float(n.Rate)
			row.values[5] = duration(n.Uptime)
			var why []string
			if q := n.Quorum; q != nil {
				copy(row.values[6:], starlark.Tuple{
					seconds(q.Lease), starlark.MakeUint64(q.Epoch), starlark.Bool(q.Voter), starlark.Bool(q.Leads), starlark.Bool(q.Quorum),
				})
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
				row.values[12] = starlark.String(printable(strings.Join(why, "; ")))
			}
		}
		t.rows = append(t.rows, row)
	}
	return t, nil
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
