package main

import (
	"os"
	"sync"
	"time"
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
