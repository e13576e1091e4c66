package page

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/distproc/distproc/node"
	"github.com/distproc/distproc/node/gateway/internal/report"
	"github.com/distproc/distproc/node/observe"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
	"github.com/distproc/distproc/wire/text"
)

const (
	shownSteps = 200         // of an id
	stepsFor   = time.Minute // for which a step is shown
	shownNames = 64          // members around the owner of an id
	maxStep    = 500         // bytes of a text of a step
)

// An idWatch asks about one id for all pages that show it. Its goroutine ends with the last
// of them.
type idWatch struct {
	hub      *Hub
	key      worker.Key
	cancel   context.CancelFunc
	watchers int // guarded by hub.mu

	// of its goroutine:
	steps  []arrivedStep // the newest last
	mark   observe.Mark  // after the last step
	since  time.Time     // when the trace began
	missed uint64

	mu     sync.Mutex
	latest *idRound // guarded by mu
}

// An idRound is what pages show of an id until the next one. It never changes.
type idRound struct {
	next chan struct{} // closed when there is another one
	data []byte        // nil before the first answer
}

// An arrivedStep is a step, and when it came: clocks of nodes differ.
type arrivedStep struct {
	stepMessage
	at time.Time
}

// An idMessage is the event id, besides the explanation of the id. If there is none, an
// unknownID takes its place.
type idMessage struct {
	Time         time.Time     `json:"time"`
	Strict       bool          `json:"strict"`
	Names        []nameState   `json:"names"` // members in the order of the ring, around the owner
	NamesFrom    int           `json:"names_from"`
	Steps        []stepMessage `json:"steps"`
	StepsSince   time.Time     `json:"steps_since"`
	StepsProblem string        `json:"steps_problem,omitempty"` // why there are no new ones
	Missed       uint64        `json:"missed"`
}

// An unknownID is an id that cannot be explained now.
type unknownID struct {
	report.ID
	Kind    string `json:"kind"`
	Problem string `json:"problem"`
}

type nameState struct {
	Name  string `json:"name"`
	State string `json:"state"`
}

// A stepMessage is an [observe.Step].
type stepMessage struct {
	Time     time.Time `json:"time"`
	What     string    `json:"what"`
	From     string    `json:"from"`
	Took     float64   `json:"took_ms"`
	By       string    `json:"by"`
	Cached   bool      `json:"cached"`
	Stale    bool      `json:"stale"`
	Degraded bool      `json:"degraded"`
	Message  string    `json:"message,omitempty"`
	Value    string    `json:"value,omitempty"`
	Err      string    `json:"err,omitempty"`
}

// WatchID sends what is known of one id, once a second, until ctx ends, send fails or the
// hub closes, and returns why. The node that acts for the id is asked to trace it, which it
// notes in its log. Pages that show the same id share the questions.
//
// If 32 ids are watched already, WatchID sends nothing, and returns an error that is
// [node.ErrOverloaded].
func (h *Hub) WatchID(ctx context.Context, k worker.Key, send Send) error {
	k.Kind = cmp.Or(k.Kind, worker.DefaultKind)
	w, err := h.enterID(k)
	if err != nil {
		return err
	}
	defer h.leaveID(w)
	for r := w.current(); ; r = w.current() {
		if r.data != nil {
			if err := send("id", r.data); err != nil {
				return err
			}
		}
		select {
		case <-r.next:
		case <-ctx.Done():
			return ctx.Err()
		case <-h.life.Done():
			return errClosed
		}
	}
}

func (w *idWatch) current() *idRound {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.latest
}

// enterID counts one who watches an id. The caller must call leaveID.
func (h *Hub) enterID(k worker.Key) (*idWatch, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	w := h.ids[k]
	if w == nil && len(h.ids) >= maxIDs {
		return nil, wire.Errorf(wire.Overloaded, wire.NotRun, "pages show %d ids already: close one of these", maxIDs)
	}
	if _, err := h.enterLocked(); err != nil { // for the names of the members
		return nil, err
	}
	if w == nil {
		ctx, cancel := context.WithCancel(h.life)
		w = &idWatch{hub: h, key: k, cancel: cancel, latest: &idRound{next: make(chan struct{})}}
		h.ids[k] = w
		h.running.Go(func() { w.run(ctx) })
	}
	w.watchers++
	return w, nil
}

