package page

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/distproc/distproc/node"
	"github.com/distproc/distproc/node/observe"
	"github.com/distproc/distproc/node/worker"
)

var testBounds = []time.Duration{time.Millisecond, 10 * time.Millisecond, 100 * time.Millisecond, time.Second, 5 * time.Second}

// A fake is a cluster of nodes that count in the time of the test.
type fake struct {
	mu    sync.Mutex
	nodes []*fakeNode
	asked map[string]int // by question and node
	err   error          // of Nodes
	slow  time.Duration  // of Nodes
	why   func(kind string, id worker.ID) (node.Explanation, error)
	trace func(observe.TraceQuery) (observe.Steps, error)
}

// A fakeNode answers for one member. Each of its samples has as many requests of each kind as
// perSample says, of which one in ten failed.
type fakeNode struct {
	info      node.NodeInfo
	began     time.Time
	run       uint64
	clock     time.Duration // ahead of the test's
	kinds     map[string]*observe.KindFigures
	perSample uint32
	since     map[string]uint64 // first sample in which a kind did something
	until     map[string]uint64 // last one; 0 is none
	err       error             // of figures
	silent    bool
	slow      time.Duration
	lie       func(*observe.Figures)
	hot       observe.Hot
}

func newFake(names ...string) *fake {
	f := &fake{asked: make(map[string]int)}
	for i, name := range names {
		f.add(name, uint64(i+1))
	}
	return f
}

func (f *fake) add(name string, run uint64) *fakeNode {
	n := &fakeNode{
		info: node.NodeInfo{
			Member: node.Member{Name: name, Addr: "127.0.0.1:1", Incarnation: 1}, Version: "v1 go1.26", Routing: "modulo",
			Kinds: map[string]string{"default": "d", "price": "p"}, Workers: 10,
		},
		began: time.Now().Add(-time.Hour), run: run, perSample: 10,
		kinds: map[string]*observe.KindFigures{"default": {Kind: "default", Rate: 2, Workers: 3}, "price": {Kind: "price", Rate: 2, Workers: 7}},
		since: make(map[string]uint64), until: make(map[string]uint64),
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.nodes = append(f.nodes, n)
	return n
}

func (f *fake) node(name string) *fakeNode {
	for _, n := range f.nodes {
		if n.info.Name == name {
			return n
		}
	}
	return nil
}

// change changes the cluster while it is asked.
func (f *fake) change(do func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	do()
}

// asks returns how often each question was asked of each node, and forgets it.
func (f *fake) asks() map[string]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	asked := f.asked
	f.asked = make(map[string]int)
	return asked
}

