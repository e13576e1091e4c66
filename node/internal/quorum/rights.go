package quorum

import (
	"slices"
	"time"

	"github.com/distproc/distproc/node/worker"
)

// Rights are what a member may do, by the last answer of the leader that it took. They do
// not change: the next answer makes new ones.
type Rights struct {
	me    Member
	views []*View  // those not retired, oldest first; the last one is acted on
	taken []uint64 // the version with which each of them came
	gone  uint64   // the version with which the newest view came that is retired
	facts Facts

	at      time.Duration // when they came, on the member's clock
	end     time.Duration // of the lease, on that clock
	held    uint64        // the version since which there was a lease all the time
	version uint64        // rises when anything but the end changes
	leaving bool          // the member starts no call any more
}

// A Verdict says whether a call may start, or why it may not.
type Verdict uint8

const (
	Granted  Verdict = iota // it may, if the lease is valid
	NoView                  // the member has had no answer of a leader yet
	NoLease                 // its lease has ended
	NotOwner                // another member acts for the id, or none does
	Occupied                // a member that acted for the id may still run a call of it
	Leaving                 // the member gives up its ids
)

// Newest returns the view that the member acts on, or nil.
func (r *Rights) Newest() *View {
	if len(r.views) == 0 {
		return nil
	}
	return r.views[len(r.views)-1]
}

// owns reports whether the member acts for the id under the newest view, and goes on to.
func (r *Rights) owns(id worker.ID) bool {
	v := r.Newest()
	if v == nil || r.leaving {
		return false
	}
	m, ok := v.Acting(id)
	return ok && m == r.me
}

// Left returns how long the lease is valid from now on.
func (r *Rights) Left(now time.Duration) time.Duration { return max(0, r.end-now) }

// leased reports whether the lease is valid.
func (r *Rights) leased(now time.Duration) bool { return now < r.end }

// verdict says whether a call of the id may start now (rule 9), but for the lease. If
// somebody is in the way, it returns who that is, and under which view.
func (r *Rights) verdict(k worker.Key) (v Verdict, by Member, under *View) {
	newest := r.Newest()
	if newest == nil {
		return NoView, Member{}, nil
	}
	if r.leaving {
		return Leaving, r.me, newest
	}
	if acting, ok := newest.Acting(k.ID); !ok || acting != r.me {
		return NotOwner, acting, newest
	}
	for _, older := range r.views[:len(r.views)-1] {
		m, ok := older.Acting(k.ID)
		if ok && m != r.me && r.facts[m].Past <= older.Epoch {
			return Occupied, m, older
		}
	}
	for m, f := range r.facts { // whatever the view under which it began
		if m != r.me && f.busy(k) {
			return Occupied, m, nil
		}
	}
	return Granted, r.me, newest
}

// covers reports whether the member has acted for the id, and nobody else could, since its
// rights had an earlier version: it has had a lease all the time, and each view that has come
// since gives it the id.
func (r *Rights) covers(id worker.ID, since uint64) bool {
	if since < r.held || since < r.gone { // nobody remembers whom a retired view gave the id
		return false
	}
	for i, v := range r.views {
		if m, ok := v.Acting(id); r.taken[i] > since && (!ok || m != r.me) {
			return false
		}
	}
	return true
}

// An Answer is what a voter says to a renewal. The leader's has views and perhaps a lease,
// and whoever takes it takes all of it. That of another voter only says who leads.
type Answer struct {
	Views []*View // all that are not retired, oldest first; of those that came with Since only the epoch
	Facts Facts   // but for those that came with Since
	Lease bool

	Version Version // of Views and Facts
	Since   Version // which the member has; zero if it has none of this leader

	Leader string   // the name of the node that leads, or "" if the voter does not know
	Voters []string // the identities of those to ask in future
	Origin Origin   // of the log that the views are of
}

// A Version identifies the views and facts of a leader. No two leaders have the same, and the count
// of one rises with each change.
type Version struct{ Leader, Count uint64 }

// complete puts the member's own views into an answer that has only the epochs of them. It
// returns an error if the member has not had one of them. A view that it knows to be
// retired stays as it is, because the member does not take it.
func (r *Rights) complete(a *Answer) error {
	for i, v := range a.Views {
		if len(v.Seats) > 0 || len(r.views) > 0 && v.Epoch < r.views[0].Epoch {
			continue
		}
		own := slices.IndexFunc(r.views, func(o *View) bool { return o.Epoch == v.Epoch })
		if own < 0 {
			return errNoView
		}
		a.Views[i] = r.views[own]
	}
	return nil
}

