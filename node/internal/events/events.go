// Package events keeps what happened on a node lately.
//
// The path of an event: something in the node logs a line, at [Level] or above; the handler
// that [Ring.Tee] put in front of the log makes an [observe.Event] of it; the ring keeps it
// until newer ones take its place; [Ring.Since] gives pages of them. So nothing that the
// log tells is missing from the events, and what happens too often for the log is logged
// at Level, which no handler but that of a debug log writes.
package events

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/distproc/distproc/node/observe"
	"github.com/distproc/distproc/wire/text"
)

// Level is that of lines which are events, but nothing for a log at level info.
const Level = slog.LevelInfo - 1

const (
	maxBytes = 2 << 20
	overhead = 160 // bytes of an event besides its texts
	maxName  = 100 // bytes of a name
	maxText  = 300 // bytes of a text
)

// A Ring keeps the newest events: at most [observe.MaxEvents], and 2 MiB of them. All
// methods may be called from any number of goroutines.
type Ring struct {
	run uint64

	mu    sync.Mutex
	list  []observe.Event // oldest first; guarded by mu
	bytes int             // of list; guarded by mu
	last  uint64          // guarded by mu
}

// New returns an empty ring.
func New() *Ring { return &Ring{run: uint64(time.Now().UnixNano())} }

// Run returns the number of the run of the node, which marks have.
func (r *Ring) Run() uint64 { return r.run }

// Add adds an event, and sets its Seq and, if it has none, its Time.
func (r *Ring) Add(e observe.Event) {
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	Clean(&e)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last++
	e.Seq = r.last
	r.list = append(r.list, e)
	r.bytes += size(&e)
	old := 0
	for len(r.list)-old > observe.MaxEvents || r.bytes > maxBytes {
		r.bytes -= size(&r.list[old])
		r.list[old] = observe.Event{} // frees its texts
		old++
	}
	r.list = r.list[old:] // append copies what is left now and then
}

func size(e *observe.Event) int {
	return overhead + len(e.What) + len(e.Node) + len(e.Kind) + len(e.Why) + len(e.More)
}

// Clean makes the texts of an event, which may come from anywhere, short and printable.
func Clean(e *observe.Event) {
	for _, s := range []*string{&e.Level, &e.Node, &e.Kind} {
		*s = text.Line(*s, maxName)
	}
	for _, s := range []*string{&e.What, &e.Why, &e.More} {
		*s = text.Line(*s, maxText)
	}
}

// Since returns up to limit events, as [observe.EventQuery] says.
func (r *Ring) Since(after observe.Mark, limit int) (page observe.Events) {
	if limit < 1 || limit > observe.MaxPage {
		limit = observe.MaxPage
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	page.Run, page.Last = r.run, r.last
	list := r.list
	switch {
	case after == observe.Mark{}:
		list = list[max(0, len(list)-limit):]
	case after.Run != r.run:
		page.Missed = r.last - uint64(len(list))
	default:
		first := r.last - uint64(len(list)) + 1 // Seq of list[0]
		seq := min(after.Seq, r.last)
		if seq+1 < first {
			page.Missed = first - seq - 1
		}
		list = list[max(seq+1, first)-first:]
	}
	page.List = slices.Clone(list[:min(len(list), limit)])
	return page
}

// Tee returns a handler that adds to the ring what it passes on, and what is at Level or
// above although the other handler does not want it.
func (r *Ring) Tee(to slog.Handler) slog.Handler { return &handler{ring: r, to: to} }

type handler struct {
	ring  *Ring
	to    slog.Handler
	attrs []slog.Attr
}

func (h *handler) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= Level || h.to.Enabled(ctx, level)
}

func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &handler{h.ring, h.to.WithAttrs(attrs), slices.Concat(h.attrs, attrs)}
}

func (h *handler) WithGroup(name string) slog.Handler {
	return &handler{h.ring, h.to.WithGroup(name), h.attrs}
}

func (h *handler) Handle(ctx context.Context, rec slog.Record) error {
	if rec.Level >= Level {
		h.ring.Add(eventOf(rec, h.attrs))
	}
	if h.to.Enabled(ctx, rec.Level) {
		return h.to.Handle(ctx, rec)
	}
	return nil
}

// eventOf makes an event of a line of the log.
func eventOf(rec slog.Record, attrs []slog.Attr) observe.Event {
	e := observe.Event{Time: rec.Time, Level: levelOf(rec.Level), What: rec.Message}
	var more strings.Builder
	add := func(a slog.Attr) bool {
		if more.Len() > maxText {
			return false // it is cut anyway
		}
		value := a.Value.Resolve().String()
		switch a.Key {
		case "node":
			e.Node = value
		case "kind":
			e.Kind = value
		case "why", "err", "panic":
			e.Why = cmp.Or(e.Why, value)
		case "stack": // of many lines, and for the log
		default:
			if more.Len() > 0 {
				more.WriteByte(' ')
			}
			more.WriteString(a.Key + "=" + value[:min(len(value), maxText)])
		}
		return true
	}
	for _, a := range attrs {
		add(a)
	}
	rec.Attrs(add)
	e.More = more.String()
	return e
}

func levelOf(l slog.Level) string {
	switch {
	case l >= slog.LevelError:
		return "error"
	case l >= slog.LevelWarn:
		return "warn"
	}
	return "info"
}
