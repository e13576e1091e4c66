package repl

import (
	"context"
	"fmt"
	"runtime/metrics"
	"sync"
	"time"
)

// maxGrowth is how many bytes the heap may grow while one input runs. A step may still
// add up to 1 GiB at once, which is Starlark's own limit for "x" * n.
const maxGrowth = 1 << 30

var errMemory = fmt.Errorf("stopped: the program took more than %d GiB of memory", maxGrowth>>30)

// watchMemory calls cancel when the heap has grown by maxGrowth. It stops when the
// returned function is called. Without it, a program that appends in an endless loop
// would end the whole node.
func watchMemory(cancel context.CancelCauseFunc) (stop func()) {
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		limit := heapBytes() + maxGrowth
		for {
			select {
			case <-tick.C:
				if heapBytes() > limit {
					cancel(errMemory)
					return
				}
			case <-done:
				return
			}
		}
	})
	return func() { close(done); wg.Wait() }
}

func heapBytes() uint64 {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}
