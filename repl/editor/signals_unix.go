//go:build unix

package editor

import (
	"os"
	"os/signal"
	"syscall"
	"time"
)

// awaitSignals waits until the signals that this process got before have reached their
// channels. It sends itself one that means no harm: the system and package os/signal deliver
// those of lower numbers first.
func awaitSignals() {
	arrived := make(chan os.Signal, 1)
	signal.Notify(arrived, syscall.SIGWINCH)
	defer signal.Stop(arrived)
	if syscall.Kill(os.Getpid(), syscall.SIGWINCH) != nil {
		return
	}
	select {
	case <-arrived:
	case <-time.After(time.Second):
	}
}
