package chain

import (
	"errors"
	"strings"
	"testing"

	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// TestChain bounds chains, and finds circles among their last workers.
func TestChain(t *testing.T) {
	t.Parallel()
	links := ""
	for i := range 100 {
		links = lengthened(links, link("k", worker.IntID(int64(i))))
	}
	if n := strings.Count(links, "\n") + 1; n != maxChain {
		t.Errorf("%d workers, want %d", n, maxChain)
	}
	err := Check(links, "k", worker.IntID(99))
	if !errors.Is(err, wire.CallCycle) || err.Outcome != wire.NotRun {
		t.Error(err)
	}
	for _, id := range []int64{0, 100} {
		if err := Check(links, "k", worker.IntID(id)); err != nil {
			t.Error(err)
		}
	}
	odd, _ := worker.ParseID(strings.Repeat("\n", worker.MaxIDLen))
	links = lengthened(lengthened(links, link("", odd)), link("", odd))
	if len(links) > maxChainBytes || Check(links, worker.DefaultKind, odd) == nil || Check(links, "other", odd) != nil {
		t.Errorf("a chain of %d bytes: %q", len(links), links)
	}
}
