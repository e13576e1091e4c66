package repl

import (
	"context"
	"errors"
	"fmt"
	"runtime/metrics"
	"sync"
	"time"
)

// defaultGrowth is how many bytes the heap may grow while one input runs. A step may
// still add up to 1 GiB at once, which is Starlark's own limit for "x" * n.
const defaultGrowth = 1 << 30

var errMemory = errors.New("stopped: the program took")

// watchMemory calls cancel with errMemory when the heap has grown by so many bytes. It
// stops when the returned function is called. Without it, a program that appends in an
// endless loop would end the whole node.
func watchMemory(growth uint64, cancel context.CancelCauseFunc) (stop func()) {
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		limit := heapBytes() + growth
		for {
			select {
			case <-tick.C:
				if heapBytes() > limit {
					cancel(fmt.Errorf("%w more than %d MiB of memory", errMemory, growth>>20))
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
