package registry

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"strings"
	"testing"

	"github.com/distproc/distproc/node/boundedlog"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// TestPanicIsLogged has sources and servers end otherwise than they should: each has a
// line with its stack.
func TestPanicIsLogged(t *testing.T) {
	var text safeBuffer
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
		r := New(Config{Name: name, Kind: kind, Node: "1@a", Host: &fakeHost{}, Admission: &Admission{size: 10}, Values: new(Values), Logger: log})
		if _, err := r.await(t.Context(), worker.IntID(7), worker.Value{}, r.Now()); !errors.Is(err, wire.Panicked) {
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
		if !strings.Contains(line, "log_test.go:") {
			t.Errorf("%s: the line is %q of\n%s", name, line, &text)
		}
	}
}

type panickingServer struct{}

func (panickingServer) Call(context.Context, worker.Value) (worker.Value, error) { panic("a message") }
