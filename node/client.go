package node

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"strconv"
	"time"

	"github.com/distproc/distproc/wire"
)

// A Client is a session to a running node that is no member of the cluster and owns nothing: what
// it asks, the node does. All its methods may be called from any number of goroutines.
type Client struct {
	session *wire.Session
	node    string
}

// Attach connects to the node at NAME@HOST or NAME@HOST:PORT. It gives up after 3 s, or when ctx ends.
func Attach(ctx context.Context, name string, cookie []byte, tls TLSFiles) (*Client, error) {
	addr, err := ParseAddr(name)
	if err != nil {
		return nil, err
	}
	creds, err := wire.NewCredentials(cookie, tls)
	if err != nil {
		return nil, err
	}
	hello := wire.Hello{Name: "client-" + strconv.Itoa(os.Getpid()), Incarnation: rand.Uint64(), Role: wire.RoleClient}
	s, err := wire.Dial(ctx, addr.HostPort(), creds, hello, refuser{})
	if err != nil {
		return nil, err
	}
	if got := s.Peer().Name; got != addr.Name.String() {
		s.Close()
		return nil, wire.Errorf(wire.WrongName, NotRun, "%s is %s", addr.HostPort(), got)
	}
	return &Client{session: s, node: addr.Name.String()}, nil
}

// Self returns the name of the node that the client is attached to.
func (c *Client) Self() string { return c.node }

// Done is closed when the session has ended.
func (c *Client) Done() <-chan struct{} { return c.session.Done() }

// Close ends the session.
func (c *Client) Close() error { return c.session.Close() }

// Request is [Node.Request] as done by the node.
func (c *Client) Request(ctx context.Context, id ID) (Reply, error) {
	timeout := defaultTimeout
	if d, ok := ctx.Deadline(); ok {
		timeout = time.Until(d)
	}
	request := wireRequest(id)
	request.Route = true
	r, err := c.session.Call(ctx, &request, timeout)
	if err != nil {
		return Reply{}, err
	}
	return replyOf(r), nil
}

// Owner is [Node.Owner] as seen by the node.
func (c *Client) Owner(ctx context.Context, id ID) (owner string, err error) {
	err = c.do(ctx, opOwner, id.String(), &owner)
	return owner, err
}

// Members is [Node.Members] as seen by the node.
func (c *Client) Members(ctx context.Context) (list []Member, err error) {
	err = c.do(ctx, opMembers, nil, &list)
	return list, err
}

// Workers is [Node.Workers] as seen by the node.
func (c *Client) Workers(ctx context.Context) ([]WorkerInfo, error) {
	ctx, cancel := withDefaultTimeout(ctx)
	defer cancel()
	return remoteWorkers(ctx, c.session, true)
}

// Connect is [Node.Connect] as done by the node.
func (c *Client) Connect(ctx context.Context, names ...string) []Connection {
	if names == nil {
		names = []string{} // gob tells nothing from an empty list, but encodes no nil
	}
	var list []connectionMessage
	if err := c.do(ctx, opConnect, names, &list); err != nil {
		results := make([]Connection, len(names))
		for i, name := range names {
			results[i] = Connection{Name: name, Err: err}
		}
		if len(names) == 0 {
			results = []Connection{{Name: c.node, Err: err}}
		}
		return results
	}
	results := make([]Connection, len(list))
	for i, m := range list {
		results[i].Name = m.Name
		switch {
		case m.OK:
		case m.Code == wire.BadRequest:
			results[i].Err = errors.New(m.Text)
		default:
			results[i].Err = &wire.Error{Code: m.Code, Outcome: NotRun, Text: m.Text}
		}
	}
	return results
}

func (c *Client) do(ctx context.Context, op wire.Op, args, result any) error {
	ctx, cancel := withDefaultTimeout(ctx)
	defer cancel()
	return c.session.Do(ctx, op, args, result)
}

// withDefaultTimeout gives ctx a deadline if it has none.
func withDefaultTimeout(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, defaultTimeout)
}

// refuser answers what a node asks of a client: nothing.
type refuser struct{}

func (refuser) ServeCall(c wire.Call) {
	c.Fail(&wire.Error{Code: wire.NotOwner, Outcome: NotRun, Text: "this is a client"})
}

func (refuser) ServeOperation(*wire.Session, wire.Op, func(any) error) (any, error) {
	return nil, wire.UnknownOperation
}
