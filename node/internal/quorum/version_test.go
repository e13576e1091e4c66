package quorum

import (
	"encoding/gob"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/distproc/distproc/node/placement"
)

// TestVersions has a member that says what it has take answers that leave that out, in any
// order and from two leaders, and another one that takes whole answers. Both come to the same
// rights.
func TestVersions(t *testing.T) {
	t.Parallel()
	left := 0
	for seed := range uint64(100) {
		r := rand.New(rand.NewPCG(seed, 1))
		first := newView(t, 5, seats(1, 2, 3))
		leaders := []*leader{newTestLeader(first), newTestLeader(first)}
		me, now := node(1), second
		short, whole := &Rights{me: me}, &Rights{me: me}
		var has Version
		type pair struct{ short, whole *Answer }
		var late []pair
		var log []*entry // of which the second leader knows a part
		known := 0
		commit := func(e *entry) {
			log = append(log, e)
			leaders[0].applied(leaders[0].log.after(e), time.Hour+now)
			for ; r.IntN(3) > 0 && known < len(log); known++ {
				leaders[1].applied(leaders[1].log.after(log[known]), time.Hour+now)
			}
		}
		for range 60 {
			now += time.Duration(r.Int64N(int64(second)))
			l := leaders[0]
			if r.IntN(4) == 0 { // one that is deposed answers from what it knew
				l = leaders[1]
			}
			newest := l.log.newest().Epoch
			for range r.IntN(4) {
				l.renew(node(1+r.IntN(5)), now, newest-uint64(r.IntN(2)), slices.Repeat([]int64{int64(r.IntN(9))}, r.IntN(2))...)
			}
			switch r.IntN(6) {
			case 0, 1:
				perm := r.Perm(5)
				e := &entry{View: newView(t, leaders[0].log.newest().Epoch+1, seats(perm[0]+1, perm[1]+1, perm[2]+1), node(1+r.IntN(5)))}
				commit(e)
			case 2:
				commit(&entry{Retire: leaders[0].retired()})
			case 3:
				l.tick(time.Hour + now)
				l.settled()
			}
			renewal := Renewal{Member: me, Ack: 5, Has: has}
			p := pair{}
			p.short, _ = l.renewal(&renewal, time.Hour+now)
			renewal.Has = Version{}
			p.whole, _ = l.renewal(&renewal, time.Hour+now)
			late = append(late, p)
			if r.IntN(4) == 0 {
				continue // it comes later
			}
			for len(late) > 0 && r.IntN(8) > 0 {
				i := r.IntN(len(late))
				p := late[i]
				late = slices.Delete(late, i, i+1)
				p.short = p.short.copied()
				if err := checkViews(p.short.Views); err != nil {
					t.Fatal(err)
				}
				if err := short.complete(p.short); err != nil {
					t.Fatalf("seed %d: %v", seed, err)
				}
				if len(p.short.Facts) < len(p.whole.Facts) {
					left++
				}
				next, _ := short.take(p.short, now, now, simLease)
				if next != short {
					has = p.short.Version
				}
				short = next
				whole, _ = whole.take(p.whole, now, now, simLease)
				epochs := func(r *Rights) (list []string) {
					for _, v := range r.views {
						list = append(list, describe(v))
					}
					return list
				}
				if a, b := epochs(short), epochs(whole); !slices.Equal(a, b) {
					t.Fatalf("seed %d: the views are %v, want %v", seed, a, b)
				}
				if !maps.EqualFunc(short.facts, whole.facts, func(a, b Fact) bool {
					return a.Past == b.Past && (len(a.Busy)+len(b.Busy) == 0 || reflect.DeepEqual(a.Busy, b.Busy))
				}) {
					t.Fatalf("seed %d: the facts are %v, want %v", seed, short.facts, whole.facts)
				}
				if short.end != whole.end || short.version != whole.version || short.held != whole.held {
					t.Fatalf("seed %d: the lease ends at %v in version %d, want %v in version %d", seed, short.end, short.version, whole.end, whole.version)
				}
			}
		}
	}
	if left == 0 {
		t.Error("no answer leaves anything out")
	}
}

// TestIncomplete checks that an answer is not taken that leaves out what the member has not.
func TestIncomplete(t *testing.T) {
	t.Parallel()
	r := granted(t, node(1), nil, newView(t, 5, seats(1, 2)))
	if err := r.complete(&Answer{Views: []*View{{Epoch: 6}}}); err == nil {
		t.Error("an answer is complete that has a view without seats")
	}
}

