package repl

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.starlark.net/starlark"

	"github.com/distproc/distproc/node/observe"
	"github.com/distproc/distproc/wire/text"
)

const (
	maxTrace = time.Minute
	maxLines = 1000 // of a trace
)

func (sh *Shell) trace(r *request) (starlark.Value, error) {
	var v starlark.Value
	var kind string
	var limit starlark.Value = starlark.MakeInt(int(maxTrace / time.Second))
	if err := r.unpack("id", &v, "kind?", &kind, "seconds?", &limit); err != nil {
		return nil, err
	}
	q := observe.TraceQuery{}
	q.Kind = kind
	var err error
	if q.ID, err = r.toID(v); err != nil {
		return nil, err
	}
	d, err := toDuration(limit)
	if err == nil && d > maxTrace {
		err = fmt.Errorf("%s; it takes at most %s", limit, maxTrace)
	}
	if err != nil {
		return nil, fmt.Errorf("trace: seconds are %w", err)
	}
	ctx, cancel := context.WithTimeout(r.ctx, d)
	defer cancel()
	tr := &tracer{Shell: sh, query: q}
	err = sh.untilKey(ctx, tr.run)
	if r.ctx.Err() != nil {
		return nil, r.ctx.Err()
	}
	if err != nil {
		return nil, &requestError{what: "trace(" + quoteID(q.ID) + ")", err: err}
	}
	sh.println(sh.style.odd("(" + counted(tr.shown, "request or call", "requests and calls") + tr.missing() + ")"))
	return starlark.None, nil
}

// A tracer shows the steps of an id.
type tracer struct {
	*Shell
	query  observe.TraceQuery
	node   string // that acts for the id
	shown  int
	missed uint64
	wrong  string // why the node could not be asked last time; empty if it was
}

const pollEvery = 250 * time.Millisecond

// run shows steps until ctx ends, or there are too many. It fails if the trace cannot begin.
func (t *tracer) run(ctx context.Context) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		short, cancel := context.WithTimeout(ctx, time.Second)
		page, err := t.cluster.Trace(short, t.query)
		cancel()
		switch {
		case ctx.Err() != nil && err != nil:
			return nil
		case err != nil && t.node == "":
			return err
		case err != nil:
			t.fails(err)
		default:
			t.show(&page)
		}
		if t.shown == maxLines {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// fails says once that the node cannot be asked.
func (t *tracer) fails(err error) {
	if why := printable(err.Error()); why != t.wrong {
		t.wrong = why
		t.line(t.style.bad, "(it cannot be asked, and is asked again: "+why+")")
	}
}

func (t *tracer) show(page *observe.Steps) {
	if page.Node != t.node {
		what := "(%s acts for %s; a key or Ctrl-C ends it)"
		if t.node != "" {
			what = "(%s acts for %s now)"
		}
		t.line(t.style.odd, fmt.Sprintf(what, page.Node, quoteID(t.query.ID)))
		t.node = page.Node
	} else if t.wrong != "" {
		t.line(t.style.odd, "(it answers again)")
	}
	t.wrong = ""
	if page.Missed > 0 {
		t.missed += page.Missed
		t.line(t.style.odd, fmt.Sprintf("(%d are left out: they came faster than they are asked for)", page.Missed))
	}
	for i, s := range page.List {
		if t.shown == maxLines {
			t.missed += uint64(len(page.List) - i)
			break
		}
		t.shown++
		paint := plain
		if s.Err != "" {
			paint = t.style.bad
		} else if s.Degraded {
			paint = t.style.odd
		}
		t.line(paint, stepLine(s))
	}
	t.query.After = page.Next()
}

// line shows a line of the trace, as long as the terminal is wide.
func (t *tracer) line(paint func(string) string, s string) {
	if cols := t.cols(); cols > 0 {
		s = text.Fit(s, cols)
	}
	t.println(paint(s))
}

// missing says how many steps were not shown.
func (t *tracer) missing() string {
	s := ""
	if t.missed > 0 {
		s = fmt.Sprintf(", %d left out", t.missed)
	}
	if t.shown == maxLines {
		s += fmt.Sprintf("; a trace has at most %d lines", maxLines)
	}
	return s
}

// stepLine returns 14:02:03.456  call     2@127.0.0.1      12ms  deposit 5 → 5.
func stepLine(s observe.Step) string {
	took := duration(s.Took).String()
	switch {
	case s.Stale:
		took = "stale"
	case s.Cached:
		took = "cached"
	}
	line := fmt.Sprintf("%s  %-7s  %s  %8s  ", s.Time.Local().Format("15:04:05.000"), s.What, s.From, took)
	if s.Message != "" {
		line += s.Message + " "
	}
	if s.Err != "" {
		return printable(line + "** " + s.Err)
	}
	line += "→ " + s.Value
	if s.Degraded {
		line += " (degraded, by " + s.By + ")"
	}
	return printable(line)
}

func (sh *Shell) rate(r *request) (starlark.Value, error) {
	var kind string
	var of starlark.Value
	if err := r.unpack("kind?", &kind, "node?", &of); err != nil {
		return nil, err
	}
	var name string
	var err error
	if of != nil && of != starlark.None {
		if name, err = r.toNode(of); err != nil {
			return nil, err
		}
	}
	ctx, cancel := sh.bounded(r.ctx)
	defer cancel()
	loads, err := sh.cluster.Loads(ctx, name)
	if err != nil {
		return nil, &requestError{what: "rate()", err: err}
	}
	sum, known := 0.0, kind == ""
	for _, l := range loads {
		if kind == "" || l.Kind == kind {
			sum, known = sum+l.Rate(), true
		}
	}
	if !known {
		return nil, errors.New("rate: no node has the kind " + text.Quote(kind))
	}
	return starlark.Float(sum), nil
}
