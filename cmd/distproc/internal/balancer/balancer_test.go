package balancer

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// gateway returns the address of a server with a name, whose /readyz has a status.
func gateway(t *testing.T, name string, ready int) string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/readyz" {
			w.WriteHeader(ready)
			return
		}
		_, _ = w.Write([]byte(r.Method + " " + name))
	}))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

// TestBalancer has one gateway of three that can be reached and is ready.
func TestBalancer(t *testing.T) {
	t.Parallel()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	b := New([]string{
		gateway(t, "leaving", http.StatusServiceUnavailable), strings.TrimPrefix(gone.URL, "http://"), gateway(t, "ready", http.StatusOK),
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		b.Probe(ctx)
		close(done)
	}()
	defer func() { cancel(); <-done }()
	for b.Ready(0) || b.Ready(1) {
		time.Sleep(time.Millisecond)
	}
	for range 10 {
		for body, want := range map[string]string{"": "GET ready", "message": "POST ready"} {
			if a, err := b.Do(ctx, "/", body); err != nil || a.Status != http.StatusOK || string(a.Body) != want {
				t.Errorf("%d %s, %v; want %s", a.Status, a.Body, err, want)
			}
		}
	}
}

// TestSilentGateway has gateways that answer no probe in time. One of them is asked.
func TestSilentGateway(t *testing.T) {
	t.Parallel()
	probed := make(chan struct{}, 1)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/readyz" {
			probed <- struct{}{}
			<-r.Context().Done()
			return
		}
		_, _ = w.Write([]byte("slow"))
	}))
	defer s.Close()
	addr := strings.TrimPrefix(s.URL, "http://")
	b := New([]string{addr, gateway(t, "leaving", http.StatusServiceUnavailable)})
	client := http.Client{Timeout: 20 * time.Millisecond}
	for i, addr := range b.addrs {
		b.states[i].Store(probe(&client, addr))
	}
	<-probed
	if b.Ready(0) || b.Ready(1) {
		t.Error("a gateway counts as ready that did not say so")
	}
	for range 10 {
		if a, err := b.Do(t.Context(), "/", ""); err != nil || string(a.Body) != "slow" {
			t.Errorf("%d %s, %v; want slow", a.Status, a.Body, err)
		}
	}
}

// TestNoGateway has no gateway that can be reached.
func TestNoGateway(t *testing.T) {
	t.Parallel()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	if _, err := New([]string{strings.TrimPrefix(gone.URL, "http://")}).Do(t.Context(), "/", ""); !errors.Is(err, ErrNoGateway) {
		t.Errorf("error %v, want %v", err, ErrNoGateway)
	}
	if _, err := Do(t.Context(), Client(), gone.URL, ""); !Refused(err) {
		t.Errorf("error %v, want a refused connection", err)
	}
}
