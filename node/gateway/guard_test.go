package gateway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

const someToken = "0123456789abcdef-and-more"

func TestToken(t *testing.T) {
	t.Parallel()
	notReady := func(context.Context) error { return errors.New("a secret of the source") }
	f := newFake()
	g := New(Config{Cluster: f, Token: someToken, Ready: notReady})
	for _, c := range []struct {
		headers []string
		ok      bool
	}{
		{[]string{"Bearer " + someToken}, true},
		{[]string{"bearer   " + someToken + " "}, true},
		{nil, false},
		{[]string{""}, false},
		{[]string{"Bearer"}, false},
		{[]string{"Bearer "}, false},
		{[]string{someToken}, false},
		{[]string{"Basic " + someToken}, false},
		{[]string{"Bearer " + someToken + "x"}, false},
		{[]string{"Bearer " + someToken[1:]}, false},
		{[]string{"Bearer " + strings.ToUpper(someToken)}, false},
		{[]string{"Bearer " + someToken, "Bearer " + someToken}, false},
	} {
		for _, rt := range stable {
			target := strings.NewReplacer("{id}", "7", "{kind}", "price").Replace(rt.pattern)
			f.asked = nil
			r := httptest.NewRequest(rt.methods()[0], target, nil)
			r.Header["Authorization"] = c.headers
			res := ask(t, g, r)
			switch {
			case target == "/healthz":
				if res.status != 200 {
					t.Errorf("%s: status %d", target, res.status)
				}
			case target == "/readyz":
				if p := wantProblem(t, res, 503, "not-ready"); strings.Contains(p.Detail, "secret") != c.ok {
					t.Errorf("%q: %s: detail %q", c.headers, target, p.Detail)
				}
			case c.ok:
				if res.status == 401 {
					t.Errorf("%q: %s: refused", c.headers, target)
				}
			default:
				wantProblem(t, res, 401, "unauthorized")
				if res.header.Get("WWW-Authenticate") != `Bearer realm="distproc"` || f.asked != nil {
					t.Errorf("%q: %s: %v, asked %q", c.headers, target, res.header, f.asked)
				}
			}
		}
	}
	for _, target := range []string{"/", "/healthz/", "/%68ealthz/../v1/nodes", "//healthz", "/readyz/..", "/v1/request/healthz"} {
		wantProblem(t, get(t, g, target), 401, "unauthorized")
	}
}

func TestHost(t *testing.T) {
	t.Parallel()
	for host, ok := range map[string]bool{
		"localhost": true, "LocalHost:8080": true, "localhost.:8080": true, "app.localhost:1": true, "127.0.0.1": true, "127.9.8.7:8080": true,
		"[::1]": true, "[::1]:8080": true, "[::ffff:127.0.0.1]:80": true, "proxy.example": true, "Proxy.Example.:443": true, "": true,
		"evil.example": false, "localhost.evil.example": false, "127.0.0.1.evil.example": false, "evillocalhost": false, "0.0.0.0:8080": false,
		"10.0.0.1": false, "[::]:80": false, "[2001:db8::1]:80": false, "127.0.0.1@evil.example": false, "example.com:x:y": false, "2130706433": false,
	} {
		for _, loopback := range []bool{true, false} {
			f := newFake()
			g := New(Config{Cluster: f, LoopbackOnly: loopback, Hosts: []string{"proxy.EXAMPLE"}})
			for _, target := range []string{"/v1/request/7", "/healthz", "/nowhere"} {
				r := httptest.NewRequest("GET", target, nil)
				r.Host = host
				res := ask(t, g, r)
				if refused := res.status == 421; refused != (loopback && !ok) {
					t.Errorf("host %q, loopback only %v: status %d", host, loopback, res.status)
				} else if refused {
					if p := wantProblem(t, res, 421, "foreign-host"); !strings.Contains(p.Detail, "localhost") || f.asked != nil {
						t.Errorf("%+v, asked %q", p, f.asked)
					}
				}
			}
		}
	}
}

