package peers

import (
	"context"
	"errors"

	"github.com/distproc/distproc/node/internal/clock"
	"github.com/distproc/distproc/wire"
	"github.com/distproc/distproc/wire/text"
)

// Get returns the session to p, which it dials if there is none. If p was lost, or does
// not answer soon enough to leave time for another way, it is Unreachable.
func (pool *Pool) Get(ctx context.Context, p *Peer) (*wire.Session, error) {
	if ws := p.session.Load(); ws != nil {
		return ws, nil
	}
	if p.lost.Load() {
		return nil, &wire.Error{Code: wire.Unreachable, Outcome: wire.NotRun, Node: p.Name.String()}
	}
	wait := ctx
	if _, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		wait, cancel = context.WithTimeout(ctx, clock.Left(ctx)/2)
		defer cancel()
	}
	ws, err := pool.Dial(wait, p)
	if err == nil || errors.Is(err, wire.Leaving) || errors.Is(err, wire.Closed) {
		return ws, err
	}
	e := &wire.Error{Code: wire.Unreachable, Outcome: wire.NotRun, Node: p.Name.String(), Text: err.Error()}
	if we, ok := errors.AsType[*wire.Error](err); ok && we.Code == wire.Unreachable {
		e.Text = we.Text
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		e.Code = wire.Canceled
	}
	return nil, e
}

// Dial waits for a session to p: the one that is there, that is being dialled, or a new
// one.
func (pool *Pool) Dial(ctx context.Context, p *Peer) (*wire.Session, error) {
	ws, d := pool.begin(p)
	switch {
	case ws != nil:
		return ws, nil
	case d == nil:
		return nil, pool.why()
	}
	select {
	case <-d.done:
		return d.session, d.err
	case <-ctx.Done():
		return nil, wire.Errorf(wire.Unreachable, wire.NotRun, "no answer yet")
	}
}

// Begin dials p if there is no session to it, and does not wait.
func (pool *Pool) Begin(p *Peer) { pool.begin(p) }

// begin returns the session to p, or the dial in progress, which it starts if there is
// none. It returns neither if no session comes in any more, or if this node has left p's
// cluster: p may still have it for a member, and would take it back.
func (pool *Pool) begin(p *Peer) (*wire.Session, *dial) {
	pool.mu.Lock()
	defer pool.mu.Unlock()
	if p.former {
		return nil, nil
	}
	if ws := p.session.Load(); ws != nil || pool.ended {
		return ws, nil
	}
	if p.dial == nil {
		d, addr := &dial{done: make(chan struct{})}, p.addr
		p.dial = d
		pool.wg.Go(func() { pool.run(p, d, addr) })
	}
	return nil, p.dial
}

// why returns why begin has returned neither.
func (pool *Pool) why() *wire.Error {
	pool.mu.Lock()
	defer pool.mu.Unlock()
	if pool.ended {
		return &wire.Error{Code: wire.Closed, Outcome: wire.NotRun}
	}
	return &wire.Error{Code: wire.Leaving, Outcome: wire.NotRun}
}

// OtherAnswers is the error of a dial of the node want, at whose address the node got
// answers.
func OtherAnswers(addr, got, want string) *wire.Error {
	return wire.Errorf(wire.WrongName, wire.NotRun, "%s is %s; correct the name, or start %s with --advertise HOST:PORT, where others reach it",
		addr, text.Line(got, 100), want)
}

// run dials, and ends d.
func (pool *Pool) run(p *Peer, d *dial, addr string) {
	ctx, cancel := context.WithTimeout(pool.ctx, dialTimeout)
	defer cancel()
	ws, err := pool.host.Dial(ctx, addr)
	if err == nil && ws.Peer().Name != p.Name.String() {
		err = OtherAnswers(addr, ws.Peer().Name, p.Text)
		ws.Close()
	}
	if err == nil {
		ws, err = pool.Register(ws, p.Name)
	}
	pool.mu.Lock()
	p.dial = nil
	changed := false
	if err != nil && p.session.Load() == nil && !errors.Is(err, wire.Leaving) {
		changed = pool.loseLocked(p, err)
	}
	p.refused.Store(err != nil && p.session.Load() == nil)
	pool.mu.Unlock()
	d.session, d.err = ws, err
	close(d.done)
	if err != nil {
		pool.host.DialFailed(err)
	}
	if changed {
		pool.host.Changed()
	}
}

// A dial in progress. All callers that want a session to that peer wait for the same one.
// It is no call of a singleflight.Group, because the pool decides with its lock held
// whether to dial, and waits for its dials when it closes.
type dial struct {
	done    chan struct{}
	session *wire.Session // and err are set before done is closed
	err     error
}
