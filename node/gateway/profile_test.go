package gateway

import (
	"compress/gzip"
	"context"
	"io"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

func newProfiled() *Gateway {
	return New(Config{Cluster: newFake(), Token: "a token of some length", Profile: true})
}

func askProfile(t *testing.T, g *Gateway, query string) answer {
	t.Helper()
	r := httptest.NewRequest("GET", "/v1/profile"+query, nil)
	r.Header.Set("Authorization", "Bearer a token of some length")
	return ask(t, g, r)
}

// TestProfile has a profile of each type, which is what go tool pprof reads: a protocol
// buffer, compressed. It is not parallel, because one cpu profile is taken at a time.
func TestProfile(t *testing.T) {
	g := newProfiled()
	for _, of := range profiles {
		res := askProfile(t, g, "?seconds=1&type="+of)
		if res.status != 200 || res.header.Get("Content-Disposition") != `attachment; filename="`+of+`.pb.gz"` {
			t.Errorf("%s: %d, %v", of, res.status, res.header)
			continue
		}
		r, err := gzip.NewReader(strings.NewReader(res.body))
		if err != nil {
			t.Errorf("%s: %v", of, err)
			continue
		}
		data, err := io.ReadAll(r)
		if err != nil || of != "block" && of != "mutex" && !strings.Contains(string(data), "nanoseconds") && !strings.Contains(string(data), "count") {
			t.Errorf("%s: %d bytes, %v", of, len(data), err)
		}
	}
	var wg sync.WaitGroup
	statuses := make([]int, 3)
	for i := range statuses {
		wg.Go(func() { statuses[i] = askProfile(t, g, "?seconds=1").status })
	}
	wg.Wait()
	taken := 0
	for _, status := range statuses {
		if status == 200 {
			taken++
		} else if status != 503 {
			t.Errorf("status %d", status)
		}
	}
	if taken == 0 {
		t.Errorf("statuses %v", statuses)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := httptest.NewRequestWithContext(ctx, "GET", "/v1/profile?seconds=60", nil)
	r.Header.Set("Authorization", "Bearer a token of some length")
	func() {
		defer func() { recover() }() // the caller has gone
		g.ServeHTTP(httptest.NewRecorder(), r)
	}()
	if res := askProfile(t, g, "?seconds=1"); res.status != 200 {
		t.Errorf("after one that was given up: %d %s", res.status, res.body)
	}
}

// TestNoProfile asks where there is none, without the token, and for what is none.
func TestNoProfile(t *testing.T) {
	t.Parallel()
	wantProblem(t, get(t, New(Config{Cluster: newFake(), Profile: true}), "/v1/profile?type=heap"), 404, "not-found")
	wantProblem(t, askProfile(t, New(Config{Cluster: newFake(), Token: "a token of some length"}), "?type=heap"), 404, "not-found")
	wantProblem(t, get(t, newProfiled(), "/v1/profile?type=heap"), 401, "unauthorized")
	for _, query := range []string{"?type=", "?type=passwords", "?seconds=0", "?seconds=61", "?seconds=x", "?seconds=-1", "?debug=2"} {
		wantProblem(t, askProfile(t, newProfiled(), query), 400, "bad-request")
	}
}
