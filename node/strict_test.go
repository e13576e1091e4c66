package node

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/distproc/distproc/node/internal/protocol"
	"github.com/distproc/distproc/node/internal/quorum"
	"github.com/distproc/distproc/node/worker"
)

// A bank has servers that count their calls. It is a resource that refuses a token that is
// older than another, and checks that no two calls of an id run at once.
type bank struct {
	mu      sync.Mutex
	running map[worker.ID]bool
	highest map[worker.ID]worker.Token
	wrong   []string
	ends    int // twice the servers that have ended
}

type bankServer struct {
	t  *bank
	id worker.ID
	n  int64
}

func (s *bankServer) Call(ctx context.Context, message worker.Value) (worker.Value, error) {
	t, token := s.t, worker.TokenOf(ctx)
	t.mu.Lock()
	if t.running[s.id] {
		t.wrong = append(t.wrong, "two calls of "+s.id.String()+" at once")
	}
	if token.Compare(t.highest[s.id]) <= 0 {
		t.wrong = append(t.wrong, "token "+token.String()+" of "+s.id.String()+" is no newer")
	}
	t.running[s.id], t.highest[s.id] = true, token
	t.mu.Unlock()
	if message.String() == "slow" {
		time.Sleep(time.Second)
	}
	t.mu.Lock()
	t.running[s.id] = false
	t.mu.Unlock()
	s.n++
	return worker.IntValue(s.n), nil
}

// Terminate takes a while, in which no other server of the id may run.
func (s *bankServer) Terminate(context.Context, worker.EndReason) {
	s.t.set(s.id, true)
	time.Sleep(100 * time.Millisecond)
	s.t.set(s.id, false)
}

func (t *bank) set(id worker.ID, running bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.running[id] = running
	t.ends++
}

func (t *bank) kind() worker.Serial {
	return worker.Serial{Strict: true, TTL: time.Minute, Open: func(_ context.Context, id worker.ID) (worker.Server, error) {
		return &bankServer{t: t, id: id}, nil
	}}
}

