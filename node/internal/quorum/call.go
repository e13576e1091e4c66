package quorum

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/distproc/distproc/node/placement"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// Begin permits a call of an id to start now, and gives it its token. If it does not, Await
// says when to ask again, or why. The caller holds the lock that [Host.Running] takes, and
// registers the call with it held; that is one step (rule 9).
//
// Since is what the last Begin for the id has returned as now, and 0 if the caller keeps
// nothing of earlier calls. If this node has not been the place of the id all the time since,
// Begin reports that as ended: then the caller must forget what it keeps, and ask again with 0.
//
// At is a time on the node's clock, now or before, since the last call of the id has ended. That
// saves a look. If the rights are still those of that time, then it is as if the node had been
// paused just after the call began. Else Begin looks itself, because new rights may have come
// without a lease.
func (q *Quorum) Begin(k worker.Key, since uint64, at time.Duration) (token worker.Token, now uint64, permitted, ended bool) {
	r := q.rights.Load()
	if at < r.at {
		at = q.Clock()
	}
	if !r.leased(at) {
		return worker.Token{}, 0, false, false
	}
	if since != r.version {
		if since != 0 && !r.covers(k.ID, since) {
			return worker.Token{}, 0, false, true
		}
		if v, _, _ := r.verdict(k); v != Granted {
			return worker.Token{}, 0, false, false
		}
	}
	return worker.Token{Epoch: r.Newest().Epoch, Count: q.count.Add(1)}, r.version, true, false
}

// Valid reports whether a call may be answered for which Begin has returned now, and which had
// ended when the caller looked at the clock: there has been a lease from the one to the other.
// If not, the outcome of the call is unknown, because another node may act for the id already
// (rule 10).
func (q *Quorum) Valid(now uint64, at time.Duration) bool {
	r := q.rights.Load()
	return now >= r.held && r.leased(at)
}

// Await waits until a call of the id may start on this node. It returns an error if another
// node acts for the id, if there has been no quorum for the time of a lease, or if the call
// gives up. The call was not run then.
func (q *Quorum) Await(ctx context.Context, k worker.Key) *wire.Error {
	for {
		q.mu.Lock()
		r, changed := q.rights.Load(), q.changed
		lost := q.answered + q.Timing.Lease - q.Clock()
		q.mu.Unlock()
		v, by, under := r.verdict(k)
		switch {
		case v == Leaving:
			return &wire.Error{Code: wire.Leaving, Outcome: wire.NotRun}
		case v == NotOwner:
			return notOwner(by, under)
		case v == Granted && r.leased(q.Clock()):
			return nil
		case lost <= 0:
			return q.noQuorum()
		}
		timer := time.NewTimer(max(lost, minPause))
		select {
		case <-changed:
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			if v == Occupied {
				return occupied(by)
			}
			return q.noQuorum()
		}
		timer.Stop()
	}
}

func notOwner(by Member, under *View) *wire.Error {
	if by.Name == "" {
		return wire.Errorf(wire.NoQuorum, wire.NotRun, "in view %d all members have failed", under.Epoch)
	}
	return wire.Errorf(wire.NotOwner, wire.NotRun, "in view %d it is %s", under.Epoch, by.Name)
}

func occupied(by Member) *wire.Error {
	return wire.Errorf(wire.DeadlineExceeded, wire.NotRun, "%s acted for the id, and may still run a call of it", by)
}

// Quorum returns an error if no leader of the voters has answered for the time of a lease. It
// says who does not answer.
func (q *Quorum) Quorum() *wire.Error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.lostLocked() {
		return q.noQuorumLocked()
	}
	return nil
}

func (q *Quorum) lostLocked() bool { return q.Clock() > q.answered+q.Timing.Lease }

// noQuorum says which voters do not answer.
func (q *Quorum) noQuorum() *wire.Error {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.noQuorumLocked()
}

func (q *Quorum) noQuorumLocked() *wire.Error {
	if len(q.failing) == 0 {
		return wire.Errorf(wire.NoQuorum, wire.NotRun, "the voters %s have no leader", strings.Join(q.asked, ", "))
	}
	var silent []string
	for _, name := range q.asked {
		if err := q.failing[name]; err != nil {
			silent = append(silent, fmt.Sprintf("%s (%s)", name, blame(name, err)))
		}
	}
	return wire.Errorf(wire.NoQuorum, wire.NotRun, "no answer of %s, of %d voters", strings.Join(silent, ", "), len(q.asked))
}

// blame returns the error of a node in few words.
func blame(name string, err error) string {
	switch e, ok := errors.AsType[*wire.Error](err); {
	case ok && e.Code == wire.BadRequest:
		return e.Text
	case ok && e.Node == name:
		return e.Code.Error()
	}
	return err.Error()
}

// Ended must be called when a call for which Begin has returned now has ended, after which
// [Host.Running] has it no more. Others may wait for that. Now is 0 for what a server did at its
// end.
func (q *Quorum) Ended(id worker.ID, now uint64) {
	if r := q.rights.Load(); r.version != now && !r.owns(id) {
		q.RenewNow()
	}
}

// Leave gives up the node's ids. No call starts from now on. It returns when the calls that
// run have ended and others have the ids, or when ctx ends: then they wait for the end of the
// lease. A voter then waits for half of that time, at most, until the others need it no more:
// one that restarts may not be back yet.
func (q *Quorum) Leave(ctx context.Context) error {
	if q.voter != nil {
		q.voter.stepDown(ctx)
	}
	q.mu.Lock()
	rights := *q.rights.Load()
	rights.leaving = true
	rights.version++
	q.publishLocked(rights)
	q.mu.Unlock()
	poke(q.news)
	q.RenewNow()
	for {
		q.mu.Lock()
		changed := q.changed
		q.mu.Unlock()
		if r := q.rights.Load(); len(q.running(r)) == 0 && (r.Newest() == nil || r.mayGo()) {
			break
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if q.voter != nil && len(q.voter.names()) > 1 {
		ctx, cancel := context.WithTimeout(ctx, q.Timing.Lease/2)
		defer cancel()
		for !q.voter.spared(ctx) && ctx.Err() == nil {
			time.Sleep(q.Timing.Interval / 20)
			q.voter.handOver(ctx, len(q.voter.names())/2+1)
		}
	}
	return nil
}

// Owns reports whether this node acts for an id, lease or not.
func (q *Quorum) Owns(id worker.ID) bool { return q.rights.Load().owns(id) }

// NotOwner returns the error of a call for an id that another node acts for.
func (q *Quorum) NotOwner(id worker.ID) *wire.Error {
	v := q.rights.Load().Newest()
	if v == nil {
		return q.noQuorum()
	}
	m, _ := v.Acting(id)
	return notOwner(m, v)
}

// Place returns the name of the node that acts for an id, as far as this node knows, unless it
// is this one. Known is false if it knows of none.
func (q *Quorum) Place(id worker.ID) (name placement.Name, here, known bool) {
	r := q.rights.Load()
	v := r.Newest()
	if v == nil || v.ring == nil {
		return placement.Name{}, false, false
	}
	i := v.ring.Acting(id)
	switch s := &v.Seats[i]; {
	case s.Failed:
		return placement.Name{}, false, false
	case s.Member == r.me && !r.leaving:
		return placement.Name{}, true, true
	}
	return v.ring.Slot(i).Name, false, true
}
