package gateway

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/distproc/distproc/node"
	"github.com/distproc/distproc/node/worker"
)

// BenchmarkServeHTTP measures what a gateway adds to a request, without connections and
// the server of net/http, and whose cluster takes no time.
func BenchmarkServeHTTP(b *testing.B) {
	g := New(Config{Cluster: quick{}, LoopbackOnly: true})
	for _, bm := range []struct{ name, method, path, body string }{
		{"value", http.MethodGet, "/v1/value/12345", ""},
		{"call", http.MethodPost, "/v1/call/serial/12345", "a message"},
	} {
		b.Run(bm.name, func(b *testing.B) {
			r, err := http.NewRequest(bm.method, "http://127.0.0.1"+bm.path, nil)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if bm.body != "" {
					r.Body, r.ContentLength = io.NopCloser(strings.NewReader(bm.body)), int64(len(bm.body))
				}
				w := &nowhere{header: http.Header{}}
				if g.ServeHTTP(w, r); w.status != http.StatusOK {
					b.Fatalf("status %d", w.status)
				}
			}
		})
	}
}

// A quick cluster answers at once.
type quick struct{ Cluster }

func (quick) Self() string { return "1@127.0.0.1" }

func (quick) Family(string) node.Family { return quickFamily{} }

type quickFamily struct{ node.Family }

func (quickFamily) Request(context.Context, worker.ID) (worker.Reply, error) {
	return worker.Reply{Value: worker.IntValue(7), Node: "1@127.0.0.1", Cached: true, TTL: time.Minute}, nil
}

func (quickFamily) Call(_ context.Context, _ worker.ID, message worker.Value) (worker.Reply, error) {
	return worker.Reply{Value: message, Node: "1@127.0.0.1"}, nil
}

// A nowhere is a ResponseWriter that drops the answer.
type nowhere struct {
	header http.Header
	status int
}

func (w *nowhere) Header() http.Header         { return w.header }
func (w *nowhere) WriteHeader(status int)      { w.status = status }
func (w *nowhere) Write(b []byte) (int, error) { return len(b), nil }
