//go:build !linux

package clock

import (
	"sync"
	"time"
)

var processStart = sync.OnceValue(time.Now)

// bootTime returns the time since it was first called. It stands still while the machine
// is suspended.
func bootTime() time.Duration { return time.Since(processStart()) }
