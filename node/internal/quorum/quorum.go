// Package quorum gives each id of a strict kind one place in the cluster, or none: also when
// the network is split, a node is paused, or a disk is lost.
//
// A few nodes, the voters, keep a log by raft (voter.go, handover.go, bootstrap.go,
// log.go, disk.go, votes.go, streams.go). They can be changed (change.go, report.go),
// recovered (recover.go), and told from those of another cluster (origin.go). The log has
// views of the cluster and nothing for a call or an id. The voter that leads gives leases
// (leader.go, verify.go), by the last view that all who had rights before have given them
// up for. A node acts for the ids that the view gives it while its lease is valid
// (rights.go, quorum.go). It decides on each call by itself, without asking anybody
// (call.go).
//
// The rules, by number, and why they hold, are in model/README.md, beside a model that checks
// them. leader.go and rights.go are these rules: they know no clock, do no I/O, and are tested
// alone.
//
// Invariants:
//
//   - Two calls of an id do not overlap while the leases of both are valid; tokens rise; and a
//     call that ended after its lease is not answered: TestSimulation, TestDrills.
//   - TestMutants breaks each rule, and tells which tests fail then.
//   - A voter that cannot write does not vote, and one that has lost its disk is another one:
//     the tests of disk.go and votes.go, and the drills in change_test.go.
//   - No lock is held while a method of the [Host] runs.
package quorum

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/distproc/distproc/node/placement"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// A Config says what a [Quorum] is. No field but Dir may be left out.
type Config struct {
	Routing placement.Routing
	Timing  Timing
	Voters  []string             // names of nodes, as the user gave them
	Dir     string               // the data directory of a voter
	Clock   func() time.Duration // goes on while the machine is suspended, and never jumps
	Log     *slog.Logger
}

// A Host is the node of a quorum. Its methods may be called from any number of goroutines.
type Host interface {
	// Renew asks a voter of another node for a lease.
	Renew(ctx context.Context, voter string, r *Renewal) (*Answer, error)

	// Term asks another voter for its term, if its identity is server.
	Term(ctx context.Context, voter, server string) (uint64, error)

	// Introduce exchanges with another node who they are.
	Introduce(ctx context.Context, voter string, own *Introduction) (*Introduction, error)

	// Change has another voter, if it leads, change the voters.
	Change(ctx context.Context, voter string, c *Change) (*Changed, error)

	// Hint tells another member to renew its lease now. It does not wait for the result.
	Hint(ctx context.Context, member, leader string)

	// Dial opens a stream to another voter, which serves it by [Quorum.ServeStream].
	Dial(ctx context.Context, voter string) (net.Conn, error)

	// Members returns the names of the nodes of the cluster, alive or not.
	Members() []string

	// Running returns the ids of the calls that run. A call counts from the moment at which
	// Begin permits it: both happen with a lock held that Running takes. It also returns
	// those that own refuses and that have yet to be tidied up. Own depends on under alone,
	// which is compared by ==.
	Running(under any, own func(worker.ID) bool) []worker.Key

	// RightsChanged is called, not concurrently, when views or facts have changed. Servers of
	// ids that belong to others now have to end.
	RightsChanged()
}

// A Quorum gives a node its share in the ids of strict kinds. All methods may be called from
// any number of goroutines.
type Quorum struct {
	Config
	Self   Member
	Host   Host
	voter  *voter // nil if the node is none
	rights atomic.Pointer[Rights]
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
	due    chan struct{} // a renewal is due now
	news   chan struct{} // views or facts have changed, and the host has yet to be told

	mu        sync.Mutex
	asked     []string         // the voters that are asked; guarded by mu, as all below
	log       []string         // their identities by the last answer, or nil
	origin    Origin           // of their log, by the last answer
	leader    string           // who is asked first
	sending   int              // renewals on their way
	answered  time.Duration    // when the last answer was taken
	taken     time.Duration    // when the last answer with views was
	has       Version          // of the last answer that was taken
	failing   map[string]error // voters that did not answer when they were asked last
	changed   chan struct{}    // closed when the rights change
	viewsSeen uint64           // views that were the newest one

	// Every call changes the count. Padding keeps that from the lines of the processor's
	// cache that have the rights, which every call reads.
	_     [64]byte
	count atomic.Uint64 // of tokens
	_     [64]byte
}