func (h *Hub) leaveID(w *idWatch) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.leaveLocked()
	if w.watchers--; w.watchers == 0 {
		delete(h.ids, w.key)
		w.cancel()
	}
}

// run asks once a second.
func (w *idWatch) run(ctx context.Context) {
	defer w.cancel()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		data := w.look(ctx)
		w.mu.Lock()
		before := w.latest
		w.latest = &idRound{next: make(chan struct{}), data: data}
		w.mu.Unlock()
		close(before.next)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// look asks why the id is where it is, and what happened to it, at once.
func (w *idWatch) look(ctx context.Context) []byte {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var page observe.Steps
	var traceErr error
	var tracing sync.WaitGroup
	tracing.Go(func() {
		page, traceErr = w.hub.cluster.Trace(ctx, observe.TraceQuery{Key: w.key, After: w.mark})
	})
	e, err := w.hub.cluster.Family(w.key.Kind).Why(ctx, w.key.ID)
	tracing.Wait()
	now := time.Now()
	j := idMessage{Time: now.UTC().Truncate(time.Millisecond), Names: []nameState{}}
	var why any
	if err != nil {
		why = unknownID{report.IDOf(w.key.ID), w.key.Kind, problemOf(err)}
	} else {
		why, j.Strict = report.WhyOf(e), e.Custody != nil
		j.Names, j.NamesFrom = w.hub.around(e)
	}
	if traceErr != nil {
		j.StepsProblem = problemOf(traceErr)
	} else {
		w.take(now, page)
	}
	for len(w.steps) > 0 && (len(w.steps) > shownSteps || now.Sub(w.steps[0].at) > stepsFor) {
		w.steps = w.steps[1:]
	}
	j.Steps = make([]stepMessage, 0, len(w.steps))
	for _, s := range w.steps {
		j.Steps = append(j.Steps, s.stepMessage)
	}
	j.StepsSince, j.Missed = cmp.Or(w.since, now).UTC(), w.missed
	return join(marshal(why), marshal(j))
}

// take takes a page of a trace.
func (w *idWatch) take(now time.Time, page observe.Steps) {
	if w.since.IsZero() {
		w.since = now
	}
	w.mark = page.Next()
	w.missed += min(page.Missed, maxCount)
	list := page.List[max(0, len(page.List)-observe.MaxPage):]
	w.missed += uint64(max(0, len(list)-shownSteps))
	for _, s := range list[max(0, len(list)-shownSteps):] {
		w.steps = append(w.steps, arrivedStep{stepOf(s), now})
	}
}

func stepOf(s observe.Step) stepMessage {
	clip := func(s string) string { return text.Line(s, maxStep) }
	at := s.Time.UTC()
	if y := at.Year(); y < 0 || y > 9999 { // JSON has no such year
		at = time.Time{}
	}
	return stepMessage{
		Time: at, What: clip(s.What), From: clip(s.From), Took: millis(cleanDuration(s.Took)), By: clip(s.By),
		Cached: s.Cached, Stale: s.Stale, Degraded: s.Degraded, Message: clip(s.Message), Value: clip(s.Value), Err: clip(s.Err),
	}
}

// around returns the members around the owner of an id, and the index of the first of them.
func (h *Hub) around(e node.Explanation) (names []nameState, from int) {
	h.mu.Lock()
	r := h.latest
	h.mu.Unlock()
	names = []nameState{}
	if r == nil || r.common == nil {
		return names, 0
	}
	all := r.common.Members
	at := slices.IndexFunc(all, func(m Member) bool { return m.Name == e.Owner })
	from = max(0, min(at-shownNames/2, len(all)-shownNames))
	for _, m := range all[from:min(len(all), from+shownNames)] {
		names = append(names, nameState{m.Name, m.State})
	}
	return names, from
}
