package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// known returns the result of 1000 requests that took 1 to 1000 ms, in two callers'
// tallies: the last 40 failed.
func known() *Result {
	r := newResult()
	r.Elapsed = 2500 * time.Millisecond
	var tallies [2]tally
	for i := range 1000 {
		a := answer{took: time.Duration(i+1) * time.Millisecond, cached: i < 900 || i >= 960, degraded: i < 12} // an error counts as an error only
		switch {
		case i >= 998:
			a.err = context.DeadlineExceeded
		case i >= 990:
			a.err = &wire.Error{Code: wire.SourceFailed, Outcome: wire.Ran, Node: "2@a", Text: fmt.Sprint("try ", i)}
		case i >= 960:
			a.err = &wire.Error{Code: wire.Unreachable, Outcome: wire.NotRun}
		}
		t := &tallies[i%2]
		if t.full() {
			r.add(t)
		}
		t.note(&a)
	}
	r.add(&tallies[0])
	r.add(&tallies[1])
	return r
}

var knownConfig = Config{Concurrency: 50, Batch: 1, IDs: 1000, Zipf: 1.5, Seed: 7, Duration: time.Second, Timeout: 5 * time.Second}

var knownAbout = About{Nodes: []string{"1@a", "2@a"}, Kind: "price"}

func TestSummary(t *testing.T) {
	r := known()
	if r.Requests != 1000 || r.Errors() != 40 || r.Cached != 900 || r.Degraded != 12 || r.PerSecond() != 384 {
		t.Errorf("%d requests, %d errors, %d cached, %d degraded, %g per second", r.Requests, r.Errors(), r.Cached, r.Degraded, r.PerSecond())
	}
	for percent, want := range map[float64]time.Duration{50: 500e6, 90: 900e6, 99: 990e6, 99.9: 999e6, 100: 1000e6} {
		if got := r.Quantile(percent); got < want || got > want+want/1000 {
			t.Errorf("p%g %v, want %v and 0.1 %% at most", percent, got, want)
		}
	}
	if f := r.Failures[Failure{wire.SourceFailed, worker.OutcomeRan}]; f.Count != 8 || f.Example != "2@a: source failed: try 990" {
		t.Errorf("%+v", f)
	}
	var huge tally
	huge.note(&answer{took: 5 * time.Hour})
	if r.add(&huge); r.Requests != 1001 || r.Latency.TotalCount() != 1001 || r.Quantile(100) < time.Hour {
		t.Errorf("a latency of 5 h is lost: %v", r.Quantile(100))
	}
}

func TestCodeOf(t *testing.T) {
	for want, err := range map[wire.Code]error{
		wire.Overloaded:       fmt.Errorf("why: %w", &wire.Error{Code: wire.Overloaded}),
		wire.DeadlineExceeded: context.DeadlineExceeded,
		wire.Canceled:         context.Canceled,
		wire.Internal:         errors.New("anything"),
	} {
		if got := codeOf(err); got != want {
			t.Errorf("%v has code %v, want %v", err, got, want)
		}
	}
}

func TestWriteText(t *testing.T) {
	for _, c := range []struct {
		change func(*Result, *Config, *About)
		want   string
	}{
		{func(*Result, *Config, *About) {}, `
nodes                1@a, 2@a
load                 requests of kind price by 50 callers
ids                  0 to 999, zipf 1.5, seed 7
requests             1000 in 2.5s
answers              960, 384 per second
  cached             900, 93.8 %
  degraded           12, 1.2 %
errors               40, 4.0 %
  unreachable        30, not run: unreachable
  source-failed      8, ran: 2@a: source failed: try 990
  deadline-exceeded  2, unknown: context deadline exceeded
latency              p50 500ms, p90 900ms, p99 990ms, p99.9 999ms, max 1s

≤   1ms    1    0.1 %  ▏
≤ 1.5ms    0    0.0 %
≤ 2.2ms    1    0.1 %  ▏
≤ 3.3ms    1    0.1 %  ▏
≤ 4.7ms    1    0.1 %  ▏
≤ 6.8ms    2    0.2 %  ▎
≤  10ms    4    0.4 %  ▌
≤  15ms    5    0.5 %  ▌
≤  22ms    7    0.7 %  ▊
≤  33ms   11    1.1 %  █▎
≤  47ms   14    1.4 %  █▌
≤  68ms   21    2.1 %  ██▎
≤ 100ms   32    3.2 %  ███▌
≤ 150ms   50    5.0 %  █████▌
≤ 220ms   70    7.0 %  ███████▋
≤ 330ms  110   11.0 %  ████████████
≤ 470ms  140   14.0 %  ███████████████▍
≤ 680ms  210   21.0 %  ███████████████████████
≤    1s  320   32.0 %  ███████████████████████████████████
`},
		{func(r *Result, c *Config, a *About) {
			*r = *newResult()
			r.Elapsed, r.Unanswered, r.Unsent = 1234567*time.Microsecond, 5, 70
			c.Zipf, c.Batch, c.Rate, a.Call = 0, 10, 0.5, true
		}, `
nodes       1@a, 2@a
load        0.5 calls of kind price due per second, 500 in flight at most, 10 at once
ids         0 to 999, uniformly, seed 7
requests    0 in 1.23s
answers     0, 0.0 per second
  cached    0
  degraded  0
errors      0
unanswered  5, given up when the run was interrupted
unsent      70 that were due: 500 in flight are too few for this rate, or it is too high
latency     p50 0s, p90 0s, p99 0s, p99.9 0s, max 0s
`},
	} {
		r, config, about := known(), knownConfig, knownAbout
		c.change(r, &config, &about)
		var s strings.Builder
		if err := r.WriteText(&s, config, about, 58); err != nil || s.String() != c.want[1:] {
			t.Errorf("%v; it says\n%swant%s", err, s.String(), c.want)
		}
	}
}

func TestWriteJSON(t *testing.T) {
	var s strings.Builder
	if err := known().WriteJSON(&s, knownConfig, knownAbout); err != nil {
		t.Fatal(err)
	}
	want := `{"requests":1000,"seconds":2.5,"per_second":384,"mean_us":500500.3,"p50_us":500170.8,"p90_us":900202.5,"p99_us":990380,"p999_us":999292.9,"max_us":1000341.5,` +
		`"cached":900,"degraded":12,"errors":40,"errors_by_code":{"deadline-exceeded":2,"source-failed":8,"unreachable":30},` +
		`"errors_by_outcome":{"not run":30,"ran":8,"unknown":2},"unanswered":0,"unsent":0,"interrupted":false,"nodes":["1@a","2@a"],` +
		`"kind":"price","call":false,"concurrency":50,"batch":1,"rate":0,"ids":1000,"zipf":1.5,"seed":7,"timeout_seconds":5}` + "\n"
	if s.String() != want {
		t.Errorf("it says\n%swant\n%s", s.String(), want)
	}
	if !json.Valid([]byte(s.String())) {
		t.Error("that is no JSON")
	}
}
