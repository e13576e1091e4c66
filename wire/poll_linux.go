package wire

import (
	"net"
	"runtime"
	"syscall"
	"time"
)

// polled returns a connection whose reader polls, if the process has a core for that. It
// may have one reader at a time.
func polled(conn net.Conn) net.Conn {
	s, ok := conn.(syscall.Conn)
	if !ok || !hasCore() {
		return conn
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return conn
	}
	c := &polledConn{Conn: conn, raw: raw}
	c.try = func(fd uintptr) bool {
		c.n, _ = syscall.Read(int(fd), c.p)
		return true
	}
	return c
}

type polledConn struct {
	net.Conn
	raw   syscall.RawConn
	waits waits

	try func(fd uintptr) bool // reads available bytes into p without waiting, and stores their number in n
	p   []byte
	n   int
}

// Read polls if that is likely to help. Polling returns bytes only; errors are left to
// the ordinary read after it.
func (c *polledConn) Read(p []byte) (int, error) {
	now := time.Since(began)
	if c.waits.polls(now) {
		n := c.poll(p, now)
		polling.busy.Store(false)
		if n > 0 {
			return n, nil
		}
		c.waits.inVain()
		now = time.Since(began)
	}
	n, err := c.Conn.Read(p)
	c.waits.sleep(now, time.Since(began))
	return n, err
}

// yieldEvery is the number of reads, of about 0.4 µs each, after which the thread yields
// its core. Otherwise a kernel that gives a thread its whole slice of 3 ms would delay
// threads that have just been woken.
const yieldEvery = 100

// poll returns how many bytes arrived within pollTime.
func (c *polledConn) poll(p []byte, from time.Duration) int {
	c.p = p
	defer func() { c.p = nil }()
	for i := 1; ; i++ {
		c.n = 0
		if err := c.raw.Read(c.try); err != nil || c.n > 0 || time.Since(began)-from > pollTime {
			return max(0, c.n)
		}
		if i%yieldEvery == 0 {
			_, _, _ = syscall.Syscall(syscall.SYS_SCHED_YIELD, 0, 0, 0)
		}
		runtime.Gosched()
	}
}
