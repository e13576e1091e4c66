package source

import (
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

func TestHTTPRequest(t *testing.T) {
	t.Parallel()
	var seen *http.Request
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		seen = r
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		io.WriteString(w, `{"price":1}`+"\n")
	})
	v, err := load(t, s.URL+"/price/{id}?of={id}", "a/../b c")
	if err == nil {
		t.Fatal("dots were sent:", v)
	}
	v, err = load(t, strings.Replace(s.URL, "//", "//user:secret@", 1)+"/price/{id}?of={id}", "a/b c")
	if err != nil || v.String() != `{"price":1}`+"\n" || v.MediaType() != "application/json; charset=utf-8" {
		t.Errorf("%q of type %q, %v", v, v.MediaType(), err)
	}
	if seen.Method != "GET" || seen.RequestURI != "/price/a%2Fb%20c?of=a%2Fb+c" || seen.Host != s.Listener.Addr().String() {
		t.Errorf("request %s %s to %s", seen.Method, seen.RequestURI, seen.Host)
	}
	for key, want := range map[string]string{
		"User-Agent": "distproc", "X-Distproc-Kind": "price", "X-Distproc-Node": "2@127.0.0.1",
		"Authorization": "Basic dXNlcjpzZWNyZXQ=",
	} {
		if got := seen.Header.Get(key); got != want {
			t.Errorf("%s: %q, want %q", key, got, want)
		}
	}
}

func TestHTTPStatus(t *testing.T) {
	t.Parallel()
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		code, _ := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/"))
		w.Header().Set("Content-Type", r.FormValue("type"))
		w.WriteHeader(code)
		io.WriteString(w, r.FormValue("body"))
	})
	for _, c := range []struct{ query, id, want, err string }{
		{"type=text/plain&body=a%0Ab%0A", "200", "a\nb\n", ""},
		{"body=a", "201", "a", ""},
		{"body=", "200", "", ""},
		{"body=x&type=text/plain", "404", "", "status 404 Not Found: x"},
		{"body=%0A+a+%1B%0Ab&type=text/plain%3Bcharset=utf-8", "500", "", "status 500 Internal Server Error: a"},
		{"body={}&type=application/problem%2Bjson", "422", "", "status 422 Unprocessable Entity: {}"},
		{"body=<html>&type=text/html", "503", "", "status 503 Service Unavailable"},
		{"body=x&type=image/png", "400", "", "status 400 Bad Request"},
		{
			"type=text/plain&body=" + strings.Repeat("x", 5000), "400", "",
			"status 400 Bad Request: " + strings.Repeat("x", 256) + "…",
		},
		{"", "304", "", "status 304 Not Modified"},
		{"", "300", "", "status 300 Multiple Choices"},
		{"body=x&type=text/plain", "599", "", "status 599 : x"},
	} {
		query := strings.NewReplacer("{", "%7B", "}", "%7D").Replace(c.query)
		v, err := load(t, s.URL+"/{id}?"+query, c.id)
		ok := err == nil && c.err == "" && v.String() == c.want
		if err != nil {
			ok = err.Error() == "get from "+s.Listener.Addr().String()+": "+c.err
		}
		if !ok {
			t.Errorf("%s %.50s: %q, %v", c.id, c.query, v, err)
		}
	}
	for _, id := range []string{"204", "205"} {
		if v, err := load(t, s.URL+"/{id}?type=text/plain", id); err != nil || v != (worker.Value{}) {
			t.Errorf("%s: %q of type %q, %v", id, v, v.MediaType(), err)
		}
	}
}

func TestHTTPBodyLimit(t *testing.T) {
	t.Parallel()
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.Atoi(r.FormValue("n"))
		w.Header().Set("Content-Type", "text/plain")
		switch r.URL.Path {
		case "/length":
			w.Header().Set("Content-Length", strconv.Itoa(n))
		case "/gzip":
			w.Header().Set("Content-Encoding", "gzip")
			z, _ := gzip.NewWriterLevel(w, gzip.BestSpeed)
			z.Write(make([]byte, n))
			z.Close()
			return
		case "/short":
			w.Header().Set("Content-Length", strconv.Itoa(n+1))
		case "/endless":
			for data := make([]byte, n); ; {
				if _, err := w.Write(data); err != nil {
					return
				}
			}
		case "/header":
			w.Header().Set("X", strings.Repeat("x", n))
		}
		w.(http.Flusher).Flush()
		w.Write(make([]byte, n))
	})
	most, more := strconv.Itoa(wire.MaxValue), strconv.Itoa(wire.MaxValue+1)
	for _, path := range []string{"/length", "/chunked", "/gzip"} {
		checkValue(t, s.URL+path+"?n={id}", most, strings.Repeat("\x00", wire.MaxValue))
		checkFails(t, s.URL+path+"?n={id}", more, "the body has more than the 1048576 bytes")
	}
	checkFails(t, s.URL+"/gzip?n={id}", "5000000", "the body has more than")
	checkFails(t, s.URL+"/endless?n={id}", "50000", "the body has more than")
	checkFails(t, s.URL+"/short?n={id}", "10", "read the body: unexpected EOF")
	checkFails(t, s.URL+"/header?n={id}", "100000", "response headers")
}

