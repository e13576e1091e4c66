package repl

import (
	"context"
	"errors"
	"fmt"
	"runtime/metrics"
	"sync"
	"time"
)

// The limits of one input. A program that passes defaultGrowth is stopped between two of
// its steps. A single step, such as [None] * n, cannot be stopped. So the shell ends the
// process if such a step goes on for grace after the program was to stop, or passes
// lastGrowth times defaultGrowth.
const (
	defaultGrowth = 1 << 30 // bytes by which the heap may grow
	lastGrowth    = 2
	grace         = 800 * time.Millisecond // after Ctrl-C; a step that takes much memory has longer
	memoryGrace   = 3 * time.Second
	watchEvery    = 10 * time.Millisecond
)

var errMemory = errors.New("stopped: the program took")

// guard looks at the memory of the program that runs in ctx, and cancels ctx with
// errMemory if it grows too much. If the program does not end soon after ctx, guard calls
// Config.Quit. It stops when the returned function is called.
func (sh *Shell) guard(ctx context.Context, c *chunk, cancel context.CancelCauseFunc) (stop func()) {
	done := make(chan struct{})
	before := heapBytes()
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(watchEvery)
		defer tick.Stop()
		ended := ctx.Done()
		var late <-chan time.Time
		for {
			select {
			case <-tick.C:
				grown := max(heapBytes(), before) - before
				if grown > sh.maxGrowth && ctx.Err() == nil {
					cancel(fmt.Errorf("%w more than %d MiB of memory", errMemory, sh.maxGrowth>>20))
				}
				if grown > lastGrowth*sh.maxGrowth {
					sh.quit(c, context.Cause(ctx))
				}
			case <-ended:
				ended, late = nil, time.After(grace)
				if errors.Is(context.Cause(ctx), errMemory) {
					late = time.After(memoryGrace)
				}
			case <-late:
				sh.quit(c, context.Cause(ctx))
			case <-done:
				return
			}
		}
	})
	return func() { close(done); wg.Wait() }
}

// quit gives up a program that does not stop, and with it the process. The program still
// runs, so quit touches nothing that a program does.
func (sh *Shell) quit(c *chunk, cause error) {
	if sh.cfg.Quit == nil {
		return
	}
	why := errInterrupted
	if errors.Is(cause, errMemory) || errors.Is(cause, errLost) {
		why = cause
	}
	sh.mu.Lock()
	term := sh.term
	sh.mu.Unlock()
	if term != nil {
		term.Close()
		sh.cfg.Quit(fmt.Errorf("%w within one step of the program", why))
		return
	}
	fmt.Fprintln(sh.cfg.Err, &failure{spot: spot{c.name, c.first, 1}, msg: why.Error()})
	if errors.Is(why, errInterrupted) {
		sh.cfg.Quit(ExitStatus(130))
	}
	sh.cfg.Quit(ExitStatus(1))
}

func heapBytes() uint64 {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}
