package gateway

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestDrain has the gateway say for a while that it is about to close: it answers, and closes each connection after the answer.
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
