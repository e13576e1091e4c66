package repl

import (
	"fmt"
	"slices"
	"strings"

	"go.starlark.net/starlark"

	"github.com/distproc/distproc/node"
	"github.com/distproc/distproc/node/worker"
)

// statusFields are the columns of status. All but the version are those of
// nodes(detail=True).
var statusFields = []string{"name", "state", "since", "until", "uptime", "ids", "rate", "lease", "leads", "version", "why"}

// status says whether all is well, and what is not.
func (sh *Shell) status(r *request) (starlark.Value, error) {
	own := false
	if err := r.unpack("own?", &own); err != nil {
		return nil, err
	}
	ctx, cancel := sh.bounded(r.ctx)
	defer cancel()
	infos, err := sh.cluster.Nodes(ctx)
	if err != nil {
		return nil, &requestError{what: r.name + "()", err: err}
	}
	self := sh.cluster.Self()
	if own {
		infos = slices.DeleteFunc(infos, func(n node.NodeInfo) bool { return n.Name != self })
	}
	return statusOf(self, infos), nil
}

// statusOf returns the status of nodes, as one of them sees it.
func statusOf(self string, infos []node.NodeInfo) *account {
	var attention []string
	for _, n := range infos {
		for _, what := range troubles(n) {
			attention = append(attention, printable(n.Name+" "+what))
		}
	}
	if len(infos) == 0 {
		attention = append(attention, self+" is no member")
	}
	a := &account{kind: "status", bad: len(attention) > 0}
	texts := make([]starlark.Value, len(attention))
	for i, what := range attention {
		texts[i] = starlark.String(what)
		a.warn("attention", what)
	}
	if len(attention) == 0 {
		a.say("status", "all is well")
	}
	a.say("asked", self)
	a.set("ok", starlark.Bool(len(attention) == 0))
	a.set("attention", starlark.NewList(texts))
	a.set("node", starlark.String(self))
	sayLeader(a, infos)
	sayVersions(a, infos)
	t := &table{kind: "nodes", header: statusFields, none: "no nodes"}
	for _, n := range infos {
		t.rows = append(t.rows, statusRow(n))
	}
	a.set("nodes", t)
	a.below = t
	return a
}

// troubles returns what needs attention about a node, each as the end of a sentence.
func troubles(n node.NodeInfo) (list []string) {
	switch {
	case n.State == node.StateFailed && n.Kept > 0 && n.Kept < worker.Forever/2:
		list = append(list, fmt.Sprintf("has failed %s ago; its ids wait for another %s for its return", shortly(n.Since), shortly(n.Kept)))
	case n.State == node.StateFailed:
		list = append(list, fmt.Sprintf("has failed %s ago", shortly(n.Since)))
	case n.State == node.StateStuck:
		list = append(list, fmt.Sprintf("is stuck since %s: it answers pings but no calls", shortly(n.Since)))
	}
	switch {
	case n.Problem != "" && n.State != node.StateFailed:
		list = append(list, "does not answer: "+n.Problem)
	case n.Unready != "":
		list = append(list, "is not ready: "+n.Unready)
	}
	if q := n.Quorum; q != nil && !q.Quorum && n.Unready == "" {
		list = append(list, "has no quorum of strict kinds: "+q.Why)
	}
	if n.Stuck > 0 {
		list = append(list, "has "+counted(uint64(n.Stuck), "run of a source that does not end", "runs of sources that do not end"))
	}
	if len(n.Differs) > 0 {
		list = append(list, "has other kinds than the node asked, which should be the same: "+strings.Join(n.Differs, ", "))
	}
	return list
}

// statusRow returns the row of a node.
func statusRow(n node.NodeInfo) *record {
	detail := nodeRow(n)
	row := &record{kind: "node", fields: statusFields}
	for _, field := range statusFields {
		v, _ := detail.Attr(field)
		switch {
		case field == "version":
			v = orNone(printable(n.Version))
		case field == "uptime" && n.Problem == "":
			v = duration(n.Uptime)
		}
		row.values = append(row.values, v)
	}
	return row
}

// sayLeader says which node leads the voters of strict kinds. Without such kinds it says
// nothing.
func sayLeader(a *account, infos []node.NodeInfo) {
	leader, lease, voters := starlark.Value(starlark.None), starlark.Value(starlark.None), []string(nil)
	for _, n := range infos {
		if n.Quorum == nil {
			continue
		}
		voters = n.Quorum.Voters
		if n.Quorum.Leads && n.Quorum.Quorum {
			leader, lease = starlark.String(n.Name), seconds(n.Quorum.Lease)
			a.say("leader", fmt.Sprintf("%s, of the voters %s", n.Name, strings.Join(voters, ", ")))
		}
	}
	if leader == starlark.None && voters != nil {
		a.say("leader", "none that is seen here, of the voters "+strings.Join(voters, ", "))
	}
	a.set("leader", leader)
	a.set("lease", lease)
}

// sayVersions says so if the versions of the nodes differ, as during an upgrade.
func sayVersions(a *account, infos []node.NodeInfo) {
	var list []string
	for _, n := range infos {
		if v := printable(n.Version); v != "" && !slices.Contains(list, v) {
			list = append(list, v)
		}
	}
	slices.Sort(list)
	values := make([]starlark.Value, len(list))
	for i, v := range list {
		values[i] = starlark.String(v)
	}
	if len(list) > 1 {
		a.say("versions", fmt.Sprintf("%d: %s", len(list), strings.Join(list, "; ")))
	}
	a.set("versions", starlark.NewList(values))
}
