package source

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/url"
	"testing"
	"time"

	"github.com/distproc/distproc/node"
)

// A request that no server can have received has not run.
func TestHTTPNotBegun(t *testing.T) {
	s := httptest.NewServer(nil)
	refused := s.URL
	s.Close()
	newTestNode(t, refused, time.Minute).checkOutcome("7", node.NotRun, "refused")
	newTestNode(t, "http://no-such-host.invalid/", time.Minute).checkOutcome("7", node.NotRun, "no-such-host.invalid")
	newTestNode(t, refused+"/{id}", time.Minute).checkOutcome("..", node.NotRun, "not asked")
	newTestNode(t, refused, time.Nanosecond).checkOutcome("7", node.NotRun, "the source did not begin in time")

	secure := httptest.NewUnstartedServer(nil)
	secure.Config.ErrorLog = log.New(io.Discard, "", 0) // it is told of a bad certificate
	secure.StartTLS()
	defer secure.Close()
	newTestNode(t, secure.URL, time.Minute).checkOutcome("7", node.NotRun, "certificate")

	// It neither speaks TLS nor hangs up.
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	newTestNode(t, "https://"+silent.Addr().String(), 50*time.Millisecond).checkOutcome("7", node.NotRun, "did not begin in time")
}

func TestHTTPProxyFails(t *testing.T) {
	proxy := newServer(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	e, err := newEndpoint("https://example.invalid/", testEnv)
	if err != nil {
		t.Fatal(err)
	}
	transport := newTransport()
	transport.Proxy = func(*http.Request) (*url.URL, error) { return url.Parse(proxy.URL) }
	e.client.Transport = outcomeTransport{transport}
	n := newTestNodeOf(t, e, time.Minute)
	n.checkOutcome("7", node.NotRun, "Bad Gateway")
}

// A request that was sent but not answered may have run.
func TestHTTPMayHaveRun(t *testing.T) {
	s := newServer(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if r.URL.Path == "/gone" {
			panic(http.ErrAbortHandler) // which closes the connection
		}
		<-r.Context().Done()
	})
	newTestNode(t, s.URL+"/{id}", time.Minute).checkOutcome("gone", node.Unknown, "EOF")
	newTestNode(t, s.URL+"/{id}", 50*time.Millisecond).checkOutcome("slow", node.Unknown, "took too long")
}

// A request that was answered has run.
func TestHTTPRan(t *testing.T) {
	refused := httptest.NewServer(nil)
	refused.Close()
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/short":
			w.Header().Set("Content-Length", "10")
		case "/error":
			w.WriteHeader(http.StatusServiceUnavailable)
		case "/elsewhere":
			http.Redirect(w, r, refused.URL, http.StatusTemporaryRedirect)
		}
	})
	n := newTestNode(t, s.URL+"/{id}", time.Minute)
	n.checkOutcome("short", node.Ran, "unexpected EOF")
	n.checkOutcome("error", node.Ran, "status 503")
	n.checkOutcome("elsewhere", node.Ran, "another host")
}

// A redirect says whether the server has taken the message.
func TestHTTPRedirectOutcome(t *testing.T) {
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		code, there := http.StatusSeeOther, "/gone"
		switch r.URL.Path {
		case "/gone":
			panic(http.ErrAbortHandler)
		case "/307":
			code = http.StatusTemporaryRedirect
		}
		w.Header().Set("Location", there)
		w.WriteHeader(code)
	})
	n := newTestNode(t, s.URL+"/{id}", time.Minute)
	for id, want := range map[string]node.Outcome{"307": node.Unknown, "303": node.Ran} {
		_, err := n.Family("serial").Call(t.Context(), mustID(t, id), node.BytesValue("x"))
		if err == nil || node.OutcomeOf(err) != want {
			t.Errorf("%s: %v, outcome %v, want %v", id, err, node.OutcomeOf(err), want)
		}
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// A transport that tries a POST again has sent nothing before. It may have sent a GET.
func TestOutcomeOfRetries(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []struct {
		ctx    context.Context
		method string
		steps  string // of the transport: get a connection, write a header
		want   func(error) error
	}{
		{t.Context(), "GET", "", node.NotBegun},
		{t.Context(), "GET", "c", node.NotBegun},
		{t.Context(), "GET", "cw", node.MayHaveRun},
		{t.Context(), "GET", "cwc", node.MayHaveRun},
		{t.Context(), "POST", "cwc", node.NotBegun},
		{t.Context(), "POST", "cwcw", node.MayHaveRun},
		{ended, "POST", "", node.NotBegun},
		{ended, "POST", "c", node.MayHaveRun},
	} {
		req, err := http.NewRequestWithContext(c.ctx, c.method, "http://h/", nil)
		if err != nil {
			t.Fatal(err)
		}
		failure := errors.New("it failed")
		transport := outcomeTransport{roundTripper(func(r *http.Request) (*http.Response, error) {
			trace := httptrace.ContextClientTrace(r.Context())
			for _, step := range c.steps {
				if step == 'c' {
					trace.GotConn(httptrace.GotConnInfo{})
				} else {
					trace.WroteHeaderField("Host", []string{"h"})
				}
			}
			return nil, failure
		})}
		resp, err := transport.RoundTrip(req)
		if err == nil {
			resp.Body.Close()
		}
		if want := c.want(failure); err != want {
			t.Errorf("%s %q: %#v, want %#v", c.method, c.steps, err, want)
		}
	}
}
