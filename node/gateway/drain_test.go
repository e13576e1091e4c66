package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// TestDrain has the gateway say for a while that it is about to close: it answers, and
// closes each connection after the answer.
func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		l, served := newPipeListener(), make(chan error, 1)
		g := New(Config{Cluster: newFake(), DrainDelay: time.Second})
		go func() { served <- g.Serve(ctx, l) }()
		kept := l.dial()
		ask := func(path string) string {
			fmt.Fprint(kept, "GET "+path+" HTTP/1.1\r\nHost: localhost\r\n\r\n")
			b := make([]byte, 4096)
			n, _ := kept.Read(b)
			return string(b[:n])
		}
		if got := ask("/readyz"); !strings.Contains(got, " 200 ") || strings.Contains(got, "Connection: close") {
			t.Errorf("before: %s", got)
		}
		stop()
		began := time.Now()
		time.Sleep(500 * time.Millisecond)
		if got := ask("/v1/value/7"); !strings.Contains(got, " 200 ") || !strings.Contains(got, "Connection: close") {
			t.Errorf("on a connection that was idle: %s", got)
		}
		kept.Close()
		kept = l.dial()
		if got := ask("/readyz"); !strings.Contains(got, " 503 ") || !strings.Contains(got, "Connection: close") {
			t.Errorf("ready: %s", got)
		}
		kept.Close()
		if err := <-served; err != nil || time.Since(began) != time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}

// TestDrainFirstRequest has a connection come before the gateway closes, and its request
// after that: it is answered. A connection without a request does not hold the gateway up
// for long.
func TestDrainFirstRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		l, served := newPipeListener(), make(chan error, 1)
		g := New(Config{Cluster: newFake(), DrainDelay: time.Second})
		go func() { served <- g.Serve(ctx, l) }()
		stop()
		began := time.Now()
		time.Sleep(900 * time.Millisecond)
		late, silent := l.dial(), l.dial()
		defer silent.Close()
		time.Sleep(200 * time.Millisecond)
		fmt.Fprint(late, "GET /v1/value/7 HTTP/1.1\r\nHost: localhost\r\n\r\n")
		b := make([]byte, 4096)
		n, err := late.Read(b)
		if got := string(b[:n]); !strings.Contains(got, " 200 ") || !strings.Contains(got, "Connection: close") {
			t.Errorf("%q, %v", got, err)
		}
		late.Close()
		time.Sleep(time.Second)
		silent.Close()
		if err := <-served; err != nil || time.Since(began) > 3*time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}

// TestDrainUnderLoad closes gateways while clients make each request on a connection of
// its own. Each is answered, or its connection refused, but for those few connections
// that the system opens just as the listener closes: it resets these.
func TestDrainUnderLoad(t *testing.T) {
	const closings, clients = 10, 8
	client := http.Client{Timeout: time.Minute, Transport: &http.Transport{DisableKeepAlives: true}}
	var resets atomic.Int64
	for range closings {
		ctx, stop := context.WithCancel(t.Context())
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		served := make(chan error, 1)
		go func() { served <- New(Config{Cluster: newFake(), DrainDelay: 50 * time.Millisecond}).Serve(ctx, l) }()
		var callers sync.WaitGroup
		for range clients {
			callers.Go(func() {
				for {
					resp, err := client.Get("http://" + l.Addr().String() + "/v1/value/7")
					if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
						return
					}
					if errors.Is(err, syscall.ECONNRESET) {
						resets.Add(1)
						return
					}
					if err != nil {
						t.Error(err)
						return
					}
					resp.Body.Close()
				}
			})
		}
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
		callers.Wait()
	}
	t.Logf("%d of %d clients were reset", resets.Load(), closings*clients)
	if resets.Load() > closings*clients/4 {
		t.Errorf("%d of %d clients were reset", resets.Load(), closings*clients)
	}
}

// TestQuiesceAcceptsPending has connections wait for a server that accepts slowly, when
// its listener is to close: all are accepted before.
func TestQuiesceAcceptsPending(t *testing.T) {
	t.Parallel()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := newConns(tcp, minPlaces, slog.New(slog.DiscardHandler))
	const clients = 5
	for range clients {
		c, err := net.Dial("tcp", tcp.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	accepted := make(chan int)
	go func() {
		n := 0
		for {
			time.Sleep(20 * time.Millisecond)
			c, err := l.Accept()
			if err != nil {
				accepted <- n
				return
			}
			n++
			c.Close()
		}
	}()
	l.quiesce(time.Minute)
	if n := <-accepted; n != clients {
		t.Errorf("%d of %d connections were accepted", n, clients)
	}
}

// TestQuiesceAwaitsFirst has a connection that has yet to make its first request when the
// listener is to close: the wait ends with that request, with the connection, or in time.
func TestQuiesceAwaitsFirst(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		what  string
		event func(*conn)
		want  time.Duration
	}{
		{"a request", (*conn).begin, time.Second},
		{"the end", func(c *conn) { c.Close() }, time.Second},
		{"nothing", func(*conn) {}, time.Hour},
	} {
		synctest.Test(t, func(t *testing.T) {
			l := newConns(noListener{}, minPlaces, slog.New(slog.DiscardHandler))
			l.end()
			near, _ := net.Pipe()
			waits := l.admit(near)
			began := time.Now()
			time.AfterFunc(time.Second, func() { c.event(waits) })
			l.quiesce(time.Hour)
			if took := time.Since(began); took != c.want {
				t.Errorf("%s: the wait took %v, want %v", c.what, took, c.want)
			}
		})
	}
}

type noListener struct{ net.Listener }

func (noListener) Close() error { return nil }
