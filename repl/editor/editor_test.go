//go:build unix

package editor

import (
	"os"
	"syscall"
	"testing"
	"time"
)

// TestListenWaits ends the handling of signals while an interrupt is handled: it waits,
// so nothing is interrupted that begins afterwards.
func TestListenWaits(t *testing.T) {
	e := &Editor{tty: &tty{stops: make(chan os.Signal, 1)}, keys: &keyboard{tty: new(tty)}, interrupts: make(chan os.Signal, 1)}
	began, end := make(chan struct{}), make(chan struct{})
	stop := e.Listen(func() {
		close(began)
		<-end
	})
	if err := syscall.Kill(os.Getpid(), syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	<-began
	stopped := make(chan struct{})
	go func() {
		stop()
		close(stopped)
	}()
	select {
	case <-stopped:
		t.Error("an interrupt may still come")
	case <-time.After(50 * time.Millisecond):
	}
	close(end)
	<-stopped
}
