package memnet

import (
	"runtime"
	"testing"
	"testing/synctest"
)

// Bubble runs a test of sessions in a bubble of [synctest.Test]. The test must not be
// parallel to another: yamux keeps timers in a pool for all sessions, and those of one
// bubble must not come into another. Two collections empty the pool.
func Bubble(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	forget := func() {
		runtime.GC()
		runtime.GC()
	}
	forget()
	defer forget()
	synctest.Test(t, test)
}
