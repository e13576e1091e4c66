package node_test

import (
	"context"
	"fmt"
	"log"

	"github.com/distproc/distproc/node"
	"github.com/distproc/distproc/node/observe"
	"github.com/distproc/distproc/node/worker"
)

// Events are read in pages, each after the last one.
func ExampleNode_Events() {
	n, err := node.Start(node.Config{Name: "1@127.0.55.1", Cookie: []byte("a cookie of 16 bytes"), Default: worker.Cache{Load: worker.RandomSource}})
	if err != nil {
		log.Fatal(err)
	}
	defer n.Close(context.Background())
	if err := n.SetKinds(map[string]worker.Kind{"price": worker.Cache{Load: worker.RandomSource}}); err != nil {
		log.Fatal(err)
	}
	mark := observe.Mark{Run: 1} // of another run: from the first event
	for {
		page, err := n.Events(context.Background(), observe.EventQuery{After: mark})
		if err != nil {
			log.Fatal(err)
		}
		for _, e := range page.List {
			fmt.Println(e.Seq, e.Level, e.What, e.More)
		}
		if len(page.List) == 0 {
			break
		}
		mark = page.Next()
	}
	// Output: 1 info kinds changed kinds=price
}

// A program logs to its node's logger, and the node keeps that as an event.
func ExampleNode_Logger() {
	n, err := node.Start(node.Config{Name: "1@127.0.55.8", Cookie: []byte("a cookie of 16 bytes"), Default: worker.Cache{Load: worker.RandomSource}})
	if err != nil {
		log.Fatal(err)
	}
	defer n.Close(context.Background())
	n.Logger().Warn("disk nearly full", "why", "3 % left")
	page, err := n.Events(context.Background(), observe.EventQuery{})
	if err != nil {
		log.Fatal(err)
	}
	for _, e := range page.List {
		fmt.Println(e.Level, e.What, e.Why)
	}
	// Output: warn disk nearly full 3 % left
}

// A trace shows what comes for an id after it has begun.
func ExampleNode_Trace() {
	ctx := context.Background()
	n, err := node.Start(node.Config{Name: "1@127.0.55.2", Cookie: []byte("a cookie of 16 bytes"), Default: worker.Cache{
		Load: func(context.Context, worker.ID) (worker.Value, error) { return worker.IntValue(454), nil },
	}})
	if err != nil {
		log.Fatal(err)
	}
	defer n.Close(ctx)
	q := observe.TraceQuery{Key: worker.Key{ID: worker.IntID(7)}}
	page, err := n.Trace(ctx, q)
	if err != nil {
		log.Fatal(err)
	}
	q.After = page.Next()
	for range 2 {
		if _, err := n.Request(ctx, worker.IntID(7)); err != nil {
			log.Fatal(err)
		}
	}
	if page, err = n.Trace(ctx, q); err != nil {
		log.Fatal(err)
	}
	for _, s := range page.List {
		fmt.Println(s.What, s.From, s.Value, s.Cached)
	}
	// Output:
	// request 1@127.0.55.2 454 false
	// request 1@127.0.55.2 454 true
}

// Loads has an entry for each kind.
func ExampleNode_Loads() {
	n, err := node.Start(node.Config{Name: "1@127.0.55.3", Cookie: []byte("a cookie of 16 bytes"), Default: worker.Cache{Load: worker.RandomSource}})
	if err != nil {
		log.Fatal(err)
	}
	defer n.Close(context.Background())
	loads, err := n.Loads(context.Background(), "")
	if err != nil {
		log.Fatal(err)
	}
	for _, l := range loads {
		fmt.Printf("%s %.1f/s, %d failed\n", l.Kind, l.Rate(), l.Failed)
	}
	// Output: default 0.0/s, 0 failed
}

// Figures has what each kind does now, and what it did in the last 15 minutes. A program that
// asks again with the mark of the last answer gets only what has come since.
func ExampleNode_Figures() {
	ctx := context.Background()
	n, err := node.Start(node.Config{Name: "1@127.0.55.9", Cookie: []byte("a cookie of 16 bytes"), Default: worker.Cache{Load: worker.RandomSource}})
	if err != nil {
		log.Fatal(err)
	}
	defer n.Close(ctx)
	for id := range int64(3) {
		if _, err := n.Request(ctx, worker.IntID(id)); err != nil {
			log.Fatal(err)
		}
	}
	f, err := n.Figures(ctx, observe.FiguresQuery{})
	if err != nil {
		log.Fatal(err)
	}
	for _, k := range f.Kinds {
		fmt.Printf("%s: %d workers, %d runs, %d calls wait, %d samples\n", k.Kind, k.Workers, k.Running, k.Waiting, len(k.Past))
	}
	f, err = n.Figures(ctx, observe.FiguresQuery{After: f.Next()}) // 5 s later there is a sample
	fmt.Println(f.Node, f.Last, err)
	// Output:
	// default: 3 workers, 0 runs, 0 calls wait, 0 samples
	// 1@127.0.55.9 0 <nil>
}

// Hottest has the ids that are asked most.
func ExampleNode_Hottest() {
	ctx := context.Background()
	n, err := node.Start(node.Config{Name: "1@127.0.55.10", Cookie: []byte("a cookie of 16 bytes"), Default: worker.Cache{Load: worker.RandomSource}})
	if err != nil {
		log.Fatal(err)
	}
	defer n.Close(ctx)
	for _, id := range []int64{7, 7, 8, 7, 8, 9, 7} {
		if _, err := n.Request(ctx, worker.IntID(id)); err != nil {
			log.Fatal(err)
		}
	}
	hot, err := n.Hottest(ctx, observe.HotQuery{})
	if err != nil {
		log.Fatal(err)
	}
	for _, h := range hot.Busiest {
		fmt.Println(h.ID, h.Hits, h.Rate > 0)
	}
	// Output:
	// 7 3 true
	// 8 1 true
}
