package repl

import (
	"bytes"
	"regexp"
	"runtime/debug"
	"strings"
	"testing"
	"time"
)

// patience is how long a test waits for what must come.
const patience = time.Minute

// run feeds input to a shell without a terminal and returns what it wrote.
func run(t testing.TB, cfg Config, input string) (out, errs string, err error) {
	t.Helper()
	var o, e bytes.Buffer
	cfg.In, cfg.Out, cfg.Err = strings.NewReader(input), &o, &e
	if cfg.Cluster == nil {
		cfg.Cluster = &fakeCluster{}
	}
	err = New(cfg).Run(t.Context())
	return o.String(), e.String(), err
}

// shrinkStack makes the stacks of goroutines so many times smaller until the test ends.
func shrinkStack(t *testing.T, times int) {
	most := debug.SetMaxStack(1 << 30)
	debug.SetMaxStack(most / times)
	t.Cleanup(func() { debug.SetMaxStack(most) })
}

// spaces makes one of many, as tests of columns come after those of what is in them.
func spaces(s string) string { return regexp.MustCompile(` +`).ReplaceAllString(s, " ") }
