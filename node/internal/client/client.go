// Package client is how a program that is no member of a cluster reaches it.
//
// A [Client] has a session to one node, its home, and the view of the members as home has
// it (view.go). When home leaves or is lost, the client moves to another member (home.go).
// A call goes to home, or if the client is direct to the node that is the place of its id
// (ask.go); whichever node is asked finds the place if the view is old by then, so that
// costs a hop and no error.
package client

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/distproc/distproc/node/internal/members"
	"github.com/distproc/distproc/node/internal/peers"
	"github.com/distproc/distproc/node/internal/protocol"
	"github.com/distproc/distproc/node/observe"
	"github.com/distproc/distproc/node/placement"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// A Client reaches a cluster. All methods may be called from any number of goroutines.
type Client struct {
	Config
	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	wg     sync.WaitGroup

	home  atomic.Pointer[wire.Session]
	pool  *peers.Pool // to the others; the first home is its self
	view  atomic.Pointer[members.View]
	kinds atomic.Pointer[map[string]bool] // whether each is exclusive, as home has it
	stale chan struct{}                   // of capacity 1: the view may be old
}

// Config says which node is the home of a client, and how it is reached.
type Config struct {
	Addr   placement.Addr // without a Node: whichever node is there
	Creds  *wire.Credentials
	Direct bool           // ask the place of an id itself, otherwise home asks it
	Stay   bool           // never move: while home is lost or leaves, calls fail
	Steady time.Duration  // between two fetches of the view for which there is no reason; 0 is 5 s
	Tracer observe.Tracer // nil if nothing is traced
	Logger *slog.Logger
}

// Attach connects to the home of a client. It gives up when ctx ends.
func Attach(ctx context.Context, config Config) (*Client, error) {
	c := &Client{Config: config, stale: make(chan struct{}, 1)}
	first, err := c.attach(ctx, c.Addr, c.Addr.HostPort())
	if err != nil {
		return nil, err
	}
	at := c.Addr.HostPort()
	if c.Addr.Name, err = placement.ParseName(first.Peer().Name); err != nil {
		first.Close()
		return nil, wire.Errorf(wire.WrongName, wire.NotRun, "%s: %v", at, err)
	}
	c.begin(first)
	c.wg.Go(c.refreshLoop)
	c.wg.Go(func() { c.stayAttached(at) })
	return c, nil
}

// begin makes s the session to home, and fetches the first view. Until there is one, home
// is all that there is.
func (c *Client) begin(s *wire.Session) {
	c.home.Store(s)
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.pool = peers.New(peers.Config{Self: c.Addr.Name, RetireOp: protocol.OpRetire, Logger: c.Logger}, poolHost{c, protocol.ClientHello()})
	c.view.Store(members.NewView([]*peers.Peer{c.pool.Peer(c.Addr.Name)}, nil, placement.Modulo))
	c.kinds.Store(&map[string]bool{})
	c.refresh()
}

// Close ends all sessions. Calls in flight fail.
func (c *Client) Close() {
	c.cancel()
	c.pool.Close()
	c.wg.Wait()
}

// Home returns the session to the node that the client is attached to.
func (c *Client) Home() *wire.Session { return c.home.Load() }

// Pool returns the sessions to the other nodes.
func (c *Client) Pool() *peers.Pool { return c.pool }

// View returns the newest view.
func (c *Client) View() *members.View { return c.view.Load() }

// A poolHost is a client as its pool of sessions knows it.
type poolHost struct {
	c     *Client
	hello wire.Hello
}

func (h poolHost) Hello() wire.Hello                               { return h.hello }
func (h poolHost) Changed()                                        { h.c.markStale() }
func (h poolHost) Met(context.Context, *peers.Peer, *wire.Session) {}
func (h poolHost) DialFailed(error)                                {}
func (h poolHost) CallTimeout(string) time.Duration                { return worker.DefaultTimeout }

func (h poolHost) Dial(ctx context.Context, addr string) (*wire.Session, error) {
	return wire.Dial(ctx, addr, h.c.Creds, h.hello, protocol.Refuser{})
}
