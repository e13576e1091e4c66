package repl

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/distproc/distproc/node"
	"github.com/distproc/distproc/node/observe"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// fakeCluster is three nodes, of which 1@127.0.0.1 is the own. A worker's value is 100
// times its node plus the number of workers before it.
type fakeCluster struct {
	mu      sync.Mutex
	workers map[worker.ID]int64 // guarded by mu
	balance map[worker.ID]int64 // guarded by mu; of the kind account
	request func(ctx context.Context, id worker.ID) (worker.Reply, error)
	load    time.Duration  // how long Nodes takes
	apart   bool           // what the own node tells of itself
	quorum  *worker.Quorum // so

	traceFailed atomic.Bool // Trace has failed once
}

var crowdedID = worker.IntID(1000) // behind whose worker are many that are not listed

// Family is the cluster itself: only calls depend on the kind.
func (f *fakeCluster) Family(kind string) node.Family { return fakeFamily{f, kind} }

type fakeFamily struct {
	*fakeCluster
	kind string
}

// Call reaches workers of these kinds: those of an account add up amounts and answer in
// the form of the message, those of an echo answer the message, those of a type tell what
// it is, and the others fail.
func (f fakeFamily) Call(ctx context.Context, id worker.ID, message worker.Value) (worker.Reply, error) {
	owner, _ := f.Owner(ctx, id)
	answer := worker.Reply{Value: message, Node: owner, Age: time.Second, TTL: 4 * time.Second}
	switch f.kind {
	case "echo":
	case "type":
		what := cmp.Or(message.MediaType(), "bytes")
		if _, ok := message.Int(); ok {
			what = "int"
		}
		answer.Value = worker.BytesValue(what + ": " + message.String())
	case "account":
		return f.deposit(answer, id, message)
	case "hang":
		<-ctx.Done()
		return worker.Reply{}, ctx.Err()
	case "panic":
		panic("lost")
	case "deposit 5":
		return worker.Reply{}, &wire.Error{Code: wire.UnknownKind, Outcome: wire.NotRun}
	default:
		return worker.Reply{}, wire.Errorf(wire.BadRequest, wire.NotRun, "workers of kind %q take no calls", cmp.Or(f.kind, worker.DefaultKind))
	}
	return answer, nil
}

