package node_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/distproc/distproc/node"
	"github.com/distproc/distproc/node/placement"
	"github.com/distproc/distproc/node/worker"
)

// startTwo starts two nodes that are one cluster. Sources say whose id it is.
func startTwo(host string) (a, b *node.Node) {
	var nodes []*node.Node
	for _, name := range []string{"1@" + host, "2@" + host} {
		n, err := node.Start(node.Config{
			Name: name, Cookie: []byte("a long secret that all nodes share"),
			Default: worker.Cache{TTL: time.Minute, Load: func(_ context.Context, id worker.ID) (worker.Value, error) {
				return worker.BytesValue("value of " + id.String()), nil
			}},
		})
		if err != nil {
			log.Fatal(err)
		}
		nodes = append(nodes, n)
	}
	ctx := context.Background()
	if err := nodes[1].Join(ctx, nodes[0].Self()); err != nil {
		log.Fatal(err)
	}
	// Join returns when the second node is in the cluster; the first one may publish its view
	// a moment later.
	for {
		if list, err := nodes[0].Members(ctx); err != nil || len(list) == len(nodes) {
			return nodes[0], nodes[1]
		}
		time.Sleep(time.Millisecond)
	}
}

func ExampleNode_Request() {
	ctx := context.Background()
	a, b := startTwo("127.0.77.20")
	defer a.Close(ctx)
	defer b.Close(ctx)
	ctx, cancel := context.WithTimeout(ctx, time.Second) // 5 s without one
	defer cancel()
	reply, err := a.Request(ctx, worker.IntID(7))
	fmt.Println(reply.Value, "from", reply.Node, reply.Cached, err)
	reply, err = b.Request(ctx, worker.IntID(7))
	fmt.Println(reply.Value, "from", reply.Node, reply.Cached, err)
	reply, err = b.Refresh(ctx, worker.IntID(7))
	fmt.Println(reply.Value, "from", reply.Node, reply.Cached, err)
	reply, err = a.RequestVia(ctx, "2@127.0.77.20", worker.IntID(7)) // as b sees it
	fmt.Println(reply.Value, "from", reply.Node, reply.Cached, err)
	// Output:
	// value of 7 from 2@127.0.77.20 false <nil>
	// value of 7 from 2@127.0.77.20 true <nil>
	// value of 7 from 2@127.0.77.20 false <nil>
	// value of 7 from 2@127.0.77.20 true <nil>
}

func ExampleNode_Why() {
	ctx := context.Background()
	a, b := startTwo("127.0.77.21")
	defer a.Close(ctx)
	defer b.Close(ctx)
	e, err := a.Why(ctx, worker.IntID(7))
	fmt.Println(e.Rule, e.Owner, e.State, e.Fallback, e.Live, err)
	if _, err := a.Request(ctx, worker.IntID(7)); err != nil {
		log.Fatal(err)
	}
	e, err = a.Why(ctx, worker.IntID(7))
	fmt.Println(e.Live, e.Worker.Hits, err)
	stopped, err := a.Stop(ctx, worker.IntID(7))
	fmt.Println(stopped, err)
	stopped, err = a.Stop(ctx, worker.IntID(7))
	fmt.Println(stopped, err)
	// Output:
	// 7 mod 2 = 1 2@127.0.77.21 alive 1@127.0.77.21 false <nil>
	// true 0 <nil>
	// true <nil>
	// false <nil>
}

