package node

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/distproc/distproc/node/worker"
)

// A vault has servers that count their calls. The call "stuck" runs until the vault is
// opened, whatever its context says.
type vault struct {
	opened chan struct{}
	mu     sync.Mutex
	tokens []worker.Token // of all calls; guarded by mu
}

type vaultServer struct {
	v *vault
	n int64
}

func (s *vaultServer) Call(ctx context.Context, message worker.Value) (worker.Value, error) {
	s.v.mu.Lock()
	s.v.tokens = append(s.v.tokens, worker.TokenOf(ctx))
	s.v.mu.Unlock()
	if message.String() == "stuck" {
		<-s.v.opened
	}
	s.n++
	return worker.IntValue(s.n), nil
}

func (v *vault) kind() worker.Serial {
	return worker.Serial{Strict: true, TTL: time.Minute, Timeout: time.Second, Open: func(context.Context, worker.ID) (worker.Server, error) {
		return &vaultServer{v: v}, nil
	}}
}

func (v *vault) last() worker.Token {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.tokens[len(v.tokens)-1]
}

// startVault starts three voters, and makes a call of an id.
func startVault(t *testing.T, v *vault, id int64) []*Node {
	t.Helper()
	nodes := startStrict(t, 3, v.kind())
	if reply, err := callStrict(t, nodes[0], id, ""); err != nil || reply.Value.String() != "1" {
		t.Fatalf("%v, %v", reply.Value, err)
	}
	return nodes
}

// TestForceStop has a call that does not end. Its id waits, and why and stop say so, until the
// id is given up: then the next call starts a new server, and the old one harms nothing.
func TestForceStop(t *testing.T) {
	bubble(t, func(t *testing.T) {
		v, id := &vault{opened: make(chan struct{})}, worker.IntID(1)
		nodes := startVault(t, v, 1)
		owner := nodes[1].Self()
		stuck := make(chan error, 1)
		go func() {
			_, err := callStrict(t, nodes[0], 1, "stuck")
			stuck <- err
		}()
		time.Sleep(3 * time.Second)
		e, err := nodes[2].Why(t.Context(), id)
		if c := e.Custody; err != nil || c == nil || c.Node != owner || c.Acting != owner || !c.Stuck || c.Token != v.last() ||
			c.Lease <= 0 || c.Epoch == 0 || !c.Quorum.Quorum || !c.Voter || c.Runs < 2*time.Second {
			t.Errorf("why: %+v, %v", c, err)
		}
		if _, err := nodes[0].Stop(t.Context(), id); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "force") {
			t.Errorf("stop without force: %v", err)
		}

		client, err := Attach(t.Context(), ClientConfig{Node: nodes[2].Self(), Cookie: testCookie, network: network.Host("client@" + owner[2:])})
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		old := v.last()
		list, err := client.Family("").ForceStop(t.Context(), id)
		if err != nil || len(list) != 1 || list[0].Node != owner || list[0].Runs < 2*time.Second || list[0].Token != old {
			t.Errorf("stop with force: %+v, %v", list, err)
		}
		if err := <-stuck; !errors.Is(err, ErrFenced) || OutcomeOf(err) != worker.OutcomeUnknown {
			t.Errorf("the call that is stuck: %v", err)
		}
		if reply, err := callStrict(t, nodes[0], 1, ""); err != nil || reply.Value.String() != "1" || v.last().Compare(old) <= 0 {
			t.Errorf("the next call: %v, %v, token %v after %v", reply.Value, err, v.last(), old)
		}
		close(v.opened)
		time.Sleep(time.Second)
		if reply, err := callStrict(t, nodes[0], 1, ""); err != nil || reply.Value.String() != "2" {
			t.Errorf("when the old call has ended: %v, %v", reply.Value, err)
		}
		for _, k := range nodes[1].Stats().Kinds {
			if k.Fenced != 1 || k.Stuck != 0 || !k.Strict {
				t.Errorf("%+v", k)
			}
		}
		if list, err := nodes[0].Family("").ForceStop(t.Context(), worker.IntID(2)); err != nil || len(list) > 0 {
			t.Errorf("stop of an id without a server: %+v, %v", list, err)
		}
		if list, err := nodes[0].Family("").ForceStop(t.Context(), id); err != nil || len(list) != 1 || list[0].Runs != 0 {
			t.Errorf("stop of an idle server: %+v, %v", list, err)
		}
	})
}