// startStrict starts nodes 1@ to size@ and connects them. All of them are voters.
func startStrict(t *testing.T, size int, kind worker.Kind) (nodes []*Node) {
	t.Helper()
	host := testHost()
	var names []string
	for i := range size {
		names = append(names, string(rune('1'+i))+"@"+host)
	}
	for _, name := range names {
		time.Sleep(time.Microsecond)
		n, err := Start(Config{
			Name: name, Cookie: testCookie, network: network.Host(name), Voters: names, DataDir: t.TempDir(), Timing: Local,
			Default: kind, Logger: slog.New(slog.NewTextHandler(testLog{t}, nil)).With("at", name),
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { crash(n) })
		nodes = append(nodes, n)
	}
	for _, n := range nodes[1:] {
		if err := n.Join(t.Context(), names[0]); err != nil {
			t.Fatal(err)
		}
	}
	return nodes
}

// callStrict calls an id from a node, again while the call has not run, for at most 20 s.
func callStrict(t *testing.T, n *Node, id int64, message string) (worker.Reply, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	return n.Family("").Call(ctx, worker.IntID(id), worker.BytesValue(message))
}

// TestStrict has three nodes call ids of each other, one of them end and another one die: each
// id goes on at one place, with tokens that rise, and starts anew where it is new.
func TestStrict(t *testing.T) {
	bubble(t, func(t *testing.T) {
		bank := &bank{running: map[worker.ID]bool{}, highest: map[worker.ID]worker.Token{}}
		nodes := startStrict(t, 3, bank.kind())
		for i, n := range nodes {
			for id := range int64(3) {
				reply, err := callStrict(t, n, id, "")
				if want := int64(i + 1); err != nil || reply.Node != nodes[id].Self() || reply.Value.String() != worker.IntValue(want).String() {
					t.Errorf("call %d of id %d from %s: %v by %s, %v", want, id, n.Self(), reply.Value, reply.Node, err)
				}
			}
		}

		began := time.Now()
		if err := nodes[2].Close(t.Context()); err != nil {
			t.Error(err)
		}
		reply, err := callStrict(t, nodes[0], 2, "")
		if took := time.Since(began); err != nil || reply.Value.String() != "1" || took > time.Second {
			t.Errorf("after the end of its node: %v by %s, %v, after %v; want a new server at once", reply.Value, reply.Node, err, took)
		}

		crash(nodes[1])
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		_, err = nodes[0].Family("").Call(ctx, worker.IntID(1), worker.Value{})
		if !errors.Is(err, ErrNoQuorum) || OutcomeOf(err) != worker.OutcomeNotRun || !strings.Contains(err.Error(), nodes[1].Self()) {
			t.Errorf("with one voter of three: %v; want that there is no quorum, and who does not answer", err)
		}
		if len(bank.wrong) > 0 {
			t.Error(bank.wrong)
		}
	})
}

// TestStrictCrash has the node of an id die in the middle of its call. Another one acts for the
// id when the lease is over, and not before.
func TestStrictCrash(t *testing.T) {
	bubble(t, func(t *testing.T) {
		bank := &bank{running: map[worker.ID]bool{}, highest: map[worker.ID]worker.Token{}}
		nodes := startStrict(t, 3, bank.kind())
		if _, err := callStrict(t, nodes[0], 1, ""); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		crash(nodes[1])
		reply, err := callStrict(t, nodes[0], 1, "")
		if took := time.Since(began); err != nil || reply.Node == nodes[1].Self() || took < time.Second || took > 5*time.Second {
			t.Errorf("%v by %s, %v, after %v; want another node when its lease of 2 s is over", reply.Value, reply.Node, err, took)
		}
		if len(bank.wrong) > 0 {
			t.Error(bank.wrong)
		}
	})
}

// TestStrictLeave has a node end while a call runs there: the call ends first.
func TestStrictLeave(t *testing.T) {
	bubble(t, func(t *testing.T) {
		bank := &bank{running: map[worker.ID]bool{}, highest: map[worker.ID]worker.Token{}}
		nodes := startStrict(t, 3, bank.kind())
		if _, err := callStrict(t, nodes[0], 1, ""); err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			if reply, err := callStrict(t, nodes[0], 1, "slow"); err != nil || reply.Value.String() != "2" {
				t.Errorf("%v, %v", reply.Value, err)
			}
		})
		time.Sleep(100 * time.Millisecond)
		wg.Go(func() {
			if err := nodes[1].Close(t.Context()); err != nil {
				t.Error(err)
			}
		})
		time.Sleep(10 * time.Millisecond)
		if reply, err := callStrict(t, nodes[2], 1, ""); err != nil || reply.Value.String() != "1" || reply.Node == nodes[1].Self() {
			t.Errorf("%v by %s, %v; want a new server elsewhere", reply.Value, reply.Node, err)
		}
		wg.Wait()
		if len(bank.wrong) > 0 {
			t.Error(bank.wrong)
		}
	})
}

// TestStrictConfig checks what a node refuses at its start.
func TestStrictConfig(t *testing.T) {
	strict := worker.Serial{Strict: true, Open: func(context.Context, worker.ID) (worker.Server, error) { return nil, nil }}
	for _, c := range []struct {
		voters string
		dir    string
		want   string
	}{
		{"", "", "is strict, and the node has no voters: pass --voters"},
		{"1@a,2@b", "x", "2 of them: there may be 1, 3 or 5"},
		{"1@a,2@b,3@c,4@d,5@e,6@f,7@g", "x", "voters: 7 of them"},
		{"1@a,2@b,1@a", "x", "1@a is named twice"},
		{"1@a,2@b,3", "x", "no @"},
		{"1@A,2@b,3@c", "x", "write 1@a instead of 1@A"},
		{"1@127.0.0.1", "", "a voter needs a data directory: pass --data-dir"},
		{"1@127.0.0.1", "/dev/null/x", "data directory /dev/null/x: mkdir: not a directory"},
	} {
		config := Config{
			Name: "1@127.0.0.1", Cookie: testCookie, network: network.Host("1@127.0.0.1"), DataDir: c.dir,
			Kinds: map[string]worker.Kind{"account": strict},
		}
		if c.voters != "" {
			config.Voters = strings.Split(c.voters, ",")
		}
		n, err := Start(config)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("voters %q, directory %q: %v; want %q", c.voters, c.dir, err, c.want)
		}
		if err == nil {
			crash(n)
		}
	}
}