func TestCrossOrigin(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		method  string
		headers string // NAME=VALUE …
		ok      bool
	}{
		{"POST", "", true},
		{"POST", "Sec-Fetch-Site=same-origin Origin=http://localhost:8080", true},
		{"POST", "Sec-Fetch-Site=none", true},
		{"POST", "Origin=http://localhost:8080", true},
		{"POST", "Sec-Fetch-Site=cross-site Sec-Fetch-Mode=navigate Sec-Fetch-Dest=document", false},
		{"POST", "Sec-Fetch-Site=same-site Origin=http://localhost:3000", false},
		{"POST", "Origin=http://evil.example", false},
		{"POST", "Origin=null", false},
		{"GET", "Sec-Fetch-Site=same-origin", true},
		{"GET", "Sec-Fetch-Site=none Sec-Fetch-Mode=navigate Sec-Fetch-Dest=document", true},
		{"GET", "Sec-Fetch-Site=cross-site Sec-Fetch-Mode=navigate Sec-Fetch-Dest=document", false},
		{"GET", "Sec-Fetch-Site=same-site Sec-Fetch-Mode=navigate Sec-Fetch-Dest=document", false},
		{"GET", "Sec-Fetch-Site=same-site Sec-Fetch-Mode=no-cors", false},
		{"GET", "Sec-Fetch-Site=same-origin Referer=http://proxy.example/", true}, // which rewrites the Host
		{"DELETE", "", true},
		{"DELETE", "Origin=http://localhost:8080", true},
		{"DELETE", "Origin=http://evil.example", false},
		{"DELETE", "Sec-Fetch-Site=same-site Sec-Fetch-Mode=cors", false},
		{"GET", "", true},
		{"GET", "Origin=http://localhost:8080", true},
		{"GET", "Origin=http://evil.example", false},
		{"GET", "Origin=http://localhost:3000", false},
		{"GET", "Origin=null", false},
		{"GET", "Referer=http://localhost:8080/page", true},
		{"GET", "Referer=http://evil.example/localhost:8080", false},
		{"GET", "Referer=http://localhost:8080@evil.example/", false},
		{"GET", "Referer=::", false},
		{"GET", "Sec-Fetch-Site=cross-site Sec-Fetch-Mode=navigate Sec-Fetch-Dest=iframe", false},
		{"GET", "Sec-Fetch-Site=cross-site Sec-Fetch-Mode=no-cors Sec-Fetch-Dest=image", false},
		{"GET", "Sec-Fetch-Site=cross-site Sec-Fetch-Mode=cors", false},
	} {
		for _, target := range map[string][]string{
			"GET": {"/v1/request/7", "/v1/request/7?refresh=true", "/v1/value/7"}, "POST": {"/v1/call/price/7"},
			"DELETE": {"/v1/value/7", "/v1/value?id=7"},
		}[c.method] {
			f := newFake()
			res := askAs(t, newGateway(f), c.method, target, c.headers)
			if ok := res.status == 200; ok != c.ok || ok != (f.asked != nil) {
				t.Errorf("%s %s, %s: status %d, asked %q", c.method, target, c.headers, res.status, f.asked)
			}
			if !c.ok {
				wantProblem(t, res, 403, "cross-origin")
			}
			if res.header.Get("Access-Control-Allow-Origin") != "" {
				t.Error("pages of other origins may read the answer")
			}
		}
	}
}

// askAs asks with headers, NAME=VALUE ….
func askAs(t *testing.T, g *Gateway, method, target, headers string) answer {
	t.Helper()
	r := httptest.NewRequest(method, target, nil)
	r.Host = "localhost:8080"
	for h := range strings.FieldsSeq(headers) {
		name, value, _ := strings.Cut(h, "=")
		r.Header.Set(name, value)
	}
	return ask(t, g, r)
}

// Pages of other origins may link to what runs nothing.
func TestCrossOriginLink(t *testing.T) {
	t.Parallel()
	for headers, ok := range map[string]bool{
		"Sec-Fetch-Site=cross-site Sec-Fetch-Mode=navigate Sec-Fetch-Dest=document": true,
		"Sec-Fetch-Site=same-site Sec-Fetch-Mode=navigate Sec-Fetch-Dest=document":  true,
		"Referer=http://evil.example/":                                              true,
		"Sec-Fetch-Site=cross-site Sec-Fetch-Mode=navigate Sec-Fetch-Dest=iframe":   false,
		"Sec-Fetch-Site=cross-site Sec-Fetch-Mode=no-cors Sec-Fetch-Dest=image":     false,
		"Sec-Fetch-Site=same-site Sec-Fetch-Mode=cors Origin=http://localhost:3000": false,
	} {
		for _, rt := range stable {
			if rt.runs || rt.pattern == "/metrics" {
				continue
			}
			target := strings.Replace(rt.pattern, "{id}", "7", 1)
			if res := askAs(t, newGateway(newFake()), "GET", target, headers); (res.status == 200) != ok {
				t.Errorf("%s, %s: status %d", target, headers, res.status)
			}
		}
	}
}