func TestHTTPRedirect(t *testing.T) {
	t.Parallel()
	other := newServer(t, func(http.ResponseWriter, *http.Request) { t.Error("the other host was asked") })
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.Atoi(r.FormValue("n"))
		switch {
		case r.URL.Path == "/other":
			http.Redirect(w, r, other.URL+"/?token=secret", http.StatusFound)
		case r.URL.Path == "/scheme":
			http.Redirect(w, r, "https://"+r.Host+"/", http.StatusMovedPermanently)
		case n > 0 && n%2 == 0:
			http.Redirect(w, r, "http://"+r.Host+"/?n="+strconv.Itoa(n-1), http.StatusFound)
		case n > 0:
			http.Redirect(w, r, "/?n="+strconv.Itoa(n-1), http.StatusTemporaryRedirect)
		default:
			fmt.Fprint(w, "there as ", r.UserAgent(), r.Header.Get("X-Distproc-Kind"))
		}
	})
	checkValue(t, s.URL+"/?n={id}", "10", "there as distprocprice")
	checkFails(t, s.URL+"/?n={id}", "11", "get from "+s.Listener.Addr().String()+": more than 10 redirects")
	checkFails(t, s.URL+"/scheme", "7", ": redirect to another host refused: https://"+s.Listener.Addr().String())
	_, err := load(t, s.URL+"/other", "7")
	want := "get from " + s.Listener.Addr().String() + ": redirect to another host refused: " + other.URL
	if err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

func TestHTTPReusesConnection(t *testing.T) {
	t.Parallel()
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/redirect":
			http.Redirect(w, r, "/", http.StatusFound)
		case "/error":
			w.WriteHeader(http.StatusInternalServerError)
			w.Write(make([]byte, 50_000))
		case "/empty":
			w.WriteHeader(http.StatusNoContent)
		default:
			w.Write(make([]byte, 500_000))
		}
	})
	source := mustParse(t, s.URL+"/{id}")
	for range 5 {
		for _, id := range []string{"value", "error", "empty", "redirect"} {
			if _, err := source(t.Context(), mustID(t, id)); (err != nil) != (id == "error") {
				t.Error(id, err)
			}
		}
	}
	if n := s.conns.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

// The end of its context ends a request before the header of the answer and within its
// body; an error's body is not waited for at all.
func TestHTTPSlow(t *testing.T) {
	t.Parallel()
	asked, gone := make(chan struct{}, 1), make(chan struct{}, 1)
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/body":
			w.Write(make([]byte, 10))
			w.(http.Flusher).Flush()
		case "/error":
			w.Header().Set("Content-Type", "text/plain")
			w.WriteHeader(http.StatusBadGateway)
			io.WriteString(w, "out of order\nand ")
			w.(http.Flusher).Flush()
		}
		asked <- struct{}{}
		<-r.Context().Done()
		gone <- struct{}{}
	})
	for _, path := range []string{"header", "body"} {
		ctx, cancel := context.WithCancel(t.Context())
		go func() { <-asked; cancel() }()
		_, err := mustParse(t, s.URL+"/{id}")(ctx, mustID(t, path))
		if !errors.Is(err, context.Canceled) {
			t.Error(path, err)
		}
		<-gone // the server has heard
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second) // in which the server is asked
	defer cancel()
	if _, err := mustParse(t, s.URL+"/{id}")(ctx, mustID(t, "body")); !errors.Is(err, context.DeadlineExceeded) {
		t.Error("at its deadline:", err)
	}
	<-asked
	<-gone
	checkFails(t, s.URL+"/{id}", "error", "status 502 Bad Gateway: out of order")
	<-asked
	<-gone
}

func TestHTTPUnreachable(t *testing.T) {
	t.Parallel()
	_, err := load(t, "http://user:secret@"+refusing(t)+"/{id}?key=secret", "7")
	if err == nil || !strings.Contains(err.Error(), "refused") || strings.Contains(err.Error(), "secret") {
		t.Error(err)
	}
}

func TestHTTPS(t *testing.T) {
	t.Parallel()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/down" {
			http.Redirect(w, r, "http://"+r.Host, http.StatusFound)
		}
		io.WriteString(w, r.Proto)
	}))
	s.EnableHTTP2 = true
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // it is told of a bad certificate
	s.StartTLS()
	defer s.Close()
	e, err := newEndpoint(s.URL+"/{id}", testEnv)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.run(t.Context(), mustID(t, "7"), nil); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Error("an unknown certificate:", err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	transport := newTransport()
	defer transport.CloseIdleConnections()
	transport.TLSClientConfig = &tls.Config{RootCAs: roots}
	e.client.Transport = outcomeTransport{transport}
	if v, err := e.run(t.Context(), mustID(t, "7"), nil); err != nil || v.String() != "HTTP/2.0" {
		t.Error(v, err)
	}
	_, err = e.run(t.Context(), mustID(t, "down"), nil)
	if err == nil || !strings.Contains(err.Error(), "redirect to another host refused") {
		t.Error(err)
	}
}
