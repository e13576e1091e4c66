package quorum

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/raft"
)

// ServeStream takes a stream of another voter.
func (q *Quorum) ServeStream(conn net.Conn, from string) error {
	if q.voter == nil {
		conn.Close()
		return errNoVoter
	}
	return q.voter.streams.serve(conn, from, q.voter.knows)
}

// knows reports whether a peer may talk to raft: it is a voter, has invited this one to join the
// voters, or this one knows none yet.
func (v *voter) knows(id raft.ServerID) bool {
	servers := v.servers()
	v.mu.Lock()
	obsolete, invited := v.obsolete, slices.Contains(v.invited, string(id))
	v.mu.Unlock()
	switch {
	case obsolete:
		return false
	case invited:
		return true
	case len(servers) == 0:
		return slices.Contains(v.q.Config.Voters, nameOf(id))
	}
	return slices.ContainsFunc(servers, func(s raft.Server) bool { return s.ID == id })
}

// invite has raft talk to the voters that are about to make this one a voter. Voters of another
// cluster than that of its log would replace the log.
func (v *voter) invite(by *Introduction) {
	if own := v.origin(); len(v.servers()) > 0 && (own.Cluster == "" || own.Cluster != by.Origin.Cluster) {
		return
	}
	if slices.Contains(by.Joining, string(v.disk.server())) && len(by.Log) <= MaxVoters {
		v.mu.Lock()
		v.invited = by.Log
		v.mu.Unlock()
	}
}

// bootstrap makes the first configuration when all voters that the user has named are there,
// with empty disks and the same list (rule 23). The first of them makes it, and the others get
// it from that one.
func (v *voter) bootstrap() {
	said, began := "", v.q.Clock()
	ticks := time.NewTicker(v.q.Timing.Interval / 2)
	defer ticks.Stop()
	for {
		if len(v.servers()) > 0 {
			v.meet()
			return
		}
		why := v.tryBootstrap()
		if why != said && why != "" && v.q.Clock() > began+v.q.Timing.Lease {
			v.q.Log.Warn("the voters cannot begin", "why", why)
			said = why
		}
		select {
		case <-ticks.C:
		case <-v.q.ctx.Done():
			return
		}
	}
}

// tryBootstrap makes the configuration, or says why it cannot.
func (v *voter) tryBootstrap() (why string) {
	ctx, cancel := context.WithTimeout(v.q.ctx, v.q.Timing.Interval)
	defer cancel()
	own := v.introduction()
	given := slices.Clone(own.Voters)
	slices.Sort(given)
	var c raft.Configuration
	for _, name := range given {
		in := own
		if name != v.q.Self.Name {
			var err error
			if in, err = v.q.Host.Introduce(ctx, name, own); err != nil {
				return name + " " + silence(name, err)
			}
		}
		theirs := slices.Clone(in.Voters)
		slices.Sort(theirs)
		switch {
		case in.Server == "":
			return fmt.Sprintf("%s was not started as a voter: its --voters lacks it", name)
		case nameOf(raft.ServerID(in.Server)) != name:
			return fmt.Sprintf("%s says that it is %s", name, in.Server)
		case slices.Contains(in.Log, own.Server) || slices.Contains(in.Joining, own.Server):
			return "" // what that one knows is on its way
		case !in.Empty:
			return fmt.Sprintf("%s has a log, and this node's data directory is empty: this node is a new voter, and "+
				"becomes one by %s", name, adding(v.q.Self.Name, in))
		case !slices.Equal(theirs, given):
			return fmt.Sprintf("%s was given the voters %s, and this node %s", name, strings.Join(theirs, ","), strings.Join(given, ","))
		}
		c.Servers = append(c.Servers, raft.Server{ID: raft.ServerID(in.Server), Address: raft.ServerAddress(in.Server)})
	}
	if given[0] != v.q.Self.Name {
		return "" // that one does it
	}
	if err := v.raft.BootstrapCluster(c).Error(); err != nil {
		return err.Error()
	}
	v.q.Log.Info("the voters begin", "voters", strings.Join(given, ","))
	return ""
}

// adding returns what makes a new voter of a name one, by the log of another. The log may have
// the voter whose data directory is lost.
func adding(name string, in *Introduction) string {
	add := "distproc voters add " + name
	if slices.Contains(namesOf(in.Log), name) {
		return "distproc voters remove " + name + ", and then " + add
	}
	return add
}
