package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/distproc/distproc/node/internal/testlog"
	"github.com/distproc/distproc/node/worker"
)

// forward passes on what arrives at an address to another one, as the port that a
// container publishes, until the test ends.
func forward(t *testing.T, from, to string) {
	t.Helper()
	l, err := memory.Listen(from)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	t.Cleanup(func() {
		l.Close()
		wg.Wait()
	})
	pass := func(out, in net.Conn) {
		io.Copy(out, in)
		out.Close()
		in.Close()
	}
	wg.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := memory.Dial(context.Background(), to)
			if err != nil {
				in.Close()
				continue
			}
			wg.Go(func() { pass(out, in) })
			wg.Go(func() { pass(in, out) })
		}
	})
}

// hiddenNodes have names that nobody can dial, and listen where only their forwarders dial
// them.
type hiddenNodes struct {
	inner, outer string // hosts
	config       Config // of each
	states       []string
}

func (h *hiddenNodes) name(i int) string { return fmt.Sprintf("%d@198.51.100.%d", i, i) }
func (h *hiddenNodes) at(i int) string   { return fmt.Sprintf("%s:%d", h.outer, 5000+i) }

func (h *hiddenNodes) start(t *testing.T, i int) *Node {
	t.Helper()
	time.Sleep(time.Microsecond)
	c := h.config
	c.Name, c.Listen, c.Advertise, c.Cookie, c.network = h.name(i), fmt.Sprintf("%s:%d", h.inner, 4000+i), h.at(i), testCookie, memory
	c.StateDir, c.DataDir = h.states[i], h.states[i]+"/votes"
	if c.Logger == nil {
		c.Logger = slog.New(slog.NewTextHandler(testLog{t}, nil)).With("at", i)
	}
	n, err := Start(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { crash(n) })
	return n
}

func newHidden(t *testing.T, size int) *hiddenNodes {
	h := &hiddenNodes{inner: testHost(), outer: testHost(), states: []string{""}}
	for i := 1; i <= size; i++ {
		forward(t, h.at(i), fmt.Sprintf("%s:%d", h.inner, 4000+i))
		h.states = append(h.states, t.TempDir())
	}
	return h
}

