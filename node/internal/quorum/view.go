package quorum

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/distproc/distproc/node/placement"
	"github.com/distproc/distproc/node/worker"
)

// A Member is one life of a node: a process, from its start to its end. No two lives of a
// node have the same incarnation, and a later one has the larger.
type Member struct {
	Name        string // NAME@HOST
	Incarnation uint64
}

// String returns the name and the incarnation.
func (m Member) String() string { return fmt.Sprintf("%s (incarnation %d)", m.Name, m.Incarnation) }

// parse returns the name. An error says that no node calls itself that.
func (m Member) parse() (placement.Name, error) {
	name, err := placement.ParseName(m.Name)
	if err == nil && name.String() != m.Name {
		err = fmt.Errorf("node name %q: the node calls itself %s", m.Name, name)
	}
	return name, err
}

// A Seat is the place of a member in a view. Each node has one at most.
type Seat struct {
	Member
	Failed bool // others act for its ids
}

// A View says which member acts for which id. Views are entries of the voters' log, in the
// order of their epochs. They do not change.
type View struct {
	Epoch   uint64
	Routing placement.Routing
	Lease   time.Duration // the longest lease that there may be while this is the newest view
	Seats   []Seat        // in the order of [placement.Name.Compare]
	Leavers []Member      // they have no seat any more, and may still run calls

	ring *placement.Ring // of Seats; nil if there are none
}

// arrange prepares a view for use. It returns an error if the view cannot be one.
func (v *View) arrange() error {
	names := make(map[string]placement.Name, len(v.Seats))
	slots := make([]placement.Slot, len(v.Seats))
	for i, s := range v.Seats {
		name, err := s.parse()
		if err != nil {
			return fmt.Errorf("view %d: %w", v.Epoch, err)
		}
		names[s.Name] = name
		slots[i] = placement.Slot{Name: name, Failed: s.Failed}
	}
	if len(names) < len(v.Seats) {
		return fmt.Errorf("view %d: a node has two seats", v.Epoch)
	}
	if v.Epoch == 0 {
		return errors.New("a view without an epoch")
	}
	slices.SortFunc(v.Seats, func(a, b Seat) int { return names[a.Name].Compare(names[b.Name]) })
	if v.Lease < 0 || v.Lease > maxLease {
		return fmt.Errorf("view %d: a lease of %v", v.Epoch, v.Lease)
	}
	if v.ring = nil; len(slots) > 0 {
		v.ring = placement.NewRing(v.Routing, slots)
	}
	return nil
}

// Acting returns the only member that may start calls of an id under the view: the one
// whose seat the id belongs to or, if that has failed, the fallback. It reports false if
// there is none.
func (v *View) Acting(id worker.ID) (Member, bool) {
	if v.ring == nil {
		return Member{}, false
	}
	s := v.Seats[v.ring.Acting(id)]
	if s.Failed {
		return Member{}, false
	}
	return s.Member, true
}

// seat returns the index of a member's seat, or -1.
func (v *View) seat(m Member) int {
	return slices.IndexFunc(v.Seats, func(s Seat) bool { return s.Member == m })
}

// has reports whether a member has a seat in the view or leaves it.
func (v *View) has(m Member) bool { return v.seat(m) >= 0 || slices.Contains(v.Leavers, m) }

// members yields those that may have rights under the view.
func (v *View) members(yield func(Member) bool) {
	for _, s := range v.Seats {
		if !yield(s.Member) {
			return
		}
	}
	for _, m := range v.Leavers {
		if !yield(m) {
			return
		}
	}
}

// A Fact is what is known of the rights of a member: those under views before Past are
// over, except for the calls of the ids in Busy, which it still runs. A fact stays true
// whoever leads, so facts are merged and nobody replaces one by less.
type Fact struct {
	Past uint64
	Busy []worker.Key // sorted
}

// Facts are the facts of members. Of a member that is missing, nothing is known. They do
// not change once others have them.
type Facts map[Member]Fact

// merge adds a fact. It reports whether that is news.
func (f Facts) merge(m Member, n Fact) (news bool) {
	old := f[m]
	switch {
	case n.Past < old.Past:
		return false
	case n.Past == old.Past: // both are true: what is busy is so in both
		n.Busy = slices.DeleteFunc(slices.Clone(old.Busy), func(k worker.Key) bool { return !n.busy(k) })
		if len(n.Busy) == len(old.Busy) {
			return false
		}
	}
	f[m] = n
	return true
}

// busy reports whether the member still runs a call of the id.
func (f Fact) busy(k worker.Key) bool {
	_, found := slices.BinarySearchFunc(f.Busy, k, compareKeys)
	return found
}

func compareKeys(a, b worker.Key) int {
	return cmp.Or(cmp.Compare(a.Kind, b.Kind), a.ID.Compare(b.ID))
}

// over reports whether all rights of the member under the view are over.
func (f Fact) over(v *View) bool { return f.Past > v.Epoch && len(f.Busy) == 0 }

// about returns the facts of those that may have rights under some of the views. Those of
// others are of no use any more.
func about(views []*View, all Facts) Facts {
	some := make(Facts, len(all))
	for _, v := range views {
		for m := range v.members {
			if f, ok := all[m]; ok {
				some[m] = f
			}
		}
	}
	return some
}

var (
	errNoView   = errors.New("a view is missing")
	errDisorder = errors.New("views are not in the order of their epochs")
)
