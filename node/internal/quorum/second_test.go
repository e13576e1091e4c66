package quorum

import (
	"context"
	"slices"
	"testing"
	"time"
)

// founded has a node found voters of its own, because its --voters names nobody else, while the
// members of the first ones have leases. It becomes one of these.
func (d *director) founded() {
	d.longCalls(3 * time.Second)
	d.rest(0, 1)
	q := d.node("4@h").q
	q.mu.Lock()
	first := q.origin.Cluster
	q.mu.Unlock()
	if d.float() < 0.5 { // it meets the only member that is no voter
		d.mu.Lock()
		for _, name := range []string{"1@h", "2@h", "3@h"} {
			d.cut[[2]string{name, "5@h"}], d.cut[[2]string{"5@h", name}] = true, true
		}
		d.mu.Unlock()
	}
	d.boot("5@h")
	d.names = append(slices.Clone(d.names), "5@h")
	ctx, stop := context.WithCancel(d.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		d.eager(ctx, "5@h")
	}()
	d.rest(10, 12)
	d.heal()
	for range 6 {
		d.rest(2, 7)
		switch l := d.leader(); {
		case l == nil:
		case d.float() < 0.5:
			d.split("4@h")
			d.rest(0, 7)
			d.heal()
		case len(l.q.voter.names()) > 1:
			l.q.voter.stepDown(ctx)
		}
	}
	d.heal()
	d.rest(8, 10)
	for _, name := range d.names {
		q := d.node(name).q
		q.mu.Lock()
		if q.origin.Cluster != first {
			d.t.Errorf("%s acts by views of another cluster", name)
		}
		q.mu.Unlock()
	}
	stop()
	<-done
}

// TestSecond has a node found a cluster of its own while it is cut off. Members of the first one
// stay there when the two meet.
func TestSecond(t *testing.T) {
	calmly(t, []string{"4@h"}, func(d *director) {
		d.given["5@h"] = []string{"5@h"}
		d.names = append(d.names, "5@h")
		d.split("5@h")
		v := d.boot("5@h").q.voter
		time.Sleep(20 * time.Second)
		d.heal()
		for range 200 {
			time.Sleep(100 * time.Millisecond)
			for _, name := range d.names[:4] {
				q := d.node(name).q
				newest := q.Rights().Newest()
				failed := slices.ContainsFunc(newest.Seats, func(s Seat) bool { return s.Failed })
				if failed || newest.seat(v.q.Self) >= 0 || q.Rights().Left(q.Clock()) == 0 {
					d.t.Errorf("%s has gone over to 5@h, or has no lease: %v", name, newest)
					return
				}
			}
		}
	})
}
