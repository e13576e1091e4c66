package source

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"io"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/distproc/distproc/wire"
)

// encodeAs returns data in a content coding.
func encodeAs(t *testing.T, coding string, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	var w io.WriteCloser
	switch coding {
	case "gzip":
		w = gzip.NewWriter(&b)
	case "zlib":
		w = zlib.NewWriter(&b)
	case "raw":
		w, _ = flate.NewWriter(&b, flate.BestSpeed)
	default:
		return data
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestHTTPContentEncoding(t *testing.T) {
	t.Parallel()
	var header []string
	var body []byte
	var code int
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		if got := r.Header["Accept-Encoding"]; len(got) != 1 || got[0] != "gzip" {
			t.Errorf("Accept-Encoding %q", got)
		}
		w.Header()["Content-Encoding"] = header
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		_, _ = w.Write(body)
	})
	for _, c := range []struct {
		header []string
		done   string // the codings, as encodeAs knows them
		err    string
	}{
		{nil, "", ""},
		{[]string{""}, "", ""},
		{[]string{"identity"}, "", ""},
		{[]string{"gzip"}, "gzip", ""},
		{[]string{"GZIP"}, "gzip", ""},
		{[]string{"x-gzip"}, "gzip", ""},
		{[]string{"deflate"}, "zlib", ""},
		{[]string{"deflate"}, "raw", ""},
		{[]string{"gzip, deflate"}, "gzip zlib", ""},
		{[]string{" deflate ,, identity, gzip "}, "raw gzip", ""},
		{[]string{"gzip", "gzip"}, "gzip gzip", ""},
		{[]string{"br"}, "", `the body has Content-Encoding "br", which was not asked for: the server should send identity or gzip`},
		{[]string{"gzip", "zstd"}, "gzip", `Content-Encoding "zstd"`},
		{[]string{strings.Repeat("x", 5000)}, "", `Content-Encoding "xxxxx`},
		{[]string{strings.Repeat("gzip,", 5)}, "", "5 content codings, limit 4"},
		{[]string{"gzip"}, "", "decode the body from gzip: gzip: invalid header"},
		{[]string{"deflate"}, "", "read the body: "},
	} {
		const text = `{"price":1}`
		header, body, code = c.header, []byte(text), http.StatusOK
		for done := range strings.FieldsSeq(c.done) {
			body = encodeAs(t, done, body)
		}
		if c.err != "" {
			checkFails(t, s.URL, "7", c.err)
		} else {
			checkValue(t, s.URL, "7", text)
			code = http.StatusInternalServerError
			checkFails(t, s.URL, "7", "status 500 Internal Server Error: "+text)
		}
	}
	for _, coding := range []string{"gzip", "deflate", "br"} {
		header, body, code = []string{coding}, nil, http.StatusOK
		if coding == "br" {
			code = http.StatusNoContent
		}
		checkValue(t, s.URL, "7", "")
	}
}

// A decoded body has the same limit as the body itself.
func TestHTTPEncodedLimit(t *testing.T) {
	codings := map[string]string{"gzip": "gzip", "deflate": "zlib", "gzip, gzip": "gzip gzip"}
	bodies := map[string][]byte{}
	for header, done := range codings {
		for _, size := range []int{wire.MaxValue, wire.MaxValue + 1, 32 << 20} {
			body := make([]byte, size)
			for coding := range strings.FieldsSeq(done) {
				body = encodeAs(t, coding, body)
			}
			bodies["/"+header+"/"+strconv.Itoa(size)] = body
		}
	}
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		coding, _, _ := strings.Cut(r.URL.Path[1:], "/")
		w.Header().Set("Content-Encoding", coding)
		if coding == "gzip" && strings.HasSuffix(r.URL.Path, "/empty") {
			for member := encodeAs(t, "gzip", nil); ; { // without end
				if _, err := w.Write(member); err != nil {
					return
				}
			}
		}
		_, _ = w.Write(bodies[r.URL.Path])
	})
	for header := range codings {
		spec := s.URL + "/" + header + "/"
		checkValue(t, spec+strconv.Itoa(wire.MaxValue), "7", strings.Repeat("\x00", wire.MaxValue))
		checkFails(t, spec+strconv.Itoa(wire.MaxValue+1), "7", "the body has more than the 1048576 bytes")
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		checkFails(t, spec+strconv.Itoa(32<<20), "7", "the body has more than the 1048576 bytes")
		runtime.ReadMemStats(&after)
		if took := after.TotalAlloc - before.TotalAlloc; took > 16<<20 {
			t.Errorf("%s: a body of 32 MiB took %d bytes", header, took)
		}
	}
	checkFails(t, s.URL+"/gzip/empty", "7", "the body has more than the 1048576 bytes")
}
