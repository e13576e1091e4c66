package memnet

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// buffer is how many bytes a connection holds in each direction before Write waits.
const buffer = 64 << 10

// Pipe returns the two ends of a connection, as those have it that are at these addresses.
// Unlike [net.Pipe] it holds 64 KiB in each direction, so that a write need not wait for
// the read.
func Pipe(a, b net.Addr) (atA, atB net.Conn) {
	ab, ba := newFlow(), newFlow()
	return &conn{in: ba, out: ab, local: a, remote: b}, &conn{in: ab, out: ba, local: b, remote: a}
}

// A conn is one end of a connection.
type conn struct {
	in, out       *flow
	local, remote net.Addr
}

func (c *conn) LocalAddr() net.Addr  { return c.local }
func (c *conn) RemoteAddr() net.Addr { return c.remote }

func (c *conn) Read(p []byte) (int, error) {
	n, err := c.in.read(p)
	return n, c.wrap("read", err)
}

func (c *conn) Write(p []byte) (int, error) {
	n, err := c.out.write(p)
	return n, c.wrap("write", err)
}

func (c *conn) wrap(op string, err error) error {
	if err == nil || errors.Is(err, io.EOF) { // io.EOF is never wrapped: callers compare it with ==
		return err
	}
	return &net.OpError{Op: op, Net: "tcp", Source: c.local, Addr: c.remote, Err: err}
}

// Close ends both directions. What was written before can still be read at the other end.
func (c *conn) Close() error {
	c.in.close(true)
	c.out.close(false)
	return nil
}

func (c *conn) SetDeadline(t time.Time) error {
	c.in.reads.set(t)
	c.out.writes.set(t)
	return nil
}

func (c *conn) SetReadDeadline(t time.Time) error {
	c.in.reads.set(t)
	return nil
}

func (c *conn) SetWriteDeadline(t time.Time) error {
	c.out.writes.set(t)
	return nil
}

// A flow is one direction of a connection.
type flow struct {
	mu            sync.Mutex
	changed       *sync.Cond
	data          []byte // that was written and not read; guarded by mu
	ended         bool   // the writer has closed; guarded by mu
	abandoned     bool   // the reader has closed; guarded by mu
	held          bool   // nothing arrives; guarded by mu
	reads, writes deadline
}

func newFlow() *flow {
	f := &flow{}
	f.changed = sync.NewCond(&f.mu)
	f.reads.flow, f.writes.flow = f, f
	return f
}

func (f *flow) read(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for {
		switch {
		case f.abandoned:
			return 0, net.ErrClosed
		case f.reads.passed:
			return 0, os.ErrDeadlineExceeded
		case len(p) == 0:
			return 0, nil
		case f.held:
		case len(f.data) > 0:
			n := copy(p, f.data)
			f.data = f.data[n:]
			if len(f.data) == 0 {
				f.data = nil
			}
			f.changed.Broadcast()
			return n, nil
		case f.ended:
			return 0, io.EOF
		}
		f.changed.Wait()
	}
}

func (f *flow) write(p []byte) (n int, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for {
		switch {
		case f.ended:
			return n, net.ErrClosed
		case f.abandoned && !f.held:
			return n, syscall.EPIPE
		case f.writes.passed:
			return n, os.ErrDeadlineExceeded
		case len(p) == 0:
			return n, nil
		}
		if room := min(buffer-len(f.data), len(p)); room > 0 {
			f.data = append(f.data, p[:room]...)
			n, p = n+room, p[room:]
			f.changed.Broadcast()
			continue
		}
		f.changed.Wait()
	}
}

// hold has nothing arrive, or all again.
func (f *flow) hold(held bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.held = held
	f.changed.Broadcast()
}

// over reports whether nothing goes or comes any more.
func (f *flow) over() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ended && (f.abandoned || len(f.data) == 0 && !f.held)
}

// close ends the flow: its reader closes, or its writer.
func (f *flow) close(reader bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if reader {
		f.abandoned, f.data = true, nil
		f.reads.stop()
	} else {
		f.ended = true
		f.writes.stop()
	}
	f.changed.Broadcast()
}

// A deadline is that of the reads or the writes of a flow.
type deadline struct {
	flow   *flow
	timer  *time.Timer // guarded by flow.mu
	passed bool        // guarded by flow.mu
}

func (d *deadline) set(t time.Time) {
	d.flow.mu.Lock()
	defer d.flow.mu.Unlock()
	d.stop()
	d.passed = !t.IsZero() && !t.After(time.Now())
	if !t.IsZero() && !d.passed {
		var timer *time.Timer
		timer = time.AfterFunc(time.Until(t), func() {
			d.flow.mu.Lock()
			defer d.flow.mu.Unlock()
			if d.timer == timer { // no other deadline has been set since
				d.passed = true
				d.flow.changed.Broadcast()
			}
		})
		d.timer = timer
	}
	d.flow.changed.Broadcast()
}

// stop ends the timer. The caller holds flow.mu.
func (d *deadline) stop() {
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
}
