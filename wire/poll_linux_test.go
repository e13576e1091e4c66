package wire

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"
)

// pollingPair returns both ends of a connection over TCP. The next read of the first one
// polls.
func pollingPair(t *testing.T) (*polledConn, net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	far, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	near, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	had := hasCore
	hasCore = func() bool { return true }
	t.Cleanup(func() { near.Close(); far.Close(); hasCore = had })
	c := polled(near).(*polledConn)
	polling.rest.Store(0)
	c.waits = waits{short: shortWaits, slept: time.Since(began) + time.Hour}
	return c, far
}

// readOnce reads once, and reports whether polling was enough.
func (c *polledConn) readOnce(t *testing.T) (got string, polled bool, err error) {
	t.Helper()
	before := c.waits
	buf := make([]byte, 100)
	n, err := c.Read(buf)
	if polling.busy.Load() {
		t.Error("it polls for ever")
	}
	return string(buf[:n]), c.waits == before, err
}

func TestPolledRead(t *testing.T) {
	c, far := pollingPair(t)
	for _, message := range []string{"a", "b"} {
		io.WriteString(far, message)
		if err := c.raw.Read(hasBytes); err != nil { // waits until it is there
			t.Fatal(err)
		}
		if got, polled, err := c.readOnce(t); got != message || err != nil || !polled {
			t.Errorf("got %q, %v, by polling: %t", got, err, polled)
		}
	}
	c.Conn = prompting{c.Conn, func() {
		time.Sleep(shortWait)
		io.WriteString(far, "late")
	}}
	if got, polled, err := c.readOnce(t); got != "late" || err != nil || polled || c.waits.short != 0 {
		t.Errorf("got %q, %v, by polling: %t, and then %d short waits", got, err, polled, c.waits.short)
	}
}

// hasBytes reports whether there is something to read.
func hasBytes(fd uintptr) bool {
	n, _, _ := syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	return n > 0
}

// A prompting connection has its peer do something once its reader waits for it without
// polling.
type prompting struct {
	net.Conn
	do func()
}

func (c prompting) Read(p []byte) (int, error) {
	c.do()
	return c.Conn.Read(p)
}

// TestPolledInVain has something come just when the reader has given up to poll: that was
// no short wait. The next one, for which it slept, may be one, if this process is not
// held up meanwhile.
func TestPolledInVain(t *testing.T) {
	c, _ := pollingPair(t)
	c.Conn = instant{c.Conn}
	if got, _, err := c.readOnce(t); got != "now" || err != nil || c.waits.short > 1 {
		t.Errorf("got %q, %v, and then %d short waits", got, err, c.waits.short)
	}
}

type instant struct{ net.Conn }

func (instant) Read(p []byte) (int, error) { return copy(p, "now"), nil }

// TestPolledReadEnds has a read that polls meet what ends it: the error is that of a read
// that does not.
func TestPolledReadEnds(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(near, far net.Conn)
		want error
	}{
		{"deadline", func(near, _ net.Conn) { near.SetReadDeadline(time.Now().Add(20 * time.Millisecond)) }, os.ErrDeadlineExceeded},
		{"past deadline", func(near, _ net.Conn) { near.SetReadDeadline(time.Unix(1, 0)) }, os.ErrDeadlineExceeded},
		{"closed", func(near, _ net.Conn) { near.Close() }, net.ErrClosed},
		{"closed meanwhile", func(near, _ net.Conn) { time.AfterFunc(20*time.Millisecond, func() { near.Close() }) }, net.ErrClosed},
		{"end", func(_, far net.Conn) { far.Close() }, io.EOF},
	} {
		t.Run(c.name, func(t *testing.T) {
			near, far := pollingPair(t)
			c.do(near, far)
			if got, _, err := near.readOnce(t); got != "" || !errors.Is(err, c.want) {
				t.Errorf("got %q, %v, want %v", got, err, c.want)
			}
		})
	}
}

// TestNoBusyPoll has credentials say no.
func TestNoBusyPoll(t *testing.T) {
	near, _ := pollingPair(t)
	creds := credentials(t, testCookie)
	for _, no := range []bool{false, true} {
		creds.NoBusyPoll = no
		if _, polls := creds.wrap(near.Conn).(countedConn).Conn.(*polledConn); polls == no {
			t.Errorf("NoBusyPoll %t: polls %t", no, polls)
		}
	}
}
