package node

import (
	"bytes"
	"encoding/gob"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/distproc/distproc/node/worker"
)

// TestSince asks all nodes and a client for how long the members are as they are, while one
// crashes and comes back. A node that joins later knows when that was.
func TestSince(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const (
			before = 2 * time.Minute
			down   = 3 * time.Minute
			reap   = 10 * time.Minute // the default
			slack  = 10 * time.Second // for a crash to be seen
		)
		nodes := startCluster(t, 3, worker.Cache{})
		time.Sleep(before)
		crash(nodes[2])
		await(t, func() error {
			for _, n := range nodes[:2] {
				if list, _ := n.Members(t.Context()); list[2].State != StateFailed || list[2].Kept == 0 {
					return fmt.Errorf("%s sees %+v", n.Self(), list[2])
				}
			}
			return nil
		})
		time.Sleep(down)
		late := startNode(t, "4@"+nodes[0].addr.Host, worker.Cache{})
		if err := late.Join(t.Context(), nodes[0].Self()); err != nil {
			t.Fatal(err)
		}
		for _, n := range nodes[:2] {
			await(t, func() error {
				if list, _ := n.Members(t.Context()); len(list) != 4 {
					return fmt.Errorf("%s sees %+v", n.Self(), list)
				}
				return nil
			})
		}
		c, err := Attach(t.Context(), ClientConfig{Node: late.Self(), Cookie: testCookie, network: memory})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		near := func(got, want time.Duration) bool { return got >= want && got <= want+slack }
		check := func(who string, list []Member, err error, since [3]time.Duration) {
			t.Helper()
			if err != nil || len(list) != 4 {
				t.Fatalf("%s: %+v, %v", who, list, err)
			}
			for i, want := range since {
				if got := list[i].Since; !near(got, want) {
					t.Errorf("%s: %s is %s since %v, want about %v", who, list[i].Name, list[i].State, got, want)
				}
			}
			failed := list[2]
			if failed.State == StateFailed && !near(failed.Kept+slack, reap-down) || failed.State == StateAlive && failed.Kept != 0 {
				t.Errorf("%s: %s keeps its slot for %v", who, failed.State, failed.Kept)
			}
			if list[0].Kept != 0 {
				t.Errorf("%s: a member that lives keeps its slot for %v", who, list[0].Kept)
			}
		}
		old := [3]time.Duration{before + down, before + down, down}
		for _, n := range nodes[:2] {
			list, err := n.Members(t.Context())
			check(n.Self(), list, err, old)
		}
		list, err := late.Members(t.Context())
		check("newcomer", list, err, [3]time.Duration{0, 0, down})
		if _, err := late.Nodes(t.Context()); err != nil { // it dials the failed one in vain
			t.Fatal(err)
		}
		list, err = c.Members(t.Context())
		check("client", list, err, [3]time.Duration{0, 0, down})
		infos, err := nodes[0].Nodes(t.Context())
		if err != nil || !near(infos[2].Since, down) || infos[2].Kept == 0 || !near(infos[0].Since, before+down) {
			t.Errorf("nodes = %+v, %v", infos, err)
		}
		back := startNode(t, nodes[2].Self(), worker.Cache{})
		if err := back.Join(t.Context(), nodes[0].Self()); err != nil {
			t.Fatal(err)
		}
		awaitView(t, nodes[0], nodes[1], back, late)
		time.Sleep(down)
		list, err = nodes[1].Members(t.Context())
		check("at last", list, err, [3]time.Duration{before + 2*down, before + 2*down, down})
		nodes[1].members.View().Peers[0].Session().Shut() // they have to connect again
		time.Sleep(down)
		list, err = nodes[0].Members(t.Context())
		check("after a break", list, err, [3]time.Duration{before + 3*down, down, 2 * down})
	})
}

// TestKeptForever has a member that has failed and is never reaped.
func TestKeptForever(t *testing.T) {
	bubble(t, func(t *testing.T) {
		host := testHost()
		config := Config{Cookie: testCookie, network: memory, Default: orRandom(worker.Cache{}), ReapAfter: worker.Forever}
		var nodes []*Node
		for i := range 2 {
			config.Name = fmt.Sprintf("%d@%s", i+1, host)
			n, err := Start(config)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { crash(n) })
			nodes = append(nodes, n)
			time.Sleep(time.Microsecond)
		}
		if err := nodes[1].Join(t.Context(), nodes[0].Self()); err != nil {
			t.Fatal(err)
		}
		awaitView(t, nodes...)
		crash(nodes[1])
		await(t, func() error {
			if list, _ := nodes[0].Members(t.Context()); list[1].Kept != worker.Forever {
				return fmt.Errorf("%+v", list[1])
			}
			return nil
		})
	})
}

// TestOldMember exchanges members with a version that does not tell since when they are as
// they are.
func TestOldMember(t *testing.T) {
	t.Parallel()
	type oldMember struct {
		Name, Addr  string
		State       State
		Incarnation uint64
	}
	old := []oldMember{{"2@h", "h:1", StateFailed, 7}}
	now := []Member{{Name: "2@h", Addr: "h:1", State: StateFailed, Incarnation: 7}}
	told := append([]Member(nil), now...)
	told[0].Since, told[0].Kept = time.Minute, time.Hour
	for _, c := range []struct{ from, to, want any }{{old, new([]Member), &now}, {told, new([]oldMember), &old}, {told, new([]Member), &told}} {
		var b bytes.Buffer
		if err := gob.NewEncoder(&b).Encode(c.from); err != nil {
			t.Fatal(err)
		}
		if err := gob.NewDecoder(&b).Decode(c.to); err != nil || !reflect.DeepEqual(c.to, c.want) {
			t.Errorf("%T gives %+v, %v", c.from, c.to, err)
		}
	}
}
