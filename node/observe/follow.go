package observe

import (
	"context"
	"time"
)

const (
	followEvery   = 250 * time.Millisecond // between two questions
	followTimeout = 2 * time.Second        // for an answer
)

// A Follower has the events of one node as they happen. It goes on when the node cannot be
// asked for a while, and when it has started anew. One goroutine may use it at a time.
type Follower struct {
	// Ask asks a node for events: [github.com/distproc/distproc/node.Node.Events] or that
	// of a client.
	Ask func(context.Context, EventQuery) (Events, error)

	Node  string // whose events they are; with an empty one they change when a client moves to another node
	After Mark   // where they begin: the Next of a page

	asked   time.Time // the last time; zero to ask at once
	trouble string    // why the node could not be asked the last time, or empty
}

// News is what a Follower has to tell. Each is told once.
type News struct {
	List      []Event
	Missed    uint64 // events that the node has dropped since they were asked for last
	Restarted bool   // the node has started anew: what it did last before that may be missing
	Trouble   error  // why the node cannot be asked; it is asked again
	Recovered bool   // it can be asked again
}

func (n *News) any() bool {
	return len(n.List) > 0 || n.Missed > 0 || n.Restarted || n.Trouble != nil || n.Recovered
}

// Next waits until there is news, and returns it; after that the mark After is behind it.
// Its error is that of ctx.
func (f *Follower) Next(ctx context.Context) (News, error) {
	for {
		if err := f.wait(ctx); err != nil {
			return News{}, err
		}
		news := f.ask(ctx)
		if ctx.Err() != nil && news.Trouble != nil {
			return News{}, ctx.Err()
		}
		if news.any() {
			return news, nil
		}
	}
}

// wait waits until it is time to ask again.
func (f *Follower) wait(ctx context.Context) error {
	timer := time.NewTimer(max(0, followEvery-time.Since(f.asked)))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	return ctx.Err()
}

// ask asks for one page.
func (f *Follower) ask(ctx context.Context) (news News) {
	short, cancel := context.WithTimeout(ctx, followTimeout)
	defer cancel()
	page, err := f.Ask(short, EventQuery{Node: f.Node, After: f.After})
	f.asked = time.Now()
	if err != nil {
		if ctx.Err() != nil || err.Error() != f.trouble {
			news.Trouble = err
		}
		if ctx.Err() == nil {
			f.trouble = err.Error()
		}
		return news
	}
	news = News{List: page.List, Missed: page.Missed, Restarted: page.Run != f.After.Run, Recovered: f.trouble != ""}
	f.After, f.trouble = page.Next(), ""
	if len(page.List) > 0 && f.After.Seq < page.Last { // there is more
		f.asked = time.Time{}
	}
	return news
}
