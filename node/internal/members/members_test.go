package members

import (
	"errors"
	"testing"
	"time"

	"github.com/distproc/distproc/node/internal/clock"
	"github.com/distproc/distproc/node/internal/protocol"
	"github.com/distproc/distproc/node/placement"
	"github.com/distproc/distproc/wire"
)

// TestTwinIsApart compares members with a process that has a member's name and is apart:
// the member keeps its slot, unless it is that process that has left it.
func TestTwinIsApart(t *testing.T) {
	t.Parallel()
	const seat = 5 // incarnation of the member
	for former, want := range map[uint64]bool{seat: true, seat + 1: false, 0: true} {
		m := start(t, "1@"+testHost())
		w := wire.Member{Name: "2@" + m.Addr.Host, Addr: m.Addr.Host + ":4372", Incarnation: seat}
		m.Learn(m.View(), []wire.Member{w})
		name, err := placement.ParseName(w.Name)
		if err != nil {
			t.Fatal(err)
		}
		w.Incarnation = seat + 2
		told := protocol.Sync{Apart: true, Former: former, List: []wire.Member{w}}
		left := m.hasLeft(m.currentGossip(), m.View().Peer(name), told)
		if left != want || (m.View().Peer(name) == nil) != want {
			t.Errorf("a process that was incarnation %d is the member: %t, want %t", former, left, want)
		}
	}
}

// TestMeetNewStart has a member start anew, so that it knows nobody: the first link or
// session to it tells it of all.
func TestMeetNewStart(t *testing.T) {
	t.Parallel()
	for _, link := range []bool{false, true} {
		host := testHost()
		m, b := start(t, "1@"+host), start(t, "2@"+host)
		w := b.member()
		w.Incarnation--
		m.Learn(m.View(), []wire.Member{w})
		p := m.View().Peer(b.Addr.Name)
		meet := func() {
			t.Helper()
			if !link {
				ws, err := m.pool.Dial(t.Context(), p)
				if err != nil {
					t.Fatal(err)
				}
				m.met(ws.Peer())
				return
			}
			l, err := m.dialLink(t.Context(), m.pool.Slot(p))
			if err != nil {
				t.Fatal(err)
			}
			l.Close()
		}
		last := func() *exchange {
			m.mu.Lock()
			defer m.mu.Unlock()
			return m.syncs[p]
		}
		meet()
		awaitView(t, m, b)
		first := last()
		if first == nil {
			t.Fatal("it was not told")
		}
		<-first.done
		clock.Sleep(t.Context(), exchangePause)
		meet() // it is known now
		if last() != first {
			t.Error("it is told again")
		}
	}
}

// TestCloseWaits closes members that are just settling something.
func TestCloseWaits(t *testing.T) {
	t.Parallel()
	n := start(t, "1@"+testHost())
	release, closed := make(chan struct{}), make(chan struct{})
	n.Members.wg.Go(func() { <-release })
	go func() {
		defer close(closed)
		n.close()
	}()
	<-n.ctx.Done()
	select {
	case <-closed:
		t.Error("Close has not waited")
	case <-time.After(200 * time.Millisecond):
	}
	close(release)
	<-closed
}

// TestLearnCatchesUp has gossip know of a member that the view does not have yet. The next
// comparison of members publishes it, although it brings no news.
func TestLearnCatchesUp(t *testing.T) {
	t.Parallel()
	m := start(t, "1@"+testHost())
	before := m.View()
	w := wire.Member{Name: "2@" + m.Addr.Host, Addr: m.Addr.Host + ":4372", Incarnation: 1}
	if !m.currentGossip().Learn([]wire.Member{w}) {
		t.Fatal("it is no news")
	}
	await(t, func() error {
		if len(m.View().Peers) < 2 {
			return errors.New("the member is not in the view")
		}
		return nil
	})
	m.making.Lock()
	m.view.Store(before) // as if no view had been made since
	m.making.Unlock()
	m.Learn(before, nil)
	if len(m.View().Peers) < 2 {
		t.Error("the view is still behind")
	}
}
