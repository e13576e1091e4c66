package model

import "slices"

// An id is the id of a worker.
type id int

// An idSet is a set of the ids 0 to 63.
type idSet uint64

func (s idSet) has(x id) bool { return s>>x&1 == 1 }

func (s *idSet) add(x id) { *s |= 1 << x }

// A member is one incarnation of the process in a slot. Incarnations count from 1.
type member struct{ slot, incarnation int }

// nobody is the member that acts for an id if no seat serves.
var nobody member

// A standing is the place of a member in a view.
type standing uint8

const (
	absent  standing = iota
	serving          // has a seat and runs calls
	failed           // keeps its seat while a fallback runs its ids
	leaving          // has no seat and renews only to finish its calls
)

// A view is an entry of the log. It never changes, and views are ordered by epoch.
type view struct {
	epoch   int
	seats   []seat // by slot
	leavers []member
}

type seat struct {
	member
	failed bool
}

// acting returns the only member that may start calls of x under v: the owner of its
// seat, or a fallback while that has failed.
func (v *view) acting(x id) member {
	n := len(v.seats)
	if n == 0 {
		return nobody
	}
	k := int(x) % n
	if !v.seats[k].failed {
		return v.seats[k].member
	}
	var serve []member
	for _, s := range v.seats {
		if !s.failed {
			serve = append(serve, s.member)
		}
	}
	if len(serve) == 0 {
		return nobody
	}
	return serve[(int(x)/n+k)%len(serve)]
}

// standing returns the place of m in v.
func (v *view) standing(m member) standing {
	for _, s := range v.seats {
		switch {
		case s.member != m:
		case s.failed:
			return failed
		default:
			return serving
		}
	}
	if slices.Contains(v.leavers, m) {
		return leaving
	}
	return absent
}

// seated reports whether m has a seat in v.
func (v *view) seated(m member) bool {
	s := v.standing(m)
	return s == serving || s == failed
}

// members yields the members with a seat, and then those that leave.
func (v *view) members(yield func(member) bool) {
	for _, s := range v.seats {
		if !yield(s.member) {
			return
		}
	}
	for _, l := range v.leavers {
		if !yield(l) {
			return
		}
	}
}

// A fact is what is known of the rights of a member. All rights that it had under views
// before p are over, except the calls of the ids in busy, which it still runs. A fact
// stays true, whoever leads.
type fact struct {
	p    int
	busy idSet
}

// facts has the strongest fact known of each member. Of other members nothing is known,
// which is p = 0.
type facts map[member]fact

// merge adds a fact. It never replaces a fact by a weaker one.
func (f facts) merge(m member, n fact) {
	o, ok := f[m]
	switch {
	case !ok || n.p > o.p:
		f[m] = n
	case n.p == o.p: // both are true, so only the ids in both can still run
		f[m] = fact{o.p, o.busy & n.busy}
	}
}

// forget drops the facts of members that are in none of the views. All rights of a member
// are over when all views that have it are retired.
func (f facts) forget(views []*view) {
	for m := range f {
		if !slices.ContainsFunc(views, func(v *view) bool { return v.standing(m) != absent }) {
			delete(f, m)
		}
	}
}
