package peers

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/distproc/distproc/node/placement"
	"github.com/distproc/distproc/wire"
)

// A pair holds the sessions of one of two nodes, and makes more between the two.
type pair struct {
	t           *testing.T
	here, there placement.Name
	pool        *Pool
	creds       *wire.Credentials
	listener    *wire.Listener
	handler     wire.Handler // of the other node
}

func newPair(t *testing.T, here, there string) *pair {
	t.Helper()
	creds, err := wire.NewCredentials([]byte("cookie of a test"), wire.TLSFiles{})
	if err != nil {
		t.Fatal(err)
	}
	const host = "127.0.0.1"
	p := &pair{t: t, here: placement.Name{Node: here, Host: host}, there: placement.Name{Node: there, Host: host}, creds: creds, handler: refuser{}}
	if p.listener, err = wire.Listen(host+":0", creds, nil); err != nil {
		t.Fatal(err)
	}
	// Short timers keep the tests fast.
	p.pool = New(Config{Self: p.here, RetireOp: retireOp, Logger: slog.New(slog.DiscardHandler)}, p)
	p.pool.linger, p.pool.trialEvery = 10*time.Millisecond, 10*time.Millisecond
	t.Cleanup(func() {
		p.listener.Close()
		p.pool.Close()
	})
	return p
}

// retireOp is refused, as any operation is.
const retireOp wire.Op = 1

func (p *pair) Changed()                                  {}
func (p *pair) Met(context.Context, *Peer, *wire.Session) {}
func (p *pair) DialFailed(error)                          {}
func (p *pair) CallTimeout(string) time.Duration          { return 30 * time.Millisecond }

func (p *pair) Dial(ctx context.Context, addr string) (*wire.Session, error) {
	return wire.Dial(ctx, addr, p.creds, p.Hello(), refuser{})
}

func (p *pair) Hello() wire.Hello { return wire.Hello{Name: p.here.String(), Incarnation: 1} }

// connect returns this side's end of a session that this side has dialled, or the other
// one.
func (p *pair) connect(dialed bool) *wire.Session {
	p.t.Helper()
	from, to := wire.Hello{Name: p.there.String(), Incarnation: 1}, p.Hello()
	if dialed {
		from, to = to, from
	}
	accepted := make(chan *wire.Session)
	go func() {
		defer close(accepted)
		if in, err := p.listener.Accept(); err == nil {
			s, _ := in.Accept(to, p.handler)
			accepted <- s
		}
	}()
	ours, err := wire.Dial(p.t.Context(), p.listener.Addr().String(), p.creds, from, refuser{})
	theirs := <-accepted
	if err != nil || theirs == nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { ours.Close(); theirs.Close() })
	if dialed {
		return ours
	}
	return theirs
}

// refuser answers what a peer asks: nothing.
type refuser struct{}

func (refuser) ServeCall(c wire.Call) {
	c.Fail(&wire.Error{Code: wire.NotOwner, Outcome: wire.NotRun})
}

func (refuser) ServeOperation(context.Context, *wire.Session, wire.Op, func(any) error) (any, error) {
	return nil, wire.UnknownOperation
}

// await waits until check returns nil, for at most 10 s.
func await(t *testing.T, check func() error) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for err := check(); err != nil; err = check() {
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Millisecond)
	}
}