// A Renewal is what a member says to the leader in every interval.
type Renewal struct {
	Member  Member
	Ack     uint64        // epoch of the view that it acts on
	Busy    []worker.Key  // calls that still run of ids that are not its own under that view; sorted
	Lease   time.Duration // that it counts from an answer
	Leaving bool
	Deaf    bool    // it has had no answer for some time
	Has     Version // of the last answer that it took
	Origin  Origin  // of the log that its view is of
	Current bool    // it has taken an answer of that log within the time of a lease
}

// take returns the rights after an answer to a renewal that was sent at a time on the
// member's clock, and whether views or facts are news. Views, facts and lease change in one
// step (rule 7).
func (r *Rights) take(a *Answer, sent, now, lease time.Duration) (next *Rights, news bool) {
	had, newest := r.Newest(), a.Views[len(a.Views)-1]
	if had != nil && newest.Epoch < had.Epoch {
		return r, false
	}
	n := *r
	if had == nil || newest.Epoch > had.Epoch || a.Views[0].Epoch > r.views[0].Epoch {
		news = true
		n.views, n.taken = r.joined(a.Views)
		for i, v := range r.views {
			if v.Epoch < n.views[0].Epoch {
				n.gone = r.taken[i]
			}
		}
	}
	if news || len(a.Facts) > 0 {
		facts := about(n.views, r.facts)
		for m, f := range about(n.views, a.Facts) {
			news = facts.merge(m, f) || news
		}
		if news {
			n.facts, n.version = facts, r.version+1
		}
	}
	if end := sent + lease; a.Lease && end > r.end && end > now {
		if !r.leased(now) { // calls that began under the lease before are fenced (rule 8)
			n.version = r.version + 1
			n.held = n.version
		}
		n.end = end
	}
	return &n, news
}

// outdone returns the incarnation with which an earlier life of the member's node has a seat, if
// that is the higher one because the clock was set back in between. The member would never get
// the seat. It is 0 unless that life has failed, and the member has never had a lease.
func (r *Rights) outdone() uint64 {
	if newest := r.Newest(); newest != nil && r.end == 0 {
		for _, s := range newest.Seats {
			if s.Name == r.me.Name && s.Failed && s.Incarnation > r.me.Incarnation {
				return s.Incarnation
			}
		}
	}
	return 0
}

// joined returns the views of an answer without those that are retired, and the versions with
// which they came.
func (r *Rights) joined(views []*View) (joined []*View, taken []uint64) {
	for _, v := range views {
		if len(r.views) > 0 && v.Epoch < r.views[0].Epoch { // a retired view does not come back
			continue
		}
		came := r.version + 1
		if i := slices.IndexFunc(r.views, func(old *View) bool { return old.Epoch == v.Epoch }); i >= 0 {
			came = r.taken[i]
		}
		joined, taken = append(joined, v), append(taken, came)
	}
	return joined, taken
}

// acknowledge returns the epoch up to which the member has given up its rights, and those
// of its running calls that are not its own under that view. If these are too many to list,
// it acknowledges an older view, under which they are fewer (rule 4).
func (r *Rights) acknowledge(running []worker.Key) (ack uint64, busy []worker.Key) {
	for _, v := range slices.Backward(r.views) {
		busy = slices.DeleteFunc(slices.Clone(running), func(k worker.Key) bool {
			m, ok := v.Acting(k.ID)
			return ok && m == r.me
		})
		if len(busy) <= MaxBusy {
			slices.SortFunc(busy, compareKeys)
			return v.Epoch, slices.Compact(busy)
		}
	}
	return 0, nil
}

// mayGo reports whether a member that leaves and runs nothing may end: the log has retired
// every view that seats it (rule 14). That outlives the leader.
func (r *Rights) mayGo() bool {
	return len(r.views) > 0 && !slices.ContainsFunc(r.views, func(v *View) bool { return v.seat(r.me) >= 0 })
}

// MaxBusy is how many ids a renewal lists at most.
const MaxBusy = 1024

// checkViews returns an error unless the views can be those of a log, and prepares them.
func checkViews(views []*View) error {
	last := uint64(0)
	for _, v := range views {
		if v == nil {
			return errNoView
		}
		if err := v.arrange(); err != nil {
			return err
		}
		if v.Epoch <= last {
			return errDisorder
		}
		last = v.Epoch
	}
	return nil
}
