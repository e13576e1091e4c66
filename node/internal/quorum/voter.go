package quorum

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"github.com/distproc/distproc/wire"
)

// A voter is the part of a quorum that only voters have: its raft and, while that leads, a
// [leader].
type voter struct {
	q       *Quorum
	disk    *disk
	raft    *raft.Raft
	machine *machine
	streams *streams
	closed  chan struct{} // of what raft waits for
	wake    chan struct{} // the leader has something to do
	hint    chan struct{} // there is news for all members
	asked   chan struct{} // a round is to begin

	past     Origin        // of what was on the disk when it was opened
	began    time.Duration // when it was opened
	changing atomic.Bool   // the voters are being changed

	mu        sync.Mutex
	leader    *leader  // nil unless it leads; guarded by mu, as all below
	term      uint64   // of leader
	elections uint64   // terms in which it has begun to lead
	next      *round   // that answers wait for, and that has not yet begun; nil if none
	voteErr   error    // what the disk failed with when it was to keep a vote; nil if it works
	logErr    error    // the same of entries of the log
	said      string   // what the log says of the clusters of others
	invited   []string // the identities of the voters that want this one to join
	obsolete  bool     // the voters were recovered without this one
	rival     bool     // a member of another cluster has renewed with leader
}

// newVoter starts raft on a disk, and closes the disk if that fails.
func newVoter(q *Quorum, d *disk) (*voter, error) {
	if err := d.saveTerm(); err != nil {
		d.close()
		return nil, err
	}
	v := &voter{
		q: q, disk: d, closed: make(chan struct{}), began: q.Clock(),
		wake: make(chan struct{}, 1), hint: make(chan struct{}, 1), asked: make(chan struct{}, 1),
		streams: newStreams(d.server(), q.Host.Dial),
	}
	past, _, err := d.replay()
	if err != nil {
		d.close()
		return nil, err
	}
	v.past = past.origin()
	v.machine = newMachine(v.applied)
	log, interval := newRaftLog(q.Log), q.Timing.Interval
	c := raft.DefaultConfig()
	c.LocalID, c.Logger = d.server(), log
	// Raft notices the loss of a leader after one to three times HeartbeatTimeout.
	c.HeartbeatTimeout, c.ElectionTimeout, c.LeaderLeaseTimeout = interval*2/3, interval, interval/2
	c.CommitTimeout = max(interval/20, minRaft)
	c.SnapshotThreshold, c.TrailingLogs, c.SnapshotInterval = snapshotAfter, snapshotAfter, snapshotEvery
	c.NoLegacyTelemetry, c.ShutdownOnRemove = true, false // it may be added again
	trans := raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream: v.streams, MaxPool: 2, Timeout: 2 * interval, Logger: log, MsgpackUseNewTimeFormat: true,
		// No pipeline: that of v1.8.0 hangs for ever if a response fails while a request is
		// handed to it, and entries are too few to need one.
		MaxRPCsInFlight: 1,
	})
	stable := votes{StableStore: d.stable, closed: v.closed, failed: func(err error) { v.noteDisk(&v.voteErr, err) }}
	logs := entries{LogStore: d.logs, noted: func(err error) { v.noteDisk(&v.logErr, err) }}
	r, err := raft.NewRaft(c, v.machine, logs, stable, d.snaps, trans)
	if err != nil {
		trans.Close()
		d.close()
		return nil, err
	}
	v.raft = r
	return v, nil
}

const (
	snapshotAfter = 256 // entries of the log
	snapshotEvery = 2 * time.Minute
	minRaft       = 5 * time.Millisecond // raft takes no shorter times
)

func (v *voter) start() {
	v.q.wg.Go(v.lead)
	v.q.wg.Go(v.hints)
	v.q.wg.Go(v.rounds)
	v.q.wg.Go(v.bootstrap)
}

func (v *voter) close() {
	close(v.closed)
	_ = v.raft.Shutdown().Error() // it has none
	_ = v.streams.Close()
	v.disk.close()
}

// noteDisk notes whether the disk takes votes, or entries. It says so when that changes.
func (v *voter) noteDisk(of *error, err error) {
	v.mu.Lock()
	old := v.diskErrLocked()
	*of = err
	now := v.diskErrLocked()
	v.mu.Unlock()
	switch {
	case now != nil && old == nil:
		v.q.Log.Error("the data directory cannot be written; this voter does not vote until it can", "dir", v.q.Dir, "why", pathless(now))
	case now == nil && old != nil:
		v.q.Log.Info("the data directory can be written again", "dir", v.q.Dir)
	}
}

func (v *voter) diskErrLocked() error { return cmp.Or(v.voteErr, v.logErr) }

