package observe_test

import (
	"context"
	"fmt"

	"github.com/distproc/distproc/node/observe"
)

// A program that keeps a mark as text resumes after it.
func ExampleParseMark() {
	page := observe.Events{Run: 0x1916d6be4ac39a95, Last: 9, List: []observe.Event{{Seq: 7}}}
	text := page.Next().String()
	mark, err := observe.ParseMark(text)
	fmt.Println(text, mark == page.Next(), err)
	_, err = observe.ParseMark("7")
	fmt.Println(err)
	// Output:
	// 1916d6be4ac39a95-7 true <nil>
	// "7" is no mark; take that of an earlier answer
}

// A follower has each event once, until its context ends.
func ExampleFollower() {
	ctx, cancel := context.WithCancel(context.Background())
	f := observe.Follower{
		Ask: func(_ context.Context, q observe.EventQuery) (observe.Events, error) { // Events of a node or a client
			n := q.After.Seq + 1
			return observe.Events{Run: 7, Last: 2, List: []observe.Event{{Seq: n, What: fmt.Sprint("event ", n)}}}, nil
		},
		Node:  "1@127.0.0.1",
		After: observe.Mark{Run: 7},
	}
	for range 2 {
		news, err := f.Next(ctx)
		fmt.Println(news.List[0].What, news.Missed, err)
	}
	cancel()
	_, err := f.Next(ctx)
	fmt.Println(err)
	// Output:
	// event 1 0 <nil>
	// event 2 0 <nil>
	// context canceled
}
