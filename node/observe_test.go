package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/distproc/distproc/node/internal/protocol"
	"github.com/distproc/distproc/node/internal/registry"
	"github.com/distproc/distproc/node/internal/tap"
	"github.com/distproc/distproc/node/observe"
	"github.com/distproc/distproc/node/worker"
)

// TestEvents has nodes come, fail and leave, kinds change, connections be refused, and
// workers be evicted: all of it is told to the node's program, to a client, and to another
// node.
func TestEvents(t *testing.T) {
	bubble(t, func(t *testing.T) {
		kind := worker.Cache{TTL: time.Hour, MaxBytes: 4096, Load: func(context.Context, worker.ID) (worker.Value, error) {
			return worker.BytesValue(strings.Repeat("x", 1000)), nil
		}}
		nodes := startCluster(t, 3, kind)
		n, other := nodes[0], nodes[1]
		c, err := Attach(t.Context(), ClientConfig{Node: other.Self(), Cookie: testCookie, network: memory})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		time.Sleep(2 * time.Second)
		if _, err := Attach(t.Context(), ClientConfig{Node: n.Self(), Cookie: []byte("the cookie of another cluster"), network: memory}); !errors.Is(err, ErrCookie) {
			t.Fatal(err)
		}
		if err := n.SetKinds(map[string]worker.Kind{"price": kind}); err != nil {
			t.Fatal(err)
		}
		for i := range int64(100) {
			if _, err := n.Request(t.Context(), worker.IntID(i)); err != nil {
				t.Fatal(err)
			}
		}
		lost := ownedBy(t, nodes[2])
		crash(nodes[2])
		n.handoffs.Add([]registry.Answer{{ID: lost, Left: time.Hour}})
		awaitState(t, n, nodes[2].Self(), StateFailed)
		time.Sleep(30 * time.Second) // until all have failed it
		find := func(list []observe.Event, what, about string) bool {
			return slices.ContainsFunc(list, func(e observe.Event) bool {
				return e.What == what && strings.Contains(fmt.Sprint(e.Node, " ", e.Kind, " ", e.Why, " ", e.More), about) && !e.Time.IsZero()
			})
		}
		page, err := n.Events(t.Context(), observe.EventQuery{})
		if err != nil || page.Node != n.Self() {
			t.Fatal(page, err)
		}
		byClient, err := c.Events(t.Context(), observe.EventQuery{Node: n.Self()})
		if err != nil {
			t.Fatal(err)
		}
		for _, list := range [][]observe.Event{page.List, byClient.List} {
			for _, want := range [][2]string{
				{"node up", other.Self()}, {"view changed", "members=3 failed=0"}, {"view changed", "members=3 failed=1"}, {"connection refused", "cookie"},
				{"kinds changed", "kinds=price"}, {"workers evicted", "default their values"}, {"node down", nodes[2].Self()},
				{"answers lost", "count=1"},
				{"kinds differ; all nodes should have the same --config", "price"},
			} {
				if !find(list, want[0], want[1]) {
					t.Errorf("no event %v among\n%v", want, list)
				}
			}
		}
		// A page at a time, on a node that the client is attached to.
		var all []observe.Event
		for mark := (observe.Mark{Run: 1}); ; {
			page, err := c.Events(t.Context(), observe.EventQuery{After: mark, Max: 1})
			if err != nil {
				t.Fatal(err)
			}
			if mark = page.Next(); len(page.List) == 0 {
				break
			}
			all = append(all, page.List...)
		}
		if !find(all, "client attached", "from=") || !find(all, "node down", nodes[2].Self()) || int(all[len(all)-1].Seq) != len(all) {
			t.Errorf("the events of the client's node are\n%v", all)
		}
		if _, err := c.Events(t.Context(), observe.EventQuery{Node: "9@" + n.addr.Host}); !errors.Is(err, ErrUnreachable) {
			t.Errorf("events of a stranger: %v", err)
		}
	})
}

func awaitState(t *testing.T, n *Node, name string, want State) {
	t.Helper()
	await(t, func() error {
		members, _ := n.Members(t.Context())
		for _, m := range members {
			if m.Name == name && m.State == want {
				return nil
			}
		}
		return fmt.Errorf("%s is not %v: %v", name, want, members)
	})
}

// ownedBy returns an id that a node owns.
func ownedBy(t *testing.T, n *Node) worker.ID {
	t.Helper()
	i, ok := n.members.View().OwnInt()
	if !ok {
		t.Fatal("it owns nothing")
	}
	return worker.IntID(i)
}

// brief returns steps as texts.
func brief(list []observe.Step) (texts []string) {
	for _, s := range list {
		text := fmt.Sprint(s.What, " ", s.From)
		for name, is := range map[string]bool{" cached": s.Cached, " degraded": s.Degraded} {
			if is {
				text += name
			}
		}
		if s.Message != "" {
			text += " " + s.Message
		}
		if s.Err != "" {
			text += " error"
		} else if s.Value != "" {
			text += " -> " + s.Value
		}
		texts = append(texts, text)
	}
	return texts
}

