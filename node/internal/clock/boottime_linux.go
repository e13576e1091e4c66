package clock

import (
	"time"

	"golang.org/x/sys/unix"
)

// bootTime returns the time since the machine was started. Unlike that of package time it
// goes on while the machine is suspended.
func bootTime() time.Duration {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &t) != nil {
		return 0 // not on a Linux that Go runs on; no standstill is noticed then
	}
	return time.Duration(t.Nano())
}
