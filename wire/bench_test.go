package wire

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// inFlight are the numbers of callers that the remote benchmarks run with.
var inFlight = []int{1, 128, 1024}

// BenchmarkCall measures one call to a peer over TLS on loopback, with both ends in this process.
// Compare it with BenchmarkRawEcho of the same run.
func BenchmarkCall(b *testing.B) {
	for _, n := range inFlight {
		b.Run(fmt.Sprintf("inflight=%d", n), func(b *testing.B) {
			s, _ := pair(b, echo{}, echo{})
			b.ReportAllocs()
			together(b, n, func() error {
				_, err := s.Call(context.Background(), &Request{Num: 7}, 5*time.Second)
				return err
			})
		})
	}
}

// BenchmarkRawEcho is the baseline: 16-byte frames over plain TCP, no TLS, no codec. Each caller
// waits for its own frame, and frames that are ready together are written together.
func BenchmarkRawEcho(b *testing.B) {
	for _, n := range inFlight {
		b.Run(fmt.Sprintf("inflight=%d", n), func(b *testing.B) {
			e := newRawEcho(b, n)
			var next atomic.Uint64
			b.ReportAllocs()
			together(b, n, func() error {
				e.call(next.Add(1) % uint64(n))
				return nil
			})
		})
	}
}

// together runs f b.N times on n goroutines.
func together(b *testing.B, n int, f func() error) {
	b.Helper()
	var left atomic.Int64
	left.Store(int64(b.N))
	var wg sync.WaitGroup
	b.ResetTimer()
	for range n {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				if err := f(); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
}

// rawEcho is the client of an echo server. A frame is a slot (8 bytes) and 8 bytes more.
type rawEcho struct {
	conn  net.Conn
	slots chan uint64
	done  []chan struct{}
	mu    sync.Mutex
	fill  []byte
	wake  chan struct{}
}

func newRawEcho(b *testing.B, n int) *rawEcho {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		io.Copy(struct{ io.Writer }{c}, struct{ io.Reader }{c}) // in user space, no splice
	})
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	e := &rawEcho{conn: c, slots: make(chan uint64, n), wake: make(chan struct{}, 1)}
	for i := range n {
		e.done = append(e.done, make(chan struct{}, 1))
		e.slots <- uint64(i)
	}
	stop := make(chan struct{})
	wg.Go(func() { e.write(stop) })
	wg.Go(e.read)
	b.Cleanup(func() { close(stop); l.Close(); c.Close(); wg.Wait() })
	return e
}

func (e *rawEcho) call(uint64) {
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

func (e *rawEcho) write(stop chan struct{}) {
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

func (e *rawEcho) read() {
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