func TestPanic(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	f := newFake()
	f.panics = "a secret"
	g := New(Config{Cluster: f, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	for _, target := range []string{"/v1/request/7", "/v1/value/7", "/v1/nodes", "/v1/workers", "/v1/owner/7", "/v1/why/7"} {
		p := wantProblem(t, get(t, g, target), 500, "internal-error")
		if p.Outcome != "unknown" || strings.Contains(p.Detail, "secret") {
			t.Errorf("%+v", p)
		}
	}
	g.flush()
	if !strings.Contains(log.String(), "a secret") || !strings.Contains(log.String(), "goroutine") {
		t.Errorf("log: %s", &log)
	}
	// http.ErrAbortHandler passes, and what has begun is cut off, not completed with
	// something else.
	for name, metrics := range map[string]http.HandlerFunc{
		"abort":  func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"midway": func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "up"); panic("boom") },
	} {
		func() {
			w := httptest.NewRecorder()
			defer func() {
				if v := recover(); v != http.ErrAbortHandler || strings.Contains(w.Body.String(), "problems") {
					t.Errorf("%s: panic %v, body %q", name, v, w.Body)
				}
			}()
			New(Config{Cluster: f, Metrics: metrics}).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
		}()
	}
	// The headers of an answer that was to be do not describe the problem.
	early := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		w.Header().Set("Cache-Control", "max-age=60")
		panic("boom")
	})
	if res := get(t, New(Config{Cluster: f, Metrics: early}), "/metrics"); res.status != 500 || res.header.Get("Content-Encoding") != "" || res.header.Get("Cache-Control") != "no-store" {
		t.Errorf("status %d, %v", res.status, res.header)
	}
}

// TestRefusedIsLogged has programs on two hosts ask without the token, again and again.
func TestRefusedIsLogged(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	g := New(Config{Cluster: newFake(), Token: someToken, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	for _, host := range []string{"10.0.0.1", "10.0.0.2"} {
		for port := range 20 {
			r := httptest.NewRequest("GET", "/v1/request/7", nil)
			r.Header.Set("Authorization", "Bearer wrong")
			r.RemoteAddr = fmt.Sprintf("%s:%d", host, 1000+port)
			wantProblem(t, ask(t, g, r), 401, "unauthorized")
		}
	}
	r := httptest.NewRequest("GET", "/v1/request/7", nil)
	r.Header.Set("Authorization", "Bearer "+someToken)
	ask(t, g, r)
	g.flush()
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	if len(lines) != 2 || !strings.HasSuffix(lines[0], `level=WARN msg="request refused" from=10.0.0.1:1000 why=Unauthorized`) ||
		!strings.HasSuffix(lines[1], `from=10.0.0.2:1000 why=Unauthorized left_out=19`) || strings.Contains(log.String(), "wrong") {
		t.Errorf("log: %s", &log)
	}
}

func TestLog(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	f := newFake()
	g := New(Config{Cluster: f, Token: someToken, Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	r := httptest.NewRequest("GET", "/v1/request/a%0Ab?kind=price", nil)
	r.Header.Set("Authorization", "Bearer "+someToken)
	r.Header.Set("Traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	ask(t, g, r)
	get(t, g, "/any%0Awhere")
	g.flush()
	lines := slices.DeleteFunc(strings.Split(strings.TrimSpace(log.String()), "\n"), func(line string) bool {
		return !strings.Contains(line, "msg=http")
	})
	if len(lines) != 2 {
		t.Fatalf("%q", lines)
	}
	for i, want := range []string{
		`level=DEBUG msg=http method=GET path=/v1/request/{id} id="a b" kind=price status=200 took=`,
		`level=DEBUG msg=http method=GET path="/any where" id="" kind="" status=401 took=`,
	} {
		if !strings.Contains(lines[i], want) || strings.Contains(lines[i], someToken) {
			t.Errorf("got %s, want %s", lines[i], want)
		}
	}
	if !strings.HasSuffix(lines[0], "trace=00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01") {
		t.Error(lines[0])
	}
}
