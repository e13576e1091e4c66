package page

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/distproc/distproc/node"
	"github.com/distproc/distproc/node/observe"
)

const (
	timeout   = time.Second            // of a question
	listing   = 3 * time.Second / 2    // of the question for the members, which are asked for 1 s
	patience  = 300 * time.Millisecond // for answers, before a state is told without them
	firstTry  = 2 * time.Second        // for the members to be listed, before a state is told without them
	keptSteps = 12                     // steps of a past that a slow page can catch up
	refusing  = 10                     // ticks in which a member is asked once that does not know the question
)

// A message is the data of an event.
type message struct {
	seq  int64 // of a past or a step
	data []byte
}

// A track is the past of a node as events.
type track struct {
	past  *message  // nil if nobody waits for it
	steps []message // the last ones; never changed
}

// A round is what all pages show until the next one. It never changes.
type round struct {
	next    chan struct{} // closed when there is another one
	common  *commonState  // nil before the first answers
	problem string        // why the members cannot be listed
	shared  []byte        // common as JSON
	states  map[Choice]*message
	tracks  map[string]track
}

// A loop asks the cluster and makes rounds, for as long as somebody watches. Its fields are
// those of its goroutine.
type loop struct {
	hub     *Hub
	ctx     context.Context
	cancel  context.CancelFunc
	answers chan func()   // what to do with an answer
	woken   chan struct{} // a page has come
	asking  sync.WaitGroup

	*collection
	tick    int // counts the seconds, or what is between two questions
	under   int // questions
	asks    asker
	choices map[Choice]bool  // of pages, when the loop asked last
	tracks  map[string]track // by node
	pending bool             // the tick has no round yet
	publish *time.Timer      // when it must have one
	round   *round           // the latest
}

func newLoop(h *Hub) *loop {
	ctx, cancel := context.WithCancel(h.life)
	return &loop{
		hub: h, ctx: ctx, cancel: cancel,
		answers:    make(chan func()),
		woken:      make(chan struct{}, 1),
		collection: newCollection(h.self, h.epoch, time.Now()),
		tracks:     make(map[string]track),
	}
}

// wake makes the loop look for new choices.
func (l *loop) wake() {
	select {
	case l.woken <- struct{}{}:
	default:
	}
}

// run is the goroutine of the loop.
func (l *loop) run() {
	defer l.asking.Wait()
	defer l.cancel()
	l.hub.mu.Lock()
	l.round = l.hub.latest
	l.hub.mu.Unlock()
	next := time.Now()
	tick := time.NewTimer(0)
	defer tick.Stop()
	l.publish = time.NewTimer(time.Hour)
	defer l.publish.Stop()
	for {
		select {
		case <-tick.C:
			if l.over() {
				return
			}
			if next = next.Add(l.period()); time.Until(next) <= 0 { // the machine was asleep, or is overloaded
				next = time.Now().Add(l.period())
			}
			tick.Reset(time.Until(next))
			l.beginTick()
		case do := <-l.answers:
			l.under--
			do()
			if l.under == 0 {
				l.endTick()
			}
		case <-l.publish.C:
			l.endTick()
		case <-l.woken:
			if l.round.common != nil {
				l.ask()
				l.tell(time.Now(), false)
			}
		case <-l.ctx.Done(): // the hub closes
			return
		}
	}
}

// over reports whether nobody has watched for a while, or the node is closed and nobody
// watches. Then the hub has no loop any more.
func (l *loop) over() bool {
	l.hub.mu.Lock()
	defer l.hub.mu.Unlock()
	if l.hub.watchers > 0 || time.Since(l.hub.idle) < linger && !l.gone {
		return false
	}
	l.hub.loop, l.hub.latest = nil, nil
	return true
}

func (l *loop) beginTick() {
	l.tick++
	l.pending = true
	l.publish.Reset(patience)
	l.ask()
}

// endTick makes the round of the tick, if it has none yet.
func (l *loop) endTick() {
	if !l.pending {
		return
	}
	if now := time.Now(); l.infosAt.IsZero() && l.problem == "" && now.Sub(l.began) < firstTry {
		l.publish.Reset(patience)
		return
	}
	l.pending = false
	l.publish.Stop()
	l.tell(time.Now(), true)
}

// ask asks all that is due in this tick and not under way.
func (l *loop) ask() {
	var nodes []string
	l.choices, nodes = l.wanted()
	l.choose(time.Now(), nodes)
	l.askInfos()
	for _, name := range l.order {
		l.askMember(name)
	}
}

func (l *loop) askInfos() {
	if !l.asks.due(l.tick) {
		return
	}
	l.asks.begin(l.tick)
	question(l, listing, l.hub.cluster.Nodes, func(infos []node.NodeInfo, _ time.Duration, err error) {
		l.asks.under = false
		l.takeInfos(time.Now(), infos, err)
		l.ask()
	})
}

