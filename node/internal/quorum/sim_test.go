package quorum

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/distproc/distproc/node/worker"
)

// A world is a cluster in one bubble of synctest: real quorums and real raft, over links in
// memory, with clocks that drift.
type world struct {
	t      *testing.T
	start  time.Time
	timing Timing
	voters []string
	log    *slog.Logger

	mu      sync.Mutex
	rand    *rand.Rand
	nodes   map[string]*simNode // by name; the newest life
	disks   map[string]*disk
	given   map[string][]string                // the voters that a node was given, if others than voters
	timings map[string]Timing                  // of nodes that have another one
	cut     map[[2]string]bool                 // nothing goes from the one to the other
	slow    map[[2]string]time.Duration        // what goes from the one to the other takes so much longer
	rate    map[string]float64                 // of clocks, if not random
	terms   func(voter string) (uint64, error) // is asked instead of voters, if not nil
	intro   func(voter string) (*Introduction, error)
	hook    func(n *simNode, at string) // is called where a node asks others, if not nil
	lives   uint64
	calm    atomic.Bool // nothing is late any more

	history history
}

// A simNode is one life of a node. It is the [Host] of its quorum.
type simNode struct {
	w      *world
	name   string
	rate   float64
	q      *Quorum
	ctx    context.Context
	stop   context.CancelFunc
	paused atomic.Int64 // until then, in the time of the world

	mu      sync.Mutex
	running map[worker.ID]*simRun
	since   map[worker.ID]uint64
	ended   map[worker.ID]time.Duration // the last call
}

func newWorld(t *testing.T, seed uint64, voters ...string) *world {
	w := &world{
		t: t, start: time.Now(), timing: NewTiming(5 * time.Second), voters: voters, log: slog.New(slog.DiscardHandler),
		rand: rand.New(rand.NewPCG(seed, 1)), nodes: map[string]*simNode{}, disks: map[string]*disk{}, given: map[string][]string{}, timings: map[string]Timing{},
		cut: map[[2]string]bool{}, slow: map[[2]string]time.Duration{}, rate: map[string]float64{},
	}
	return w
}

func (w *world) now() time.Duration { return time.Since(w.start) }

func (w *world) float() float64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.rand.Float64()
}

func newSimDisk(name string, life uint64) *disk {
	s := raft.NewInmemStore()
	return &disk{
		identity: identity{Format: dirFormat, Name: name, Disk: fmt.Sprint("d", life)},
		logs:     s, stable: s, snaps: raft.NewInmemSnapshotStore(), empty: true, close: func() {},
	}
}

// boot starts a new life of a node.
func (w *world) boot(name string) *simNode {
	w.mu.Lock()
	w.lives++
	n := &simNode{
		w: w, name: name, rate: 1 + drift*(w.rand.Float64()*2-1),
		running: map[worker.ID]*simRun{}, since: map[worker.ID]uint64{}, ended: map[worker.ID]time.Duration{},
	}
	if rate, ok := w.rate[name]; ok {
		n.rate = rate
	}
	n.ctx, n.stop = context.WithCancel(context.Background())
	d := w.disks[name]
	if d == nil {
		d = newSimDisk(name, w.lives)
		w.disks[name] = d
	}
	self := Member{name, w.lives}
	voters, ok := w.given[name]
	if !ok {
		voters = w.voters
	}
	timing, ok := w.timings[name]
	if !ok {
		timing = w.timing
	}
	c := Config{
		Timing: timing, Voters: voters, Log: w.log.With("node", name),
		Clock: func() time.Duration { return time.Duration(float64(w.now()) * n.rate) },
	}
	w.mu.Unlock()
	n.q = New(c)
	if !slices.Contains(voters, name) {
		d = nil
	}
	if err := n.q.open(self, n, d); err != nil {
		w.t.Fatal(err)
	}
	w.mu.Lock()
	w.nodes[name] = n
	w.mu.Unlock()
	return n
}

// bootAll starts new lives of nodes.
func (w *world) bootAll(names ...string) {
	for _, name := range names {
		w.boot(name)
	}
}

// killAll ends the lives of all nodes, and waits until nothing of them is left.
func (w *world) killAll() {
	for _, n := range w.living() {
		n.kill()
	}
	time.Sleep(time.Minute)
}

// living returns the nodes that live, in the order of their names.
func (w *world) living() (list []*simNode) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(w.nodes)) {
		list = append(list, w.nodes[name])
	}
	return list
}

// leader returns the node that leads in the latest term, or nil.
func (w *world) leader() (leads *simNode) {
	var last uint64
	for _, n := range w.living() {
		if v := n.q.voter; v != nil {
			v.mu.Lock()
			if v.leader != nil && v.term > last {
				leads, last = n, v.term
			}
			v.mu.Unlock()
		}
	}
	return leads
}

