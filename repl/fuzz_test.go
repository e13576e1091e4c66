package repl

import (
	"context"
	"io"
	"strings"
	"testing"
	"time"
)

// FuzzEval runs what a user may type, as a pipe and as a file. It neither panics nor
// hangs.
func FuzzEval(f *testing.F) {
	for _, seed := range []string{
		"connect()\nrequest(1)  # one\n", "v, n = request('a')\nworkers()\n", "def f(n):\n  return f(n)\n\nf(1)\n",
		"while True: pass", "sleep(1000)", "exit(3)", "h(request)\nh('x')\nh", "x = (1,)\nfor i in range(100): x = (x, x)\n\nx",
		"'%s' % request(1)", "[\n'''\n#", "if 1:\n  2\nelse:\n  3\n4", "# c\n\n\\\n1", "request(-1 << 300)\n", "_ = _\n", "a\rb\x00\xff",
		"request([1, 'a'], via=node())\nv(-1)\ni", "time(lambda: 1)[0]\nevery(0.001, node, 2)\ntop", "load('x')\nload = 1", "why(1).rule\nconfigure(limit=1)\n[1, 2]",
		"call(1, {'a': [1.5, None]}, 'echo').json", "x = (1,)\nfor i in range(100): x = (x, x)\n\ncall([1], x, kind='echo')[0].json",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, input string) {
		for _, run := range []func(*Shell, context.Context) error{
			(*Shell).Run,
			func(sh *Shell, ctx context.Context) error { return sh.RunProgram(ctx, "-e", strings.NewReader(input)) },
		} {
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			sh := New(Config{Cluster: &fakeCluster{}, In: strings.NewReader(input), Out: io.Discard, Err: io.Discard, Echo: len(input)%2 == 0})
			sh.maxSteps = 10_000
			done := make(chan struct{})
			go func() {
				defer close(done)
				run(sh, ctx)
			}()
			select {
			case <-done:
			case <-time.After(20 * time.Second):
				t.Error("still running")
			}
			cancel()
		}
	})
}