// A cluster of some members that renew, for benchmarks. It encodes all messages as the wire does.
type renewing struct {
	l       *leader
	members []Member
	has     []Version
	acks    []uint64
	whole   bool // the members say that they have nothing
	in, out counter
	enc     [2]*gob.Encoder
	now     time.Duration
}

type counter int

func (c *counter) Write(b []byte) (int, error) { *c += counter(len(b)); return len(b), nil }

func newRenewing(b *testing.B, members int, whole bool) *renewing {
	c := &renewing{whole: whole, now: time.Hour}
	v := &View{Epoch: 5, Routing: placement.Rendezvous}
	for i := range members {
		m := Member{fmt.Sprintf("%d@10.0.%d.%d", i+1, i/250, i%250), 1<<60 + uint64(i)}
		c.members = append(c.members, m)
		v.Seats = append(v.Seats, Seat{Member: m})
	}
	if err := v.arrange(); err != nil {
		b.Fatal(err)
	}
	c.has, c.acks = make([]Version, members), make([]uint64, members)
	c.l = newLeader(c.members[0], v.Routing, NewTiming(5*time.Second), func(string) bool { return true }, &state{views: []*View{v}, retired: 5}, c.now)
	c.enc = [2]*gob.Encoder{gob.NewEncoder(&c.in), gob.NewEncoder(&c.out)}
	for range 3 {
		c.round(b)
	}
	return c
}

// round has each member renew once, and does what the leader does with that.
func (c *renewing) round(b *testing.B) {
	for i, m := range c.members {
		c.now += time.Second / time.Duration(len(c.members))
		r := Renewal{Member: m, Ack: c.acks[i], Has: c.has[i]}
		if c.whole {
			r.Has = Version{}
		}
		if err := c.enc[0].Encode(r); err != nil {
			b.Fatal(err)
		}
		a, news := c.l.renewal(&r, c.now)
		if !news && !c.l.stirred && i%(len(c.members)/10) > 0 { // as voter.lead
			c.encode(b, a, i)
			continue
		}
		c.l.nextRunOut(c.now)
		if e, _ := c.l.tick(c.now); e != nil {
			if e.View != nil {
				if err := e.View.arrange(); err != nil {
					b.Fatal(err)
				}
			}
			c.l.applied(c.l.log.after(e), c.now)
			c.l.settled()
		}
		c.encode(b, a, i)
	}
}

// encode has member i take an answer.
func (c *renewing) encode(b *testing.B, a *Answer, i int) {
	if err := c.enc[1].Encode(a); err != nil {
		b.Fatal(err)
	}
	c.has[i], c.acks[i] = a.Version, a.Views[len(a.Views)-1].Epoch
}

// BenchmarkRenewals is what one renewal of each member costs the leader: with D = 5 s, a
// second. The views and facts are steady. The members of "whole" do not say what they have.
func BenchmarkRenewals(b *testing.B) {
	for _, members := range []int{10, 100, 1000} {
		for _, whole := range []bool{false, true} {
			b.Run(fmt.Sprintf("members=%d/whole=%v", members, whole), func(b *testing.B) {
				c := newRenewing(b, members, whole)
				c.in, c.out = 0, 0
				for b.Loop() {
					c.round(b)
				}
				b.ReportMetric(float64(c.in)/float64(b.N), "in-B/op")
				b.ReportMetric(float64(c.out)/float64(b.N), "out-B/op")
			})
		}
	}
}

// BenchmarkJoin is what it costs the leader of some members that one joins, until the view before
// is retired and all members know that. Each renews six times.
func BenchmarkJoin(b *testing.B) {
	for _, members := range []int{10, 100, 1000} {
		for _, whole := range []bool{false, true} {
			b.Run(fmt.Sprintf("members=%d/whole=%v", members, whole), func(b *testing.B) {
				c := newRenewing(b, members, whole)
				c.in, c.out = 0, 0
				for i := 0; b.Loop(); i++ {
					c.members[members-1].Incarnation++ // it restarts, and the number of members stays
					before := c.l.log.retired
					for range 6 {
						c.round(b)
					}
					if c.l.log.retired == before || len(c.l.log.views) > 1 {
						b.Fatal("the view is not retired")
					}
				}
				b.ReportMetric(float64(c.in)/float64(b.N), "in-B/op")
				b.ReportMetric(float64(c.out)/float64(b.N), "out-B/op")
			})
		}
	}
}
