package node

import (
	"context"
	"time"

	"github.com/distproc/distproc/node/worker"
)

// client calls and asks until ctx ends.
func (w *strictWorld) client(ctx context.Context) {
	for ctx.Err() == nil {
		id, n := worker.IntID(int64(w.l.pick(6))), w.any()
		if n == nil {
			time.Sleep(10 * time.Millisecond)
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), w.l.between(time.Second, 8*time.Second))
		switch w.l.pick(4) {
		case 0:
			w.write(ctx, n, id)
		case 1:
			w.read(ctx, n, id)
		default:
			w.call(ctx, n, id)
		}
		cancel()
		time.Sleep(w.l.between(0, 100*time.Millisecond))
	}
}

func (w *strictWorld) call(ctx context.Context, n *Node, id worker.ID) {
	w.mu.Lock()
	w.calls++
	call := w.calls
	w.mu.Unlock()
	reply, err := n.Family("count").Call(ctx, id, worker.IntValue(call))
	outcome := OutcomeOf(err)
	l := w.l
	l.mu.Lock()
	ran, accepted := 0, l.cell(id).counted[call]
	for _, r := range l.runs {
		if r.call == call {
			ran++
			r.answered = err == nil || outcome == worker.OutcomeRan // by the handler, which refuses an older token
			if err == nil && r.token != reply.Token {
				w.fail("call %d of %s: token %v in the reply, and %v in the run", call, id, reply.Token, r.token)
			}
		}
	}
	l.mu.Unlock()
	w.mu.Lock()
	if err == nil {
		w.counts["calls answered"]++
	} else {
		w.counts["calls "+outcome.String()]++
	}
	w.mu.Unlock()
	switch {
	case err == nil && (ran != 1 || accepted != 1):
		w.fail("call %d of %s was answered, and ran %d times, %d accepted", call, id, ran, accepted)
	case err != nil && outcome == worker.OutcomeNotRun && ran > 0:
		w.fail("call %d of %s ran %d times, and has %v", call, id, ran, err)
	}
}

// write changes what caches load, and invalidates it.
func (w *strictWorld) write(ctx context.Context, n *Node, id worker.ID) {
	l := w.l
	l.mu.Lock()
	c := l.cell(id)
	c.written++
	version := c.written
	l.mu.Unlock()
	var err error
	if l.chance(2) {
		_, err = n.Family("cell").Invalidate(ctx, id)
	} else {
		_, err = n.Family("cell").Refresh(ctx, id)
	}
	if err == nil {
		l.mu.Lock()
		c.floor = max(c.floor, version)
		l.mu.Unlock()
	}
	w.note("invalidations", err)
}

func (w *strictWorld) note(what string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err == nil {
		w.counts[what]++
	} else {
		w.counts[what+" failed"]++
	}
}

func (w *strictWorld) read(ctx context.Context, n *Node, id worker.ID) {
	l := w.l
	l.mu.Lock()
	c := l.cell(id)
	floor := c.floor
	l.mu.Unlock()
	reply, err := n.Family("cell").Request(ctx, id)
	w.note("reads", err)
	if err != nil {
		return
	}
	got, _ := reply.Value.Int()
	if got < floor || reply.Degraded || reply.Token.IsZero() {
		w.fail("%s read version %d of %s from %s (cached %t, age %v), and %d was the oldest that may be answered", n.Self(), got, id, reply.Node, reply.Cached, reply.Age, floor)
	}
	l.mu.Lock()
	for _, r := range l.loads {
		r.answered = r.answered || !reply.Cached && r.id == id && r.token == reply.Token
	}
	c.floor = max(c.floor, got) // nobody reads an older one after this
	l.mu.Unlock()
}
