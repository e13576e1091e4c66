// Package page is the page that a gateway serves for people: its files, and what it shows of
// the cluster.
//
// The path of a figure: a page begins to watch ([Hub.Watch]), and with the first one the hub
// begins to ask (round.go). Once a second it lists the members and asks each for the figures
// of its kinds. What they answer is bounded and added up in a collection (collect.go): what
// kinds do now (state.go), what they did in the last 15 minutes (past.go, placing.go), and
// what needs attention (attention.go). Each second the hub makes one event of it for each
// [Choice], which all pages with that choice send. Ten seconds after the last page has gone,
// or when the node is closed, the hub stops and keeps nothing.
//
// Besides, watchid.go follows one id, plan.go says what a change of the members would move,
// and files.go has the files of the page.
//
// Invariants:
//
//   - However many pages there are, a member is asked at most once a second for each thing
//     (TestWatchersShare).
//   - A member that is silent, slow or lies holds up no other one, and what it says is
//     bounded (TestSilentMember, TestLies).
//   - A page that reads slowly holds up nobody. It skips states; if it skips steps of the
//     past, their numbers say so (TestSlowWatcher).
package page

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/distproc/distproc/node"
	"github.com/distproc/distproc/node/boundedlog"
	"github.com/distproc/distproc/node/observe"
	"github.com/distproc/distproc/node/placement"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

const (
	maxChosen = 32               // nodes that pages have chosen at a time
	maxIDs    = 32               // ids that are watched at a time
	linger    = 10 * time.Second // for which a hub goes on when nobody watches
)

// A Cluster is what a hub asks: a [node.Node] or a [node.Client]. Its methods are called
// from many goroutines. They must return soon after ctx ends.
type Cluster interface {
	Nodes(ctx context.Context) ([]node.NodeInfo, error)
	Figures(ctx context.Context, q observe.FiguresQuery) (observe.Figures, error)
	Hottest(ctx context.Context, q observe.HotQuery) (observe.Hot, error)
	Trace(ctx context.Context, q observe.TraceQuery) (observe.Steps, error)
	Family(kind string) node.Family
}

// A Hub asks the cluster for what pages show. Its methods may be called from any number of
// goroutines.
type Hub struct {
	cluster  Cluster
	self     string
	log      *slog.Logger    // bounded
	run      string          // of this hub
	epoch    time.Time       // when slot 0 of the past ended
	planning chan struct{}   // has room for one plan at a time
	life     context.Context // ends with Close
	end      context.CancelFunc
	running  sync.WaitGroup

	mu       sync.Mutex // guards what follows
	closed   bool
	watchers int            // of all kinds
	idle     time.Time      // since when there have been none
	pages    int            // that Watch serves
	choices  map[Choice]int // of these pages
	fresh    map[string]int // of these, those that have yet to get the past of a node
	loop     *loop          // nil unless it runs
	latest   *round         // nil unless the loop runs
	ids      map[worker.Key]*idWatch
}

// NewHub returns a hub of a cluster. Self is the name of the node that serves the page. It
// starts nothing until somebody watches. A nil log is silent.
func NewHub(c Cluster, self string, log *slog.Logger) *Hub {
	log, _ = boundedlog.New(log)
	life, end := context.WithCancel(context.Background())
	return &Hub{
		cluster: c, self: self, log: log,
		run:      strconv.FormatUint(rand.Uint64(), 16),
		epoch:    time.Now().Add(-2 * slots * observe.SampleTime), // so that the numbers of slots are positive
		planning: make(chan struct{}, 1),
		life:     life,
		end:      end,
		choices:  make(map[Choice]int),
		fresh:    make(map[string]int),
		ids:      make(map[worker.Key]*idWatch),
	}
}

// errClosed is the error of a hub that was closed.
var errClosed = wire.Errorf(wire.Closed, wire.NotRun, "the gateway closes")

// Close ends all that the hub does, and waits for it. Who watches gets an error that is
// [node.ErrClosed]. A second call does nothing.
func (h *Hub) Close() {
	h.mu.Lock()
	h.closed = true
	h.mu.Unlock()
	h.end()
	h.running.Wait()
}

// A Choice is what a page shows.
type Choice struct {
	Node string // NAME@HOST; empty is all nodes together
	Hot  bool   // ids that have the most to do
}

// Send sends one event of Server-Sent Events to a page. Data is one line of JSON, which many
// pages share: Send must not change it. After an error nothing more is sent.
type Send func(event string, data []byte) error