// askMember asks a member. One that does not know the question is asked once in a while.
func (l *loop) askMember(name string) {
	m := l.members[name]
	if m == nil || m.info.State == node.StateFailed || m.refuses && l.tick%refusing != 0 {
		return
	}
	if m.asks.due(l.tick) {
		m.asks.begin(l.tick)
		mark := l.mark(name)
		question(l, timeout, func(ctx context.Context) (observe.Figures, error) {
			return l.hub.cluster.Figures(ctx, observe.FiguresQuery{Node: name, After: mark})
		}, func(f observe.Figures, took time.Duration, err error) {
			m.asks.under = false
			l.takeFigures(time.Now(), name, mark, f, took, err)
			l.askMember(name)
		})
	}
	if m.asksHot.due(l.tick) && (l.choices[Choice{Hot: true}] || l.choices[Choice{Node: name, Hot: true}]) {
		m.asksHot.begin(l.tick)
		question(l, timeout, func(ctx context.Context) (observe.Hot, error) {
			return l.hub.cluster.Hottest(ctx, observe.HotQuery{Node: name})
		}, func(h observe.Hot, _ time.Duration, err error) {
			m.asksHot.under = false
			l.takeHot(time.Now(), name, h, err)
			l.askMember(name)
		})
	}
}

// question asks something in a goroutine of its own, and has the loop take the answer.
func question[T any](l *loop, limit time.Duration, ask func(context.Context) (T, error), take func(T, time.Duration, error)) {
	l.under++
	l.asking.Go(func() {
		ctx, cancel := context.WithTimeout(l.ctx, limit)
		defer cancel()
		began := time.Now()
		answer, err := ask(ctx)
		took := time.Since(began)
		select {
		case l.answers <- func() { take(answer, took, err) }:
		case <-l.ctx.Done():
		}
	})
}

// wanted returns the choices of pages, and the nodes in them.
func (l *loop) wanted() (choices map[Choice]bool, nodes []string) {
	l.hub.mu.Lock()
	defer l.hub.mu.Unlock()
	choices = make(map[Choice]bool, len(l.hub.choices))
	for c := range l.hub.choices {
		choices[c] = true
	}
	return choices, l.hub.chosenLocked()
}

// tell makes a round. It is a whole one, or has what is missing for pages that have come
// since the latest one.
func (l *loop) tell(now time.Time, whole bool) {
	choices, nodes := l.wanted()
	l.choose(now, nodes)
	r := &round{next: make(chan struct{}), states: make(map[Choice]*message, len(choices))}
	if whole {
		l.steps(now)
		c := l.common(now)
		l.hub.mu.Lock()
		c.Run, c.Pages = l.hub.run, l.hub.pages
		l.hub.mu.Unlock()
		c.Attention = l.notices(now)
		r.common, r.shared, r.problem = &c, marshal(c), l.problem
	} else {
		r.common, r.shared, r.problem = l.round.common, l.round.shared, l.round.problem
	}
	for c := range choices {
		if m := l.round.states[c]; m != nil && !whole {
			r.states[c] = m
			continue
		}
		r.states[c] = &message{data: join(r.shared, marshal(l.state(now, c)))}
	}
	r.tracks = l.pasts(now)
	before := l.round
	l.round = r
	l.hub.mu.Lock()
	l.hub.latest = r
	l.hub.mu.Unlock()
	close(before.next)
}

// steps adds the steps that are complete to the tracks.
func (l *loop) steps(now time.Time) {
	l.tracks = maps.Clone(l.tracks) // a round has the other one
	for _, slot := range l.advance(now) {
		if slot < l.last-keptSteps {
			continue
		}
		for name, t := range l.tracks {
			p, ok := l.pastOf(now, name)
			if !ok {
				continue
			}
			m := message{slot, marshal(p.message(slot, 1, l.endOf(slot), l.own))}
			t.steps = append(t.steps[max(0, len(t.steps)-keptSteps+1):len(t.steps):len(t.steps)], m)
			l.tracks[name] = t
		}
	}
}

// pasts returns the tracks of what pages show, with the pasts for which pages wait.
func (l *loop) pasts(now time.Time) map[string]track {
	l.hub.mu.Lock()
	wanted, fresh := make(map[string]bool), make(map[string]bool)
	for c := range l.hub.choices {
		wanted[c.Node] = true
	}
	for name := range l.hub.fresh {
		fresh[name] = true
	}
	l.hub.mu.Unlock()
	tracks := make(map[string]track, len(wanted))
	for name := range wanted {
		t := l.tracks[name]
		p, ok := l.pastOf(now, name)
		switch {
		case !fresh[name] || !ok:
			t.past = nil
		case t.past == nil || t.past.seq != l.last:
			t.past = &message{l.last, marshal(p.message(l.last, slots, l.endOf(l.last), l.own))}
		}
		tracks[name] = t
	}
	l.tracks = tracks
	return tracks
}
