package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/distproc/distproc/node/worker"
)

func TestBrokenBody(t *testing.T) {
	f := newFake()
	serving(t, f, func(t *testing.T, l *pipeListener, _ context.CancelFunc, _ <-chan error) {
		c := l.dial()
		fmt.Fprint(c, "POST /v1/call/price/7 HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n")
		if got, _ := answerOf(t, c); !strings.HasPrefix(got, `400 {"type":"/problems/bad-request"`) {
			t.Error(got)
		}
		c.Close()
		c = l.dial()
		fmt.Fprint(c, "POST /v1/call/price/7 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n12345")
		c.Close()
		synctest.Wait()
	})
	if f.asked != nil {
		t.Errorf("asked %q", f.asked)
	}
}

// A request has the time that it asks for, though its body had less, and net/http reads
// on.
func TestTimeout(t *testing.T) {
	f := newFake()
	f.wait = true
	serving(t, f, func(t *testing.T, l *pipeListener, _ context.CancelFunc, _ <-chan error) {
		for _, request := range []string{
			"POST /v1/call/price/7?timeout=59s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx",
			"POST /v1/call/price/7?timeout=59s HTTP/1.1\r\nHost: localhost\r\n\r\n",
			"GET /v1/request/7?timeout=59s HTTP/1.1\r\nHost: localhost\r\n\r\n",
			"GET /v1/value/7?timeout=59s HTTP/1.1\r\nHost: localhost\r\n\r\n",
			"GET /v1/why/7?timeout=59s HTTP/1.1\r\nHost: localhost\r\n\r\n",
		} {
			c := l.dial()
			fmt.Fprint(c, request)
			got, took := answerOf(t, c)
			c.Close()
			if !strings.HasPrefix(got, "504 ") || took != 59*time.Second {
				t.Errorf("%.30s: %s after %v", request, got, took)
			}
			if deadline, ok := f.ctx.Deadline(); !ok || time.Until(deadline) > 0 {
				t.Errorf("deadline %v", deadline)
			}
		}
	})
	f = newFake()
	get(t, newGateway(f), "/v1/request/7")
	if _, ok := f.ctx.Deadline(); ok {
		t.Error("without timeout, the time is the node's matter")
	}
}

func TestIdleAndSlowHeader(t *testing.T) {
	serving(t, newFake(), func(t *testing.T, l *pipeListener, _ context.CancelFunc, _ <-chan error) {
		c := l.dial()
		fmt.Fprint(c, "GET /healthz HTTP/1.1\r\n")
		if got, took := answerOf(t, c); took != headerTimeout {
			t.Errorf("%s after %v", got, took)
		}
		c = l.dial()
		fmt.Fprint(c, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
		if got, _ := answerOf(t, c); !strings.HasPrefix(got, "200 ok") {
			t.Error(got)
		}
		if got, took := answerOf(t, c); got != "closed" || took != strangerTimeout {
			t.Errorf("%s after %v", got, took)
		}
		c = l.dial()
		for _, path := range []string{"/v1/value/7", "/healthz"} { // a client that may use the cluster has longer
			fmt.Fprint(c, "GET "+path+" HTTP/1.1\r\nHost: localhost\r\n\r\n")
			if got, _ := answerOf(t, c); !strings.HasPrefix(got, "200 ") {
				t.Error(got)
			}
		}
		if got, took := answerOf(t, c); got != "closed" || took != idleTimeout {
			t.Errorf("%s after %v", got, took)
		}
		c = l.dial()
		fmt.Fprint(c, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
		time.Sleep(writeTimeout + time.Millisecond) // without reading
		if got, _ := answerOf(t, c); got != "closed" {
			t.Error(got)
		}
		c = l.dial()
		go func() { // what is not read any more blocks on a pipe
			fmt.Fprint(c, "GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: "+strings.Repeat("x", maxHeader+4096)+"\r\n\r\n")
		}()
		if got, _ := answerOf(t, c); !strings.HasPrefix(got, "431 ") {
			t.Error(got)
		}
		c.Close()
		c = l.dial() // HTTP/2 would let one connection make many requests at once
		go fmt.Fprint(c, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
		if got, _ := answerOf(t, c); !strings.HasPrefix(got, "404 ") {
			t.Error(got)
		}
		c.Close()
	})
}

func TestServeOnLoopbackRefusesForeignHosts(t *testing.T) {
	g := newGateway(newFake())
	url := serveTCP(t, g)
	for host, want := range map[string]int{"localhost": 200, "evil.example": 421} {
		r, err := http.NewRequest("GET", url+"/healthz", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = host
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("host %s: status %d", host, res.StatusCode)
		}
	}
	if g.config.LoopbackOnly {
		t.Error("Serve changes the gateway, which may serve elsewhere too")
	}
}

func TestServeFails(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if err := newGateway(newFake()).Serve(t.Context(), l); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
	l, err = net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := newGateway(newFake()).Serve(ctx, l); err != nil {
		t.Error(err)
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Error("the listener is open")
	}
}

// TestLengths has answers of all lengths over a connection. Each says its length, so that
// the connection can be kept; net/http adds that of short ones.
func TestLengths(t *testing.T) {
	t.Parallel()
	f := newFake()
	s := httptest.NewServer(newGateway(f))
	defer s.Close()
	for _, size := range []int{0, 1, shortAnswer, shortAnswer + 1, 2048, 2049, 5000, 100_000} {
		f.reply.Value = worker.BytesValue(strings.Repeat("x", size))
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			r, err := http.NewRequestWithContext(t.Context(), method, s.URL+"/v1/value/7", nil)
			if err != nil {
				t.Fatal(err)
			}
			res, err := s.Client().Do(r)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(res.Body)
			res.Body.Close()
			if want := map[string]int{http.MethodGet: size}[method]; err != nil || len(body) != want || res.ContentLength != int64(size) || len(res.TransferEncoding) > 0 {
				t.Errorf("%s of %d bytes: %d, length %d, %v, %v", method, size, len(body), res.ContentLength, res.TransferEncoding, err)
			}
		}
	}
}

// TestMarks has the headers that are there only if they are true.
func TestMarks(t *testing.T) {
	t.Parallel()
	f := newFake()
	for _, stale := range []bool{false, true} {
		for _, degraded := range []bool{false, true} {
			f.reply.Stale, f.reply.Degraded = stale, degraded
			h := get(t, newGateway(f), "/v1/value/7").header
			if got := h.Get("X-Distproc-Stale"); (got == "true") != stale || got == "false" {
				t.Errorf("stale %v: %q", stale, got)
			}
			if got := h.Get("X-Distproc-Degraded"); (got == "true") != degraded || got == "false" {
				t.Errorf("degraded %v: %q", degraded, got)
			}
			if len(h) > 8 && !stale && !degraded {
				t.Errorf("%d headers: %v", len(h), h)
			}
		}
	}
}
