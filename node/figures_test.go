package node

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/distproc/distproc/node/observe"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// An asker is a node or a client.
type asker interface {
	Figures(context.Context, observe.FiguresQuery) (observe.Figures, error)
	Hottest(context.Context, observe.HotQuery) (observe.Hot, error)
}

// figuresOf asks for the figures of a node after a mark.
func figuresOf(t *testing.T, by asker, name string, after observe.Mark) observe.Figures {
	t.Helper()
	f, err := by.Figures(t.Context(), observe.FiguresQuery{Node: name, After: after})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// kindOf returns the figures of a kind.
func kindOf(t *testing.T, f observe.Figures, name string) observe.KindFigures {
	t.Helper()
	for _, k := range f.Kinds {
		if k.Kind == name {
			return k
		}
	}
	t.Fatalf("no kind %s among %+v", name, f.Kinds)
	return observe.KindFigures{}
}

// pastOf adds up the samples of a kind.
func pastOf(k observe.KindFigures) (s struct{ requests, failed, degraded, stale, runs, runsFailed, evicted uint32 }) {
	sum := func(to *uint32, counts []uint32) {
		for _, n := range counts {
			*to += n
		}
	}
	for _, p := range k.Past {
		sum(&s.requests, p.Latency)
		sum(&s.runs, p.Runs)
		s.failed += p.Failed
		s.degraded += p.Degraded
		s.stale += p.Stale
		s.runsFailed += p.RunsFailed
		s.evicted += p.Evicted
	}
	return s
}

// TestFigures has two nodes make requests, some of which fail, are answered with old values,
// in place of the owner, or have workers evicted. All of it is told to the node's program, to
// another node and to clients, sample by sample, for 15 minutes.
func TestFigures(t *testing.T) {
	bubble(t, func(t *testing.T) {
		load := func(_ context.Context, id worker.ID) (worker.Value, error) {
			time.Sleep(7 * time.Millisecond)
			if id == worker.IntID(-2) {
				return worker.Value{}, errors.New("no")
			}
			return worker.BytesValue(strings.Repeat("x", 1000)), nil
		}
		kind := worker.Cache{TTL: time.Second, StaleWhileRevalidate: time.Hour, MaxBytes: 50_000, Load: load}
		nodes := startCluster(t, 2, kind)
		a, b := nodes[0], nodes[1]
		if err := a.SetKinds(map[string]worker.Kind{"idle": worker.Serial{Open: func(context.Context, worker.ID) (worker.Server, error) { return echoServer{}, nil }}}); err != nil {
			t.Fatal(err)
		}
		c, err := Attach(t.Context(), ClientConfig{Node: b.Self(), Cookie: testCookie, network: memory})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		direct := attachDirect(t, a.Self())
		time.Sleep(100 * time.Millisecond)

		before := figuresOf(t, a, "", observe.Mark{})
		if before.Node != a.Self() || before.Run == 0 || len(before.Kinds) != 2 || !kindOf(t, before, "idle").Serial || !before.Clock.Equal(time.Now()) {
			t.Errorf("at the beginning %+v", before)
		}
		for range 10 { // an even id is a's, an odd one b's
			for _, id := range []int64{0, 0, 1, -2} {
				_, _ = a.Request(t.Context(), worker.IntID(id))
			}
			time.Sleep(time.Second)
		}
		for i := range int64(60) {
			_, _ = b.Request(t.Context(), worker.IntID(2*i))
		}
		time.Sleep(5 * time.Second)
		crash(b)
		_, _ = a.Request(t.Context(), worker.IntID(1))
		time.Sleep(5 * time.Second)

		f := figuresOf(t, a, "", observe.Mark{})
		st := a.kinds.Stats()[0]
		got, want := pastOf(kindOf(t, f, worker.DefaultKind)), pastOf(observe.KindFigures{})
		want.requests, want.failed, want.degraded, want.stale = 41, 10, uint32(st.Degraded), uint32(st.Stale)
		want.runs, want.runsFailed, want.evicted = 0, uint32(st.LoadErrs), uint32(st.Evicted)
		for _, n := range st.Loads.Counts {
			want.runs += uint32(n)
		}
		if got != want || want.degraded == 0 || want.stale != 27 || want.runsFailed != 10 || want.evicted == 0 {
			t.Errorf("%+v, want %+v as in %+v", got, want, st)
		}
		if k := kindOf(t, f, "idle"); k.Past != nil || k.Rate != 0 {
			t.Errorf("the kind that nobody asks: %+v", k)
		}

		// A reader with the mark of the last answer gets what has come since.
		mark := f.Next()
		if f = figuresOf(t, a, "", mark); kindOf(t, f, worker.DefaultKind).Past != nil || f.Next() != mark {
			t.Errorf("at once again %+v", f)
		}
		time.Sleep(observe.SampleTime)
		_, _ = a.Request(t.Context(), worker.IntID(0))
		time.Sleep(observe.SampleTime)
		f = figuresOf(t, a, "", mark)
		if k := kindOf(t, f, worker.DefaultKind); len(k.Past) != 1 || f.Last != mark.Seq+2 || pastOf(k).requests != 1 {
			t.Errorf("two samples later %+v", f)
		}
		if f := figuresOf(t, a, "", observe.Mark{Run: 1, Seq: f.Last}); len(kindOf(t, f, worker.DefaultKind).Past) < 5 {
			t.Errorf("after the mark of another run %+v", f)
		}
		if f := figuresOf(t, a, "", observe.Mark{Run: f.Run, Seq: 1 << 62}); kindOf(t, f, worker.DefaultKind).Past != nil {
			t.Errorf("after a mark that has yet to come %+v", f)
		}

		// Clients and other nodes get the same.
		b = startOn(t, b.Self(), kind)
		if err := b.Join(t.Context(), a.Self()); err != nil {
			t.Fatal(err)
		}
		own := figuresOf(t, a, "", observe.Mark{})
		for _, by := range []asker{b, c, direct} {
			if f := figuresOf(t, by, a.Self(), observe.Mark{}); !reflect.DeepEqual(f.Kinds, own.Kinds) || f.Run != own.Run || f.Node != a.Self() {
				t.Errorf("%T was told\n%+v\nwant\n%+v", by, f, own)
			}
		}
		if _, err := a.Figures(t.Context(), observe.FiguresQuery{Node: "9@" + a.addr.Host}); !errors.Is(err, ErrUnreachable) {
			t.Errorf("figures of a stranger: %v", err)
		}

		time.Sleep(observe.SampleTime * (observe.Samples - 4))
		f = figuresOf(t, a, "", observe.Mark{})
		if s := pastOf(kindOf(t, f, worker.DefaultKind)); s.requests != 2 || s.failed != 0 {
			t.Errorf("after nearly 15 minutes %+v", s)
		}
		time.Sleep(observe.SampleTime * 10)
		if k := kindOf(t, figuresOf(t, a, "", observe.Mark{}), worker.DefaultKind); k.Past != nil {
			t.Errorf("after 15 minutes %+v", k.Past)
		}
	})
}

// startOn starts a node under a name that another one had.
func startOn(t *testing.T, name string, kind worker.Kind) *Node {
	t.Helper()
	n, err := Start(Config{Name: name, Cookie: testCookie, network: memory, Default: kind})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { crash(n) })
	return n
}

