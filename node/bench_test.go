package node

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

// BenchmarkRequestRemote measures a request for a cached value of another node: over TLS on loopback,
// with both nodes in this process. Compare it with BenchmarkRawEcho of the same run.
func BenchmarkRequestRemote(b *testing.B) {
	for _, n := range inFlight {
		b.Run(fmt.Sprintf("inflight=%d", n), func(b *testing.B) {
			nodes := startQuiet(b, 2)
			b.ReportAllocs()
			together(b, n, func() error {
				_, err := nodes[0].Request(context.Background(), IntID(1))
				return err
			})
		})
	}
}

// BenchmarkRequestLocal measures a request for a cached value of the node itself.
func BenchmarkRequestLocal(b *testing.B) {
	n := startQuiet(b, 1)[0]
	b.ReportAllocs()
	for b.Loop() {
		if _, err := n.Request(context.Background(), IntID(7)); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRequestLocalParallel is BenchmarkRequestLocal on all cores, for 1,000 ids.
func BenchmarkRequestLocalParallel(b *testing.B) {
	n := startQuiet(b, 1)[0]
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for i := int64(0); pb.Next(); i++ {
			if _, err := n.Request(context.Background(), IntID(i%1000)); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkStartWorker measures a request that starts a worker.
func BenchmarkStartWorker(b *testing.B) {
	n := startQuiet(b, 1)[0]
	b.ReportAllocs()
	i := int64(0)
	for b.Loop() {
		if _, err := n.Request(context.Background(), IntID(i)); err != nil {
			b.Fatal(err)
		}
		i++
	}
}

// startQuiet starts a cluster that logs nothing and whose workers do not expire meanwhile.
func startQuiet(b *testing.B, size int) []*Node {
	host := testHost()
	var nodes []*Node
	for i := range size {
		n, err := Start(Config{Name: fmt.Sprintf("%d@%s", i+1, host), Cookie: testCookie, Default: Kind{TTL: time.Hour}})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { n.Close(context.Background()) })
		nodes = append(nodes, n)
		if c := n.Connect(b.Context(), nodes[0].Self()); c[0].Err != nil {
			b.Fatal(c[0].Err)
		}
	}
	awaitView(b, nodes...)
	return nodes
}

// BenchmarkRawEcho is the baseline: 16-byte frames over plain TCP, no TLS, no codec. Each caller
// waits for its own frame, and frames that are ready together are written together.
func BenchmarkRawEcho(b *testing.B) {
	for _, n := range inFlight {
		b.Run(fmt.Sprintf("inflight=%d", n), func(b *testing.B) {
			e := newRawEcho(b, n)
			b.ReportAllocs()
			together(b, n, func() error {
				e.call()
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

func (e *rawEcho) call() {
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
