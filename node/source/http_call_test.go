package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

func TestHTTPCall(t *testing.T) {
	t.Parallel()
	var seen *http.Request
	var body []byte
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		seen = r
		body, _ = io.ReadAll(r.Body)
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, "[1]\n")
	})
	const text = "text/plain; charset=utf-8"
	for _, c := range []struct {
		message   worker.Value
		mediaType string
	}{
		{worker.BytesValue("hello\n"), text},
		{worker.BytesValue("é"), text},
		{worker.BytesValue(""), text},
		{worker.IntValue(-42), text},
		{worker.BytesValue("\xff\x00"), "application/octet-stream"},
		{worker.MediaValue("application/json; a=b", "{}"), "application/json; a=b"},
		{worker.MediaValue("image/png", "\xff"), "image/png"},
		{worker.BytesValue(strings.Repeat("x", wire.MaxValue)), text},
	} {
		v, err := call(t, s.URL+"/tenants/{id}?of={id}", "a/b c", c.message)
		if err != nil || v.String() != "[1]\n" || v.MediaType() != "application/json" {
			t.Errorf("%.20q: %q of type %q, %v", c.message, v, v.MediaType(), err)
		}
		if seen.Method != "POST" || seen.RequestURI != "/tenants/a%2Fb%20c?of=a%2Fb+c" {
			t.Errorf("%.20q: %s %s", c.message, seen.Method, seen.RequestURI)
		}
		if string(body) != c.message.String() || seen.ContentLength != int64(len(body)) {
			t.Errorf("%.20q: came as %.20q, of length %d", c.message, body, seen.ContentLength)
		}
		for key, want := range map[string]string{
			"Content-Type": c.mediaType, "User-Agent": "distproc", "X-Distproc-Kind": "price", "X-Distproc-Node": "2@127.0.0.1",
		} {
			if got := seen.Header.Get(key); got != want {
				t.Errorf("%.20q: %s: %q, want %q", c.message, key, got, want)
			}
		}
	}
	if _, err := load(t, s.URL, "7"); err != nil || seen.Method != "GET" || seen.Header["Content-Type"] != nil || len(body) > 0 {
		t.Errorf("for a value: %s of type %q with %q, %v", seen.Method, seen.Header["Content-Type"], body, err)
	}
	seen = nil
	_, err := call(t, s.URL, "7", worker.MediaValue("text/plain\r\nX-Evil: 1", "x"))
	if err == nil || !strings.Contains(err.Error(), "Content-Type") || seen != nil {
		t.Errorf("a media type of two lines: %v, %v", err, seen)
	}
	if _, err := call(t, s.URL+"/{id}", "..", worker.BytesValue("x")); err == nil || !strings.Contains(err.Error(), "not asked") || seen != nil {
		t.Errorf("dots: %v, %v", err, seen)
	}
}

func TestHTTPTrace(t *testing.T) {
	t.Parallel()
	var seen []string
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		seen = slices.Concat(r.Header["Traceparent"], r.Header["Tracestate"], r.Header["Baggage"])
		if r.URL.Path == "/" {
			http.Redirect(w, r, "/there", http.StatusTemporaryRedirect)
		}
	})
	const trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	e, err := newEndpoint(s.URL, testEnv)
	if err != nil {
		t.Fatal(err)
	}
	for _, message := range []*worker.Value{nil, {}} {
		for _, want := range []string{trace, ""} {
			if _, err := e.run(worker.WithTrace(t.Context(), want), mustID(t, "7"), message); err != nil {
				t.Fatal(err)
			}
			if len(seen) > 1 || (len(seen) == 1) != (want != "") || strings.Join(seen, "") != want {
				t.Errorf("traceparent %q, want %q", seen, want)
			}
		}
		if _, err := e.run(worker.WithTraceContext(t.Context(), trace, "a=b", "c=d"), mustID(t, "7"), message); err != nil || !slices.Equal(seen, []string{trace, "a=b", "c=d"}) {
			t.Errorf("%q, %v", seen, err)
		}
	}
}

func TestHTTPCallStatus(t *testing.T) {
	t.Parallel()
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		code, _ := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/"))
		w.Header().Set("Content-Type", "text/plain")
		w.WriteHeader(code)
		if code != http.StatusNoContent {
			io.WriteString(w, "so it is\n") // with the message unread
		}
	})
	for id, want := range map[string]string{"200": "so it is\n", "202": "so it is\n", "204": ""} {
		if v, err := call(t, s.URL+"/{id}", id, worker.BytesValue(strings.Repeat("x", wire.MaxValue))); err != nil || v.String() != want {
			t.Errorf("%s: %q, %v, want %q", id, v, err, want)
		}
	}
	for id, want := range map[string]string{
		"304": "status 304 Not Modified", "307": "status 307 Temporary Redirect: so it is", // it names no address
		"413": "status 413 Request Entity Too Large: so it is", "500": "status 500 Internal Server Error: so it is",
	} {
		_, err := call(t, s.URL+"/{id}", id, worker.BytesValue(strings.Repeat("x", wire.MaxValue)))
		if want = "post to " + s.Listener.Addr().String() + ": " + want; err == nil || err.Error() != want {
			t.Errorf("%s: error %q, want %q", id, err, want)
		}
	}
}

