package memnet

import (
	"runtime"
	"testing"
	"testing/synctest"
)

// Bubble runs a test of sessions in a bubble of [synctest.Test]. The test must not be
// parallel to another, for two reasons. yamux keeps timers in a pool for all sessions, and
// those of one bubble must not come into another; two collections empty the pool. And the
// race detector crashes when two threads run timers of one bubble (golang/go#78156), so
// Bubble leaves one processor to the process meanwhile.
func Bubble(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	forget := func() {
		runtime.GC()
		runtime.GC()
	}
	forget()
	defer forget()
	synctest.Test(t, test)
}
