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
	"github.com/distproc/distproc/node/worker"
)

// A request that no server can have received has not run.
func TestHTTPNotRun(t *testing.T) {
	t.Parallel()
	refused := "http://" + refusing(t)
	newTestNode(t, refused, time.Minute).checkOutcome("7", worker.OutcomeNotRun, "refused")
	newTestNode(t, "http://no-such-host.invalid/", time.Minute).checkOutcome("7", worker.OutcomeNotRun, "no-such-host.invalid")
	newTestNode(t, refused+"/{id}", time.Minute).checkOutcome("..", worker.OutcomeNotRun, "not asked")
	newTestNode(t, refused, time.Nanosecond).checkOutcome("7", worker.OutcomeNotRun, "the source did not begin in time")

	secure := httptest.NewUnstartedServer(nil)
	secure.Config.ErrorLog = log.New(io.Discard, "", 0) // it is told of a bad certificate
	secure.StartTLS()
	defer secure.Close()
	newTestNode(t, secure.URL, time.Minute).checkOutcome("7", worker.OutcomeNotRun, "certificate")

	// It neither speaks TLS nor hangs up.
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	newTestNode(t, "https://"+silent.Addr().String(), 50*time.Millisecond).checkOutcome("7", worker.OutcomeNotRun, "did not begin in time")
}

func TestHTTPProxyFails(t *testing.T) {
	t.Parallel()
	proxy := newServer(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	e, err := newEndpoint("https://example.invalid/", testEnv)
	if err != nil {
		t.Fatal(err)
	}
	transport := newTransport()
	transport.Proxy = func(*http.Request) (*url.URL, error) { return url.Parse(proxy.URL) }
	e.client.Transport = outcomeTransport{transport}
	n := newTestNodeOf(t, e, time.Minute)
	n.checkOutcome("7", worker.OutcomeNotRun, "Bad Gateway")
}

// A request that was sent but not answered may have run.
func TestHTTPMayHaveRun(t *testing.T) {
	t.Parallel()
	s := newServer(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if r.URL.Path == "/gone" {
			panic(http.ErrAbortHandler) // which closes the connection
		}
		<-r.Context().Done()
	})
	newTestNode(t, s.URL+"/{id}", time.Minute).checkOutcome("gone", worker.OutcomeUnknown, "EOF")
	newTestNode(t, s.URL+"/{id}", 2*time.Second).checkOutcome("slow", worker.OutcomeUnknown, "took too long")
}

// A request that was answered has run.
func TestHTTPRan(t *testing.T) {
	t.Parallel()
	refused := "http://" + refusing(t)
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/short":
			w.Header().Set("Content-Length", "10")
		case "/error":
			w.WriteHeader(http.StatusServiceUnavailable)
		case "/elsewhere":
			http.Redirect(w, r, refused, http.StatusTemporaryRedirect)
		}
	})
	n := newTestNode(t, s.URL+"/{id}", time.Minute)
	n.checkOutcome("short", worker.OutcomeRan, "unexpected EOF")
	n.checkOutcome("error", worker.OutcomeRan, "status 503")
	n.checkOutcome("elsewhere", worker.OutcomeRan, "another host")
}

// A redirect says whether the server has taken the message.
func TestHTTPRedirectOutcome(t *testing.T) {
	t.Parallel()
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
	for id, want := range map[string]worker.Outcome{"307": worker.OutcomeUnknown, "303": worker.OutcomeRan} {
		_, err := n.Family("serial").Call(t.Context(), mustID(t, id), worker.BytesValue("x"))
		if err == nil || node.OutcomeOf(err) != want {
			t.Errorf("%s: %v, outcome %v, want %v", id, err, node.OutcomeOf(err), want)
		}
	}
}

// A transport that tries a POST again has sent nothing before. It may have sent a GET.
func TestOutcomeOfRetries(t *testing.T) {
	t.Parallel()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []struct {
		ctx    context.Context
		method string
		steps  string // of the transport: get a connection, write a header
		want   func(error) error
	}{
		{t.Context(), "GET", "", worker.NotRun},
		{t.Context(), "GET", "c", worker.NotRun},
		{t.Context(), "GET", "cw", worker.MayHaveRun},
		{t.Context(), "GET", "cwc", worker.MayHaveRun},
		{t.Context(), "POST", "cwc", worker.NotRun},
		{t.Context(), "POST", "cwcw", worker.MayHaveRun},
		{ended, "POST", "", worker.NotRun},
		{ended, "POST", "c", worker.MayHaveRun},
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
