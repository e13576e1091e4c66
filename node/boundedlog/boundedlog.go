// Package boundedlog wraps a logger so that a slow or failing handler never delays its
// callers.
//
// The path of one line: [New] returns a logger that puts each line into a queue of at
// most 4,096 lines and 4 MiB. One goroutine, which runs while the queue is not empty,
// passes the lines in order to the handler of the caller's logger. If that handler
// blocks, the queue fills up and later lines are lost. If it fails or panics, its line is
// lost. The next line that can be written is preceded by the number of lines lost:
// level=WARN msg="log lines lost" count=1203.
//
// [Limit] and [Repeats] bound how many lines peers can cause.
package boundedlog

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"
)

const (
	maxLines     = 4096
	maxBytes     = 4 << 20
	lineBytes    = 512 // memory of a line besides its texts
	flushTimeout = time.Second
)

// New returns a logger whose methods never wait for l's handler, and a function that
// waits, for at most 1 s, until the handler has all lines. A line's values must not
// change after the call, except that a [slog.LogValuer] is asked before it returns.
//
// A nil l is silent. If the lines of l go through such a queue already, New returns l
// itself, and a function that does not wait.
func New(l *slog.Logger) (bounded *slog.Logger, flush func()) {
	if l == nil {
		l = slog.New(slog.DiscardHandler)
	}
	if _, ok := l.Handler().(*handler); ok {
		return l, func() {}
	}
	q := &queue{root: l.Handler()}
	return slog.New(&handler{q, q.root}), q.flush
}

// A handler puts lines into the queue. It has the attributes and groups of its logger.
type handler struct {
	queue *queue
	to    slog.Handler
}

func (h *handler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.to.Enabled(ctx, level)
}

func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &handler{h.queue, h.to.WithAttrs(attrs)}
}

func (h *handler) WithGroup(name string) slog.Handler { return &handler{h.queue, h.to.WithGroup(name)} }

// Handle queues the line. It does not wait.
func (h *handler) Handle(ctx context.Context, r slog.Record) error {
	resolved := slog.NewRecord(r.Time, r.Level, r.Message, r.PC)
	bytes := lineBytes + len(r.Message)
	r.Attrs(func(a slog.Attr) bool {
		a = resolve(a)
		bytes += size(a)
		resolved.AddAttrs(a)
		return true
	})
	h.queue.add(line{context.WithoutCancel(ctx), h.to, resolved, bytes})
	return nil
}

// resolve asks the LogValuers in a for their values.
func resolve(a slog.Attr) slog.Attr {
	a.Value = a.Value.Resolve()
	if a.Value.Kind() == slog.KindGroup {
		group := slices.Clone(a.Value.Group())
		for i := range group {
			group[i] = resolve(group[i])
		}
		a.Value = slog.GroupValue(group...)
	}
	return a
}

// size returns about how many bytes the texts of a take.
func size(a slog.Attr) int {
	n := len(a.Key)
	switch a.Value.Kind() {
	case slog.KindString:
		n += len(a.Value.String())
	case slog.KindGroup:
		for _, member := range a.Value.Group() {
			n += size(member)
		}
	case slog.KindAny:
		if err, ok := a.Value.Any().(error); ok {
			n += len(err.Error())
		}
	}
	return n
}

type line struct {
	ctx    context.Context // its values are for the handler
	to     slog.Handler
	record slog.Record
	bytes  int
}

// write passes the line to its handler. A panic of the handler becomes an error.
func (l *line) write() (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("the handler of the log panicked: %v", v)
		}
	}()
	return l.to.Handle(l.ctx, l.record)
}

// A queue holds the lines that a handler has yet to write.
type queue struct {
	root slog.Handler

	mu    sync.Mutex
	lines []line        // guarded by mu
	bytes int           // of lines; guarded by mu
	full  int           // lines lost since the queue was full; guarded by mu
	idle  chan struct{} // closed when the queue is empty; nil while it is; guarded by mu

	missing int // lines lost that the log does not mention yet; only run uses it
}

// add queues a line. Once a line is lost, all lines are until the queue is empty, so that
// the gap in the log is in one place.
func (q *queue) add(l line) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.full > 0 || len(q.lines) == maxLines || q.bytes+l.bytes > maxBytes {
		q.full++
	} else {
		q.lines = append(q.lines, l)
		q.bytes += l.bytes
	}
	if q.idle == nil {
		q.idle = make(chan struct{})
		go q.run(q.idle) // ends when the queue is empty; flush waits for it
	}
}

// run writes the queued lines until none is left.
func (q *queue) run(idle chan struct{}) {
	defer close(idle)
	for {
		l, ok := q.next()
		if !ok {
			return
		}
		if q.missing > 0 && q.tell() == nil {
			q.missing = 0
		}
		if l.to != nil && (q.missing > 0 || l.write() != nil) {
			q.missing++
		}
	}
}

// next returns the next line. It returns a line without a handler if all that is left to
// write is the number of lost lines.
func (q *queue) next() (l line, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case len(q.lines) > 0:
		l = q.lines[0]
		q.lines[0] = line{} // frees its memory
		q.lines, q.bytes = q.lines[1:], q.bytes-l.bytes
	case q.full > 0:
		q.missing, q.full = q.missing+q.full, 0
	default:
		q.lines, q.idle = nil, nil
		return line{}, false
	}
	return l, true
}

// tell writes how many lines were lost.
func (q *queue) tell() error {
	r := slog.NewRecord(time.Now(), slog.LevelWarn, "log lines lost", 0)
	r.AddAttrs(slog.Int("count", q.missing))
	return (&line{ctx: context.Background(), to: q.root, record: r}).write()
}

// flush waits for at most flushTimeout until the queue is empty.
func (q *queue) flush() {
	q.mu.Lock()
	idle := q.idle
	q.mu.Unlock()
	if idle == nil {
		return
	}
	select {
	case <-idle:
	case <-time.After(flushTimeout):
	}
}