// TestAdvertise has nodes that can be dialled only where they advertise: gossip, calls,
// voters, clients, hand-over and a restart without names find each other there, and every
// list shows that address.
func TestAdvertise(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := newHidden(t, 3)
		bank := &bank{running: map[worker.ID]bool{}, highest: map[worker.ID]worker.Token{}}
		h.config = Config{
			Default: worker.Cache{Load: counter(), TTL: time.Hour}, Voters: []string{h.name(1), h.name(2), h.name(3)}, Timing: Local,
			Kinds: map[string]worker.Kind{"bank": bank.kind()},
		}
		nodes := make([]*Node, 4)
		for i := 1; i <= 3; i++ {
			nodes[i] = h.start(t, i)
			if got, inner := nodes[i].Advertised(), nodes[i].Addr(); got != h.at(i) || inner == got {
				t.Errorf("%s advertises %s and listens on %s", nodes[i].Self(), got, inner)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		for _, n := range nodes[2:] {
			if err := n.Join(ctx, h.at(1)); err != nil {
				t.Fatal(err)
			}
		}
		awaitView(t, nodes[1:]...)
		ask := func(n *Node) {
			t.Helper()
			for id := range int64(3) {
				want := h.name(int(id) + 1)
				if reply, err := n.Request(t.Context(), worker.IntID(id)); err != nil || reply.Node != want || reply.Degraded {
					t.Errorf("%s has %d answered by %+v, %v", n.Self(), id, reply, err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				if reply, err := n.Family("bank").Call(ctx, worker.IntID(id), worker.Value{}); err != nil || reply.Node != want {
					t.Errorf("%s has a strict call of %d answered by %+v, %v", n.Self(), id, reply, err)
				}
				cancel()
			}
		}
		for _, n := range nodes[1:] {
			ask(n)
			members, _ := n.Members(t.Context())
			infos, _ := n.Nodes(t.Context())
			for i := range 3 {
				if members[i].Addr != h.at(i+1) || infos[i].Addr != h.at(i+1) {
					t.Errorf("%s shows %s at %s and %s", n.Self(), h.name(i+1), members[i].Addr, infos[i].Addr)
				}
			}
			if err := n.Ready(t.Context()); err != nil {
				t.Error(err)
			}
		}

		c, err := Attach(t.Context(), ClientConfig{Node: h.at(2), Cookie: testCookie, network: memory, Direct: true})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		awaitDirect(t, c, nodes[1:]...)

		// Node 2, which is the client's, leaves and comes back without being told whom to join.
		before, err := nodes[1].Request(t.Context(), worker.IntID(1))
		if err != nil {
			t.Fatal(err)
		}
		if err := nodes[2].Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		await(t, func() error {
			after, err := c.Request(t.Context(), worker.IntID(1))
			if err == nil && (!after.Cached || after.Value.String() != before.Value.String()) {
				t.Errorf("the answer of a node that left was not handed over: %+v, %v", before, after)
			}
			return err
		})
		nodes[2] = h.start(t, 2)
		awaitView(t, nodes[1:]...)
		await(t, func() error {
			if c.Self() != h.name(2) {
				return fmt.Errorf("the client stays at %s", c.Self())
			}
			return nil
		})
	})
}

// TestWrongAdvertise has a node say that it is reached where another one answers: it is
// refused, and told what to do. A node that nobody reaches where it says is let in, and
// its member says so.
func TestWrongAdvertise(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var log testlog.Buffer
		h := newHidden(t, 3)
		h.config = Config{Default: worker.Cache{Load: worker.RandomSource}, Logger: slog.New(slog.NewTextHandler(&log, nil))}
		a, b := h.start(t, 1), h.start(t, 2)
		if err := b.Join(t.Context(), h.at(1)); err != nil {
			t.Fatal(err)
		}
		awaitView(t, a, b)
		wrong := func(advertised string) *Node {
			t.Helper()
			time.Sleep(time.Microsecond)
			n, err := Start(Config{
				Name: h.name(3), Listen: fmt.Sprintf("%s:%d", h.inner, 4003), Advertise: advertised, Cookie: testCookie, network: memory,
				Default: worker.Cache{Load: worker.RandomSource}, Logger: slog.New(slog.NewTextHandler(testLog{t}, nil)).With("at", advertised),
			})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { crash(n) })
			return n
		}
		for at, who := range map[string]*Node{h.at(1): a, h.at(2): b} {
			n := wrong(at)
			err := n.Join(t.Context(), h.at(1))
			want := fmt.Sprintf("%s is %s; correct the name, or start %s with --advertise HOST:PORT, where others reach it", at, who.Self(), n.Self())
			if !errors.Is(err, ErrWrongName) || !strings.Contains(err.Error(), want) {
				t.Errorf("Join = %v, want %q", err, want)
			}
			awaitView(t, a, b)
			crash(n)
		}
		n := wrong(h.outer + ":9999")
		if err := n.Join(t.Context(), h.at(1)); err != nil {
			t.Error(err)
		}
		if log.Lines("cannot be reached at its address", n.Self(), ":9999", "--advertise") != 1 {
			t.Errorf("nobody says that %s cannot be reached:\n%s", n.Self(), &log)
		}
	})
}

// TestFoundElsewhere joins a node by a published address that it does not know of: the
// error says what to do.
func TestFoundElsewhere(t *testing.T) {
	bubble(t, func(t *testing.T) {
		inner, outer := testHost(), testHost()
		forward(t, outer+":5001", inner+":4371")
		hidden, err := Start(Config{Name: "1@198.51.100.1", Listen: inner, Cookie: testCookie, network: memory, Default: orRandom(worker.Cache{})})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { crash(hidden) })
		n := startNode(t, "2@"+testHost(), worker.Cache{})
		const want = ", found at %s, says that it is reached at 198.51.100.1:4371: "
		for _, c := range n.Connect(t.Context(), outer+":5001") {
			if c.Err == nil || !strings.Contains(c.Err.Error(), fmt.Sprintf(want, outer+":5001")) || !strings.HasSuffix(c.Err.Error(), "--advertise "+outer+":5001") {
				t.Errorf("Connect: %v", c.Err)
			}
		}
	})
}
