//go:build unix

package source

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

func TestExecCall(t *testing.T) {
	t.Parallel()
	most := strings.Repeat("\x00", wire.MaxValue)
	for _, c := range []struct {
		spec    string
		message worker.Value
		want    string
	}{
		{"exec:cat", worker.Value{}, ""},
		{"exec:cat", worker.BytesValue("hello"), "hello"},
		{"exec:cat", worker.BytesValue("two\nlines\n"), "two\nlines"},
		{"exec:cat", worker.BytesValue("$(touch x)\xff\x00\r"), "$(touch x)\xff\x00\r"},
		{"exec:cat", worker.BytesValue(most), most},
		{"exec:cat", worker.IntValue(-42), "-42"},
		{`exec:sh -c 'echo "$1 $(cat)"' sh {id}`, worker.BytesValue("{id}"), "a b {id}"},
		// A program need not read its input.
		{"exec:true", worker.BytesValue(most), ""},
		{"exec:echo done", worker.BytesValue("x"), "done"},
		{"exec:head -c 3", worker.BytesValue("abc" + most[3:]), "abc"},
		{"exec:sh -c 'exec <&-; echo done'", worker.BytesValue(most), "done"},
	} {
		v, err := call(t, c.spec, "a b", c.message)
		if err != nil || v.String() != c.want {
			t.Errorf("%s with a message of %d bytes: %.100q, %v, want %.100q", c.spec, len(c.message.String()), v, err, c.want)
		}
	}
	for spec, want := range map[string]string{
		"exec:sh -c 'echo no >&2; exit 3'":                 "sh: exit status 3: no",
		"exec:sh -c 'cat; cat >&2; kill -KILL $$'":         "sh: signal: killed",
		"exec:sh -c 'cat - /dev/zero'":                     "sh: killed: it printed more than the 1048576 bytes that a value may have",
		"exec:sh -c 'head -c 1048579 /dev/zero; sleep 60'": "sh: killed: it printed more than the 1048576 bytes that a value may have",
	} {
		if v, err := call(t, spec, "7", worker.BytesValue(most)); err == nil || err.Error() != want {
			t.Errorf("%s: %.100q, error %q, want %q", spec, v, err, want)
		}
	}
	if _, err := call(t, "exec:cat", "a\x00b", worker.BytesValue("x")); err == nil || !strings.Contains(err.Error(), "cat: not run: ") {
		t.Error("an id with a NUL byte:", err)
	}
	if _, err := call(t, "exec:cat", "7", worker.MediaValue("text/\x00", "x")); err == nil || !strings.Contains(err.Error(), "NUL") {
		t.Error("a media type with a NUL byte:", err)
	}
}

// Messages of one id and of others are runs of their own.
func TestExecCallsAgain(t *testing.T) {
	t.Parallel()
	factory := mustParseSerial(t, "exec:sh -c 'echo \"$1: $(cat)\"' sh {id}")
	for _, id := range []string{"7", "x", "7"} {
		server, err := factory(t.Context(), mustID(t, id))
		if err != nil {
			t.Fatal(err)
		}
		for _, message := range []string{"one", "two"} {
			if v, err := server.Call(t.Context(), worker.BytesValue(message)); err != nil || v.String() != id+": "+message {
				t.Errorf("%s to %s: %q, %v", message, id, v, err)
			}
		}
	}
}

func TestExecRunEnvironment(t *testing.T) {
	const trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	for _, name := range []string{"DISTPROC_COOKIE", "DISTPROC_ID", "DISTPROC_MEDIA_TYPE", "DISTPROC_RUN", "TRACEPARENT", "TRACESTATE", "BAGGAGE"} {
		t.Setenv(name, "stale-72")
	}
	t.Setenv("TRACEPARENTS", "kept")
	r, err := newProgram("env", testEnv)
	if err != nil {
		t.Fatal(err)
	}
	bare, typed, number := worker.BytesValue("x"), worker.MediaValue("application/json; a=b", "{}"), worker.IntValue(7)
	for _, c := range []struct {
		name, trace string
		message     *worker.Value
		want        []string // of those that are not always there
	}{
		{"value", "", nil, nil},
		{"value in a trace", trace, nil, []string{"TRACEPARENT=" + trace}},
		{"value in a trace with more", trace + " a=b c=d", nil, []string{"TRACEPARENT=" + trace, "TRACESTATE=a=b", "BAGGAGE=c=d"}},
		{"message", "", &bare, nil},
		{"number", "", &number, nil},
		{"message with a type", "", &typed, []string{"DISTPROC_MEDIA_TYPE=application/json; a=b"}},
		{"message in a trace", trace, &typed, []string{"DISTPROC_MEDIA_TYPE=application/json; a=b", "TRACEPARENT=" + trace}},
	} {
		parent, rest, _ := strings.Cut(c.trace, " ")
		state, baggage, _ := strings.Cut(rest, " ")
		v, err := r.run(worker.WithTraceContext(t.Context(), parent, state, baggage), mustID(t, "a b"), c.message)
		if err != nil {
			t.Fatal(c.name, err)
		}
		var got []string
		for line := range strings.Lines(v.String() + "\n") {
			if strings.HasPrefix(line, "DISTPROC_") || strings.HasPrefix(line, "TRACE") || strings.HasPrefix(line, "BAGGAGE") {
				got = append(got, strings.TrimSuffix(line, "\n"))
			}
		}
		want := append(c.want, "DISTPROC_ID=a b", "DISTPROC_KIND=price", "DISTPROC_NODE=2@127.0.0.1", "TRACEPARENTS=kept")
		want = append(want, markEnviron()...)
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", c.name, got, want)
		}
	}
}

// A message that is not read holds up neither the end of the context nor what the program
// says before.
func TestExecCallEnds(t *testing.T) {
	t.Parallel()
	l := newLifeline(t)
	server, err := mustParseSerial(t, l.in(`exec:sh -c 'exec 3>"$LIFELINE"; echo ready >&3; sleep 60'`))(t.Context(), mustID(t, "7"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() {
		_, err := server.Call(ctx, worker.BytesValue(strings.Repeat("x", wire.MaxValue)))
		done <- err
	}()
	if line, err := l.next(t); line != "ready" {
		t.Fatal(line, err)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) || err.Error() != "sh: killed: context canceled" {
		t.Error(err)
	}
	if line, err := l.next(t); err != io.EOF {
		t.Error(line, err)
	}
	if _, err := server.Call(ctx, worker.BytesValue("x")); err == nil || err.Error() != "sh: not started: context canceled" {
		t.Error(err)
	}
}

// A background process that holds the input, and does not read it, is killed like one that
// holds the output.
func TestExecCallEndKillsBackground(t *testing.T) {
	t.Parallel()
	l := newLifeline(t)
	_, err := call(t, l.in(`exec:sh -c 'exec 3>"$LIFELINE" 4<&0; sleep 60 <&4 >/dev/null 2>&1 & echo hi'`), "7",
		worker.BytesValue(strings.Repeat("x", wire.MaxValue)))
	if err == nil || !strings.Contains(err.Error(), "left a process in the background that holds its input") {
		t.Error(err)
	}
	if line, err := l.next(t); err != io.EOF {
		t.Error(line, err)
	}
}
