package gateway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/distproc/distproc/node/observe"
	"github.com/distproc/distproc/node/placement"
	"github.com/distproc/distproc/wire/text"
)

const (
	maxStreams = 64               // of events at a time; each has a connection for as long as its client likes
	heartbeat  = 15 * time.Second // between two signs of life of a stream
	streamType = "text/event-stream"
)

// A jsonEvent is an [observe.Event].
type jsonEvent struct {
	Mark  string    `json:"mark"` // resumes after it
	Time  time.Time `json:"time"`
	Level string    `json:"level"`
	Event string    `json:"event"`
	Node  string    `json:"node,omitempty"`
	Kind  string    `json:"kind,omitempty"`
	Why   string    `json:"why,omitempty"`
	More  string    `json:"more,omitempty"`
}

func eventOf(e observe.Event, run uint64) jsonEvent {
	return jsonEvent{
		observe.Mark{Run: run, Seq: e.Seq}.String(), e.Time.UTC(), e.Level, clip(e.What), clip(e.Node), clip(e.Kind), clip(e.Why), clip(e.More),
	}
}

// An eventsQuery is what a request for events asks for.
type eventsQuery struct {
	node  string
	after observe.Mark // zero: none is given
	from  time.Time    // zero: since is not given
	limit int          // 0: not given
}

func (x *exchange) eventsQuery() (q eventsQuery, err error) {
	if x.query.Has("limit") {
		if q.limit, err = x.limit(); err != nil {
			return q, err
		}
	}
	if q.node = x.query.Get("node"); q.node != "" {
		if _, err := placement.ParseName(q.node); err != nil {
			return q, badRequest("node: %v", err)
		}
	}
	// A browser that comes back sends the last id, and the address that it began with.
	if mark := cmp.Or(x.r.Header.Get("Last-Event-ID"), x.query.Get("after")); mark != "" {
		if q.after, err = observe.ParseMark(mark); err != nil || q.after == (observe.Mark{}) {
			return q, badRequest("after, or Last-Event-ID: %s is no mark; take that of an earlier answer", text.Quote(mark))
		}
	}
	if s := x.query.Get("since"); s != "" {
		d, err := time.ParseDuration(s)
		if err != nil || d <= 0 {
			return q, badRequest("since %s: say how old an event may be, such as 10m", text.Quote(s))
		}
		q.from = time.Now().Add(-d)
	}
	return q, nil
}

// events answers with a page of events, or with a stream of them if that is what the caller
// accepts.
func (g *Gateway) events(ctx context.Context, x *exchange) error {
	q, err := x.eventsQuery()
	if err != nil {
		return err
	}
	if accepts(x.r, streamType) {
		return g.stream(x, q)
	}
	page, err := g.page(ctx, q)
	if err != nil {
		return err
	}
	list := make([]jsonEvent, 0, len(page.List))
	for _, e := range page.List {
		list = append(list, eventOf(e, page.Run))
	}
	return x.json(struct {
		Node   string      `json:"node"`
		Events []jsonEvent `json:"events"`
		Missed uint64      `json:"missed"`
		Next   string      `json:"next"`
	}{page.Node, list, page.Missed, page.Next().String()})
}

// accepts reports whether a request names a media type among those that it accepts.
func accepts(r *http.Request, mediaType string) bool {
	for _, list := range r.Header["Accept"] {
		for part := range strings.SplitSeq(list, ",") {
			if t, _, err := mime.ParseMediaType(part); err == nil && t == mediaType {
				return true
			}
		}
	}
	return false
}

// page returns the oldest events after a mark, whatever their age. Without a mark it
// returns the newest ones that are not too old.
func (g *Gateway) page(ctx context.Context, q eventsQuery) (page observe.Events, err error) {
	limit := cmp.Or(q.limit, defaultLimit)
	if q.after != (observe.Mark{}) || q.from.IsZero() {
		return g.config.Cluster.Events(ctx, observe.EventQuery{Node: q.node, After: q.after, Max: limit})
	}
	var list []observe.Event
	after := observe.Mark{Run: 1} // of another run: from the first event
	for asked := 0; asked <= observe.MaxEvents/observe.MaxPage; asked++ {
		if page, err = g.config.Cluster.Events(ctx, observe.EventQuery{Node: q.node, After: after}); err != nil {
			return page, err
		}
		after = page.Next()
		list = append(list, newer(page.List, q.from)...)
		list = list[max(0, len(list)-limit):]
		if len(page.List) == 0 || after.Seq >= page.Last {
			break
		}
	}
	page.List, page.Last, page.Missed = list, after.Seq, 0
	return page, nil
}

// newer returns the events of a list, the oldest first, that are not older than a time.
func newer(list []observe.Event, from time.Time) []observe.Event {
	for len(list) > 0 && list[0].Time.Before(from) {
		list = list[1:]
	}
	return list
}