// lead keeps v.leader as raft has it, and does what the leader has to do.
func (v *voter) lead() {
	var begun chan struct{} // closed when the beginning of a term is over; nil if none begins
	ticks := time.NewTicker(max(v.q.Timing.Interval/10, minPause))
	defer ticks.Stop()
	for {
		term, leads := v.raft.CurrentTerm(), v.raft.State() == raft.Leader
		v.mu.Lock()
		if v.leader != nil && (!leads || v.term != term) {
			v.leader = nil
			v.q.Log.Info("this node leads the voters no more", "term", v.term)
		}
		begins := leads && v.leader == nil && begun == nil
		v.mu.Unlock()
		if begins {
			begun = make(chan struct{})
			v.q.wg.Go(func() {
				defer close(begun)
				v.begin(term)
			})
		}
		v.act()
		runOut := time.NewTimer(v.untilRunOut())
		select {
		case <-ticks.C:
		case <-runOut.C:
		case <-v.wake:
		case <-v.raft.LeaderCh():
		case <-begun:
			begun = nil
		case <-v.q.ctx.Done():
			runOut.Stop()
			return
		}
		runOut.Stop()
	}
}

// begin waits until an entry of the term is committed and applied, and leads from then on
// (rule 15). The term is over if it cannot.
func (v *voter) begin(term uint64) {
	if v.raft.Barrier(v.q.Timing.Lease).Error() != nil {
		time.Sleep(v.q.Timing.Interval / 10) // it may be about to hand over, and fail at once
		return
	}
	if v.young() { // two voters of before a recovery can elect each other
		v.lookAround()
	}
	v.mu.Lock()
	if v.raft.State() != raft.Leader || v.raft.CurrentTerm() != term { // the barrier may be of a later term
		v.mu.Unlock()
		return
	}
	v.leader, v.term = newLeader(v.q.rights.Load().me, v.q.Routing, v.q.Timing, v.present, v.machine.now(), v.q.Clock()), term
	v.elections++
	v.mu.Unlock()
	v.q.Log.Info("this node leads the voters", "term", term)
	poke(v.hint)
}

// present reports whether a node belongs to the cluster.
func (v *voter) present(name string) bool { return slices.Contains(v.q.Host.Members(), name) }

// untilRunOut returns how long the leader can sleep at most.
func (v *voter) untilRunOut() time.Duration {
	v.mu.Lock()
	defer v.mu.Unlock()
	if now := v.q.Clock(); v.leader != nil && v.leader.log.newest() != nil {
		if at := v.leader.nextRunOut(now); at < Forever {
			return at - now
		}
	}
	return v.q.Timing.Lease
}

// act proposes what the leader wants.
func (v *voter) act() {
	v.mu.Lock()
	l, term := v.leader, v.term
	if l == nil {
		v.mu.Unlock()
		return
	}
	var e *entry
	var news bool
	switch {
	case l.log.cluster != "":
		e, news = l.tick(v.q.Clock())
	case !l.pending: // the identity comes first, and one entry at a time
		e, l.pending = &entry{Cluster: rand.Text()}, true
	}
	v.mu.Unlock()
	if news {
		poke(v.hint)
	}
	if e != nil {
		v.q.wg.Go(func() { v.propose(term, e) })
	}
}

// propose adds an entry to the log, and waits until it is committed or lost.
func (v *voter) propose(term uint64, e *entry) {
	f := v.raft.Apply(e.encode(), v.q.Timing.Lease)
	err := f.Error()
	if err == nil {
		err, _ = f.Response().(error)
	}
	v.mu.Lock()
	if v.leader != nil && v.term == term {
		v.leader.settled()
	}
	v.mu.Unlock()
	if err != nil { // the next tick tries again
		v.q.Log.Debug("an entry was not committed", "why", err)
		return
	}
	poke(v.wake)
}

// applied takes each new state of the log. It is called by raft.
func (v *voter) applied(s *state) {
	v.mu.Lock()
	news := v.leader != nil && v.leader.applied(s, v.q.Clock())
	v.mu.Unlock()
	if news {
		poke(v.hint)
	}
	poke(v.wake)
}

// hints tells all members to renew when there is news for them, and twice in the time of a lease
// those that do not: they may know none of the voters. It rests after each time, as every answer
// to a hint may be news for all others.
func (v *voter) hints() {
	ticks := time.NewTicker(v.q.Timing.Lease / 2)
	defer ticks.Stop()
	for {
		var members []string
		select {
		case <-v.hint:
			members = v.q.Host.Members()
		case <-ticks.C:
			members = v.unheard(v.q.Host.Members())
		case <-v.q.ctx.Done():
			return
		}
		for _, name := range members {
			if name == v.q.Self.Name {
				v.q.ServeHint(name)
			} else {
				v.q.wg.Go(func() {
					ctx, cancel := context.WithTimeout(v.q.ctx, v.q.Timing.Interval)
					defer cancel()
					v.q.Host.Hint(ctx, name, v.q.Self.Name)
				})
			}
		}
		time.Sleep(minPause * time.Duration(1+len(members)/32))
	}
}