// maxSending is how many renewals wait for an answer at once.
const maxSending = 4

// New returns a quorum that permits nothing yet.
func New(c Config) *Quorum {
	q := &Quorum{
		Config: c, due: make(chan struct{}, 1), news: make(chan struct{}, 1), changed: make(chan struct{}),
		asked: c.Voters, leader: c.Voters[0], answered: c.Clock(), failing: map[string]error{},
	}
	q.ctx, q.cancel = context.WithCancel(context.Background())
	q.rights.Store(&Rights{})
	return q
}

// Open has the quorum work for a life of a node. If the node is one of the voters, it opens
// the data directory.
func (q *Quorum) Open(self Member, h Host) error {
	var d *disk
	if slices.Contains(q.Config.Voters, self.Name) {
		var err error
		if d, err = openDisk(q.Dir, self.Name, newRaftLog(q.Log)); err != nil {
			return err
		}
	}
	return q.open(self, h, d)
}

// open is Open for a node with a disk, or nil if it is no voter.
func (q *Quorum) open(self Member, h Host, d *disk) (err error) {
	q.Self, q.Host = self, h
	q.rights.Store(&Rights{me: self})
	if d != nil {
		if q.voter, err = newVoter(q, d); err != nil {
			return fmt.Errorf("data directory %s: %w", q.Dir, err)
		}
	}
	q.start()
	return nil
}

func (q *Quorum) start() {
	if q.voter != nil {
		q.voter.start()
	}
	q.wg.Go(q.renewals)
	q.wg.Go(func() {
		for {
			select {
			case <-q.news:
				q.Host.RightsChanged()
			case <-q.ctx.Done():
				return
			}
		}
	})
}

// Close ends the quorum at once. Use [Quorum.Leave] first if others shall not have to wait
// for the end of its lease.
func (q *Quorum) Close() {
	q.cancel()
	if q.voter != nil {
		q.voter.close()
	}
	q.wg.Wait()
}

// Rights returns what the node may do now.
func (q *Quorum) Rights() *Rights { return q.rights.Load() }

// renewals renews the lease in every interval, and when it is due sooner, until the quorum is
// closed.
func (q *Quorum) renewals() {
	ticks := time.NewTicker(q.Timing.Interval)
	defer ticks.Stop()
	for {
		q.mu.Lock()
		if q.sending < maxSending {
			q.sending++
			q.wg.Go(q.renew)
		}
		q.mu.Unlock()
		select {
		case <-ticks.C:
		case <-q.due:
			time.Sleep(minPause)
		case <-q.ctx.Done():
			return
		}
	}
}

// minPause is the least time between two renewals. What happens in it is told at once.
const minPause = time.Millisecond

// RenewNow has the lease renewed now, because somebody leads who should know, or a call has
// ended that others wait for.
func (q *Quorum) RenewNow() { poke(q.due) }