func (f *fakeCluster) deposit(answer worker.Reply, id worker.ID, message worker.Value) (worker.Reply, error) {
	var order struct{ Amount int64 }
	if message.MediaType() == "" {
		order.Amount, _ = message.Int()
	} else if err := json.Unmarshal([]byte(message.String()), &order); err != nil {
		return worker.Reply{}, wire.Errorf(wire.SourceFailed, wire.Ran, "%v", err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.balance == nil {
		f.balance = make(map[worker.ID]int64)
	}
	if f.balance[id]+order.Amount < 0 {
		return worker.Reply{}, wire.Errorf(wire.SourceFailed, wire.Ran, "only %d", f.balance[id])
	}
	f.balance[id] += order.Amount
	answer.Value = worker.IntValue(f.balance[id])
	if t := message.MediaType(); t != "" {
		answer.Value = worker.MediaValue(t, fmt.Sprintf(`{"balance": %d}`, f.balance[id]))
	}
	return answer, nil
}

func (f *fakeCluster) Self() string { return "1@127.0.0.1" }

func (f *fakeCluster) Kinds() []string { return []string{"account", "default", "price"} }

func (f *fakeCluster) Connect(_ context.Context, names ...string) []node.Connection {
	if len(names) == 0 {
		for i := 1; i <= 5; i++ {
			names = append(names, fmt.Sprintf("%d@127.0.0.1", i))
		}
	}
	var out []node.Connection
	for _, name := range names {
		c := node.Connection{Name: name}
		if !strings.ContainsAny(name[:1], "123") {
			c.Err = errors.New("connection refused")
		}
		out = append(out, c)
	}
	return out
}

func (f *fakeCluster) slot(id worker.ID) int {
	var n int
	if _, err := fmt.Sscan(id.String(), &n); err != nil {
		n = len(id.String())
	}
	return (n%3+3)%3 + 1
}

func (f *fakeCluster) Request(ctx context.Context, id worker.ID) (worker.Reply, error) {
	if f.request != nil {
		return f.request(ctx, id)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.workers == nil {
		f.workers = make(map[worker.ID]int64)
	}
	v, cached := f.workers[id]
	if !cached {
		v = int64(100*f.slot(id) + len(f.workers))
		f.workers[id] = v
	}
	owner, _ := f.Owner(ctx, id)
	return worker.Reply{Value: worker.IntValue(v), Node: owner, Cached: cached, Age: time.Second, TTL: 4 * time.Second}, nil
}

func (f *fakeCluster) Owner(_ context.Context, id worker.ID) (string, error) {
	return fmt.Sprintf("%d@127.0.0.1", f.slot(id)), nil
}

func (f *fakeCluster) Members(context.Context) ([]node.Member, error) {
	return []node.Member{
		{Name: "1@127.0.0.1"}, {Name: "2@127.0.0.1"}, {Name: "3@127.0.0.1"},
		{Name: "4@127.0.0.1", State: node.StateFailed},
	}, nil
}

func (f *fakeCluster) Workers(ctx context.Context) ([]worker.Info, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []worker.Info
	for id := range f.workers {
		owner, _ := f.Owner(ctx, id)
		w := worker.Info{Kind: worker.DefaultKind, ID: id, Node: owner, Age: time.Second, TTL: 4 * time.Second, Hits: 12}
		if id == crowdedID {
			w.LeftOut = 4000
		}
		out = append(out, w)
	}
	return out, nil
}

func (f *fakeCluster) Disconnect(_ context.Context, name string) error {
	if strings.HasPrefix(name, "9") {
		return fmt.Errorf("%s is no member: %w", name, node.ErrUnreachable)
	}
	return nil
}

func (f *fakeCluster) GoAlone(context.Context) error {
	if !f.apart {
		return wire.Errorf(wire.BadRequest, wire.NotRun, "1@127.0.0.1 is not apart from a cluster; disconnect it first")
	}
	f.apart = false
	return nil
}

func (f *fakeCluster) RequestVia(ctx context.Context, via string, id worker.ID) (worker.Reply, error) {
	if strings.HasPrefix(via, "9") {
		return worker.Reply{}, node.ErrUnreachable
	}
	r, err := f.Request(ctx, id)
	r.Degraded = true // as seen from there
	return r, err
}

func (f *fakeCluster) Refresh(ctx context.Context, id worker.ID) (worker.Reply, error) {
	if _, err := f.Stop(ctx, id); err != nil {
		return worker.Reply{}, err
	}
	return f.Request(ctx, id)
}

func (f *fakeCluster) Stop(_ context.Context, id worker.ID) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, lived := f.workers[id]
	delete(f.workers, id)
	return lived, nil
}

// ForceStop gives up the id 13 only, whose call goes on.
func (f *fakeCluster) ForceStop(_ context.Context, id worker.ID) ([]worker.Stopped, error) {
	switch id {
	case worker.IntID(13):
		return []worker.Stopped{{Node: "2@127.0.0.1", Runs: 90 * time.Second, Token: worker.Token{Epoch: 3, Count: 5}}, {Node: "1@127.0.0.1"}}, nil
	case worker.IntID(14):
		return []worker.Stopped{{Node: "1@127.0.0.1"}}, nil
	}
	return nil, nil
}

// Invalidate fails for the id "lost".
func (f *fakeCluster) Invalidate(ctx context.Context, id worker.ID) (bool, error) {
	if id.String() == "lost" {
		return false, node.ErrUnreachable
	}
	return f.Stop(ctx, id)
}

func (f *fakeCluster) Why(ctx context.Context, id worker.ID) (node.Explanation, error) {
	owner, _ := f.Owner(ctx, id)
	e := node.Explanation{
		ID: id, Kind: "default", Owner: owner, Rule: fmt.Sprintf("%s mod 3 = %d", id, f.slot(id)-1), Index: f.slot(id) - 1,
		Members: 3, Epoch: 0xabc, Fallback: "1@127.0.0.1", Asked: owner, TTL: 5 * time.Second,
	}
	if owner == e.Fallback {
		e.Fallback = "2@127.0.0.1"
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, e.Live = f.workers[id]; e.Live {
		e.Worker = worker.Info{Kind: worker.DefaultKind, ID: id, Node: owner, Age: time.Second, TTL: 4 * time.Second, Hits: 12, Queue: 1}
	}
	return e, nil
}

func (f *fakeCluster) Nodes(ctx context.Context) ([]node.NodeInfo, error) {
	select {
	case <-time.After(f.load):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	members, _ := f.Members(ctx)
	var out []node.NodeInfo
	for i, m := range members {
		m.Incarnation, m.Addr = uint64(0xa0+i), fmt.Sprintf("127.0.0.1:%d", 4371+i)
		info := node.NodeInfo{
			Member: m, RTT: time.Duration(i) * 100 * time.Microsecond, Workers: 10 * i, Requests: uint64(1014 * i), Rate: float64(10 * i), Uptime: 101*time.Second + 400*time.Millisecond,
			Version: "test go1.26", Memory: 3 << 20, Values: 3 << 19, MaxValues: 64 << 20, Evicted: 3, Goroutines: 17,
		}
		if info.Apart = f.apart && m.Name == f.Self(); m.Name == f.Self() {
			info.Quorum = f.quorum
		}
		if m.State == node.StateFailed {
			info = node.NodeInfo{Member: m, Problem: "out of reach"}
		}
		out = append(out, info)
	}
	return out, nil
}

// Events are two in one page; node 2 has 150, in pages of 50.
func (f *fakeCluster) Events(_ context.Context, q observe.EventQuery) (page observe.Events, err error) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	all := []observe.Event{
		{Time: at, Level: "info", What: "node up", Node: "2@127.0.0.1", More: "addr=127.0.0.1:4372"},
		{Time: at.Add(time.Second), Level: "warn", What: "node down", Node: "4@127.0.0.1", Why: "EOF"},
	}
	switch q.Node {
	case "", f.Self():
	case "2@127.0.0.1":
		for i := range 148 {
			all = append(all, observe.Event{Time: time.Now(), What: fmt.Sprint("event ", i)})
		}
	default:
		return page, node.ErrUnreachable
	}
	page.Run, page.Last = 7, uint64(len(all))
	first := uint64(0)
	if q.After.Run == page.Run {
		first = q.After.Seq
	}
	for seq := first + 1; seq <= page.Last && len(page.List) < 50; seq++ {
		all[seq-1].Seq = seq
		page.List = append(page.List, all[seq-1])
	}
	return page, nil
}

// Trace has a step of each kind at first, then another node, an error, and so many steps
// that some are missing; of the kind "none" it fails, and of the kind "quiet" it has none.
func (f *fakeCluster) Trace(_ context.Context, q observe.TraceQuery) (observe.Steps, error) {
	page := observe.Steps{Node: "2@127.0.0.1", Run: 1, Last: q.After.Seq + 1}
	at := time.Date(2026, 1, 2, 3, 4, 5, 6e6, time.Local)
	switch {
	case q.Kind == "none":
		return page, &wire.Error{Code: wire.UnknownKind, Outcome: wire.NotRun}
	case q.After.Seq == 0 || q.Kind == "quiet":
	case q.After.Seq == 1:
		page.List = []observe.Step{
			{Seq: 2, Time: at, What: "request", From: "3@127.0.0.1", Took: 1500 * time.Microsecond, By: "2@127.0.0.1", Value: "454"},
			{Seq: 2, Time: at, What: "request", From: "client", By: "2@127.0.0.1", Cached: true, Value: "454"},
			{Seq: 2, Time: at, What: "call", From: "client", By: "2@127.0.0.1", Message: "deposit 5", Err: "overloaded"},
			{Seq: 2, Time: at, What: "refresh", From: "2@127.0.0.1", By: "1@127.0.0.1", Degraded: true, Value: "7"},
		}
	case q.After.Seq == 2 && f.traceFailed.CompareAndSwap(false, true):
		return page, node.ErrUnreachable
	default:
		page.Node, page.Run, page.Missed = "1@127.0.0.1", 2, 12
		for range 2 * maxLines {
			page.List = append(page.List, observe.Step{Seq: 3, Time: at, What: "request", From: "client", Value: "1"})
		}
	}
	return page, nil
}

// Loads has two kinds.
func (f *fakeCluster) Loads(_ context.Context, name string) ([]observe.Load, error) {
	if strings.HasPrefix(name, "9") {
		return nil, node.ErrUnreachable
	}
	bounds := []time.Duration{time.Millisecond, 10 * time.Millisecond}
	return []observe.Load{
		{Kind: worker.DefaultKind, PerSecond: []uint32{0, 10, 20, 30, 30, 40, 50, 60}, Failed: 2, Latency: worker.Histogram{Bounds: bounds, Counts: []uint64{10, 100, 0}}},
		{Kind: "idle", PerSecond: []uint32{0, 0}},
		{Kind: "price", PerSecond: []uint32{1, 2}, Latency: worker.Histogram{Bounds: bounds, Counts: []uint64{3, 0, 0}}},
	}, nil
}

func (f *fakeCluster) Ping(_ context.Context, name string) (time.Duration, error) {
	if strings.HasPrefix(name, "9") {
		return 0, node.ErrUnreachable
	}
	return 184321 * time.Nanosecond, nil
}
