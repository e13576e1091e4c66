package metrics

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/distproc/distproc/node"
	"github.com/distproc/distproc/node/worker"
)

func scrape(h http.Handler) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", http.NoBody))
	return w
}

// TestHandler has the metrics of the node, the program, the runtime and the process.
func TestHandler(t *testing.T) {
	t.Parallel()
	w := scrape(Handler(filled, "v1.2.3"))
	if w.Code != http.StatusOK || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/plain; version=0.0.4") {
		t.Errorf("%d, %s", w.Code, w.Header())
	}
	for _, want := range []string{
		"\ndistproc_sessions 33\n",
		"\ndistproc_build_info{version=\"v1.2.3\"} 1\n",
		"\ngo_goroutines ",
		"\nprocess_start_time_seconds ",
		"\npromhttp_metric_handler_errors_total{cause=\"gathering\"} 0\n",
	} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("no %q in\n%s", want, w.Body)
		}
	}
	if body := scrape(Handler(filled, "")).Body.String(); !strings.Contains(body, `distproc_build_info{version="unknown"} 1`) {
		t.Errorf("without a version:\n%s", body)
	}
}

// TestPartOfIt has one kind that cannot be told: the rest is, and the failure is counted.
func TestPartOfIt(t *testing.T) {
	t.Parallel()
	h := Handler(fake{Kinds: []worker.Stats{{Kind: "\xff"}, {Kind: "good"}}, Sessions: 33}, "")
	scrape(h)
	w := scrape(h)
	for _, want := range []string{`distproc_workers{kind="good"} 0`, "distproc_sessions 33", `promhttp_metric_handler_errors_total{cause="gathering"} 1`} {
		if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%d, no %q in\n%s", w.Code, want, w.Body)
		}
	}
}

// A slow node keeps those who ask it until it is released.
type slow struct{ asked, released chan struct{} }

func (s slow) Stats() node.Stats {
	s.asked <- struct{}{}
	<-s.released
	return node.Stats{}
}

// TestTooManyScrapes has a crowd scrape at once: four are served, and the next are turned
// away at once.
func TestTooManyScrapes(t *testing.T) {
	t.Parallel()
	n := slow{make(chan struct{}, maxScrapes), make(chan struct{})}
	h := Handler(n, "")
	var wg sync.WaitGroup
	for range maxScrapes {
		wg.Go(func() {
			if w := scrape(h); w.Code != http.StatusOK {
				t.Errorf("one that waited: %d", w.Code)
			}
		})
	}
	for range maxScrapes {
		<-n.asked
	}
	if w := scrape(h); w.Code != http.StatusServiceUnavailable {
		t.Errorf("one more: %d, want %d", w.Code, http.StatusServiceUnavailable)
	}
	close(n.released)
	wg.Wait()
	if w := scrape(h); w.Code != http.StatusOK {
		t.Errorf("one after them: %d", w.Code)
	}
}

// TestSlowScrape has a node that does not tell its counts: who scrapes it is answered in
// time.
func TestSlowScrape(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := slow{make(chan struct{}, 1), make(chan struct{})}
		defer close(n.released)
		start := time.Now()
		w := scrape(Handler(n, ""))
		if took := time.Since(start); w.Code != http.StatusServiceUnavailable || took != scrapeTimeout {
			t.Errorf("%d after %v, want %d after %v", w.Code, took, http.StatusServiceUnavailable, scrapeTimeout)
		}
	})
}
