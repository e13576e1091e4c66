package quorum

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/distproc/distproc/node/worker"
)

// asks has the leader answer a renewal, with one second to verify.
func (n *simNode) asks(m Member) (*Answer, error) {
	ctx, cancel := context.WithTimeout(n.ctx, time.Second)
	defer cancel()
	return n.q.ServeRenewal(ctx, &Renewal{Member: m, Lease: n.q.Timing.Lease, Ack: n.q.Rights().Newest().Epoch})
}

// TestVerify has the leader answer when other voters say that they are in some term (rule 17).
func TestVerify(t *testing.T) {
	calmly(t, nil, func(d *director) {
		n := d.node("1@h")
		term := n.q.voter.raft.CurrentTerm()
		for _, test := range []struct {
			second, third uint64 // 0: no answer
			ok            bool
		}{
			{term, term, true},
			{term, 0, true},
			{0, term, true},
			{term + 1, term, true},
			{0, 0, false},
			{term + 1, term + 1, false},
			{0, term + 1, false},
			{term - 1, 0, false},
			{term - 1, term - 1, false},
		} {
			d.mu.Lock()
			d.terms = func(voter string) (uint64, error) {
				said := test.second
				if voter == "3@h" {
					said = test.third
				}
				if said == 0 {
					return 0, errLost
				}
				return said, nil
			}
			d.mu.Unlock()
			for _, m := range []Member{n.q.Self, d.node("2@h").q.Self} {
				if a, err := n.asks(m); (err == nil) != test.ok || test.ok && !a.Lease {
					d.t.Errorf("of term %d, with answers %d and %d: %v for %s", term, test.second, test.third, err, m.Name)
				}
			}
		}
		d.mu.Lock()
		d.terms = nil
		d.mu.Unlock()
		if err := n.q.voter.verify(n.ctx, term-1); !errors.Is(err, errDeposed) {
			d.t.Errorf("an answer of an earlier term: %v", err)
		}
	})
}

// TestGrantBeforeVerify looks at the leader while it asks the voters for a renewal: the grant is
// noted already (rule 16). What was composed after they have answered could be of a leader that
// has been replaced meanwhile.
func TestGrantBeforeVerify(t *testing.T) {
	calmly(t, nil, func(d *director) {
		n, m := d.node("1@h"), d.node("2@h").q.Self
		term := n.q.voter.raft.CurrentTerm()
		time.Sleep(500 * time.Millisecond) // between the renewals of members
		began := n.q.Clock()
		noted := true
		d.mu.Lock()
		d.terms = func(string) (uint64, error) {
			n.q.voter.mu.Lock()
			defer n.q.voter.mu.Unlock()
			noted = noted && n.q.voter.leader.lastGrant(m) >= began
			return term, nil
		}
		d.mu.Unlock()
		if a, err := n.asks(m); err != nil || !a.Lease || !noted {
			d.t.Errorf("%+v, %v; the grant is noted: %t", a, err, noted)
		}
	})
}

// TestVerifyRound has a renewal come while the voters are asked for another one. What they
// said before it came does not count.
func TestVerifyRound(t *testing.T) {
	calmly(t, nil, func(d *director) {
		n, release := d.node("1@h"), make(chan struct{})
		term := n.q.voter.raft.CurrentTerm()
		var mu sync.Mutex
		says := term
		time.Sleep(500 * time.Millisecond) // between the renewals of members
		d.mu.Lock()
		d.terms = func(string) (uint64, error) {
			mu.Lock()
			said := says
			mu.Unlock()
			<-release
			return said, nil
		}
		d.mu.Unlock()
		results := make(chan error, 2)
		ask := func() {
			go func() {
				_, err := n.asks(d.node("2@h").q.Self)
				results <- err
			}()
			time.Sleep(100 * time.Millisecond)
		}
		ask()
		mu.Lock()
		says = term + 1
		mu.Unlock()
		ask()
		close(release)
		if first, second := <-results, <-results; (first == nil) == (second == nil) {
			d.t.Errorf("the first: %v, the one after it: %v", first, second)
		}
	})
}

// TestBeginWaits has a voter win, and looks whether it leads before an entry of its term is
// committed (rule 15).
func TestBeginWaits(t *testing.T) {
	calmly(t, nil, func(d *director) {
		for _, a := range []string{"2@h", "3@h"} {
			for _, b := range d.names {
				d.delay(a, b, 150*time.Millisecond)
			}
		}
		go d.node("1@h").q.voter.stepDown(context.Background())
		var v *voter
		for v == nil {
			time.Sleep(time.Millisecond)
			for _, name := range []string{"2@h", "3@h"} {
				if o := d.node(name).q.voter; o.raft.State() == raft.Leader {
					v = o
				}
			}
		}
		time.Sleep(50 * time.Millisecond)
		v.mu.Lock()
		if v.leader != nil {
			d.t.Error("it leads before it knows what is committed")
		}
		v.mu.Unlock()
		time.Sleep(3 * time.Second)
		if d.leader() == nil {
			d.t.Error("nobody leads")
		}
	})
}

