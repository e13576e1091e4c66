package repl

import (
	"bufio"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// A program that writes a line into the pipe and waits gets its answer before it writes
// the next.
func TestPipeAnswersAtOnce(t *testing.T) {
	t.Parallel()
	in, toShell := io.Pipe()
	fromShell, out := io.Pipe()
	sh := New(Config{Cluster: &fakeCluster{}, In: in, Out: out})
	done := make(chan error, 1)
	go func() {
		done <- sh.Run(t.Context())
		out.Close()
	}()
	answers := make(chan string)
	go func() {
		defer close(answers)
		for lines := bufio.NewScanner(fromShell); lines.Scan(); {
			answers <- lines.Text()
		}
	}()
	for _, step := range []struct{ send, want string }{
		{"request(1)\n", "{200, 2@127.0.0.1}"},
		{"request(1).cached # a comment\n", "True"},
		{"for i in [7]:\n  print(i)\n\n", ""}, // more of it may follow
		{"6\n", "7\n6"},
		{"for i in [8]:\n  print(i)\nprint(9)\n", "8\n9"},
		{"if False:\n  print(1)\nelse:\n  # two\n  print(2)\n\n", ""},
		{"5\n", "2\n5"},
		{"print(3", ""},
		{")\n", "3"},
		{"x = [\n\n", ""},
		{"4]\nx\n", "[4]"},
	} {
		if _, err := io.WriteString(toShell, step.send); err != nil {
			t.Fatal(err)
		}
		for want := range strings.SplitSeq(step.want, "\n") {
			if want == "" {
				continue
			}
			select {
			case got := <-answers:
				if got != want {
					t.Fatalf("%q: %q, want %q", step.send, got, want)
				}
			case <-time.After(patience):
				t.Fatalf("%q: no answer", step.send)
			}
		}
	}
	toShell.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if line, ok := <-answers; ok {
		t.Errorf("more came: %q", line)
	}
}

// Run ends with its context though it waits for a line, and leaves nothing behind once
// the read ends.
func TestCancelWhileWaitingForALine(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	in, toShell := io.Pipe()
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("enough")
	done := make(chan error, 1)
	go func() { done <- New(Config{Cluster: &fakeCluster{}, In: in, Out: io.Discard}).Run(ctx) }()
	io.WriteString(toShell, "1\n") // returns when it has been read
	cancel(cause)
	if err := <-done; err != cause {
		t.Errorf("%v, want the cause", err)
	}
	toShell.Close()
}

// A context that ends is never taken for the end of the input.
func TestCancelIsNoEOF(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := newPlainReader(nil, "in")
	r.start.Do(func() {})
	r.read(ctx, bufio.NewReader(strings.NewReader("1\n"))) // nobody takes the line
	for range 100 {
		if _, err := r.readLine(ctx, "", ""); err != context.Canceled {
			t.Fatal(err)
		}
	}
}

func TestReadErrorEndsRun(t *testing.T) {
	t.Parallel()
	in := io.MultiReader(strings.NewReader("print(1)\n"), errorReader{})
	out, errs, err := runReader(t, in)
	if out != "1\n" || errs != "<stdin>: broken\n" || err != ExitStatus(1) {
		t.Errorf("%v, %q, %q", err, out, errs)
	}
}

type errorReader struct{}

func (errorReader) Read([]byte) (int, error) { return 0, errors.New("broken") }

func runReader(t *testing.T, in io.Reader) (string, string, error) {
	var out, errs strings.Builder
	err := New(Config{Cluster: &fakeCluster{}, In: in, Out: &out, Err: &errs}).Run(t.Context())
	return out.String(), errs.String(), err
}
