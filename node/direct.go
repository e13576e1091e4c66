package node

import (
	"cmp"
	"context"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"github.com/distproc/distproc/node/internal/clock"
	"github.com/distproc/distproc/node/internal/members"
	"github.com/distproc/distproc/node/internal/peers"
	"github.com/distproc/distproc/node/internal/protocol"
	"github.com/distproc/distproc/node/placement"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// direct is how a client reaches nodes. It has the view of home, the node that it is attached to. If the client asks the
// owners of ids itself, direct has a session to each node that it has asked. A node without one, because it is the first
// call or the node cannot be reached from here, is asked by way of home. Whoever is asked finds the owner if the view
// is old by then, so that costs a hop and no error.
type direct struct {
	ctx    context.Context // ends with Close
	home   *atomic.Pointer[wire.Session]
	owners bool        // ask the owners; otherwise home asks them
	pool   *peers.Pool // to the others; the first home is its self
	view   atomic.Pointer[members.View]
	kinds  atomic.Pointer[map[string]bool] // whether each is exclusive, as home has it
	aged   chan struct{}                   // of capacity 1: the view may be old
}

const (
	firstFetch  = 100 * time.Millisecond // between two fetches of the view
	lastFetch   = time.Second            // between two that brought nothing new
	steadyFetch = 5 * time.Second        // nobody tells of a member that has left the cluster and answers on its own
)

// newDirect begins with the view as home has it, or until that can be told with home alone.
func newDirect(ctx context.Context, home placement.Name, session *atomic.Pointer[wire.Session], creds *wire.Credentials, log *slog.Logger) *direct {
	d := &direct{ctx: ctx, home: session, aged: make(chan struct{}, 1)}
	dial := func(ctx context.Context, addr string, hello wire.Hello) (*wire.Session, error) {
		return wire.Dial(ctx, addr, creds, hello, protocol.Refuser{})
	}
	d.pool = peers.New(peers.Config{Self: home, Dial: dial, RetireOp: protocol.OpRetire, Logger: log}, clientHost{d, protocol.ClientHello()})
	d.view.Store(members.NewView([]*peers.Peer{d.pool.Peer(home)}, nil, placement.Modulo))
	d.kinds.Store(&map[string]bool{})
	d.fetch()
	return d
}

// A clientHost is a client as its pool of sessions knows it.
type clientHost struct {
	d     *direct
	hello wire.Hello
}

func (h clientHost) Hello() wire.Hello                               { return h.hello }
func (h clientHost) Changed()                                        { h.d.age() }
func (h clientHost) Met(context.Context, *peers.Peer, *wire.Session) {}
func (h clientHost) DialFailed(error)                                {}
func (h clientHost) Patience(string) time.Duration                   { return worker.DefaultTimeout }

// ask asks the place of an id. With many calls in flight most of what one takes is to fetch its stack from memory, so what is rare
// has functions of its own.
func (d *direct) ask(ctx context.Context, id worker.ID, request *wire.Request) (worker.Reply, error) {
	began, timeout := time.Now(), clock.Left(ctx)
	p, s := d.view.Load().Acting(id), d.home.Load()
	if d.owners {
		s = d.sessionTo(p)
	}
	reply, err := callOn(ctx, s, request, timeout)
	if err != nil {
		return d.again(ctx, s, request, err, began.Add(timeout))
	}
	if d.owners && reply.Node != p.Text {
		d.age()
	}
	return reply, nil
}

// sessionTo returns the session to p, or while there is none to home.
func (d *direct) sessionTo(p *peers.Peer) *wire.Session {
	if s := p.Session(); s != nil {
		return s
	}
	return d.byHome(p)
}

// byHome returns the session to home for a call to p, and sees to it that p is dialled unless it was lost: then it is dialled
// already, now and then.
func (d *direct) byHome(p *peers.Peer) *wire.Session {
	if !p.Self && !p.Lost() {
		d.pool.Begin(p)
	}
	return d.home.Load()
}

// again makes a call once more, that failed on a session, if it did not run, or may run twice. It asks home, or while that cannot be
// reached another node: these know the stand-ins, and what to answer in the end.
func (d *direct) again(ctx context.Context, s *wire.Session, request *wire.Request, err error, until time.Time) (worker.Reply, error) {
	var asked []*wire.Session
	before := wire.NotRun // what became of the call where it was made
	for try := 1; ; try++ {
		e, failed := retriable(err)
		if e == nil || e.Code == wire.Apart && s == d.home.Load() {
			return worker.Reply{}, err // the client is to see the cluster as home does
		}
		if failed {
			d.age()
		}
		if failed && e.Code != wire.NotOwner { // who says that is well, and knows the owner the next time
			asked = append(asked, s)
		}
		if e.Outcome == wire.Unknown {
			before = wire.Unknown
		}
		over := try > maxTries || d.ctx.Err() != nil || ctx.Err() != nil || !time.Now().Before(until)
		if !failed || e.Outcome == wire.Ran || e.Outcome == wire.Unknown && d.once(request) {
			return worker.Reply{}, withOutcome(e, before)
		}
		if over {
			return worker.Reply{}, withOutcome(late(ctx, until, e), before)
		}
		next := d.next(ctx, asked, until)
		if next == nil {
			return worker.Reply{}, withOutcome(late(ctx, until, e), before)
		}
		s = next
		var reply worker.Reply
		if reply, err = callOn(ctx, s, request, time.Until(until)); err == nil {
			return reply, nil
		}
	}
}

// late returns e as the error of a call for which no other node was found before its time
// was up.
func late(ctx context.Context, until time.Time, e *wire.Error) *wire.Error {
	why := ctx.Err()
	if why == nil && !time.Now().Before(until) {
		why = context.DeadlineExceeded
	}
	if why == nil || e.Lost() { // which tells more than that time is up
		return e
	}
	late := wire.Ended(why, e.Outcome)
	late.Text = e.Error()
	return late
}

// withOutcome returns e as the error of a call that may have run before, or has not.
func withOutcome(e *wire.Error, before wire.Outcome) error {
	if e.Outcome != wire.NotRun || before == wire.NotRun {
		return e
	}
	unknown := *e
	unknown.Outcome = before
	return &unknown
}

// once reports whether a request must not be made again if it may have run. That is said of a kind that home does not have, too.
func (d *direct) once(request *wire.Request) bool {
	exclusive, known := (*d.kinds.Load())[cmp.Or(request.Kind, worker.DefaultKind)]
	return request.IsCall || exclusive || !known
}

// next returns a session to a node that was not asked: to home, or to any other one. If there
// is none, next dials. It returns nil once every node has refused, or at the time until.
func (d *direct) next(ctx context.Context, asked []*wire.Session, until time.Time) *wire.Session {
	for _, s := range d.up() {
		if !slices.Contains(asked, s) {
			return s
		}
	}
	ctx, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	for slow := true; slow && ctx.Err() == nil; {
		slow = false
		v := d.view.Load()
		for _, i := range rand.Perm(len(v.Peers)) {
			p := v.Peers[i]
			if v.Ring.Slot(i).Failed || p.Lost() || p.Text == d.home.Load().Peer().Name {
				continue
			}
			// A node that does not answer must leave time for the others.
			wait, cancel := context.WithTimeout(ctx, time.Until(until)/2)
			s, err := d.pool.Dial(wait, p)
			slow = slow || err != nil && wait.Err() != nil
			cancel()
			if err == nil && !slices.Contains(asked, s) {
				return s
			}
		}
	}
	return nil
}

// up returns the sessions that there are: that to home first, and those to the members in any order.
func (d *direct) up() (list []*wire.Session) {
	for _, p := range d.view.Load().Peers {
		if s := p.Session(); s != nil && !ended(s) {
			list = append(list, s)
		}
	}
	rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	if s := d.home.Load(); !ended(s) {
		list = slices.Insert(list, 0, s)
	}
	return list
}

// age has the view fetched soon.
func (d *direct) age() {
	select {
	case d.aged <- struct{}{}:
	default:
	}
}

// follow fetches the view when it may be old, until the client is closed.
func (d *direct) follow() {
	pause := firstFetch
	for clock.Sleep(d.ctx, pause) {
		select {
		case <-d.aged:
			pause = min(2*pause, lastFetch)
		case <-time.After(steadyFetch):
			pause = firstFetch
		case <-d.ctx.Done():
		}
		if d.fetch() {
			pause = firstFetch
		}
	}
}

// fetch takes in the view of home, or while that cannot be asked of another node, and reports whether it is a new one. An older node
// cannot tell it: then home finds the owners.
func (d *direct) fetch() (news bool) {
	for _, s := range d.up() {
		var m protocol.View
		ctx, cancel := context.WithTimeout(d.ctx, connectTimeout)
		err := s.Do(ctx, protocol.OpView, nil, protocol.BoundedView(&m))
		cancel()
		if err == nil {
			return d.take(m)
		}
	}
	return false
}

// take takes a view in, unless this is another program than the one that made it, and comes to another one.
func (d *direct) take(m protocol.View) (news bool) {
	var list []*peers.Peer
	seated, failed := map[*peers.Peer]bool{}, map[*peers.Peer]bool{}
	for _, w := range m.Members {
		name, err := placement.ParseName(w.Name)
		if err != nil {
			return false
		}
		p := d.pool.Peer(name)
		list = append(list, p)
		seated[p], failed[p] = true, w.State != wire.Alive
	}
	routing, err := placement.ParseRouting(m.Routing)
	if err != nil || len(list) == 0 {
		return false
	}
	v := members.NewView(slices.Clone(list), failed, routing)
	if v.Ring.Epoch() != m.Epoch {
		return false
	}
	for i, w := range m.Members {
		d.pool.Seat(list[i], w.Addr, w.Incarnation, w.State == wire.Alive)
	}
	d.kinds.Store(&m.Kinds)
	old := d.view.Swap(v)
	d.pool.Retain(seated)
	return v.Ring.Epoch() != old.Ring.Epoch()
}
