//go:build unix

package gateway

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// pending reports whether a connection waits for Accept.
func pending(l net.Listener) (waits bool) {
	t, ok := l.(*net.TCPListener)
	if !ok {
		return false
	}
	raw, err := t.SyscallConn()
	if err != nil {
		return false
	}
	err = raw.Control(func(fd uintptr) {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
		waits = n > 0 && err == nil
	})
	return waits && err == nil
}

// maxFiles returns how many files the process may have open, up to a number that is
// enough for all connections.
func maxFiles() int {
	var r syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r) != nil {
		return 2 * maxConns
	}
	return int(min(r.Cur, 2*maxConns))
}
