package node

import (
	"context"
	"log/slog"
	"time"

	"github.com/distproc/distproc/node/boundedlog"
	"github.com/distproc/distproc/node/internal/client"
	"github.com/distproc/distproc/node/internal/clock"
	"github.com/distproc/distproc/node/internal/protocol"
	"github.com/distproc/distproc/node/observe"
	"github.com/distproc/distproc/node/voters"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// ClientConfig says to which node a client attaches, and how.
type ClientConfig struct {
	Node       string // NAME@HOST, NAME@HOST:PORT, or HOST:PORT: whichever node is there
	Cookie     []byte
	TLS        TLSFiles
	Direct     bool // ask the owner of an id itself, over a session of its own; otherwise the node asks it. See Client
	Stay       bool // ask this node and no other: while it is lost or leaves, calls fail
	NoBusyPoll bool // as in [Config], like the next one
	Tracer     observe.Tracer
	Logger     *slog.Logger // silent; told when the client moves to another node, and of nodes that are lost and back if Direct. As in [Config]

	// For tests. Zero means as in client.Config, and TCP.
	steady  time.Duration
	network wire.Network
}

// A Client is a session to a running node that is no member of the cluster and owns
// nothing: what it asks, the node does. All its methods may be called from any number of
// goroutines.
//
// The client knows the members. When its node leaves or is lost, the client attaches to
// another member, and returns to the node when that is a member again; [Client.Self]
// names the node that it is attached to now. A call that did not run is made again at
// another member, so a node that leaves fails no call. A call that may have run is made
// again only if it asks for a value and its kind is not Exclusive; otherwise it fails, as
// its [worker.Outcome] says. While no member can be reached, calls fail with
// [ErrUnreachable]. All of it takes from the time of the one call.
//
// A client that is Direct makes each Request, Refresh and [Family].Call at the node that
// is the place of the id, on a session that stays for as long as it is used. All else
// goes to its node. No call waits for such a session: while it is being dialled, or the
// owner can be reached from the node but not from the client, the node asks the owner.
// Nor does a call fail because the view is old, as whoever is asked finds the owner. An
// owner that is paused holds calls up until its session ends, after 3 s, or until their
// deadlines; and an owner that answers pings but no calls does so for as long as that
// lasts, because a client does not take nodes for stuck.
type Client struct {
	reach    *client.Client
	flushLog func()
}

// Attach connects to a node. It gives up after 3 s, or when ctx ends.
func Attach(ctx context.Context, c ClientConfig) (*Client, error) {
	addr, err := protocol.ParseTarget(c.Node)
	if err != nil {
		return nil, err
	}
	creds, err := wire.NewCredentials(c.Cookie, wire.TLSFiles(c.TLS))
	if err != nil {
		return nil, err
	}
	creds.NoBusyPoll, creds.Network = c.NoBusyPoll, c.network
	log, flush := boundedlog.New(c.Logger)
	reach, err := client.Attach(ctx, client.Config{Addr: addr, Creds: creds, Direct: c.Direct, Stay: c.Stay, Steady: c.steady, Tracer: c.Tracer, Logger: log})
	if err != nil {
		flush()
		return nil, err
	}
	return &Client{reach, flush}, nil
}

// Close ends all sessions. Calls in flight fail with [ErrClosed]. It waits at most 1 s
// for the handler of the log. It may be called more than once.
func (c *Client) Close() error {
	c.reach.Close()
	c.flushLog()
	return nil
}

// SetCookie replaces the cookie, for sessions that begin later.
func (c *Client) SetCookie(cookie []byte) error { return c.reach.Creds.SetCookies(cookie) }

// ReloadTLS is [Node.ReloadTLS] for the files of the client.
func (c *Client) ReloadTLS() error { return c.reach.Creds.ReloadTLS() }

// Self returns the name of the node that the client is attached to.
func (c *Client) Self() string { return c.reach.Home().Peer().Name }

// Attached reports whether the session to that node lives. If not, the client is looking
// for a node to attach to.
func (c *Client) Attached() bool { return c.reach.Home().Err() == nil }

// Kinds returns the names of the kinds of the node, sorted, as the client learned them
// last. It does not wait. A node of an older version does not tell them.
func (c *Client) Kinds() []string { return c.reach.Kinds() }

// Request is [Node.Request] as done by the node, or if the client is Direct by the owner
// of id: see [Client].
func (c *Client) Request(ctx context.Context, id worker.ID) (worker.Reply, error) {
	return c.request(ctx, "", id, false)
}

// Refresh is [Node.Refresh] as done by the node, or if the client is Direct by the owner
// of id.
func (c *Client) Refresh(ctx context.Context, id worker.ID) (worker.Reply, error) {
	return c.request(ctx, "", id, true)
}

func (c *Client) request(ctx context.Context, kind string, id worker.ID, fresh bool) (worker.Reply, error) {
	request := protocol.NewRequest(kind, id)
	request.Fresh = fresh
	return c.reach.Ask(ctx, id, &request)
}

func (c *Client) call(ctx context.Context, k worker.Key, message worker.Value) (worker.Reply, error) {
	request := protocol.NewCall(k, message)
	return c.reach.Ask(ctx, k.ID, &request)
}

// RequestVia is [Node.RequestVia] as done by the node.
func (c *Client) RequestVia(ctx context.Context, via string, id worker.ID) (worker.Reply, error) {
	return c.requestVia(ctx, via, "", id)
}

func (c *Client) requestVia(ctx context.Context, via, kind string, id worker.ID) (reply worker.Reply, err error) {
	var r wire.Reply
	err = c.reach.Do(ctx, protocol.OpVia, protocol.Via{Via: via, Kind: kind, ID: id, Timeout: clock.Left(ctx)}, &r)
	protocol.SetReply(&reply, &r)
	return reply, err
}

// Owner is [Node.Owner] as seen by the node.
func (c *Client) Owner(ctx context.Context, id worker.ID) (owner string, err error) {
	err = c.reach.Do(ctx, protocol.OpOwner, id, &owner)
	return owner, err
}

// Shapes of lists: see package protocol.
type (
	memberShape struct{ State State }
	nodeShape   struct{ Workers int }
)

// Members is [Node.Members] as seen by the node.
func (c *Client) Members(ctx context.Context) (list []Member, err error) {
	err = c.reach.Do(ctx, protocol.OpMembers, nil, protocol.BoundedList[memberShape](&list, protocol.MaxListed))
	return list, err
}

// Nodes is [Node.Nodes] as seen by the node.
func (c *Client) Nodes(ctx context.Context) (list []NodeInfo, err error) {
	err = c.reach.Do(ctx, protocol.OpNodes, nil, protocol.BoundedList[nodeShape](&list, protocol.MaxListed))
	return list, err
}

// Workers is [Node.Workers] as seen by the node.
func (c *Client) Workers(ctx context.Context) (list []worker.Info, err error) {
	err = c.reach.Do(ctx, protocol.OpWorkers, nil, protocol.BoundedWorkers(&list))
	return list, err
}

// Why is [Node.Why] as seen by the node.
func (c *Client) Why(ctx context.Context, id worker.ID) (e Explanation, err error) {
	return c.why(ctx, worker.Key{ID: id})
}

func (c *Client) why(ctx context.Context, k worker.Key) (e Explanation, err error) {
	err = c.reach.Do(ctx, protocol.OpWhy, k, &e)
	return e, err
}

// Stop is [Node.Stop] as done by the node.
func (c *Client) Stop(ctx context.Context, id worker.ID) (stopped bool, err error) {
	return c.stop(ctx, worker.Key{ID: id})
}

func (c *Client) stop(ctx context.Context, k worker.Key) (stopped bool, err error) {
	err = c.reach.Do(ctx, protocol.OpStop, k, &stopped)
	return stopped, err
}

// Ping is [Node.Ping] as done by the node.
func (c *Client) Ping(ctx context.Context, name string) (rtt time.Duration, err error) {
	err = c.reach.Do(ctx, protocol.OpPing, name, &rtt)
	return rtt, err
}

// Disconnect is [Node.Disconnect] as done by the node.
func (c *Client) Disconnect(ctx context.Context, name string) error {
	ctx, cancel := clock.WithTimeout(ctx, disconnectTimeout+time.Second) // the node says first what is left to do
	defer cancel()
	return c.reach.Do(ctx, protocol.OpDisconnect, name, nil)
}

// GoAlone is [Node.GoAlone] as done by the node.
func (c *Client) GoAlone(ctx context.Context) error {
	return c.reach.Do(ctx, protocol.OpAlone, nil, nil)
}

// Voters says who the voters of strict kinds are, and how they are.
func (c *Client) Voters(ctx context.Context) (*voters.Report, error) {
	r := &voters.Report{}
	return r, c.reach.Do(ctx, protocol.OpVoters, nil, r)
}

// ChangeVoters adds a voter of strict kinds or removes one, and waits for at most v.Timeout.
func (c *Client) ChangeVoters(ctx context.Context, v voters.Change) (*voters.Changed, error) {
	r := &voters.Changed{}
	return r, c.reach.Do(ctx, protocol.OpChange, v, r)
}

// Connect is [Node.Connect] as done by the node.
func (c *Client) Connect(ctx context.Context, names ...string) []Connection {
	if names == nil {
		names = []string{} // gob encodes an empty list, but no nil
	}
	var list []protocol.Connection
	if err := c.reach.Do(ctx, protocol.OpConnect, names, protocol.BoundedConnections(&list)); err != nil {
		if len(names) == 0 {
			names = []string{c.Self()}
		}
		results := make([]Connection, len(names))
		for i, name := range names {
			results[i] = Connection{Name: name, Err: err}
		}
		return results
	}
	results := make([]Connection, len(list))
	for i, m := range list {
		results[i] = Connection{Name: m.Name, Err: m.Err()}
	}
	return results
}
