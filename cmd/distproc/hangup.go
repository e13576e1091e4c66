package main

import (
	"context"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

// recheck is the time after a SIGHUP at which its cause is looked for once more: a login
// shell sends SIGHUP to its jobs just before it exits, and the terminal goes with it.
const recheck = time.Second

// watchHangups returns a context that ends when the process's terminal hangs up, and a
// channel that gets every other SIGHUP. A process that had no terminal when it started
// never ends by SIGHUP, nor does one under nohup.
func watchHangups(parent context.Context) (ctx context.Context, others <-chan struct{}, release func()) {
	watched := hasTerminal() && !signal.Ignored(syscall.SIGHUP)
	ctx, cancel := context.WithCancelCause(parent)
	signals, again, done := make(chan os.Signal, 1), make(chan struct{}, 1), make(chan struct{})
	signal.Notify(signals, syscall.SIGHUP)
	var wg sync.WaitGroup
	wg.Go(func() {
		var check <-chan time.Time
		for {
			var tell chan<- struct{} // nil at a check, which tells nobody
			select {
			case <-signals:
				tell, check = again, time.After(recheck)
			case <-check:
			case <-done:
				return
			}
			if watched && !hasTerminal() {
				cancel(errStopped) // the shell and the kernel may send more, which must not interrupt the end
				continue
			}
			select {
			case tell <- struct{}{}:
			default:
			}
		}
	})
	return ctx, again, func() {
		signal.Stop(signals)
		close(done)
		wg.Wait()
		cancel(nil)
	}
}

// hasTerminal reports whether the process has a controlling terminal. The system takes it
// away from all processes of the session before it sends them SIGHUP.
func hasTerminal() bool {
	f, err := os.OpenFile("/dev/tty", os.O_RDONLY|syscall.O_NOCTTY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return false
	}
	f.Close()
	return true
}