// poke sends to a channel with room for one, unless somebody has.
func poke(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// ServeHint takes a hint of the leader. It carries no rights.
func (q *Quorum) ServeHint(leader string) {
	q.mu.Lock()
	q.leader = leader
	q.mu.Unlock()
	q.RenewNow()
}

// renew asks for a lease once. It asks the voter that leads as far as it knows, and then the
// one that this one names.
func (q *Quorum) renew() {
	defer func() {
		q.mu.Lock()
		q.sending--
		q.mu.Unlock()
	}()
	ctx, cancel := context.WithTimeout(q.ctx, q.Timing.Silence)
	defer cancel()
	q.mu.Lock()
	to := q.leader
	q.mu.Unlock()
	for range 2 {
		sent := q.Clock()
		a, err := q.ask(ctx, to, q.renewal(sent))
		q.mu.Lock()
		q.noteLocked(to, err)
		switch {
		case err == nil && q.rivalLocked(a.Origin):
			if q.leader == to {
				q.leader = q.nextLocked(to)
			}
			q.mu.Unlock()
			return
		case err == nil && len(a.Views) > 0:
			q.leader = to
			again := q.takeLocked(a, sent)
			q.mu.Unlock()
			if again {
				q.RenewNow()
			}
			return
		case err == nil && a.Leader == to: // it has no view yet
			q.answered = q.Clock()
			q.mu.Unlock()
			return
		case err == nil && a.Leader != "":
			q.leader = a.Leader // a redirect comes before the next voter (rule 13)
		case q.leader == to: // else a hint has come meanwhile
			q.leader = q.nextLocked(to)
			q.mu.Unlock()
			return
		}
		to = q.leader
		q.mu.Unlock()
	}
}

// ask sends a renewal to a voter, which may be of this node.
func (q *Quorum) ask(ctx context.Context, voter string, r *Renewal) (*Answer, error) {
	var a *Answer
	var err error
	if voter == q.Self.Name {
		a, err = q.ServeRenewal(ctx, r)
	} else if a, err = q.Host.Renew(ctx, voter, r); err == nil {
		err = checkViews(a.Views)
	}
	if err != nil {
		return nil, err
	}
	if err := q.rights.Load().complete(a); err != nil {
		q.mu.Lock()
		q.has = Version{} // the next answer has all
		q.mu.Unlock()
		return nil, err
	}
	return a, nil
}

// nextLocked returns the voter to ask after one that did not help.
func (q *Quorum) nextLocked(last string) string {
	i := slices.Index(q.asked, last)
	return q.asked[(i+1)%len(q.asked)]
}

func (q *Quorum) noteLocked(voter string, err error) {
	if err == nil {
		delete(q.failing, voter)
		return
	}
	if e, ok := errors.AsType[*wire.Error](err); ok && e.Code == wire.BadRequest && q.failing[voter] == nil {
		q.Log.Error("a voter refuses this node", "voter", voter, "why", e.Text)
	}
	if slices.Contains(q.asked, voter) {
		q.failing[voter] = err
	}
}

// renewal returns what the node has to say now. What runs is looked at after the rights, so
// it has all that began under older ones (rule 12).
func (q *Quorum) renewal(now time.Duration) *Renewal {
	rights := q.rights.Load()
	r := &Renewal{Member: rights.me, Lease: q.Timing.Lease}
	r.Ack, r.Busy = rights.acknowledge(q.running(rights))
	q.mu.Lock()
	defer q.mu.Unlock()
	r.Origin, r.Leaving, r.Deaf = q.origin, rights.leaving, now > q.answered+q.Timing.deaf()
	r.Has, r.Current = q.has, q.currentLocked()
	return r
}

// currentLocked reports whether the node has taken views within the time of a lease.
func (q *Quorum) currentLocked() bool {
	return q.origin.Cluster != "" && q.Clock() <= q.taken+q.Timing.Lease
}

// rivalLocked reports whether an answer is of voters that have nothing to do with those by whose
// views the node acts. Somebody has founded a second cluster beside the first one.
func (q *Quorum) rivalLocked(o Origin) bool { return q.currentLocked() && o.unrelated(q.origin) }

// takeLocked takes an answer of the leader. It reports whether the next renewal is due at
// once.
func (q *Quorum) takeLocked(a *Answer, sent time.Duration) (again bool) {
	now, old := q.Clock(), q.rights.Load()
	if newest := old.Newest(); newest != nil && a.Views[len(a.Views)-1].Epoch < newest.Epoch {
		return false
	}
	deaf := now > q.answered+q.Timing.deaf()
	q.answered, q.taken, q.has, q.origin = now, now, a.Version, a.Origin
	q.learnLocked(a.Voters)
	next, news := old.take(a, sent, now, q.Timing.Lease)
	if next.Newest() != old.Newest() {
		q.viewsSeen++
	}
	if later := next.outdone(); later > 0 {
		me := Member{Name: q.Self.Name, Incarnation: later + 1 + rand.Uint64N(1<<20)} // nobody else chooses the same
		q.Log.Warn("the clock has been set back since this node's last start; it goes on as if it had started later", "member", me.String())
		next, q.has = &Rights{me: me, version: next.version}, Version{}
	}
	q.publishLocked(*next)
	if news {
		poke(q.news)
	}
	return next.Newest() != old.Newest() || deaf && !a.Lease
}

func (q *Quorum) publishLocked(r Rights) {
	r.at = q.Clock()
	q.rights.Store(&r)
	close(q.changed)
	q.changed = make(chan struct{})
}

// running returns the ids of the calls that run, and of those that end.
func (q *Quorum) running(r *Rights) []worker.Key {
	type ownership struct {
		view    *View
		leaving bool
	}
	return q.Host.Running(ownership{r.Newest(), r.leaving}, r.owns)
}