// TestGauges has runs that go on, wait for others, are waited for, and do not end.
func TestGauges(t *testing.T) {
	bubble(t, func(t *testing.T) {
		release := make(chan struct{})
		n := startOn(t, "1@"+testHost(), worker.Cache{TTL: time.Hour, Timeout: 2 * time.Second, Concurrency: 2, MaxBytes: 1 << 20, Load: func(context.Context, worker.ID) (worker.Value, error) {
			<-release
			return worker.BytesValue("abc"), nil
		}})
		var wg sync.WaitGroup
		for _, id := range []int64{1, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9} {
			wg.Go(func() { _, _ = n.Request(t.Context(), worker.IntID(id)) })
		}
		synctest.Wait()
		check := func(want observe.KindFigures) {
			t.Helper()
			k := kindOf(t, figuresOf(t, n, "", observe.Mark{}), worker.DefaultKind)
			k.Past, k.Rate = nil, 0
			if want.Kind = worker.DefaultKind; !reflect.DeepEqual(k, want) {
				t.Errorf("%+v, want %+v", k, want)
			}
		}
		check(observe.KindFigures{Workers: 9, MaxBytes: 1 << 20, Waiting: 11, Longest: 3, Running: 2, Concurrency: 2, Queued: 7})
		time.Sleep(3500 * time.Millisecond)
		check(observe.KindFigures{Workers: 9, MaxBytes: 1 << 20, Waiting: 11, Longest: 3, Running: 2, Concurrency: 2, Queued: 7, Stuck: 2, StuckFor: 1500 * time.Millisecond})
		close(release)
		wg.Wait()
		k := kindOf(t, figuresOf(t, n, "", observe.Mark{}), worker.DefaultKind)
		if k.Bytes != n.Stats().Kinds[0].Bytes || k.Bytes == 0 {
			t.Errorf("%d bytes, want %d", k.Bytes, n.Stats().Kinds[0].Bytes)
		}
		check(observe.KindFigures{Workers: 9, MaxBytes: 1 << 20, Concurrency: 2, Bytes: k.Bytes})
	})
}