// unheard returns those of some nodes that have not renewed with this voter for the time after
// which a member is silent, if it leads.
func (v *voter) unheard(names []string) (list []string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if l := v.leader; l != nil {
		for _, name := range names {
			if s, ok := l.seen[name]; !ok || v.q.Clock() > s.at+l.timing.Silence || l.log.newest() == nil {
				list = append(list, name)
			}
		}
	}
	return list
}

// ServeRenewal answers a renewal of a member.
func (q *Quorum) ServeRenewal(ctx context.Context, r *Renewal) (*Answer, error) {
	if q.voter == nil {
		return nil, errNoVoter
	}
	return q.voter.renewal(ctx, r)
}

// ServeTerm returns the term of this voter. It returns an error if the one is meant that had
// this name with another disk: what that one has promised is not known here (rule 22). A voter
// of before a recovery confirms nobody (rule 26).
func (q *Quorum) ServeTerm(server string) (uint64, error) {
	switch {
	case q.voter == nil:
		return 0, errNoVoter
	case string(q.voter.disk.server()) != server:
		return 0, errOtherDisk
	case q.voter.isObsolete():
		return 0, errObsolete
	}
	return q.voter.raft.CurrentTerm(), nil
}

var (
	errNoVoter   = errors.New("the node is no voter")
	errObsolete  = errors.New("the voter is of before the voters were recovered")
	errOtherDisk = errors.New("the node has lost the disk that made it this voter")
)

func (v *voter) renewal(ctx context.Context, r *Renewal) (*Answer, error) {
	if _, err := r.Member.parse(); err != nil { // it would have a seat in a view that makes no sense
		return nil, err
	}
	slices.SortFunc(r.Busy, compareKeys) // it comes from a peer
	v.mu.Lock()
	l, term := v.leader, v.term
	switch {
	case v.obsolete, r.Origin.follows(v.origin()):
		v.mu.Unlock()
		return nil, errObsolete
	case l == nil:
		v.mu.Unlock()
		return &Answer{Leader: v.leaderName()}, nil
	case r.Lease != v.q.Timing.Lease: // the member would count another time than this one
		v.mu.Unlock()
		return nil, wire.Errorf(wire.BadRequest, wire.NotRun, "%s has leases of %v, and %s, which leads the voters, of %v; "+
			"start all nodes with the same --timing", r.Member.Name, r.Lease, v.q.Self.Name, v.q.Timing.Lease)
	}
	a, news := l.renewal(r, v.q.Clock())
	origin, met := l.log.origin(), l.rival && !v.rival
	v.rival = l.rival
	wake := news || l.stirred
	v.mu.Unlock()
	if met {
		v.q.Log.Error("a node has its leases from other voters than these: a second cluster was founded beside the first one. "+
			"Stop the voters of one of them, and move their data directories away", "node", r.Member.Name)
	}
	if news {
		poke(v.hint)
	}
	if wake { // the rest can wait for the next tick
		poke(v.wake)
	}
	if a == nil {
		return &Answer{Leader: v.q.Self.Name, Origin: origin}, nil
	}
	if err := v.verify(ctx, term); err != nil {
		return nil, err
	}
	a.Leader, a.Origin = v.q.Self.Name, v.origin()
	for _, s := range v.electors() {
		a.Voters = append(a.Voters, string(s.ID))
	}
	return a, nil
}

// leaderName returns the name of the voter that leads, or "".
func (v *voter) leaderName() string {
	_, id := v.raft.LeaderWithID()
	if name := nameOf(id); name != v.q.Self.Name {
		return name
	}
	return "" // it does not lead yet, or no more
}

// servers returns raft's configuration, which raft shares with others.
func (v *voter) servers() []raft.Server {
	f := v.raft.GetConfiguration()
	if f.Error() != nil {
		return nil
	}
	return f.Configuration().Servers
}

// origin returns of which cluster the log is. A voter that has started knows nothing of its log to
// be committed before it hears from a leader.
func (v *voter) origin() Origin {
	if o := v.machine.now().origin(); o.Cluster != "" {
		return o
	}
	return v.past
}

// electors returns the voters, without those that are joining them.
func (v *voter) electors() (list []raft.Server) {
	for _, s := range v.servers() {
		if s.Suffrage == raft.Voter {
			list = append(list, s)
		}
	}
	return list
}

// names returns the names of the voters.
func (v *voter) names() (names []string) {
	for _, s := range v.electors() {
		names = append(names, nameOf(s.ID))
	}
	return names
}

// namesOf returns the names of voters.
func namesOf(servers []string) (names []string) {
	for _, id := range servers {
		names = append(names, nameOf(raft.ServerID(id)))
	}
	return names
}
