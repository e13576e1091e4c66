package gateway

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// Serve waits for requests, then tells their callers that it does not wait any longer.
func TestClose(t *testing.T) {
	f := newFake()
	f.wait, f.entered = true, make(chan struct{})
	serving(t, f, func(t *testing.T, l *pipeListener, stop context.CancelFunc, _ <-chan error) {
		c := l.dial()
		fmt.Fprint(c, "GET /v1/request/7?timeout=50s HTTP/1.1\r\nHost: localhost\r\n\r\n")
		<-f.entered
		stop()
		got, took := answerOf(t, c)
		if !strings.HasPrefix(got, `503 {"type":"/problems/closed"`) || !strings.Contains(got, `"outcome":"unknown","code":"closed"`) || took != drainTimeout {
			t.Errorf("%s after %v", got, took)
		}
		c.Close()
	})
	f.entered = make(chan struct{})
	serving(t, f, func(t *testing.T, l *pipeListener, stop context.CancelFunc, _ <-chan error) {
		c := l.dial()
		fmt.Fprint(c, "GET /v1/request/7?timeout=3s HTTP/1.1\r\nHost: localhost\r\n\r\n")
		<-f.entered
		stop()
		if got, took := answerOf(t, c); !strings.HasPrefix(got, "504 ") || took != 3*time.Second {
			t.Errorf("%s after %v", got, took)
		}
		c.Close()
	})
}

// A handler that does not end, and a caller who does not read, do not keep Serve.
func TestCloseWhileStuck(t *testing.T) {
	runtime.GC()
	runtime.GC()
	synctest.Test(t, func(t *testing.T) {
		stuck := make(chan struct{})
		metrics := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-stuck })
		ctx, stop := context.WithCancel(t.Context())
		l, served := newPipeListener(), make(chan error, 1)
		go func() { served <- New(Config{Cluster: newFake(), Metrics: metrics}).Serve(ctx, l) }()
		for _, path := range []string{"/metrics", "/v1/openapi.json"} {
			fmt.Fprint(l.dial(), "GET "+path+" HTTP/1.1\r\nHost: localhost\r\n\r\n")
		}
		synctest.Wait()
		stop()
		began := time.Now()
		if err := <-served; err != nil || time.Since(began) != drainTimeout+abortTimeout {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		close(stuck)
	})
}

// When the caller goes away, so does his request.
func TestDisconnect(t *testing.T) {
	f := newFake()
	f.wait = true
	url := serveTCP(t, newGateway(f))
	for _, method := range []string{"GET", "POST"} {
		f.entered = make(chan struct{})
		target := map[string]string{"GET": "/v1/request/7?timeout=1m", "POST": "/v1/call/price/7?timeout=1m"}[method]
		ctx, cancel := context.WithCancel(t.Context())
		r, err := http.NewRequestWithContext(ctx, method, url+target, strings.NewReader(map[string]string{"POST": "x"}[method]))
		if err != nil {
			t.Fatal(err)
		}
		failed := make(chan error, 1)
		go func() {
			res, err := http.DefaultClient.Do(r)
			if err == nil {
				res.Body.Close()
			}
			failed <- err
		}()
		<-f.entered
		cancel()
		select {
		case <-f.ctx.Done():
		case <-time.After(10 * time.Second):
			t.Fatalf("%s: the call goes on", method)
		}
		if err := <-failed; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
}

// A client that goes away gets no answer, even if it still reads.
func TestHalfClosed(t *testing.T) {
	f := newFake()
	f.wait = true
	url := serveTCP(t, newGateway(f))
	c, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "GET /v1/request/7 HTTP/1.1\r\nHost: localhost\r\n\r\n")
	c.(*net.TCPConn).CloseWrite()
	c.SetReadDeadline(time.Now().Add(5 * time.Second))
	if got, _ := answerOf(t, c); got != "closed" {
		t.Error(got)
	}
}