func (f *fake) Nodes(ctx context.Context) ([]node.NodeInfo, error) {
	f.mu.Lock()
	f.asked["nodes"]++
	slow, err := f.slow, f.err
	var list []node.NodeInfo
	for _, n := range f.nodes {
		list = append(list, n.info)
	}
	f.mu.Unlock()
	if slow > 0 {
		select {
		case <-time.After(slow):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return list, err
}

func (f *fake) Figures(ctx context.Context, q observe.FiguresQuery) (observe.Figures, error) {
	f.mu.Lock()
	f.asked["figures of "+q.Node]++
	n := f.node(q.Node)
	if n == nil {
		f.mu.Unlock()
		return observe.Figures{}, node.ErrUnreachable
	}
	silent, slow, err := n.silent, n.slow, n.err
	f.mu.Unlock()
	if silent {
		<-ctx.Done()
		return observe.Figures{}, ctx.Err()
	}
	if slow > 0 {
		time.Sleep(slow)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err != nil {
		return observe.Figures{}, err
	}
	answer := n.figures(q.After)
	if n.lie != nil {
		n.lie(&answer)
	}
	return answer, nil
}

func (n *fakeNode) figures(after observe.Mark) observe.Figures {
	f := observe.Figures{Node: n.info.Name, Run: n.run, Clock: time.Now().Add(n.clock), Bounds: testBounds}
	age := time.Since(n.began)
	f.Last = uint64(age / observe.SampleTime)
	f.Age = age % observe.SampleTime
	first := max(1, int64(f.Last)-observe.Samples+1)
	if after.Run == n.run {
		first = max(first, int64(after.Seq)+1)
	}
	for _, k := range n.kinds {
		k := *k
		for seq := first; seq <= int64(f.Last); seq++ {
			s := observe.Sample{}
			if until := n.until[k.Kind]; uint64(seq) >= n.since[k.Kind] && (until == 0 || uint64(seq) <= until) && n.perSample > 0 {
				s.Latency = []uint32{n.perSample - 1, 0, 0, 0, 0, 1}
				s.Failed = n.perSample / 10
				s.Runs = []uint32{0, 1, 0, 0, 0, 0}
			} else if len(k.Past) == 0 {
				continue // consecutive, and none before the first
			}
			k.Past = append(k.Past, s)
		}
		f.Kinds = append(f.Kinds, k)
	}
	return f
}

func (f *fake) Hottest(_ context.Context, q observe.HotQuery) (observe.Hot, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked["hottest of "+q.Node]++
	if n := f.node(q.Node); n != nil {
		return n.hot, n.err
	}
	return observe.Hot{}, node.ErrUnreachable
}

func (f *fake) Trace(_ context.Context, q observe.TraceQuery) (observe.Steps, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked["trace of "+q.ID.String()]++
	if f.trace == nil {
		return observe.Steps{Run: 1}, nil
	}
	return f.trace(q)
}

func (f *fake) Family(kind string) node.Family { return fakeFamily{of: f, kind: kind} }

type fakeFamily struct {
	node.Family
	of   *fake
	kind string
}

func (f fakeFamily) Why(_ context.Context, id worker.ID) (node.Explanation, error) {
	f.of.mu.Lock()
	defer f.of.mu.Unlock()
	f.of.asked["why of "+id.String()]++
	if f.of.why == nil {
		return node.Explanation{ID: id, Kind: f.kind, Owner: f.of.nodes[0].info.Name, Members: len(f.of.nodes)}, nil
	}
	return f.of.why(f.kind, id)
}

// A viewer is a page in a test. Its fields may be read when all goroutines of the test wait:
// see synctest.Wait.
type viewer struct {
	states [][]byte
	pasts  []pastMessageRead
	steps  []pastMessageRead
	ids    []map[string]any
	all    []string // the events
	err    error    // of Watch; errWatching before
	cancel context.CancelFunc

	mu    sync.Mutex
	pause chan struct{} // sends wait for it; guarded by mu
}

var errWatching = errors.New("still watching")

type viewedState struct {
	commonState
	chosenState
}

type pastMessageRead struct {
	Seq   int64
	Step  int64 `json:"step_ms"`
	End   time.Time
	Steps int
	Kinds []pastKindRead
}

type pastKindRead struct {
	Kind                                             string
	Requests, Failed, Degraded, Stale, Runs, Evicted []*float64
	RunsFailed                                       []*float64 `json:"runs_failed"`
	P50                                              []*float64 `json:"p50_ms"`
	P99                                              []*float64 `json:"p99_ms"`
	RunP99                                           []*float64 `json:"run_p99_ms"`
}

func (m pastMessageRead) kind(name string) *pastKindRead {
	i := slices.IndexFunc(m.Kinds, func(k pastKindRead) bool { return k.Kind == name })
	if i < 0 {
		return nil
	}
	return &m.Kinds[i]
}

func (s viewedState) kind(name string) *kindState {
	i := slices.IndexFunc(s.Kinds, func(k kindState) bool { return k.Kind == name })
	if i < 0 {
		return nil
	}
	return &s.Kinds[i]
}

func (s viewedState) member(name string) *Member {
	i := slices.IndexFunc(s.Members, func(m Member) bool { return m.Name == name })
	if i < 0 {
		return nil
	}
	return &s.Members[i]
}

// state returns the state that was sent as number i.
func (v *viewer) state(i int) (s viewedState) {
	if err := json.Unmarshal(v.states[i], &s); err != nil {
		panic(err)
	}
	return s
}

// last returns the state that was sent last.
func (v *viewer) last() viewedState {
	if len(v.states) == 0 {
		return viewedState{}
	}
	return v.state(len(v.states) - 1)
}

// watch opens a page. It is closed with the test.
func watch(t *testing.T, h *Hub, c Choice) *viewer {
	v := &viewer{err: errWatching}
	ctx, cancel := context.WithCancel(t.Context())
	v.cancel = cancel
	t.Cleanup(cancel)
	go func() { v.end(h.Watch(ctx, c, v.send(t))) }()
	return v
}

func watchID(t *testing.T, h *Hub, k worker.Key) *viewer {
	v := &viewer{err: errWatching}
	ctx, cancel := context.WithCancel(t.Context())
	v.cancel = cancel
	t.Cleanup(cancel)
	go func() { v.end(h.WatchID(ctx, k, v.send(t))) }()
	return v
}

func (v *viewer) send(t *testing.T) Send {
	return func(event string, data []byte) error {
		v.mu.Lock()
		pause := v.pause
		v.mu.Unlock()
		if pause != nil {
			<-pause
		}
		if slices.Contains(data, '\n') {
			t.Errorf("%s is not one line: %q", event, data)
		}
		read := func(to any) {
			if err := json.Unmarshal(data, to); err != nil {
				t.Errorf("%s: %v in %.300q", event, err, data)
			}
		}
		noting.Lock()
		defer noting.Unlock()
		v.all = append(v.all, event)
		switch event {
		case "state":
			v.states = append(v.states, data)
		case "past", "step":
			var m pastMessageRead
			read(&m)
			for _, k := range m.Kinds {
				for _, list := range [][]*float64{k.Requests, k.Failed, k.Degraded, k.Stale, k.P50, k.P99, k.Runs, k.RunsFailed, k.RunP99, k.Evicted} {
					if len(list) != m.Steps {
						t.Errorf("%s: a list of %d for %d steps", event, len(list), m.Steps)
					}
				}
			}
			if event == "past" {
				v.pasts = append(v.pasts, m)
			} else {
				v.steps = append(v.steps, m)
			}
		case "id":
			var m map[string]any
			read(&m)
			v.ids = append(v.ids, m)
		default:
			t.Errorf("event %q", event)
		}
		return nil
	}
}

// hold makes the page read nothing until release.
func (v *viewer) hold() (release func()) {
	v.mu.Lock()
	defer v.mu.Unlock()
	pause := make(chan struct{})
	v.pause = pause
	return func() {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.pause = nil
		close(pause)
	}
}

// noting is held while a page notes what it was sent. The race detector knows that what a page
// has noted comes before synctest.Wait, but not that what it notes later comes after.
var noting sync.Mutex

func (v *viewer) end(err error) {
	noting.Lock()
	defer noting.Unlock()
	v.err = err
}

// pass lets time go by, to a moment at which nothing happens by itself.
func pass(d time.Duration) {
	noting.Lock()
	//lint:ignore SA2001 what is read before comes before what is noted later
	noting.Unlock()
	time.Sleep(d)
	synctest.Wait()
}

// bubble runs a test with a hub of a fake cluster, in a time of its own.
func bubble(t *testing.T, names []string, do func(t *testing.T, f *fake, h *Hub)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake(names...)
		h := NewHub(f, names[0], nil)
		defer h.Close()
		do(t, f, h)
	})
}