// Watch sends the states of the cluster, and what its kinds did in the last 15 minutes, until
// ctx ends, send fails or the hub closes, and returns why. The first state comes as soon as
// the members have answered, and at once if somebody watches already.
//
// If the choice makes no sense, or pages have chosen 32 nodes already, Watch sends nothing,
// and returns an error that is [node.ErrBadRequest] or [node.ErrOverloaded].
func (h *Hub) Watch(ctx context.Context, c Choice, send Send) error {
	if c.Node != "" {
		name, err := placement.ParseName(c.Node)
		if err != nil {
			return wire.Errorf(wire.BadRequest, wire.NotRun, "%v", err)
		}
		c.Node = name.String()
	}
	r, err := h.enterPage(c)
	if err != nil {
		return err
	}
	p := &pageWatch{hub: h, choice: c, send: send}
	defer func() { h.leavePage(c, p.seq == 0) }()
	for {
		if err := p.tell(r); err != nil {
			return err
		}
		if r, err = h.next(ctx, r); err != nil {
			return err
		}
	}
}

// A pageWatch is a call of Watch.
type pageWatch struct {
	hub    *Hub
	choice Choice
	send   Send
	state  *message // that was sent last
	seq    int64    // of the last step that was sent; 0 before the past
}

// tell sends what is new in a round.
func (p *pageWatch) tell(r *round) error {
	t := r.tracks[p.choice.Node]
	if p.seq == 0 && t.past != nil {
		if err := p.send("past", t.past.data); err != nil {
			return err
		}
		p.seq = t.past.seq
		p.hub.gotPast(p.choice.Node)
	}
	for _, step := range t.steps {
		if p.seq == 0 || step.seq <= p.seq {
			continue
		}
		if err := p.send("step", step.data); err != nil {
			return err
		}
		p.seq = step.seq
	}
	if m := r.states[p.choice]; m != nil && m != p.state {
		p.state = m
		return p.send("state", m.data)
	}
	return nil
}

// next waits until there is a round after r, and returns the latest one.
func (h *Hub) next(ctx context.Context, r *round) (*round, error) {
	select {
	case <-r.next:
		h.mu.Lock()
		defer h.mu.Unlock()
		return h.latest, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-h.life.Done():
		return nil, errClosed
	}
}

// enter counts one who watches, and starts the loop if it does not run. It returns the
// latest round. The caller must call leave.
func (h *Hub) enter() (*round, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.enterLocked()
}

func (h *Hub) enterLocked() (*round, error) {
	if h.closed {
		return nil, errClosed
	}
	h.watchers++
	if h.loop == nil {
		h.loop, h.latest = newLoop(h), &round{next: make(chan struct{})}
		h.running.Go(h.loop.run)
	}
	return h.latest, nil
}

func (h *Hub) leave() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.leaveLocked()
}

func (h *Hub) leaveLocked() {
	if h.watchers--; h.watchers == 0 {
		h.idle = time.Now()
	}
}

// enterPage is enter for a page that has made a choice. The loop finds out about it soon.
func (h *Hub) enterPage(c Choice) (*round, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if nodes := h.chosenLocked(); c.Node != "" && len(nodes) >= maxChosen && !slices.Contains(nodes, c.Node) {
		return nil, wire.Errorf(wire.Overloaded, wire.NotRun, "pages show %d single nodes already: show one of these, or all nodes together", maxChosen)
	}
	r, err := h.enterLocked()
	if err != nil {
		return nil, err
	}
	h.pages++
	h.choices[c]++
	h.fresh[c.Node]++
	h.loop.wake()
	return r, nil
}

func (h *Hub) leavePage(c Choice, fresh bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.pages--
	if h.choices[c]--; h.choices[c] == 0 {
		delete(h.choices, c)
	}
	if fresh {
		h.gotPastLocked(c.Node)
	}
	h.leaveLocked()
}

func (h *Hub) gotPast(node string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.gotPastLocked(node)
}

func (h *Hub) gotPastLocked(node string) {
	if h.fresh[node]--; h.fresh[node] == 0 {
		delete(h.fresh, node)
	}
}

// chosenLocked returns the nodes that pages have chosen.
func (h *Hub) chosenLocked() (nodes []string) {
	for c := range h.choices {
		if c.Node != "" && !slices.Contains(nodes, c.Node) {
			nodes = append(nodes, c.Node)
		}
	}
	return nodes
}

// Members lists the members as they were at most a few seconds ago. It asks them if nobody
// watches.
func (h *Hub) Members(ctx context.Context) ([]Member, error) {
	c, err := h.common(ctx)
	return c.Members, err
}

// common returns the newest state. It waits for the first one.
func (h *Hub) common(ctx context.Context) (commonState, error) {
	r, err := h.enter()
	if err != nil {
		return commonState{}, err
	}
	defer h.leave()
	for r.common == nil {
		if r, err = h.next(ctx, r); err != nil {
			return commonState{}, err
		}
	}
	if r.problem != "" && len(r.common.Members) == 0 {
		return commonState{}, wire.Errorf(wire.Internal, wire.NotRun, "the members cannot be listed: %s", r.problem)
	}
	return *r.common, nil
}