// kill ends a life without a farewell.
func (n *simNode) kill() {
	n.w.mu.Lock()
	delete(n.w.nodes, n.name)
	d := n.w.disks[n.name]
	n.w.mu.Unlock()
	n.stop()
	if n.q.Close(); d != nil {
		d.empty = false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, r := range n.running {
		r.end(false)
	}
	clear(n.running)
}

var errLost = errors.New("lost")

// reach waits until something sent from one node to another is there. What is lost is so
// until ctx ends.
func (w *world) reach(ctx context.Context, from, to string) (*simNode, error) {
	delay := time.Duration(w.float() * float64(time.Millisecond))
	if !w.calm.Load() && w.float() < 0.02 {
		delay = time.Duration(w.float() * float64(2*time.Second))
	}
	w.mu.Lock()
	delay += w.slow[[2]string{from, to}]
	w.mu.Unlock()
	select {
	case <-time.After(delay):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	w.mu.Lock()
	n, cut := w.nodes[to], w.cut[[2]string{from, to}]
	w.mu.Unlock()
	if cut {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if n == nil {
		return nil, errLost
	}
	if !n.awake(ctx) {
		return nil, ctx.Err()
	}
	return n, nil
}

// awake waits until the node is not paused.
func (n *simNode) awake(ctx context.Context) bool {
	for {
		d := time.Duration(n.paused.Load()) - n.w.now()
		if d <= 0 {
			return ctx.Err() == nil
		}
		select {
		case <-time.After(d):
		case <-ctx.Done():
			return false
		}
	}
}

// trip is a call of another node.
func trip[T any](ctx context.Context, n *simNode, to string, do func(*simNode) (T, error)) (t T, err error) {
	if !n.awake(ctx) {
		return t, ctx.Err()
	}
	other, err := n.w.reach(ctx, n.name, to)
	if err != nil {
		return t, err
	}
	t, err = do(other)
	other.at("answer")
	if other.awake(ctx); err != nil {
		return t, err
	}
	if _, err := n.w.reach(ctx, to, n.name); err != nil {
		return t, err
	}
	return t, nil
}

func (n *simNode) Renew(ctx context.Context, voter string, r *Renewal) (*Answer, error) {
	c := *r
	return trip(ctx, n, voter, func(o *simNode) (*Answer, error) {
		a, err := o.q.ServeRenewal(ctx, &c)
		if err != nil {
			return nil, err
		}
		return a.copied(), nil
	})
}

// copied returns an answer that shares no view with others, as one that has crossed the wire.
func (a *Answer) copied() *Answer {
	c := *a
	c.Views = nil
	for _, v := range a.Views {
		w := *v
		w.Seats, w.ring = slices.Clone(v.Seats), nil
		c.Views = append(c.Views, &w)
	}
	return &c
}

// at says that the node has come to a place where it asks or answers others, and may be paused.
func (n *simNode) at(place string) {
	n.w.mu.Lock()
	hook := n.w.hook
	n.w.mu.Unlock()
	if hook != nil {
		hook(n, place)
	}
}

// pause has the node wait wherever it asks or answers others.
func (n *simNode) pause(d time.Duration) { n.paused.Store(int64(n.w.now() + d)) }

func (n *simNode) Term(ctx context.Context, voter, server string) (uint64, error) {
	n.at("verify")
	n.w.mu.Lock()
	terms := n.w.terms
	n.w.mu.Unlock()
	if terms != nil {
		return terms(voter)
	}
	return trip(ctx, n, voter, func(o *simNode) (uint64, error) { return o.q.ServeTerm(server) })
}

func (n *simNode) Introduce(ctx context.Context, voter string, own *Introduction) (*Introduction, error) {
	if n.w.intro != nil {
		return n.w.intro(voter)
	}
	return trip(ctx, n, voter, func(o *simNode) (*Introduction, error) { return o.q.ServeIntroduction(own) })
}

func (n *simNode) Change(ctx context.Context, voter string, c *Change) (*Changed, error) {
	return trip(ctx, n, voter, func(o *simNode) (*Changed, error) { return o.q.ServeChange(ctx, c), nil })
}

func (n *simNode) Hint(ctx context.Context, member, leader string) {
	if o, err := n.w.reach(ctx, n.name, member); err == nil {
		o.q.ServeHint(leader)
	}
}

func (n *simNode) Members() (names []string) {
	n.w.mu.Lock()
	defer n.w.mu.Unlock()
	for name := range n.w.nodes {
		names = append(names, name)
	}
	return names
}

func (n *simNode) Running(any, func(worker.ID) bool) (keys []worker.Key) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for id := range n.running {
		keys = append(keys, worker.Key{ID: id})
	}
	return keys
}

func (n *simNode) RightsChanged() {}

// Dial opens a stream of raft's messages.
func (n *simNode) Dial(ctx context.Context, voter string) (net.Conn, error) {
	o, err := n.w.reach(ctx, n.name, voter)
	if err != nil {
		return nil, err
	}
	a, b := net.Pipe()
	for _, c := range []net.Conn{a, b} {
		context.AfterFunc(n.ctx, func() { c.Close() })
		context.AfterFunc(o.ctx, func() { c.Close() })
	}
	go o.q.ServeStream(&simConn{Conn: b, from: o, to: n}, n.name)
	return &simConn{Conn: a, from: n, to: o}, nil
}

// A simConn is an end of a stream. What is written while the link is cut is lost, and the
// stream with it.
type simConn struct {
	net.Conn
	from, to *simNode
	dead     atomic.Bool
}

func (c *simConn) Write(b []byte) (int, error) {
	if !c.from.awake(c.from.ctx) || !c.to.awake(c.from.ctx) {
		return 0, errLost
	}
	c.from.w.mu.Lock()
	link := [2]string{c.from.name, c.to.name}
	cut, slow := c.from.w.cut[link], c.from.w.slow[link]
	c.from.w.mu.Unlock()
	if slow > 0 {
		c.from.sleep(slow)
	}
	if cut || c.dead.Load() {
		c.dead.Store(true)
		return len(b), nil
	}
	return c.Conn.Write(b)
}
