package node_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/distproc/distproc/node"
	"github.com/distproc/distproc/node/observe"
	"github.com/distproc/distproc/node/worker"
)

// attached starts a node that has one more kind, and a client of it.
func attached(name string) (*node.Client, func()) {
	cookie := []byte("a cookie of 16 bytes")
	answer := worker.Cache{Load: func(context.Context, worker.ID) (worker.Value, error) { return worker.IntValue(454), nil }}
	n, err := node.Start(node.Config{Name: name, Cookie: cookie, Default: answer, Kinds: map[string]worker.Kind{"price": answer}})
	if err != nil {
		log.Fatal(err)
	}
	c, err := node.Attach(context.Background(), node.ClientConfig{Node: name, Cookie: cookie})
	if err != nil {
		log.Fatal(err)
	}
	return c, func() {
		c.Close()
		n.Close(context.Background())
	}
}

// While it is not attached, a client looks for a node, and calls wait for that.
func ExampleClient_Attached() {
	c, end := attached("1@127.0.55.4")
	fmt.Println(c.Self(), c.Attached())
	end()
	fmt.Println(c.Self(), c.Attached())
	// Output:
	// 1@127.0.55.4 true
	// 1@127.0.55.4 false
}

// A client learns the kinds of its node soon after it has attached.
func ExampleClient_Kinds() {
	c, end := attached("1@127.0.55.5")
	defer end()
	for len(c.Kinds()) == 0 {
		time.Sleep(10 * time.Millisecond)
	}
	fmt.Println(c.Kinds())
	// Output: [default price]
}

// A client asks its node for the events of that, or of another one.
func ExampleClient_Events() {
	c, end := attached("1@127.0.55.6")
	defer end()
	ctx := context.Background()
	if _, err := c.Stop(ctx, worker.IntID(7)); err != nil {
		log.Fatal(err)
	}
	if _, err := c.Request(ctx, worker.IntID(7)); err != nil {
		log.Fatal(err)
	}
	if _, err := c.Stop(ctx, worker.IntID(7)); err != nil {
		log.Fatal(err)
	}
	page, err := c.Events(ctx, observe.EventQuery{Node: "1@127.0.55.6", Max: 1})
	if err != nil {
		log.Fatal(err)
	}
	for _, e := range page.List {
		fmt.Println(page.Node, e.Level, e.What, e.Kind)
	}
	// Output: 1@127.0.55.6 info worker stopped default
}

// A trace goes on for as long as it is asked for.
func ExampleClient_Trace() {
	c, end := attached("1@127.0.55.7")
	defer end()
	ctx := context.Background()
	q := observe.TraceQuery{Key: worker.Key{Kind: "price", ID: worker.IntID(7)}}
	page, err := c.Trace(ctx, q)
	if err != nil {
		log.Fatal(err)
	}
	q.After = page.Next()
	if _, err := c.Family("price").Request(ctx, worker.IntID(7)); err != nil {
		log.Fatal(err)
	}
	if page, err = c.Trace(ctx, q); err != nil {
		log.Fatal(err)
	}
	for _, s := range page.List {
		fmt.Println(page.Node, s.What, s.Value)
	}
	// Output: 1@127.0.55.7 request 454
}
