package metrics

import (
	"fmt"
	"maps"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/distproc/distproc/node"
	"github.com/distproc/distproc/node/worker"
)

// A fake has the stats that it is given.
type fake node.Stats

func (f fake) Stats() node.Stats { return node.Stats(f) }

// filled has another number in each field.
var filled = fake{
	Kinds: []worker.Stats{
		{
			Kind: "default", Local: 11, Remote: 12, Degraded: 13, Stale: 50,
			Failed: map[string]uint64{"overloaded": 14, "unknown kind": 15, "error 99 (of a newer version)": 16, "error 100 (of a newer version)": 17},
			Latency: worker.Histogram{
				Bounds: []time.Duration{time.Millisecond, 50 * time.Millisecond, 2 * time.Second},
				Counts: []uint64{5, 0, 3, 2}, Sum: 7500 * time.Millisecond,
			},
			Loads: worker.Histogram{
				Bounds: []time.Duration{100 * time.Microsecond, time.Second},
				Counts: []uint64{0, 4, 0}, Sum: 250 * time.Millisecond,
			},
			LoadErrs: 18, Expired: 19, Workers: 20, Waiting: 21, Evicted: 39, Bytes: 40, Running: 41, Queued: 42, Stuck: 43,
		},
		{Kind: "price", Local: 22},
		{Kind: "account", Strict: true, Fenced: 44, Failed: map[string]uint64{"no quorum": 45}},
	},
	Quorum: &worker.Quorum{
		Lease: 1500 * time.Millisecond, Epoch: 46, Views: 47, Voters: make([]string, 3), Silent: make([]string, 2), Leads: true,
		Elections: 48, ViewsSeen: 49,
	},
	Members:  map[node.State]int{node.StateAlive: 31, node.StateStuck: 32},
	Sessions: 33,
	BytesIn:  34, BytesOut: 35, Refused: 36,
	HandedOff: 37, HandOffLost: 38,
}

// TestExposition compares all that is told of a node with the text that it is to be.
func TestExposition(t *testing.T) {
	t.Parallel()
	want, err := os.Open("testdata/exposition.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer want.Close()
	if err := testutil.CollectAndCompare(NewCollector(filled), want); err != nil {
		t.Error(err)
	}
}

// TestLint has Prometheus's linter look at all that the handler tells.
func TestLint(t *testing.T) {
	t.Parallel()
	problems, err := testutil.GatherAndLint(newRegistry(filled, "v1.2.3"))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// TestStates has each state that has a name of its own told.
func TestStates(t *testing.T) {
	t.Parallel()
	names := map[string]bool{}
	for s := range node.State(100) {
		names[s.String()] = true
	}
	for _, s := range states {
		delete(names, s.String())
	}
	if len(names) > 0 {
		t.Errorf("states %v are left out", names)
	}
}

// TestPedantic has a registry check that the collector keeps to what it describes, and
// that a collector without kinds describes the same.
func TestPedantic(t *testing.T) {
	t.Parallel()
	for _, n := range []fake{filled, {}} {
		r := prometheus.NewPedanticRegistry()
		if err := r.Register(NewCollector(n)); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Gather(); err != nil {
			t.Error(err)
		}
	}
}

// TestOddStats has a collector meet what no node tells: it fails or makes do, but does
// not panic.
func TestOddStats(t *testing.T) {
	t.Parallel()
	odd := fake{Kinds: []worker.Stats{
		{Kind: "a", Latency: worker.Histogram{Bounds: []time.Duration{1, 2, 3}, Counts: []uint64{7}}},
		{Kind: "\xff"},
	}}
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(NewCollector(odd))
	families, err := r.Gather()
	if err == nil || !strings.Contains(err.Error(), "UTF-8") {
		t.Errorf("a label that is no UTF-8: %v", err)
	}
	for _, f := range families {
		if f.GetName() == "distproc_request_duration_seconds" {
			if n := f.Metric[0].Histogram.GetSampleCount(); n != 7 {
				t.Errorf("a histogram with too few counts has %d, want 7", n)
			}
		}
	}
}

// A busy node's counts grow with each look at them.
type busy struct {
	mu    sync.Mutex
	stats fake // guarded by mu
}

func (b *busy) Stats() node.Stats {
	b.mu.Lock()
	defer b.mu.Unlock()
	k := &b.stats.Kinds[0]
	k.Local, k.LoadErrs = k.Local+1, k.LoadErrs+1
	k.Failed["overloaded"]++
	k.Failed["error 99 (of a newer version)"]++
	k.Failed["error 100 (of a newer version)"] += 10
	k.Latency.Counts[k.Local%3]++
	k.Latency.Sum += time.Millisecond
	b.stats.BytesIn, b.stats.BytesOut = b.stats.BytesIn+100, b.stats.BytesOut+1
	b.stats.Refused, b.stats.HandedOff = b.stats.Refused+1, b.stats.HandedOff+1

	s := node.Stats(b.stats)
	s.Kinds = []worker.Stats{*k}
	s.Kinds[0].Failed = maps.Clone(k.Failed)
	s.Kinds[0].Latency.Counts = append([]uint64(nil), k.Latency.Counts...)
	return s
}

// TestScrapesAtOnce has many scrape a busy node: for none of them does a counter or a
// bucket go backward, and all grow.
func TestScrapesAtOnce(t *testing.T) {
	n := &busy{stats: fake{Kinds: []worker.Stats{{
		Kind: "default", Failed: map[string]uint64{},
		Latency: worker.Histogram{Bounds: []time.Duration{1e6, 1e9}, Counts: make([]uint64, 3)},
	}}}}
	r := newRegistry(n, "v1.2.3")
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			var first, last map[string]float64
			for range 25 {
				now := counters(t, r)
				for name, v := range last {
					if now[name] < v {
						t.Errorf("%s went from %v to %v", name, v, now[name])
					}
				}
				if last = now; first == nil {
					first = now
				}
			}
			grown := 0
			for name, v := range last {
				if v > first[name] {
					grown++
				}
			}
			if grown != 12 { // of requests 3, of durations 4, and failures, bytes in and out, refusals, answers
				t.Errorf("%d counters have grown, want 12: %v", grown, last)
			}
		})
	}
	wg.Wait()
}

// counters returns all that must never go backward, by name and labels.
func counters(t *testing.T, r prometheus.Gatherer) map[string]float64 {
	families, err := r.Gather()
	if err != nil {
		t.Error(err)
	}
	values := map[string]float64{}
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), "distproc_") {
			continue
		}
		for _, m := range f.Metric {
			name := fmt.Sprint(f.GetName(), m.Label)
			if m.Counter != nil {
				values[name] = m.Counter.GetValue()
			}
			if h := m.Histogram; h != nil {
				values[name+" count"], values[name+" sum"] = float64(h.GetSampleCount()), h.GetSampleSum()
				for _, b := range h.Bucket {
					values[fmt.Sprint(name, " to ", b.GetUpperBound())] = float64(b.GetCumulativeCount())
				}
			}
		}
	}
	return values
}

// TestWithoutVoters has a node without voters tell nothing of them.
func TestWithoutVoters(t *testing.T) {
	t.Parallel()
	n := filled
	n.Quorum = nil
	if count, err := testutil.GatherAndCount(newRegistry(n, ""), "distproc_quorum", "distproc_views", "distproc_elections_total", "distproc_lease_seconds_left"); count != 0 || err != nil {
		t.Errorf("%d, %v", count, err)
	}
}
