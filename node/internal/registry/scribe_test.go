package registry

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// A diary notes what becomes of the servers of a test.
type diary struct {
	mu    sync.Mutex
	lines []string // guarded by mu
}

func (d *diary) note(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines = append(d.lines, fmt.Sprintf(format, args...))
}

// take returns what was noted since it was last called.
func (d *diary) take() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	text := strings.Join(d.lines, "; ")
	d.lines = nil
	return text
}

// A scribe is a server that appends its messages to what it holds. Some have it do
// something else.
type scribe struct {
	diary *diary
	id    worker.ID
	held  string
}

func (d *diary) start(_ context.Context, id worker.ID) (*scribe, error) {
	d.note("start %s", id)
	if id.String() == "none" {
		return nil, errors.New("no such tenant")
	}
	return &scribe{diary: d, id: id}, nil
}

func (s *scribe) Call(ctx context.Context, message string) (string, error) {
	what, arg, _ := strings.Cut(message, " ")
	switch what {
	case "sleep":
		d, _ := time.ParseDuration(arg)
		select {
		case <-time.After(d):
		case <-ctx.Done():
			s.diary.note("%v", ctx.Err())
			return "", ctx.Err()
		}
	case "ignore":
		time.Sleep(time.Second)
		return "", nil
	case "fail":
		return "", errors.New("failed")
	case "panic":
		panic(arg)
	case "exit":
		runtime.Goexit()
	}
	s.held += message + "."
	return s.held, nil
}

func (s *scribe) Terminate(_ context.Context, why worker.EndReason) {
	s.diary.note("end %s %s", s.id, why)
}

// inSerialBubble is inBubble for a serial kind, whose servers are scribes.
func inSerialBubble(t *testing.T, kind worker.Serial, test func(t *testing.T, r *Registry, d *diary)) {
	t.Helper()
	d := &diary{}
	kind.Open = worker.Serve(d.start)
	inBubble(t, kind, func(t *testing.T, r *Registry) { test(t, r, d) })
}

// tell sends a message and checks the answer.
func tell(t *testing.T, r *Registry, id, message, want string) {
	t.Helper()
	reply, err := r.await(t.Context(), mustID(id), worker.BytesValue(message), r.Look())
	if err != nil || reply.Value.String() != want || reply.Node != "1@h" || reply.Cached {
		t.Errorf("call(%s, %q) = %+v, %v; want %q", id, message, reply, err, want)
	}
}

// tellFails sends a message that fails.
func tellFails(t *testing.T, r *Registry, id, message string, want error, outcome wire.Outcome) {
	t.Helper()
	reply, err := r.await(t.Context(), mustID(id), worker.BytesValue(message), r.Look())
	if !errors.Is(err, want) || outcomeOf(err) != worker.Outcome(outcome) {
		t.Errorf("call(%s, %q) = %+v, %v (%v); want %v (%v)", id, message, reply, err, outcomeOf(err), want, outcome)
	}
}

func mustID(s string) worker.ID {
	id, err := worker.ParseID(s)
	if err != nil {
		panic(err)
	}
	return id
}

func (d *diary) expect(t *testing.T, want string) {
	t.Helper()
	synctest.Wait()
	if got := d.take(); got != want {
		t.Errorf("noted %q, want %q", got, want)
	}
}
