package repl

import (
	"context"
	"io"
	"strings"
	"testing"
	"time"
)

// A prompting is a shell at a terminal without an editor.
type prompting struct {
	t   *testing.T
	sh  *Shell
	in  *io.PipeWriter
	out *io.PipeReader
	got string
}

func startPrompting(t *testing.T) (p *prompting, result <-chan error) {
	t.Helper()
	in, typed := io.Pipe()
	shown, out := io.Pipe()
	p = &prompting{t: t, in: typed, out: shown}
	sh := New(Config{Cluster: &fakeCluster{}, In: in, Out: out, Version: "devel"})
	p.sh = sh
	done := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { done <- sh.runPrompts(ctx); out.Close() }()
	t.Cleanup(func() { cancel(); typed.Close(); shown.Close() })
	return p, done
}

// await reads until the shell has written a text.
func (p *prompting) await(text string) {
	p.t.Helper()
	part := make([]byte, 1024)
	for !strings.Contains(p.got, text) {
		n, err := p.out.Read(part)
		if p.got += string(part[:n]); err != nil {
			p.t.Fatalf("%q never appeared: %v\n%s", text, err, p.got)
		}
	}
	_, p.got, _ = strings.Cut(p.got, text)
}

func (p *prompting) enter(line string) {
	p.t.Helper()
	if _, err := io.WriteString(p.in, line+"\n"); err != nil {
		p.t.Fatal(err)
	}
}

// TestPrompts has a terminal without an editor: the shell shows prompts, goes on after
// errors and after Ctrl-C, and takes blocks.
func TestPrompts(t *testing.T) {
	t.Parallel()
	p, result := startPrompting(t)
	p.await("h() lists the commands, exit() leaves\n")
	p.await("distproc(1@127.0.0.1)1> ")
	p.enter("6 * 7")
	p.await("42\ndistproc(1@127.0.0.1)2> ")
	p.enter("1 // 0")
	p.await("division by zero")
	p.await("distproc(1@127.0.0.1)2> ")
	p.enter("def f():")
	p.await("........(1@127.0.0.1)2> ")
	p.sh.interrupt() // which drops the block
	p.await("\ndistproc(1@127.0.0.1)2> ")
	p.enter("def f():\n  return 5\n")
	p.await("distproc(1@127.0.0.1)3> ")
	p.enter("f()")
	p.await("5\ndistproc(1@127.0.0.1)4> ")
	p.enter("sleep(1000)")
	for running := false; !running; time.Sleep(time.Millisecond) {
		p.sh.mu.Lock()
		running = p.sh.running != nil
		p.sh.mu.Unlock()
	}
	p.sh.interrupt()
	p.await("nterrupted")
	p.await("distproc(1@127.0.0.1)4> ")
	p.enter("exit(3)")
	go io.Copy(io.Discard, p.out)
	if err := <-result; err != ExitStatus(3) {
		t.Errorf("%v, want exit status 3", err)
	}
}

// TestPromptsTwoInterrupts leaves by Ctrl-C twice, as with an editor.
func TestPromptsTwoInterrupts(t *testing.T) {
	t.Parallel()
	p, result := startPrompting(t)
	p.await(")1> ")
	p.sh.interrupt()
	p.await("Ctrl-C again")
	p.await(")1> ")
	p.sh.interrupt()
	go io.Copy(io.Discard, p.out)
	if err := <-result; err != nil {
		t.Errorf("%v", err)
	}
}
