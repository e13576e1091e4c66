package repl

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	startime "go.starlark.net/lib/time"
	"go.starlark.net/starlark"

	"github.com/distproc/distproc/node/observe"
	"github.com/distproc/distproc/wire/text"
)

var eventFields = []string{"time", "event", "about"}

// An eventFilter is what the user of events asks for.
type eventFilter struct {
	node string // empty: the node that is asked
	from time.Time
	has  string
	last int // events at most; -1: all
}

// events returns what happened on a node, or shows it as it happens.
func (sh *Shell) events(r *request) (starlark.Value, error) {
	var of, since starlark.Value
	var follow bool
	f := eventFilter{last: -1}
	if err := r.unpack("node?", &of, "since?", &since, "text?", &f.has, "last?", &f.last, "follow?", &follow); err != nil {
		return nil, err
	}
	if f.last < -1 {
		return nil, fmt.Errorf("events: last is %d; say how many events, from 0 up", f.last)
	}
	var err error
	if of != nil && of != starlark.None {
		if f.node, err = r.toNode(of); err != nil {
			return nil, err
		}
	}
	if since != nil && since != starlark.None {
		d, err := toDuration(since)
		if err != nil {
			return nil, fmt.Errorf("events: since is %w", err)
		}
		f.from = time.Now().Add(-d)
	}
	ctx, cancel := sh.bounded(r.ctx)
	defer cancel()
	list, page, err := sh.allEvents(ctx, f.node)
	if err != nil {
		return nil, &requestError{what: "events()", err: err}
	}
	t := &table{kind: "events", header: eventFields, none: "no events", latest: true}
	for _, e := range list {
		if row := eventRow(e); f.wants(e, row) {
			t.rows = append(t.rows, row)
		}
	}
	if f.last >= 0 {
		t.rows = t.rows[max(0, len(t.rows)-f.last):]
	}
	if !follow {
		return t, nil
	}
	w := &follower{Shell: sh, filter: f, events: observe.Follower{Ask: sh.cluster.Events, Node: page.Node, After: page.Next()}}
	for _, row := range t.rows {
		w.show(row)
	}
	err = sh.untilKey(r.ctx, w.run)
	if errors.Is(err, context.Canceled) {
		err = r.ctx.Err() // nil if a key has ended it
	}
	return starlark.None, err
}

// wants reports whether an event, which has that row, is asked for.
func (f *eventFilter) wants(e observe.Event, row *record) bool {
	about, _ := starlark.AsString(row.values[2])
	return !e.Time.Before(f.from) && strings.Contains(e.What+"  "+about, f.has)
}

// eventRow returns the row of an event.
func eventRow(e observe.Event) *record {
	about := strings.Join(slices.DeleteFunc([]string{e.Node, e.Kind, e.Why, e.More}, func(s string) bool { return s == "" }), ", ")
	return &record{kind: "event", fields: eventFields, values: starlark.Tuple{
		startime.Time(e.Time.Local()), starlark.String(e.What), orNone(about),
	}, more: eventRest(e)}
}

// allEvents returns all events that a node keeps, the oldest first, and the last page of
// them.
func (sh *Shell) allEvents(ctx context.Context, name string) (list []observe.Event, page observe.Events, err error) {
	q := observe.EventQuery{Node: name, After: observe.Mark{Run: 1}} // of another run: from the first one
	for len(list) < observe.MaxEvents {
		page, err = sh.cluster.Events(ctx, q)
		if err != nil {
			return nil, page, err
		}
		list = append(list, page.List...)
		if q.After = page.Next(); len(page.List) == 0 || q.After.Seq >= page.Last {
			break
		}
	}
	return list, page, nil
}

// eventRest has the attributes of an event that are not columns.
func eventRest(e observe.Event) *account {
	a := &account{kind: "event"}
	a.set("node", orNone(e.Node))
	a.set("kind", orNone(e.Kind))
	a.set("why", orNone(e.Why))
	a.set("more", orNone(e.More))
	a.set("seq", starlark.MakeUint64(e.Seq))
	a.set("level", starlark.String(e.Level))
	a.set("unix", starlark.Float(float64(e.Time.UnixMicro())/1e6))
	return a
}

// clockTime writes a time of this day without the day.
func clockTime(t, now time.Time) string {
	t = t.Local()
	if now = now.Local(); t.YearDay() == now.YearDay() && t.Year() == now.Year() {
		return t.Format(time.TimeOnly)
	}
	return t.Format("01-02 " + time.TimeOnly)
}

// A follower shows the events of a node as they happen.
type follower struct {
	*Shell
	filter eventFilter
	events observe.Follower
}

// run shows events until ctx ends, and returns its error.
func (w *follower) run(ctx context.Context) error {
	for {
		news, err := w.events.Next(ctx)
		if err != nil {
			return err
		}
		switch {
		case news.Trouble != nil:
			w.note("events cannot be asked for, and are asked for again", printable(news.Trouble.Error()), 0)
		case news.Restarted:
			w.note("the node has started anew; its last events before that may be missing", "", news.Missed)
		case news.Missed > 0:
			w.note("events missed", "they came faster than they were asked for", news.Missed)
		case news.Recovered:
			w.note("events can be asked for again", "", 0)
		}
		for _, e := range news.List {
			if row := eventRow(e); w.filter.wants(e, row) {
				w.show(row)
			}
		}
		if err := w.lostOutput(); err != nil {
			return err
		}
	}
}

// note shows what the follower says itself, as an event that has no number.
func (w *follower) note(what, why string, missed uint64) {
	e := observe.Event{Time: time.Now(), Level: "warn", What: what, Node: w.events.Node, Why: why}
	if missed > 0 {
		e.More = fmt.Sprintf("missed=%d", missed)
	}
	w.show(eventRow(e))
}

// eventColumns is how wide the column of what happened is at least, so that most rows
// that are shown one by one are below each other.
const eventColumns = 16

// show shows one event on a line: the row of a table, or JSON.
func (w *follower) show(row *record) {
	if w.format == FormatJSON {
		_ = w.emit(row) // it has only texts and numbers
		return
	}
	cells := row.cells(w.style)
	indent := len(cells[0]) + 2
	line := cells[0] + "  " + text.Pad(cells[1], eventColumns) + "  "
	if at := text.Width(line); w.cols() == 0 || w.cols()-at >= minCell {
		line += folded(cells[2], w.cols(), at, at, plain)
	} else { // there is room below only
		line = cells[0] + "  " + folded(cells[1]+"  "+cells[2], w.cols(), indent, indent, plain)
	}
	line = strings.TrimRight(line, " ")
	paint := plain
	if level, _ := row.Attr("level"); level != starlark.String("info") {
		paint = w.style.odd
	}
	w.println(paint(line))
}
