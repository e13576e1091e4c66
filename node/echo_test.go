package node

import (
	"encoding/binary"
	"io"
	"net"
	"runtime"
	"sync"
	"testing"

	"github.com/distproc/distproc/wire"
)

// An echo is the baseline of the remote benchmarks, about the least that a call to
// another process can take: 16-byte frames, no codec. Each caller waits for its own
// frame, and frames that are ready together are written together. A frame is a slot (8
// bytes) and 8 bytes more.
type echo struct {
	conn  net.Conn
	slots chan uint64
	done  []chan struct{}
	mu    sync.Mutex
	fill  []byte
	wake  chan struct{}
}

// listenEcho serves echoes over plain TCP.
func listenEcho() (addr string, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go serveEcho(c)
		}
	}()
	return l.Addr().String(), nil
}

// listenYamuxEcho serves echoes over what carries calls: a yamux stream over TLS.
func listenYamuxEcho() (addr string, err error) {
	creds, err := wire.NewCredentials(testCookie, wire.TLSFiles{})
	if err != nil {
		return "", err
	}
	l, err := wire.Listen("127.0.0.1:0", creds, nil)
	if err != nil {
		return "", err
	}
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				link, err := in.AcceptLink(wire.Hello{Name: "echo"})
				if err != nil {
					return
				}
				defer link.Close()
				if stream, err := link.Accept(); err == nil {
					serveEcho(stream)
				}
			}()
		}
	}()
	return l.Addr().String(), nil
}

func serveEcho(c net.Conn) {
	defer c.Close()
	_, _ = io.Copy(struct{ io.Writer }{c}, struct{ io.Reader }{c}) // in user space, no splice
}

func dialEcho(b *testing.B, addr string) net.Conn {
	b.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	return c
}

func dialYamuxEcho(b *testing.B, addr string) net.Conn {
	b.Helper()
	creds, err := wire.NewCredentials(testCookie, wire.TLSFiles{})
	if err != nil {
		b.Fatal(err)
	}
	link, err := wire.DialLink(b.Context(), addr, creds, wire.Hello{Name: "bench", Role: wire.RoleLink})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { link.Close() })
	c, err := link.Open()
	if err != nil {
		b.Fatal(err)
	}
	return c
}

func newEcho(b *testing.B, c net.Conn, callers int) *echo {
	e := &echo{conn: c, slots: make(chan uint64, callers), wake: make(chan struct{}, 1)}
	for i := range callers {
		e.done = append(e.done, make(chan struct{}, 1))
		e.slots <- uint64(i)
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { e.write(stop) })
	wg.Go(e.read)
	b.Cleanup(func() { close(stop); c.Close(); wg.Wait() })
	return e
}

func (e *echo) call() {
	slot := <-e.slots
	var frame [16]byte
	binary.BigEndian.PutUint64(frame[:], slot)
	e.mu.Lock()
	e.fill = append(e.fill, frame[:]...)
	first := len(e.fill) == len(frame)
	e.mu.Unlock()
	if first {
		e.wake <- struct{}{}
	}
	<-e.done[slot]
	e.slots <- slot
}

func (e *echo) write(stop chan struct{}) {
	var batch []byte
	for {
		select {
		case <-e.wake:
		case <-stop:
			return
		}
		runtime.Gosched()
		e.mu.Lock()
		batch, e.fill = e.fill, batch[:0]
		e.mu.Unlock()
		if _, err := e.conn.Write(batch); err != nil {
			return
		}
	}
}

func (e *echo) read() {
	buf := make([]byte, 64<<10)
	have := 0
	for {
		n, err := e.conn.Read(buf[have:])
		if err != nil {
			return
		}
		have += n
		i := 0
		for ; have-i >= 16; i += 16 {
			e.done[binary.BigEndian.Uint64(buf[i:])] <- struct{}{}
		}
		copy(buf, buf[i:have])
		have -= i
	}
}