// TestRenewalOfAnother has a node renew the lease of another one, to take its seat.
func TestRenewalOfAnother(t *testing.T) {
	bubble(t, func(t *testing.T) {
		bank := &bank{running: map[worker.ID]bool{}, highest: map[worker.ID]worker.Token{}}
		nodes := startStrict(t, 3, bank.kind())
		if _, err := callStrict(t, nodes[0], 1, ""); err != nil {
			t.Fatal(err)
		}
		p, err := nodes[2].members.Member(nodes[0].Self())
		if err != nil {
			t.Fatal(err)
		}
		ws, err := nodes[2].pool.Get(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		r := quorum.Renewal{Lease: 2 * time.Second, Member: quorum.Member{Name: nodes[1].Self(), Incarnation: 1 << 63}}
		if err := ws.Do(t.Context(), protocol.OpRenew, r, nil); !errors.Is(err, ErrBadRequest) {
			t.Errorf("%v; want a refusal", err)
		}
	})
}

// TestStrictCache has nodes ask for values of each other, invalidate them, and lose a node and
// then the majority: no value is older than an invalidation, and none is degraded.
func TestStrictCache(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var resource atomic.Int64
		nodes := startStrict(t, 3, worker.Cache{Strict: true, TTL: time.Hour, Load: func(ctx context.Context, _ worker.ID) (worker.Value, error) {
			if worker.TokenOf(ctx).IsZero() {
				t.Error("a load without a token")
			}
			return worker.IntValue(resource.Load()), nil
		}})
		request := func(n *Node, id int64) worker.Reply {
			t.Helper()
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			reply, err := n.Request(ctx, worker.IntID(id))
			if want := worker.IntValue(resource.Load()).String(); err != nil || reply.Value.String() != want || reply.Degraded || reply.Token.IsZero() {
				t.Errorf("%d from %s: %+v, %v; want %s, not degraded", id, n.Self(), reply, err, want)
			}
			return reply
		}
		last := worker.Token{}
		for i, n := range nodes {
			reply := request(n, 1)
			if reply.Cached != (i > 0) || reply.Token.Compare(last) <= 0 {
				t.Errorf("request %d: cached %t, token %v after %v", i, reply.Cached, reply.Token, last)
			}
			last = reply.Token
			resource.Add(1)
			if had, err := n.Invalidate(t.Context(), worker.IntID(1)); !had || err != nil {
				t.Errorf("invalidate: %t, %v", had, err)
			}
			request(nodes[0], 1)
			resource.Add(1)
			if reply, err := n.Refresh(t.Context(), worker.IntID(1)); err != nil || reply.Cached {
				t.Errorf("refresh: %+v, %v", reply, err)
			}
			request(nodes[2], 1)
		}
		if _, err := nodes[0].Family("").Call(t.Context(), worker.IntID(1), worker.Value{}); !errors.Is(err, ErrBadRequest) {
			t.Errorf("a call of a cache: %v", err)
		}

		crash(nodes[1])
		resource.Add(1)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := nodes[0].Request(ctx, worker.IntID(1)); OutcomeOf(err) != worker.OutcomeNotRun {
			t.Errorf("within the lease of a node that has died: %v; want that no load has begun", err)
		}
		if reply := request(nodes[0], 1); reply.Node == nodes[1].Self() || reply.Token.Compare(last) <= 0 {
			t.Errorf("%+v; want a newer token of another node", reply)
		}

		crash(nodes[2])
		time.Sleep(5 * time.Second)
		if _, err := nodes[0].Request(t.Context(), worker.IntID(0)); !errors.Is(err, ErrNoQuorum) || OutcomeOf(err) != worker.OutcomeNotRun {
			t.Errorf("with one voter of three: %v; want that there is no quorum", err)
		}
		if _, err := nodes[0].Invalidate(t.Context(), worker.IntID(0)); !errors.Is(err, ErrNoQuorum) {
			t.Errorf("an invalidation with one voter of three: %v; want that there is no quorum", err)
		}
	})
}