// A changingHost has something happen when it is asked for what runs.
type changingHost struct {
	*simNode
	do func()
}

func (h changingHost) Running(under any, own func(worker.ID) bool) []worker.Key {
	keys := h.simNode.Running(under, own)
	h.do()
	return keys
}

// TestRenewalOrder checks that the rights are looked at before what runs: a call that has
// begun under the older ones is in the list (rule 12).
func TestRenewalOrder(t *testing.T) {
	calmly(t, nil, func(d *director) {
		q := New(Config{Timing: d.timing, Voters: d.voters, Clock: d.now})
		q.Self = node(1)
		q.rights.Store(granted(d.t, node(1), nil, newView(d.t, 5, seats(1, 2))))
		q.Host = changingHost{&simNode{w: d.world}, func() {
			q.rights.Store(granted(d.t, node(1), nil, newView(d.t, 6, seats(1, 2))))
		}}
		if r := q.renewal(d.now()); r.Ack != 5 {
			d.t.Errorf("it acknowledges %d with what ran under 5", r.Ack)
		}
		q.cancel()
	})
}

// TestLeaveWaits has the leader leave while it runs a call.
func TestLeaveWaits(t *testing.T) {
	calmly(t, nil, func(d *director) {
		n := d.node("1@h")
		go n.run(worker.IntID(0), 0, 3*time.Second)
		time.Sleep(100 * time.Millisecond)
		start := d.now()
		if err := n.q.Leave(n.ctx); err != nil {
			d.t.Error(err)
		}
		if took := d.now() - start; took < 2900*time.Millisecond || took > 3*time.Second {
			d.t.Errorf("a member left after %v that ran a call", took)
		}
		if n.begin(worker.IntID(0), n.lookAtClock()) != nil {
			d.t.Error("a call has begun on a member that leaves")
		}
		if l := d.leader(); l == nil || l == n {
			d.t.Error("the leader has not handed over")
		}
	})
}

// TestMoves measures, in the time of the cluster, how soon an id has its new place.
func TestMoves(t *testing.T) {
	calmly(t, nil, func(d *director) {
		id := worker.IntID(2) // of 3@h, and of nobody else until the third has left
		n := d.node("3@h")
		go n.run(id, 0, 5*time.Second)
		time.Sleep(100 * time.Millisecond)
		end := d.now() + 4900*time.Millisecond
		go func() { _ = n.q.Leave(n.ctx) }()
		time.Sleep(time.Second)
		if err := d.node("1@h").q.Await(n.ctx, worker.Key{ID: id}); err != nil {
			d.t.Fatal(err)
		}
		if late := d.now() - end; late < 0 || late > 50*time.Millisecond {
			d.t.Errorf("the id has its new place %v after the end of the call", late)
		}
	})
}

// TestDeaf has the answers to a member lost, and not its renewals: others get its ids.
func TestDeaf(t *testing.T) {
	calmly(t, []string{"4@h"}, func(d *director) {
		d.mu.Lock()
		for _, name := range d.voters {
			d.cut[[2]string{name, "4@h"}] = true
		}
		d.mu.Unlock()
		time.Sleep(6 * time.Second)
		v := d.leader().q.Rights().Newest()
		if i := v.seat(d.node("4@h").q.Self); i < 0 || !v.Seats[i].Failed {
			d.t.Errorf("a member that hears nothing has not failed: %s", describe(v))
		}
		d.heal()
		time.Sleep(5 * time.Second)
		d.agree(d.names)
	})
}

// TestVerifyObsolete has voters of before a recovery asked to confirm a leader of that time, which
// has not heard of the recovery: they do not.
func TestVerifyObsolete(t *testing.T) {
	calmly(t, nil, func(d *director) {
		n := d.node("1@h")
		if _, err := n.asks(n.q.Self); err != nil {
			d.t.Error(err)
		}
		for _, name := range []string{"2@h", "3@h"} {
			d.node(name).q.voter.standDown()
		}
		if a, err := n.asks(n.q.Self); err == nil {
			d.t.Errorf("an answer of a leader that only voters of before confirm: %+v", a)
		}
	})
}
