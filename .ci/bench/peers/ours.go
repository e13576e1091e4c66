package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/distproc/distproc/node"
	"github.com/distproc/distproc/node/gateway"
	"github.com/distproc/distproc/node/worker"
)

// An echo is a server of a serial kind that answers a message with the message.
type echo struct{}

// Call implements [worker.Server].
func (echo) Call(_ context.Context, m worker.Value) (worker.Value, error) { return m, nil }

// The names of nodes. A node of the name second is always in another process.
const (
	first  = "1@127.0.0.1"
	second = "2@127.0.0.1"
)

// startNode starts a node on a free port. It joins the one at an address unless that is
// empty.
func startNode(ctx context.Context, name, join string) (*node.Node, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	load := func(_ context.Context, id worker.ID) (worker.Value, error) {
		return worker.BytesValue(value(id.String())), nil
	}
	open := func(context.Context, worker.ID) (worker.Server, error) { return echo{}, nil }
	n, err := node.Start(node.Config{
		Name:    name + ":" + port,
		Cookie:  []byte("a secret of programs on one machine"),
		Timing:  node.Local,
		Default: worker.Cache{Load: load, TTL: time.Hour, Inline: true},
		Kinds: map[string]worker.Kind{
			"serial": worker.Serial{Open: open, TTL: time.Hour},
			"inline": worker.Serial{Open: open, TTL: time.Hour, Inline: true},
		},
	})
	if err != nil || join == "" {
		return n, err
	}
	if err := n.Join(ctx, join); err != nil {
		return nil, errors.Join(err, n.Close(ctx))
	}
	return n, nil
}

// serveNode serves as the node second.
func serveNode(ctx context.Context, _ []string) (addr string, done func() error, err error) {
	n, err := startNode(ctx, second, "")
	if err != nil {
		return "", nil, err
	}
	return n.Addr(), func() error { return n.Close(context.Background()) }, nil
}

// serveGateway serves HTTP from the node first, which joins the one at the address in
// args.
func serveGateway(ctx context.Context, args []string) (addr string, done func() error, err error) {
	n, err := startNode(ctx, first, args[0])
	if err != nil {
		return "", nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, errors.Join(err, n.Close(ctx))
	}
	ended := make(chan error, 1)
	go func() { ended <- gateway.New(gateway.Config{Cluster: n}).Serve(ctx, l) }()
	done = func() error { return errors.Join(<-ended, n.Close(context.Background())) }
	return l.Addr().String(), done, nil
}

// twoNodes starts the nodes first, of this process, and second, and returns the first one
// and ids that the second one owns.
func (b *bench) twoNodes(ctx context.Context) (n *node.Node, ids []worker.ID, err error) {
	addr, err := b.serve(ctx, "node")
	if err != nil {
		return nil, nil, err
	}
	if n, err = startNode(ctx, first, addr); err != nil {
		return nil, nil, err
	}
	b.closers = append(b.closers, func() { _ = n.Close(context.Background()) })
	for i := int64(0); len(ids) < keys; i++ {
		id := worker.IntID(i)
		owner, err := n.Owner(ctx, id)
		if err != nil {
			return nil, nil, err
		}
		if owner == second {
			ids = append(ids, id)
		} else if i > 4*keys {
			return nil, nil, fmt.Errorf("%s owns %d of %d ids", second, len(ids), i)
		}
	}
	return n, ids, nil
}

// cached measures requests for values that the node home has.
func cached(n *node.Node, home string, ids []worker.ID) contender {
	var want []worker.Value
	for _, id := range ids {
		want = append(want, worker.BytesValue(value(id.String())))
	}
	return inGo("cached value", func(caller int, l load) func() error {
		next := turns(caller, l)
		return func() error {
			i := next()
			reply, err := n.Request(context.Background(), ids[i])
			if err == nil && (reply.Value != want[i] || reply.Node != home) {
				err = unexpected(reply, want[i])
			}
			return err
		}
	})
}

// called measures calls to the servers of a serial kind that the node home has.
func called(name, kind string, n *node.Node, home string, ids []worker.ID) contender {
	family := n.Family(kind)
	return inGo(name, func(caller int, l load) func() error {
		next, m := turns(caller, l), worker.BytesValue(message(caller))
		return func() error {
			reply, err := family.Call(context.Background(), ids[next()], m)
			if err == nil && (reply.Value != m || reply.Node != home) {
				err = unexpected(reply, m)
			}
			return err
		}
	})
}