// TestForceStopElsewhere has the id of a stuck call move to a node that joins. That one waits
// for the node of the call, and says so, until the id is given up.
func TestForceStopElsewhere(t *testing.T) {
	bubble(t, func(t *testing.T) {
		v, id := &vault{opened: make(chan struct{})}, worker.IntID(7) // 1 mod 3, and 3 mod 4
		defer close(v.opened)
		nodes := startVault(t, v, 7)
		stuck := make(chan error, 1)
		go func() {
			_, err := callStrict(t, nodes[0], 7, "stuck")
			stuck <- err
		}()
		time.Sleep(100 * time.Millisecond)
		name := "4" + nodes[0].Self()[1:]
		joins, err := Start(Config{
			Name: name, Cookie: testCookie, network: network.Host(name), Timing: Local, Default: v.kind(),
			Voters: []string{nodes[0].Self(), nodes[1].Self(), nodes[2].Self()},
			Logger: slog.New(slog.NewTextHandler(testLog{t}, nil)).With("at", name),
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { crash(joins) })
		if err := joins.Join(t.Context(), nodes[0].Self()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		e, err := nodes[2].Why(t.Context(), id)
		if c := e.Custody; err != nil || c.Node != name || c.Acting != name || c.Occupied != nodes[1].Self() || c.Voter ||
			!strings.Contains(c.Waits, nodes[1].Self()) || len(c.Holders) != 1 || c.Holders[0].Member != nodes[1].Self() ||
			c.Holders[0].Epoch >= c.Epoch || c.Holders[0].Busy != 1 || c.Views < 2 {
			t.Errorf("why: %+v, %v", c, err)
		}
		if stopped, err := nodes[0].Stop(t.Context(), id); stopped || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "force") {
			t.Errorf("stop without force: %v, %v", stopped, err)
		}
		if list, err := nodes[0].Family("").ForceStop(t.Context(), id); err != nil || len(list) != 1 || list[0].Node != nodes[1].Self() {
			t.Errorf("stop with force: %+v, %v", list, err)
		}
		if err := <-stuck; !errors.Is(err, ErrFenced) {
			t.Errorf("the call that is stuck: %v", err)
		}
		if reply, err := callStrict(t, nodes[0], 7, ""); err != nil || reply.Value.String() != "1" || reply.Node != name {
			t.Errorf("the next call: %v by %s, %v", reply.Value, reply.Node, err)
		}
	})
}

// TestForceStopOthers has force mean nothing for a kind that is not strict.
func TestForceStopOthers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		nodes := startCluster(t, 2, worker.Cache{})
		for id := range int64(2) {
			if _, err := nodes[0].Family("").ForceStop(t.Context(), worker.IntID(id)); !errors.Is(err, ErrBadRequest) || !strings.Contains(err.Error(), "not strict") {
				t.Errorf("%v; want a refusal", err)
			}
		}
		if _, err := nodes[0].Family("no").ForceStop(t.Context(), worker.IntID(1)); !errors.Is(err, ErrUnknownKind) {
			t.Errorf("%v; want that there is no such kind", err)
		}
	})
}

// TestStrictReady has a node lose the majority. It is ready for the time of a lease, and after
// that only if it has no strict kind.
func TestStrictReady(t *testing.T) {
	for _, strict := range []bool{true, false} {
		bubble(t, func(t *testing.T) {
			v := &vault{opened: make(chan struct{})}
			kind := worker.Kind(v.kind())
			if !strict {
				kind = worker.Cache{Load: worker.RandomSource}
			}
			nodes := startStrict(t, 3, kind)
			time.Sleep(10 * time.Second)
			infos, err := nodes[2].Nodes(t.Context())
			leaders := 0
			for _, n := range infos {
				if q := n.Quorum; q == nil || !q.Quorum || !q.Voter || q.Lease <= 0 || q.Epoch == 0 || q.Views != 1 || q.Why != "" || len(q.Silent) > 0 {
					t.Errorf("%s: %+v", n.Name, q)
				} else if q.Leads {
					leaders++
				}
			}
			if err != nil || len(infos) != 3 || leaders != 1 {
				t.Errorf("%d nodes, %d of them lead, %v", len(infos), leaders, err)
			}
			crash(nodes[1])
			crash(nodes[2])
			time.Sleep(time.Second)
			if err := nodes[0].Ready(t.Context()); err != nil {
				t.Errorf("after 1 s: %v", err)
			}
			time.Sleep(5 * time.Second)
			q := nodes[0].Stats().Quorum
			if q.Quorum || q.Lease != 0 || q.Leads || !strings.Contains(q.Why, nodes[1].Self()) || len(q.Silent) != 2 {
				t.Errorf("without a majority: %+v", q)
			}
			err = nodes[0].Ready(t.Context())
			if strict && (!errors.Is(err, ErrNoQuorum) || !strings.Contains(err.Error(), nodes[1].Self()) || !strings.Contains(err.Error(), nodes[2].Self())) {
				t.Errorf("%v; want that there is no quorum, and who does not answer", err)
			}
			if !strict && err != nil {
				t.Errorf("a node without strict kinds: %v", err)
			}
		})
	}
}
