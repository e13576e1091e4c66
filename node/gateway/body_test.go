package gateway

import (
	"context"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/distproc/distproc/wire"
)

// slowly writes size bytes, so many a second.
func slowly(c net.Conn, size, rate int) {
	for sent := 0; sent < size; sent += rate {
		if _, err := c.Write(make([]byte, min(rate, size-sent))); err != nil {
			return
		}
		time.Sleep(time.Second)
	}
}

func TestSlowBody(t *testing.T) {
	f := newFake()
	serving(t, f, func(t *testing.T, l *pipeListener, _ context.CancelFunc, _ <-chan error) {
		for _, b := range []struct {
			size, rate int
			want       string
			took       time.Duration // at most a second more, or two less: net/http reads chunks in blocks
		}{
			{10, 5, "200 ", 1 * time.Second},
			{10, 1, "408 ", bodyGrace},
			{60 << 10, 10 << 10, "200 ", 5 * time.Second},
			{1 << 20, 10 << 10, "408 ", 13 * time.Second}, // when 5 s + 1 s a 16 KiB are over
			{wire.MaxValue, 64 << 10, "200 ", 15 * time.Second},
			{wire.MaxValue, 32 << 10, "408 ", bodyTimeout},
		} {
			for _, length := range []string{fmt.Sprintf("Content-Length: %d\r\n\r\n", b.size), fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n", b.size)} {
				c := l.dial()
				fmt.Fprint(c, "POST /v1/call/price/7 HTTP/1.1\r\nHost: localhost\r\n"+length)
				go func() {
					slowly(c, b.size, b.rate)
					io.WriteString(c, "\r\n0\r\n\r\n")
				}()
				got, took := answerOf(t, c)
				c.Close()
				if !strings.HasPrefix(got, b.want) || took < b.took-2*time.Second || took > b.took+time.Second {
					t.Errorf("%d bytes, %d a second: %.60s after %v, want %s after %v", b.size, b.rate, got, took, b.want, b.took)
				}
				synctest.Wait()
				if b.want == "200 " && len(f.message.String()) != b.size {
					t.Errorf("%d bytes, %d a second: %d arrived", b.size, b.rate, len(f.message.String()))
				}
			}
		}
	})
}

// A body that nobody wants does not keep an answer.
func TestUnwantedBody(t *testing.T) {
	serving(t, newFake(), func(t *testing.T, l *pipeListener, _ context.CancelFunc, _ <-chan error) {
		for request, want := range map[string]string{
			"GET /v1/request/7": "400 ", "POST /nowhere": "404 ", "PUT /v1/value/7": "405 ", "POST /v1/call/price/": "400 ",
		} {
			c := l.dial()
			fmt.Fprint(c, request+" HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n12345")
			if got, took := answerOf(t, c); !strings.HasPrefix(got, want) || took != 0 {
				t.Errorf("%s: %s after %v", request, got, took)
			}
			if _, took := answerOf(t, c); took != lingerTimeout {
				t.Errorf("%s: closed after %v", request, took)
			}
			c.Close()
		}
		c := l.dial() // what is known to be too large is refused at once
		fmt.Fprintf(c, "POST /v1/call/price/7 HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n", wire.MaxValue+1)
		if got, took := answerOf(t, c); !strings.HasPrefix(got, "413 ") || took != 0 {
			t.Errorf("%s after %v", got, took)
		}
		c.Close()
	})
}

// Large bodies that come slowly give their places to others. What they hold is bounded.
// Small ones pass.
func TestBodiesAreBounded(t *testing.T) {
	runtime.GC()
	runtime.GC()
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		g, l, served := newGateway(newFake()), newPipeListener(), make(chan error, 1)
		go func() { served <- g.Serve(ctx, l) }()
		before := heap()
		conns := dialLarge(l, 100, wire.MaxValue*2/3)
		defer closeAll(conns)
		if held := heap() - before; held > maxBodies+16<<20 {
			t.Errorf("%d MiB are held", held>>20)
		}
		if g.bodies.free > wire.MaxValue {
			t.Errorf("%d bytes are free", g.bodies.free)
		}
		wantAnswer(t, l, "POST /v1/call/price/7 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello", "200 ")
		evicted, answers := 0, make(chan string)
		for _, c := range conns {
			go func() {
				got, _ := answerOf(t, c)
				answers <- got
			}()
		}
		for range conns {
			got := <-answers
			if !strings.HasPrefix(got, `408 {"type":"/problems/slow-body"`) || !strings.Contains(got, `"outcome":"not run"`) {
				t.Errorf("large: %s", got)
			}
			if strings.Contains(got, "while others waited") {
				evicted++
			}
		}
		if want := len(conns) - maxBodies/wire.MaxValue; evicted != want {
			t.Errorf("%d bodies are evicted, want %d", evicted, want)
		}
		synctest.Wait()
		checkFree(t, g.bodies)
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
}

// Bodies that have arrived keep their places until their calls end. Others wait, and then
// are refused.
func TestBodiesOfCalls(t *testing.T) {
	f := newFake()
	f.wait = true
	serving(t, f, func(t *testing.T, l *pipeListener, _ context.CancelFunc, _ <-chan error) {
		calls := dialLarge(l, maxBodies/wire.MaxValue, wire.MaxValue)
		defer closeAll(calls)
		others := dialLarge(l, 3, wire.MaxValue)
		defer closeAll(others)
		began := time.Now()
		for _, c := range others {
			got, _ := answerOf(t, c)
			if !strings.HasPrefix(got, `503 {"type":"/problems/overloaded"`) || !strings.Contains(got, `"outcome":"not run"`) {
				t.Errorf("without a place: %s", got)
			}
		}
		if took := time.Since(began); took != placeTimeout {
			t.Errorf("they wait for %v, want %v", took, placeTimeout)
		}
		if f.count() != len(calls) {
			t.Errorf("%d calls, want %d", f.count(), len(calls))
		}
		calls[0].Close()
		next := dialLarge(l, 1, wire.MaxValue)
		defer closeAll(next)
		if f.count() != len(calls)+1 {
			t.Error("a body gets no place though a call has ended")
		}
	})
}

// dialLarge begins so many calls with bodies of 1 MiB, of which so many bytes come.
func dialLarge(l *pipeListener, n, sent int) []net.Conn {
	conns := make([]net.Conn, n)
	body := make([]byte, sent)
	for i := range conns {
		conns[i] = l.dial()
		fmt.Fprintf(conns[i], "POST /v1/call/price/7?timeout=1m HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n", wire.MaxValue)
		go conns[i].Write(body)
	}
	synctest.Wait()
	return conns
}
