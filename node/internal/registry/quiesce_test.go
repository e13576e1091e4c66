package registry

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// TestQuiesce has a node stop serving: what runs ends, what comes waits, and is not run.
func TestQuiesce(t *testing.T) {
	t.Parallel()
	inSerialBubble(t, worker.Serial{TTL: time.Hour}, func(t *testing.T, r *Registry, d *diary) {
		tell(t, r, "8", "a", "a.")
		var wg sync.WaitGroup
		wg.Go(func() { tell(t, r, "7", "sleep 1s", "sleep 1s.") })
		synctest.Wait()
		wg.Go(func() { tellFails(t, r, "7", "b", wire.Leaving, wire.NotRun) })
		synctest.Wait()
		start := time.Now()
		r.Quiesce(t.Context())
		if took := time.Since(start); took != time.Second { // when the last server has ended
			t.Errorf("quiesced after %v", took)
		}
		wg.Go(func() { tellFails(t, r, "8", "c", wire.Leaving, wire.NotRun) })
		d.expect(t, "start 8; start 7; end 8 closing; end 7 closing")
		r.Release()
		wg.Wait()
		tell(t, r, "8", "d", "d.")
		d.expect(t, "start 8")
	})
}