func TestHTTPCallRedirect(t *testing.T) {
	t.Parallel()
	other := newServer(t, func(http.ResponseWriter, *http.Request) { t.Error("the other host was asked") })
	var asked []string
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked = append(asked, fmt.Sprint(r.Method, " ", r.URL.Path, " ", string(body), " ", r.Header["Content-Type"]))
		code, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "-")
		switch n, _ := strconv.Atoi(code); {
		case rest == "other":
			w.Header().Set("Location", other.URL)
			w.WriteHeader(n)
		case n > 0:
			w.Header().Set("Location", "/"+rest)
			w.WriteHeader(n)
		case code == "loop":
			http.Redirect(w, r, "/loop", http.StatusTemporaryRedirect)
		default:
			io.WriteString(w, "there")
		}
	})
	for _, c := range []struct {
		id, err string
		then    []string // after the POST that has the message
	}{
		{"307-a", "", []string{"POST /a {} [application/json]"}},
		{"308-a", "", []string{"POST /a {} [application/json]"}},
		{"303-a", "", []string{"GET /a  []"}},
		{"307-308-a", "", []string{"POST /308-a {} [application/json]", "POST /a {} [application/json]"}},
		{"308-303-a", "", []string{"POST /303-a {} [application/json]", "GET /a  []"}},
		{"303-307-a", "", []string{"GET /307-a  []", "GET /a  []"}},
		{"303-302-a", "", []string{"GET /302-a  []", "GET /a  []"}},
		{"301-a", "status 301 Moved Permanently would lose the message: the server should say 307 or 308", nil},
		{"302-a", "status 302 Found would lose the message: the server should say 307 or 308", nil},
		{"307-302-a", "status 302 Found would lose the message", []string{"POST /302-a {} [application/json]"}},
		{"301-other", "redirect to another host refused: " + other.URL, nil},
		{"303-other", "redirect to another host refused: " + other.URL, nil},
		{"307-other", "redirect to another host refused: " + other.URL, nil},
		{"308-other", "redirect to another host refused: " + other.URL, nil},
		{"303-303-other", "redirect to another host refused: " + other.URL, []string{"GET /303-other  []"}},
	} {
		asked = nil
		v, err := call(t, s.URL+"/{id}", c.id, worker.MediaValue("application/json", "{}"))
		if c.err == "" && (err != nil || v.String() != "there") || c.err != "" && (err == nil || !strings.Contains(err.Error(), ": "+c.err)) {
			t.Errorf("%s: %q, %v, want %q", c.id, v, err, c.err)
		}
		want := append([]string{"POST /" + c.id + " {} [application/json]"}, c.then...)
		if strings.Join(asked, "\n") != strings.Join(want, "\n") {
			t.Errorf("%s: asked %q, want %q", c.id, asked, want)
		}
	}
	asked = nil
	if _, err := call(t, s.URL+"/{id}", "loop", worker.Value{}); err == nil || !strings.Contains(err.Error(), "more than 10 redirects") || len(asked) != 11 {
		t.Error(len(asked), err)
	}
}

// A message that a server has seen is not sent again, though the connection is one on
// which a GET would be.
func TestHTTPCallIsSentOnce(t *testing.T) {
	t.Parallel()
	asked := make(chan string, 10)
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked <- r.Method + string(body)
		if r.URL.Path == "/gone" {
			panic(http.ErrAbortHandler) // which closes the connection
		}
	})
	e, err := newEndpoint(s.URL+"/{id}", testEnv)
	if err != nil {
		t.Fatal(err)
	}
	message := worker.BytesValue(" x")
	for _, c := range []struct {
		message *worker.Value
		want    string
	}{
		{nil, "GET GET GET"}, {&message, "POST x POST x"}, {&worker.Value{}, "POST POST"},
	} {
		if _, err := e.run(t.Context(), mustID(t, "there"), c.message); err != nil {
			t.Fatal(err)
		}
		if _, err := e.run(t.Context(), mustID(t, "gone"), c.message); err == nil || !strings.Contains(err.Error(), "EOF") {
			t.Error(err)
		}
		var got []string
		for len(asked) > 0 {
			got = append(got, <-asked)
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("asked %q, want %q", got, c.want)
		}
	}
}

func TestHTTPCallEnds(t *testing.T) {
	t.Parallel()
	asked, gone := make(chan []byte, 1), make(chan struct{}, 1)
	s := newServer(t, func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked <- body
		<-r.Context().Done()
		gone <- struct{}{}
	})
	server, err := mustParseSerial(t, s.URL)(t.Context(), mustID(t, "7"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	message := bytes.Repeat([]byte("x"), wire.MaxValue)
	go func() {
		if got := <-asked; !bytes.Equal(got, message) {
			t.Errorf("%d bytes came", len(got))
		}
		cancel()
	}()
	if _, err := server.Call(ctx, worker.BytesValue(string(message))); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	<-gone // the server has heard
}
