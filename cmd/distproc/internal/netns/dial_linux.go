package netns

import (
	"context"
	"net"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// In calls f as on host i: a socket belongs to the namespace of the thread that opens it.
// Goroutines that f starts are not on the host.
func (n *Net) In(i int, f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and the thread ends with this goroutine
		ns, err := os.Open("/run/netns/" + n.namespace(i))
		if err == nil {
			defer ns.Close()
			err = unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET)
		}
		if err == nil {
			err = f()
		}
		done <- err
	}()
	return <-done
}

// Dial connects as a program on host 0 does.
func (n *Net) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	return n.DialFrom(ctx, 0, network, addr)
}

// DialFrom connects as a program on host i does.
func (n *Net) DialFrom(ctx context.Context, i int, network, addr string) (conn net.Conn, err error) {
	err = n.In(i, func() error {
		conn, err = new(net.Dialer).DialContext(ctx, network, addr)
		return err
	})
	return conn, err
}