// TestTraces traces ids of a cache and of a serial kind on their owner: requests and calls
// of another node, of the owner itself and of clients come up, and no others.
func TestTraces(t *testing.T) {
	bubble(t, func(t *testing.T) {
		load := func(context.Context, worker.ID) (worker.Value, error) {
			time.Sleep(30 * time.Millisecond)
			return worker.BytesValue("a\x1b[2J" + strings.Repeat("b", 100)), nil
		}
		nodes := startCluster(t, 2, worker.Cache{TTL: time.Hour, Load: load})
		for _, n := range nodes {
			if err := n.SetKinds(map[string]worker.Kind{"echo": worker.Serial{Open: func(context.Context, worker.ID) (worker.Server, error) { return echoServer{}, nil }}}); err != nil {
				t.Fatal(err)
			}
		}
		asks, owns := nodes[0], nodes[1]
		c, err := Attach(t.Context(), ClientConfig{Node: owns.Self(), Cookie: testCookie, network: memory})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		id := ownedBy(t, owns)
		value, echo := observe.TraceQuery{Key: worker.Key{ID: id}}, observe.TraceQuery{Key: worker.Key{Kind: "echo", ID: id}}
		poll := func(n interface {
			Trace(context.Context, observe.TraceQuery) (observe.Steps, error)
		}, q *observe.TraceQuery) observe.Steps {
			t.Helper()
			page, err := n.Trace(t.Context(), *q)
			if err != nil || page.Node != owns.Self() || page.Missed > 0 {
				t.Fatalf("%+v, %v", page, err)
			}
			q.After = page.Next()
			return page
		}
		do := func(_ worker.Reply, err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		if owns.taps.Of("", id) != nil {
			t.Error("a tap before there is a trace")
		}
		for _, n := range []*Node{asks, owns} { // a trace tells of what comes after its beginning
			do(n.Request(t.Context(), id))
		}
		if page := poll(asks, &value); len(page.List) > 0 {
			t.Errorf("it begins with %v", page.List)
		}
		poll(c, &echo)
		do(asks.Request(t.Context(), id))
		do(owns.Request(t.Context(), id))
		do(c.Request(t.Context(), id))
		do(asks.Refresh(t.Context(), id))
		do(owns.Refresh(t.Context(), id))
		do(c.Refresh(t.Context(), id))
		do(asks.Request(t.Context(), ownedBy(t, asks))) // which is not traced
		shown := "a [2J" + strings.Repeat("b", 55) + "…"
		client := protocol.ClientHello().Name
		want := []string{
			"request " + asks.Self() + " cached -> " + shown, "request " + owns.Self() + " cached -> " + shown, "request " + client + " cached -> " + shown,
			"refresh " + asks.Self() + " -> " + shown, "refresh " + owns.Self() + " -> " + shown, "refresh " + client + " -> " + shown,
		}
		page := poll(asks, &value)
		if got := brief(page.List); !slices.Equal(got, want) {
			t.Errorf("it has\n%q\nwant\n%q", got, want)
		}
		for _, s := range page.List[3:] {
			if s.Took < 30*time.Millisecond || s.By != owns.Self() {
				t.Errorf("%+v took no 30 ms, or is by another node", s)
			}
		}
		do(asks.Family("echo").Call(t.Context(), id, worker.BytesValue("one")))
		do(owns.Family("echo").Call(t.Context(), id, worker.BytesValue("two")))
		do(c.Family("echo").Call(t.Context(), id, worker.BytesValue("three")))
		want = []string{"call " + asks.Self() + " one -> one", "call " + owns.Self() + " two -> two", "call " + client + " three -> three"}
		if got := brief(poll(c, &echo).List); !slices.Equal(got, want) {
			t.Errorf("it has\n%q\nwant\n%q", got, want)
		}
		if _, err := c.Trace(t.Context(), observe.TraceQuery{Key: worker.Key{Kind: "none", ID: id}}); !errors.Is(err, ErrUnknownKind) {
			t.Errorf("an unknown kind: %v", err)
		}
		log, err := owns.Events(t.Context(), observe.EventQuery{})
		begun := 0
		for _, e := range log.List {
			if e.What == "trace begun" {
				begun++
			}
		}
		if err != nil || begun != 2 {
			t.Errorf("%d traces in the audit, want 2: %v", begun, log.List)
		}
		time.Sleep(tap.Lease + time.Millisecond)
		if owns.taps.Of("", id) != nil || owns.taps.Of("echo", id) != nil {
			t.Error("a trace goes on although nobody asks for it")
		}
		// Another node acts for the id: the trace goes on there.
		poll(asks, &value)
		crash(owns)
		awaitState(t, asks, owns.Self(), StateFailed)
		await(t, func() error {
			page, err := asks.Trace(t.Context(), value)
			if err == nil && page.Node != asks.Self() {
				err = errors.New("still of the old owner")
			}
			return err
		})
		do(asks.Request(t.Context(), id))
		if page, err := asks.Trace(t.Context(), value); err != nil || len(page.List) != 1 {
			t.Errorf("at the next owner %+v, %v", page, err)
		}
	})
}

// TestStrictTrace traces an id of a strict kind on the node that acts for it.
func TestStrictTrace(t *testing.T) {
	bubble(t, func(t *testing.T) {
		bank := &bank{running: map[worker.ID]bool{}, highest: map[worker.ID]worker.Token{}}
		nodes := startStrict(t, 3, bank.kind())
		id := int64(1)
		call := func(n *Node, message string) {
			t.Helper()
			if _, err := callStrict(t, n, id, message); err != nil {
				t.Fatal(err)
			}
		}
		call(nodes[0], "before")
		q := observe.TraceQuery{Key: worker.Key{ID: worker.IntID(id)}}
		page, err := nodes[0].Trace(t.Context(), q)
		if err != nil || page.Node != nodes[1].Self() {
			t.Fatal(page, err)
		}
		q.After = page.Next()
		call(nodes[0], "one")
		call(nodes[1], "two")
		if page, err = nodes[0].Trace(t.Context(), q); err != nil {
			t.Fatal(err)
		}
		want := []string{"call " + nodes[0].Self() + " one -> 2", "call " + nodes[1].Self() + " two -> 3"}
		if got := brief(page.List); !slices.Equal(got, want) {
			t.Errorf("it has\n%q\nwant\n%q", got, want)
		}
	})
}

// TestLoads has two nodes, and a client, make requests, some of which fail.
func TestLoads(t *testing.T) {
	bubble(t, func(t *testing.T) {
		fails := errors.New("no")
		nodes := startCluster(t, 2, worker.Cache{TTL: time.Hour, Load: func(_ context.Context, id worker.ID) (worker.Value, error) {
			if id == worker.IntID(-1) {
				time.Sleep(7 * time.Millisecond)
				return worker.Value{}, fails
			}
			return worker.IntValue(1), nil
		}})
		c, err := Attach(t.Context(), ClientConfig{Node: nodes[1].Self(), Cookie: testCookie, network: memory})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		time.Sleep(100 * time.Millisecond)
		ask := func(seconds int) {
			for range seconds {
				for i := range int64(10) {
					nodes[0].Request(t.Context(), worker.IntID(i))
					nodes[1].Request(t.Context(), worker.IntID(i))
					c.Request(t.Context(), worker.IntID(i))
				}
				nodes[0].Request(t.Context(), worker.IntID(-1))
				time.Sleep(time.Second)
			}
		}
		of := func(name string) observe.Load {
			t.Helper()
			list, err := c.Loads(t.Context(), name)
			if err != nil || len(list) != 1 || list[0].Kind != worker.DefaultKind {
				t.Fatal(list, err)
			}
			return list[0]
		}
		ask(12)
		for name, want := range map[string]float64{"": 31, nodes[0].Self(): 11, nodes[1].Self(): 20} {
			if l := of(name); l.Rate() != want {
				t.Errorf("%q: %v per second, want %v: %v", name, l.Rate(), want, l.PerSecond)
			}
		}
		if l := of(nodes[0].Self()); l.Failed != 12 || l.Quantile(0.99) != 10*time.Millisecond || l.Quantile(0.5) != 100*time.Microsecond {
			t.Errorf("%d failed, p99 %v, p50 %v: %v", l.Failed, l.Quantile(0.99), l.Quantile(0.5), l.Latency)
		}
		requests := uint32(0)
		for _, n := range of(nodes[0].Self()).PerSecond {
			requests += n
		}
		if requests != 12*11 {
			t.Errorf("%d requests at the first node, want %d: the first ones had to load", requests, 12*11)
		}
		time.Sleep(50 * time.Second)
		if l := of(""); len(l.PerSecond) != observe.Seconds || l.Rate() != 0 || l.Failed < 6 || l.Failed > 10 {
			t.Errorf("50 s later %v, %d failed", l.PerSecond, l.Failed)
		}
		time.Sleep(observe.Seconds * time.Second)
		if l := of(""); slices.Max(l.PerSecond) > 0 || l.Failed > 0 || l.Quantile(1) != 0 {
			t.Errorf("a minute later %+v", l)
		}
		ask(1)
		if l := of(""); l.PerSecond[observe.Seconds-1] != 31 {
			t.Errorf("after a pause %v", l.PerSecond)
		}
	})
}