// stream answers with events as they happen, as Server-Sent Events: first the page that
// the caller asks for, if any. It ends when the caller goes away or the gateway drains.
// It keeps nothing for a caller that does not read: a write that takes too long ends the
// stream. The caller that resumes it is told how many events the node has dropped since.
func (g *Gateway) stream(x *exchange, q eventsQuery) error {
	if !g.streams.TryAcquire(1) {
		return overloadedProblem("there are %d streams of events already", maxStreams)
	}
	defer g.streams.Release(1)
	ctx, done := g.streamContext(x)
	defer done()
	first, err := g.firstPage(ctx, q, x.timeout)
	if err != nil {
		return err
	}
	s := newSSE(x)
	s.run = first.Run
	s.begin()
	if x.r.Method == http.MethodHead {
		return nil
	}
	s.tell(observe.News{List: first.List, Missed: first.Missed, Restarted: q.after.Run != 0 && q.after.Run != first.Run})
	f := &observe.Follower{Ask: g.config.Cluster.Events, Node: first.Node, After: first.Next()}
	for s.err == nil && ctx.Err() == nil {
		beat, stop := context.WithTimeout(ctx, heartbeat)
		news, err := f.Next(beat)
		stop()
		switch {
		case err == nil:
			s.run = f.After.Run
			s.tell(news)
		case ctx.Err() == nil:
			s.line(": alive\n\n")
		}
	}
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, errClosing):
		s.line(": the gateway closes\n\n")
		return nil
	case errors.Is(cause, errSessionOver):
		s.gone(cause)
		return nil
	}
	panic(http.ErrAbortHandler) // the caller has gone, or does not read
}

// streamContext returns the context of a stream, and a function to be called when the
// stream has ended. It ends with errClosing if the gateway drains, and with errSessionOver
// if the session of the stream is over.
func (g *Gateway) streamContext(x *exchange) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(x.r.Context())
	stop := context.AfterFunc(g.draining, func() { cancel(errClosing) })
	release := func() {}
	if x.session != nil {
		ctx, release = g.sessions.stream(ctx, x.session)
	}
	return ctx, func() {
		release()
		stop()
		cancel(nil)
	}
}

// firstPage returns where a stream begins. Without another wish that is now.
func (g *Gateway) firstPage(ctx context.Context, q eventsQuery, timeout time.Duration) (page observe.Events, err error) {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(timeout, firstPageTimeout))
	defer cancel()
	if q.after == (observe.Mark{}) && q.from.IsZero() && q.limit == 0 {
		page, err = g.page(ctx, eventsQuery{node: q.node, limit: 1})
		page.List = nil
		return page, err
	}
	return g.page(ctx, q)
}

const firstPageTimeout = 5 * time.Second

// An sse writes Server-Sent Events. After an error it writes nothing.
type sse struct {
	x   *exchange
	out *http.ResponseController
	run uint64 // of the events
	err error
}

func newSSE(x *exchange) *sse { return &sse{x: x, out: http.NewResponseController(x.ResponseWriter)} }

// begin begins the answer, if it has not begun.
func (s *sse) begin() {
	if s.x.status != 0 {
		return
	}
	s.x.set("Content-Type", streamType)
	s.x.set("X-Accel-Buffering", "no") // of nginx
	s.x.WriteHeader(http.StatusOK)
	if s.x.r.Method != http.MethodHead {
		s.line("retry: 1000\n\n")
	}
}

// tell writes news. What is no event of the node has a type of its own and no id.
func (s *sse) tell(news observe.News) {
	if news.Trouble != nil {
		s.event("trouble", "", map[string]any{"detail": clip(news.Trouble.Error())})
	}
	if news.Missed > 0 || news.Restarted {
		s.event("missed", "", map[string]any{"missed": news.Missed, "restarted": news.Restarted})
	}
	for _, e := range news.List {
		j := eventOf(e, s.run)
		s.event("", j.Mark, j)
	}
	s.flush()
}

func (s *sse) event(kind, id string, v any) {
	data, err := marshal(v)
	if err != nil { // never: v has only strings, numbers and times
		return
	}
	if kind != "" {
		s.write("event: " + kind + "\n")
	}
	if id != "" {
		s.write("id: " + id + "\n")
	}
	s.write(fmt.Sprintf("data: %s\n", data)) // which ends with a line feed, so that an empty line follows
}

func (s *sse) line(text string) {
	s.write(text)
	s.flush()
}

func (s *sse) write(text string) { s.writeBytes([]byte(text)) }

func (s *sse) writeBytes(b []byte) {
	if s.err == nil {
		_, s.err = s.x.Write(b)
	}
}

func (s *sse) flush() {
	if s.err == nil {
		s.err = s.out.Flush()
	}
}