func ExampleNode_Invalidate() {
	ctx := context.Background()
	price := int64(10) // as a database has it
	n, err := node.Start(node.Config{
		Name: "1@127.0.77.29", Cookie: []byte("a secret of the cluster"),
		Default: worker.Cache{TTL: time.Hour, Load: func(context.Context, worker.ID) (worker.Value, error) {
			return worker.IntValue(price), nil
		}},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer n.Close(ctx)
	tea := worker.IntID(7)
	before, _ := n.Request(ctx, tea)
	price = 12 // the writer invalidates after it has written
	had, err := n.Invalidate(ctx, tea)
	after, _ := n.Request(ctx, tea)
	fmt.Println(before.Value, had, err, after.Value)
	// Output: 10 true <nil> 12
}

func ExampleNode_Members() {
	ctx := context.Background()
	a, b := startTwo("127.0.77.22")
	defer a.Close(ctx)
	defer b.Close(ctx)
	members, err := a.Members(ctx)
	for _, m := range members {
		fmt.Println(m.Name, m.Addr, m.State)
	}
	fmt.Println(err)
	_, err = a.Ping(ctx, "2@127.0.77.22")
	fmt.Println(err)
	if err := a.Disconnect(ctx, "2@127.0.77.22"); err != nil { // it stays up, apart
		log.Fatal(err)
	}
	members, err = a.Members(ctx)
	fmt.Println(members[0].Name, err)
	_, err = a.Ping(ctx, "2@127.0.77.22")
	fmt.Println(err)
	// Output:
	// 1@127.0.77.22 127.0.77.22:4371 alive
	// 2@127.0.77.22 127.0.77.22:4372 alive
	// <nil>
	// <nil>
	// 1@127.0.77.22 <nil>
	// unreachable: 2@127.0.77.22 is no member; connect to it first
}

func ExampleNode_Workers() {
	ctx := context.Background()
	a, b := startTwo("127.0.77.23")
	defer a.Close(ctx)
	defer b.Close(ctx)
	for i := range int64(3) {
		if _, err := a.Request(ctx, worker.IntID(i)); err != nil {
			log.Fatal(err)
		}
	}
	workers, err := b.Workers(ctx)
	for _, w := range workers {
		fmt.Println(w.ID, w.Kind, w.Node, w.Queue)
	}
	fmt.Println(err)
	nodes, err := b.Nodes(ctx)
	for _, n := range nodes {
		fmt.Println(n.Name, n.Workers, "workers", n.Requests, "requests")
	}
	fmt.Println(err)
	// Output:
	// 0 default 1@127.0.77.23 0
	// 2 default 1@127.0.77.23 0
	// 1 default 2@127.0.77.23 0
	// <nil>
	// 1@127.0.77.23 2 workers 2 requests
	// 2@127.0.77.23 1 workers 1 requests
	// <nil>
}

func ExampleNode_Ready() {
	n, err := node.Start(node.Config{Default: worker.Cache{Load: worker.RandomSource}, Name: "1@127.0.77.24", Cookie: []byte("a long secret that all nodes share")})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(n.Ready(context.Background()))
	if err := n.Close(context.Background()); err != nil {
		log.Fatal(err)
	}
	fmt.Println(n.Ready(context.Background()))
	// Output:
	// <nil>
	// closed: the node is leaving
}

func ExampleValueOf() {
	type price struct {
		Cents int `json:"cents"`
	}
	for _, x := range []any{7, "seven", price{1999}, []int{1, 2}} {
		v, err := worker.ValueOf(x)
		fmt.Printf("%s %q %v\n", v, v.MediaType(), err)
	}
	p, err := worker.As[price](worker.MediaValue("application/json", `{"cents": 1999}`))
	fmt.Println(p.Cents, err)
	_, err = worker.As[int](worker.BytesValue("seven"))
	fmt.Println(err != nil)
	// Output:
	// 7 "" <nil>
	// seven "" <nil>
	// {"cents":1999} "application/json" <nil>
	// [1,2] "application/json" <nil>
	// 1999 <nil>
	// true
}

// A plan shows which ids move when a fourth node joins three.
func ExamplePlanChange() {
	var before []placement.Name
	for _, s := range []string{"1@a", "2@b", "3@c", "4@d"} {
		n, err := placement.ParseName(s)
		if err != nil {
			log.Fatal(err)
		}
		before = append(before, n)
	}
	for _, p := range placement.PlanChange(before[:3], before, 12_000) {
		fmt.Println(p.Routing, "moves", 100*p.Moved/p.IDs, "%")
	}
	// Output:
	// modulo moves 75 %
	// rendezvous moves 24 %
}

func ExampleParseRouting() {
	r, err := placement.ParseRouting("rendezvous")
	fmt.Println(r == placement.Rendezvous, err)
	_, err = placement.ParseRouting("random")
	fmt.Println(err)
	// Output:
	// true <nil>
	// routing "random": say modulo or rendezvous
}

func ExampleParseTiming() {
	_, err := node.ParseTiming("lan")
	fmt.Println(err)
	_, err = node.ParseTiming("moon")
	fmt.Println(err)
	// Output:
	// <nil>
	// timing "moon": it is local, lan or wan
}

// A node that was disconnected starts no server until it goes on alone.
func ExampleNode_GoAlone() {
	ctx := context.Background()
	a, b := startTwo("127.0.77.25")
	defer a.Close(ctx)
	defer b.Close(ctx)
	kinds := map[string]worker.Kind{"echo": worker.Serial{Open: worker.Serve(func(context.Context, worker.ID) (echo, error) { return echo{}, nil })}}
	if err := errors.Join(a.SetKinds(kinds), b.SetKinds(kinds)); err != nil {
		log.Fatal(err)
	}
	if err := a.Disconnect(ctx, b.Self()); err != nil {
		log.Fatal(err)
	}
	_, err := node.Call[string](ctx, b.Family("echo"), worker.IntID(1), "hello")
	fmt.Println(errors.Is(err, node.ErrApart), node.OutcomeOf(err))
	if err := b.GoAlone(ctx); err != nil { // a and b have nothing to do with each other any more
		log.Fatal(err)
	}
	fmt.Println(node.Call[string](ctx, b.Family("echo"), worker.IntID(1), "hello"))
	// Output:
	// true not run
	// hello <nil>
}

type echo struct{}

func (echo) Call(_ context.Context, message string) (string, error) { return message, nil }
