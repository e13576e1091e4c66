package registry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/distproc/distproc/node/boundedlog"
	"github.com/distproc/distproc/node/internal/clock"
	"github.com/distproc/distproc/node/internal/testlog"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// TestPanicIsLogged has sources and servers end otherwise than they should: each has a
// line with its stack.
func TestPanicIsLogged(t *testing.T) {
	t.Parallel()
	var text testlog.Buffer
	log, flush := boundedlog.New(slog.New(slog.NewTextHandler(&text, nil)))
	divide := func(context.Context, worker.ID) (worker.Value, error) { panic("division by tenant") }
	leave := func(context.Context, worker.ID) (worker.Value, error) { runtime.Goexit(); return worker.Value{}, nil }
	for name, kind := range map[string]worker.Kind{
		"panics": worker.Cache{Load: divide},
		"inline": worker.Cache{Load: divide, Inline: true},
		"leaves": worker.Cache{Load: leave},
		"factory": worker.Serial{Open: func(ctx context.Context, id worker.ID) (worker.Server, error) {
			_, err := divide(ctx, id)
			return nil, err
		}},
		"server": worker.Serial{Open: func(context.Context, worker.ID) (worker.Server, error) { return panickingServer{}, nil }},
	} {
		r := New(Config{Name: name, Kind: kind, Node: "1@a", Host: &fakeHost{}, Clock: clock.NewProcess(&fakeHost{}), Admission: &Admission{size: 10}, Values: new(Values), Logger: log})
		if _, err := r.await(t.Context(), worker.IntID(7), worker.Value{}, r.Look()); !errors.Is(err, wire.Panicked) {
			t.Errorf("%s: %v", name, err)
		}
		r.Close(t.Context())
		flush()
		line := ""
		for l := range strings.Lines(text.String()) {
			if strings.Contains(l, `level=ERROR msg="worker panicked" kind=`+name+` id=7 panic=`) {
				line = l
			}
		}
		if !strings.Contains(line, "source_test.go:") {
			t.Errorf("%s: the line is %q of\n%s", name, line, &text)
		}
	}
}

type panickingServer struct{}

func (panickingServer) Call(context.Context, worker.Value) (worker.Value, error) { panic("a message") }

func TestErrorsAndPanics(t *testing.T) {
	t.Parallel()
	fail := errors.New("no such tenant")
	source := func(_ context.Context, id worker.ID) (worker.Value, error) {
		switch id.String() {
		case "1":
			return worker.Value{}, fail
		case "2":
			panic("division by tenant")
		case "3":
			runtime.Goexit()
		case "4":
			return worker.BytesValue(strings.Repeat("x", wire.MaxValue+1)), nil
		}
		return worker.IntValue(1), nil
	}
	inBubble(t, worker.Cache{Load: source}, func(t *testing.T, r *Registry) {
		for id, want := range map[int64]struct {
			err  error
			text string
		}{1: {wire.SourceFailed, "no such tenant"}, 2: {wire.Panicked, "division by tenant"}, 3: {wire.Panicked, "goroutine"}, 4: {wire.SourceFailed, "limit"}} {
			_, err := r.request(t.Context(), worker.IntID(id))
			if !errors.Is(err, want.err) || !strings.Contains(err.Error(), want.text) || outcomeOf(err) != worker.OutcomeRan {
				t.Errorf("request(%d) = %v, outcome %v; want %v: %s", id, err, outcomeOf(err), want.err, want.text)
			}
		}
		if n := r.live(); n != 0 {
			t.Errorf("%d workers live after errors, want none", n)
		}
		expect(t, r, 5, "1", false)
	})
}

// TestFailureOutcome checks what the callers of a source that fails learn, at its
// deadline and before.
func TestFailureOutcome(t *testing.T) {
	t.Parallel()
	cause := errors.New("refused")
	over, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	for name, c := range map[string]struct {
		ctx  context.Context
		err  error
		want wire.Error
	}{
		"plain":                  {t.Context(), cause, wire.Error{Code: wire.SourceFailed, Outcome: wire.Ran, Text: "refused"}},
		"not begun":              {t.Context(), worker.NotRun(cause), wire.Error{Code: wire.SourceFailed, Outcome: wire.NotRun, Text: "refused"}},
		"may have run":           {t.Context(), worker.MayHaveRun(cause), wire.Error{Code: wire.SourceFailed, Outcome: wire.Unknown, Text: "refused"}},
		"wrapped":                {t.Context(), fmt.Errorf("x: %w", worker.NotRun(cause)), wire.Error{Code: wire.SourceFailed, Outcome: wire.NotRun, Text: "x: refused"}},
		"too long":               {over, cause, wire.Error{Code: wire.DeadlineExceeded, Outcome: wire.Ran, Text: "the source took too long: refused"}},
		"too long, may have run": {over, worker.MayHaveRun(cause), wire.Error{Code: wire.DeadlineExceeded, Outcome: wire.Unknown, Text: "the source took too long: refused"}},
		"too long, not begun":    {over, worker.NotRun(cause), wire.Error{Code: wire.DeadlineExceeded, Outcome: wire.NotRun, Text: "the source did not begin in time: refused"}},
		"killed":                 {over, fmt.Errorf("sh: killed: %w: oh no", context.DeadlineExceeded), wire.Error{Code: wire.DeadlineExceeded, Outcome: wire.Ran, Text: "the source took too long: oh no"}},
		"message":                {over, fmt.Errorf("%w: %w", worker.ErrMessage, cause), wire.Error{Code: wire.BadRequest, Outcome: wire.NotRun, Text: "the message: refused"}},
	} {
		if got := failureOf(c.ctx, c.err); !reflect.DeepEqual(*got, c.want) {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
	if !errors.Is(worker.NotRun(cause), cause) || !errors.Is(worker.MayHaveRun(cause), cause) {
		t.Error("the marks hide their causes")
	}
}

// TestOutcomes has those of package worker and of the wire be the same numbers and names.
func TestOutcomes(t *testing.T) {
	t.Parallel()
	for o, on := range map[worker.Outcome]wire.Outcome{
		worker.OutcomeUnknown: wire.Unknown, worker.OutcomeNotRun: wire.NotRun, worker.OutcomeRan: wire.Ran,
	} {
		if wire.Outcome(o) != on || o.String() != on.String() {
			t.Errorf("%d (%s) is %d (%s) on the wire", o, o, on, on)
		}
	}
}

// TestErrorPanics has the method of a source's error panic: only its call fails.
func TestErrorPanics(t *testing.T) {
	t.Parallel()
	inBubble(t, worker.Cache{Load: func(context.Context, worker.ID) (worker.Value, error) { return worker.Value{}, badError{} }}, func(t *testing.T, r *Registry) {
		if _, err := r.request(t.Context(), worker.IntID(7)); !errors.Is(err, wire.Panicked) {
			t.Errorf("the error is %v, want %v", err, wire.Panicked)
		}
	})
}

type badError struct{}

func (badError) Error() string { panic("no text") }
