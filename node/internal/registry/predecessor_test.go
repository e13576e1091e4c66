package registry

import (
	"testing"
	"time"

	"github.com/distproc/distproc/node/internal/clock"
	"github.com/distproc/distproc/node/worker"
)

// TestInlineAfterPredecessor removes and adds a kind whose source runs inline: it does so
// afterwards, too.
func TestInlineAfterPredecessor(t *testing.T) {
	t.Parallel()
	before := testRegistry(worker.Cache{}, "1@h", 100)
	r := testRegistry(worker.Cache{}, "1@h", 100)
	r.predecessorDone = before.done
	if _, _, ran := r.RunInline(worker.IntID(7), worker.Value{}, "", "", time.Hour, clock.Moment{}); ran {
		t.Error("a source runs while one of before may")
	}
	if err := before.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err, ran := r.RunInline(worker.IntID(7), worker.Value{}, "", "", time.Hour, clock.Moment{}); !ran || err != nil {
		t.Errorf("ran inline: %v, %v", ran, err)
	}
	if err := r.Close(t.Context()); err != nil {
		t.Error(err)
	}
}
