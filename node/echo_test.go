package node

import (
	"encoding/binary"
	"io"
	"net"
	"runtime"
	"sync"
	"testing"
)

// An echo is the baseline of the remote benchmarks, about the least that a call to another process can take: 16-byte
// frames over plain TCP, no TLS, no codec. Each caller waits for its own frame, and frames that are ready together are
// written together. A frame is a slot (8 bytes) and 8 bytes more.
type echo struct {
	conn  net.Conn
	slots chan uint64
	done  []chan struct{}
	mu    sync.Mutex
	fill  []byte
	wake  chan struct{}
}

// listenEcho serves echoes.
func listenEcho() (net.Listener, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, _ = io.Copy(struct{ io.Writer }{c}, struct{ io.Reader }{c}) // in user space, no splice
			}()
		}
	}()
	return l, nil
}

func newEcho(b *testing.B, addr string, callers int) *echo {
	b.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
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
