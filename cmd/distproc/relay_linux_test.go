package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// A relayed is what an answer says of its way.
type relayed struct {
	Node, Via string
	Degraded  bool
}

// request asks for the value of an id on host i.
func (n *splitNet) request(i int, id int64) (r relayed, err error) {
	code, body, err := n.get(i, fmt.Sprintf("/v1/request/%d", id))
	if err == nil && code != http.StatusOK {
		err = errors.New(body)
	}
	return r, errors.Join(err, json.Unmarshal([]byte(body), &r))
}

// form starts nodes 1 to size, and waits until all see all.
func (n *splitNet) form(size int, args ...string) {
	n.t.Helper()
	for i := 1; i <= size; i++ {
		n.start(i, n.name(i), append([]string{"--join", n.name(1)}, args...)...)
	}
	n.agree(size)
}

// agree waits until each node sees all of them alive.
func (n *splitNet) agree(size int) {
	n.t.Helper()
	for i := 1; i <= size; i++ {
		await(n.t, func() error {
			_, body, err := n.get(i, "/v1/nodes")
			if got := strings.Count(body, `"alive"`); err != nil || got != size {
				return fmt.Errorf("host %d sees %d nodes alive: %v", i, got, err)
			}
			return nil
		})
	}
}

func (n *splitNet) name(i int) string { return fmt.Sprintf("%d@%s", i, n.Host(i)) }

// TestRelayHosts has two of three nodes lose all that they send to each other, or the
// system refuse it. The third one passes on what they ask each other.
func TestRelayHosts(t *testing.T) {
	n := newSplitNet(t, 3)
	l := newLedger(t, &n.client)
	n.dir = l.dir
	n.form(3, "--config", l.path("kinds.toml"), "--ttl", "1ms")
	for _, how := range []string{"lost", "refused"} {
		begin := time.Now()
		n.must(n.cut(1, 2, how))
		for i, id := range map[int]int64{1: 1, 2: 0} { // each asks for an id of the other one
			owner := relayed{Node: n.name(3 - i), Via: n.name(3)}
			await(t, func() error { return n.expect(i, id, owner) })
			t.Logf("%s: node %d has its answer after %v", how, i, time.Since(begin))
			if c := l.add(n.url(i), id, time.Minute); c.outcome != "" {
				t.Errorf("%s: %+v", how, *c)
			}
			if _, body, err := n.get(i, fmt.Sprintf("/v1/why/%d", id)); err != nil || !strings.Contains(body, fmt.Sprintf("%q:%q", "via", owner.Via)) {
				t.Errorf("%s: why: %s, %v", how, body, err)
			}
		}
		n.must(n.join(1, 2))
		for i, id := range map[int]int64{1: 1, 2: 0} {
			await(t, func() error { return n.expect(i, id, relayed{Node: n.name(3 - i)}) })
		}
	}
	l.check()
}

// expect returns nil if a request on host i is answered as wanted.
func (n *splitNet) expect(i int, id int64, want relayed) error {
	r, err := n.request(i, id)
	if err == nil && r != want {
		err = fmt.Errorf("host %d has %d answered by %+v, want %+v", i, id, r, want)
	}
	return err
}

// TestRelayRing has five nodes of which each reaches its two neighbours only. Of the two,
// the one passes a request on that is the owner's neighbour, too. When the ring is broken
// nobody passes it on twice.
func TestRelayRing(t *testing.T) {
	n := newSplitNet(t, 5)
	l := newLedger(t, &n.client)
	n.dir = l.dir
	n.form(5, "--config", l.path("kinds.toml"), "--ttl", "1ms")
	neighbours := func(a, b int) bool { return (a-b+5)%5 == 1 || (b-a+5)%5 == 1 }
	for a := 1; a <= 5; a++ {
		for b := a + 1; b <= 5; b++ {
			if !neighbours(a, b) {
				n.must(n.cut(a, b, "lost"))
			}
		}
	}
	each := func(f func(i, owner int)) {
		for i := 1; i <= 5; i++ {
			for owner := 1; owner <= 5; owner++ {
				f(i, owner)
			}
		}
	}
	each(func(i, owner int) { // until it is so, the nodes have yet to find out whom they do not reach
		want := relayed{Node: n.name(owner)}
		for by := 1; by <= 5 && i != owner && !neighbours(i, owner); by++ {
			if neighbours(by, i) && neighbours(by, owner) {
				want.Via = n.name(by)
			}
		}
		await(t, func() error { return n.expect(i, int64(owner-1), want) })
	})
	each(func(i, owner int) {
		if c := l.add(n.url(i), int64(owner-1), time.Minute); c.outcome != "" {
			t.Errorf("host %d: %+v", i, *c)
		}
	})
	n.must(n.cut(5, 1, "lost"))
	for range 20 { // while node 1 finds out
		if r, err := n.request(1, 3); err != nil || r.Node == n.name(4) {
			t.Errorf("node 4 answers node 1, from which it is two hops away: %+v, %v", r, err)
		}
	}
	l.check()
}
