package node_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"math/big"
	"os"
	"path/filepath"
	"time"

	"github.com/distproc/distproc/node"
)

// Three nodes of one cluster. In real life each is a process of its own.
func Example() {
	ctx := context.Background()
	cookie := []byte("a long secret that all nodes share")
	slow := func(_ context.Context, id node.ID) (node.Value, error) {
		return node.BytesValue("price of " + id.String()), nil
	}
	var first *node.Node
	for _, name := range []string{"1@127.0.77.1", "2@127.0.77.1", "3@127.0.77.1"} {
		n, err := node.Start(node.Config{Name: name, Cookie: cookie, Default: node.Kind{Source: slow, TTL: time.Minute}})
		if err != nil {
			log.Fatal(err)
		}
		defer n.Close(ctx)
		if first == nil {
			first = n
		} else if err := n.Join(ctx, first.Self()); err != nil {
			log.Fatal(err)
		}
	}
	reply, err := first.Request(ctx, node.IntID(7))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(reply.Value, "from", reply.Node, "cached:", reply.Cached)
	reply, err = first.Request(ctx, node.IntID(7))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(reply.Value, "from", reply.Node, "cached:", reply.Cached)
	// Output:
	// price of 7 from 2@127.0.77.1 cached: false
	// price of 7 from 2@127.0.77.1 cached: true
}

func ExampleStart() {
	n, err := node.Start(node.Config{Name: "1@127.0.77.2", Cookie: []byte("a long secret that all nodes share")})
	if err != nil {
		log.Fatal(err)
	}
	defer n.Close(context.Background())
	fmt.Println(n.Self(), "listens on", n.Addr())
	// Output: 1@127.0.77.2 listens on 127.0.77.2:4371
}

func ExampleNode_Connect() {
	n, err := node.Start(node.Config{Name: "1@127.0.77.3", Cookie: []byte("a long secret that all nodes share")})
	if err != nil {
		log.Fatal(err)
	}
	defer n.Close(context.Background())
	for _, c := range n.Connect(context.Background(), "1@127.0.77.3", "2@127.0.77.3") {
		fmt.Println(c.Name, c.Err == nil, c.Err)
	}
	// Output:
	// 1@127.0.77.3 true <nil>
	// 2@127.0.77.3 false unreachable: 127.0.77.3:4372: connection refused
}

func ExampleNode_Request_errors() {
	ctx := context.Background()
	n, err := node.Start(node.Config{
		Name: "1@127.0.77.4", Cookie: []byte("a long secret that all nodes share"),
		Default: node.Kind{Source: func(context.Context, node.ID) (node.Value, error) {
			return node.Value{}, errors.New("no such tenant")
		}},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer n.Close(ctx)
	_, err = n.Request(ctx, node.IntID(7))
	fmt.Println(err)
	fmt.Println(errors.Is(err, node.ErrSource), errors.Is(err, node.ErrOverloaded), node.OutcomeOf(err))
	// Output:
	// source failed: no such tenant
	// true false ran
}

// A console attaches to a running node: it is no member, and the node does what it asks.
func ExampleAttach() {
	ctx := context.Background()
	cookie := []byte("a long secret that all nodes share")
	n, err := node.Start(node.Config{Name: "1@127.0.77.5", Cookie: cookie})
	if err != nil {
		log.Fatal(err)
	}
	defer n.Close(ctx)
	c, err := node.Attach(ctx, node.ClientConfig{Node: n.Self(), Cookie: cookie})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Request(ctx, node.IntID(7)); err != nil {
		log.Fatal(err)
	}
	workers, err := c.Workers(ctx)
	if err != nil {
		log.Fatal(err)
	}
	for _, w := range workers {
		fmt.Println("worker of", w.ID, "on", w.Node)
	}
	// Output: worker of 7 on 1@127.0.77.5
}

func ExampleParseID() {
	for _, s := range []string{"7", "-7", "007", "tenant 7"} {
		id, err := node.ParseID(s)
		fmt.Println(id, id.IsInt(), id == node.IntID(7), err)
	}
	// Output:
	// 7 true true <nil>
	// -7 true false <nil>
	// 007 false false <nil>
	// tenant 7 false false <nil>
}

func ExampleBigID() {
	id, err := node.BigID(new(big.Int).Lsh(big.NewInt(1), 70))
	fmt.Println(id, err)
	// Output: 1180591620717411303424 <nil>
}

func ExampleParseAddr() {
	for _, s := range []string{"2@127.0.0.1", "web@[::1]", "2@db.example.com:5000"} {
		a, err := node.ParseAddr(s)
		fmt.Println(a.Name, a.HostPort(), err)
	}
	// Output:
	// 2@127.0.0.1 127.0.0.1:4372 <nil>
	// web@[::1] [::1]:27825 <nil>
	// 2@db.example.com db.example.com:5000 <nil>
}

func ExampleLoadCookie() {
	dir, err := os.MkdirTemp("", "cookie")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	made, err := node.LoadCookie(filepath.Join(dir, "cookie"))
	if err != nil {
		log.Fatal(err)
	}
	read, err := node.LoadCookie(filepath.Join(dir, "cookie"))
	fmt.Println(len(made), string(made) == string(read), err)
	// Output: 64 true <nil>
}

func ExampleIntValue() {
	v := node.IntValue(454)
	n, ok := v.Int()
	fmt.Println(v, n, ok)
	// Output: 454 454 true
}

// A service has workers of several kinds, each with a source and a policy of its own.
func ExampleNode_Family() {
	n, err := node.Start(node.Config{
		Name:   "1@127.0.77.9",
		Cookie: []byte("a long secret that all nodes share"),
		Kinds: map[string]node.Kind{
			"price": {TTL: 30 * time.Second, Source: func(_ context.Context, id node.ID) (node.Value, error) {
				return node.MediaValue("application/json", `{"price": `+id.String()+`}`), nil
			}},
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer n.Close(context.Background())
	reply, err := n.Family("price").Request(context.Background(), node.IntID(7))
	fmt.Println(reply.Value, reply.Value.MediaType(), err)
	_, err = n.Family("weather").Request(context.Background(), node.IntID(7))
	fmt.Println(errors.Is(err, node.ErrUnknownKind), err)
	// Output:
	// {"price": 7} application/json <nil>
	// true unknown kind: "weather"
}

// Kinds can change while the node runs, as from a configuration file that was edited.
func ExampleNode_SetKinds() {
	n, err := node.Start(node.Config{Name: "1@127.0.77.10", Cookie: []byte("a long secret that all nodes share")})
	if err != nil {
		log.Fatal(err)
	}
	defer n.Close(context.Background())
	err = n.SetKinds(map[string]node.Kind{"price": {TTL: time.Minute}})
	fmt.Println(err)
	reply, err := n.Family("price").Request(context.Background(), node.IntID(7))
	fmt.Println(reply.TTL > 55*time.Second, err)
	// Output:
	// <nil>
	// true <nil>
}
