package netns

import (
	"context"
	"net"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// Dial connects as a program on host 0 does. A socket belongs to the namespace of the
// thread that opens it.
func (n *Net) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	type result struct {
		conn net.Conn
		err  error
	}
	done := make(chan result, 1)
	go func() {
		runtime.LockOSThread() // and the thread ends with this goroutine
		f, err := os.Open("/run/netns/" + n.namespace(0))
		if err == nil {
			defer f.Close()
			err = unix.Setns(int(f.Fd()), unix.CLONE_NEWNET)
		}
		var conn net.Conn
		if err == nil {
			conn, err = new(net.Dialer).DialContext(ctx, network, addr)
		}
		done <- result{conn, err}
	}()
	r := <-done
	return r.conn, r.err
}
