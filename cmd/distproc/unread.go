package main

import (
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const unreadPoll = 200 * time.Millisecond // between two looks whether anybody reads

// whenUnread calls gone once when a pipe has lost its last reader. Otherwise a program that
// has nothing to write at present would not notice. The caller calls stop at the end.
func whenUnread(out *os.File, gone func()) (stop func()) {
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(unreadPoll)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				if unread(out) {
					gone()
					return
				}
			case <-done:
				return
			}
		}
	})
	return func() { close(done); wg.Wait() }
}

// unread reports whether a pipe has no reader any more, or a terminal has hung up.
func unread(out *os.File) bool {
	fds := []unix.PollFd{{Fd: int32(out.Fd())}}
	n, err := unix.Poll(fds, 0)
	return n > 0 && err == nil && fds[0].Revents&(unix.POLLERR|unix.POLLHUP) != 0
}