// TestHottest has ids of two nodes with more to do than others, and asks both of them, in
// every way.
func TestHottest(t *testing.T) {
	bubble(t, func(t *testing.T) {
		release := make(chan struct{})
		nodes := startCluster(t, 2, worker.Cache{TTL: time.Hour, Load: func(_ context.Context, id worker.ID) (worker.Value, error) {
			if id == worker.IntID(-1) {
				<-release
			}
			return worker.IntValue(1), nil
		}})
		a, b := nodes[0], nodes[1]
		c, err := Attach(t.Context(), ClientConfig{Node: a.Self(), Cookie: testCookie, network: memory})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		ids := map[*Node]worker.ID{a: worker.IntID(0), b: worker.IntID(1)}
		for i := range int64(10) {
			if _, err := a.Request(t.Context(), worker.IntID(i)); err != nil {
				t.Fatal(err)
			}
		}
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() { _, _ = a.Request(t.Context(), worker.IntID(-1)) }) // of b
		}
		ask := func(by asker, of *Node) observe.Hot {
			t.Helper()
			name := of.Self()
			if by == asker(of) {
				name = ""
			}
			h, err := by.Hottest(t.Context(), observe.HotQuery{Node: name})
			if err != nil || h.Node != of.Self() {
				t.Fatal(h.Node, err)
			}
			return h
		}
		ask(a, a)
		ask(b, b)
		for range 100 {
			for _, id := range ids {
				_, _ = a.Request(t.Context(), id)
			}
			time.Sleep(10 * time.Millisecond)
		}
		for of, id := range ids {
			want := ask(of, of)
			if len(want.Busiest) != 1 || want.Busiest[0].ID != id || want.Busiest[0].Rate < 90 || want.Busiest[0].Rate > 110 || want.Busiest[0].Node != of.Self() {
				t.Errorf("%s: %+v, want %v with 100 per second", of.Self(), want, id)
			}
			if queues := want.Longest; (len(queues) == 1) != (of == b) || of == b && (queues[0].ID != worker.IntID(-1) || queues[0].Queue != 3) {
				t.Errorf("%s: queues %+v", of.Self(), queues)
			}
			for _, by := range []asker{a, b, c} {
				if h := ask(by, of); !reflect.DeepEqual(h, want) {
					t.Errorf("%T was told %+v, want %+v", by, h, want)
				}
			}
		}
		if h, err := c.Hottest(t.Context(), observe.HotQuery{}); err != nil || h.Node != a.Self() {
			t.Errorf("of the client's node %+v, %v", h, err)
		}
		close(release)
		wg.Wait()
	})
}

// An older node knows none of the operations.
type older struct {
	liar
	says error
}

func (o older) ServeOperation(context.Context, *wire.Session, wire.Op, func(any) error) (any, error) {
	return nil, o.says
}

// TestFiguresOfOlder asks members, and nodes of clients, of versions that have no figures.
func TestFiguresOfOlder(t *testing.T) {
	realTime(t)
	for name, says := range map[string]error{
		"older":            wire.UnknownOperation,
		"old, no voters":   wire.Errorf(wire.NoQuorum, wire.NotRun, "the node was started without voters; ask one that was started with --voters"),
		"this, no voters":  nil, // as a member asks what this version does not know
		"older in between": &wire.Error{Code: wire.UnknownOperation, Outcome: wire.NotRun, Text: "the node is of an older version; upgrade it"},
	} {
		t.Run(name, func(t *testing.T) {
			n := startNode(t, "1@"+testHost(), worker.Cache{})
			if says == nil {
				giveSlot(n, stranger(n, 1))
				s, err := dialAs(t, n, stranger(n, 1))
				if err != nil {
					t.Fatal(err)
				}
				if err := s.Do(t.Context(), 1000, nil, nil); !errors.Is(err, ErrUnsupported) {
					t.Errorf("an operation of a newer version: %v", err)
				}
				return
			}
			hello := stranger(n, 1)
			hello.Addr = n.addr.Host + ":0"
			hello.Addr = listenAs(t, hello, older{says: says})
			p, c := memberAndClient(t, n, hello)
			for _, ask := range []func() error{
				func() error { _, err := n.Figures(t.Context(), observe.FiguresQuery{Node: p.Text}); return err },
				func() error { _, err := n.Hottest(t.Context(), observe.HotQuery{Node: p.Text}); return err },
				func() error { _, err := n.Loads(t.Context(), p.Text); return err },
				func() error { _, err := n.Events(t.Context(), observe.EventQuery{Node: p.Text}); return err },
				func() error { _, err := c.Figures(t.Context(), observe.FiguresQuery{}); return err },
				func() error { _, err := c.Hottest(t.Context(), observe.HotQuery{}); return err },
			} {
				if err := ask(); !errors.Is(err, ErrUnsupported) || err.Error() != p.Text+": unknown operation: the node is of an older version; upgrade it" {
					t.Errorf("%v", err)
				}
			}
		})
	}
}

// TestRoutingIsTold has the rule of the cluster in what a node tells of itself.
func TestRoutingIsTold(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := startOn(t, "1@"+testHost(), worker.Cache{TTL: time.Hour, Load: worker.RandomSource})
		infos, err := n.Nodes(t.Context())
		if err != nil || infos[0].Routing != "modulo" {
			t.Errorf("%+v, %v", infos, err)
		}
	})
}
