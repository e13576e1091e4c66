package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/distproc/distproc/node/worker"
)

// About is what a report says of a run besides its Config.
type About struct {
	Nodes []string // that were asked
	Kind  string
	Call  bool // messages were sent
}

// WriteText writes the report that people read, with a picture as wide as width columns.
func (r *Result) WriteText(w io.Writer, c Config, about About, width int) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "nodes\t%s\n", strings.Join(about.Nodes, ", "))
	fmt.Fprintf(t, "load\t%s\n", load(c, about))
	fmt.Fprintf(t, "ids\t%s\n", ids(c))
	fmt.Fprintf(t, "requests\t%d in %s\n", r.Requests, brief(r.Elapsed))
	answers := r.Requests - r.Errors()
	fmt.Fprintf(t, "answers\t%d, %.*f per second\n", answers, decimals(r.PerSecond()), r.PerSecond())
	fmt.Fprintf(t, "  cached\t%s\n", share(r.Cached, answers))
	fmt.Fprintf(t, "  degraded\t%s\n", share(r.Degraded, answers))
	fmt.Fprintf(t, "errors\t%s\n", share(r.Errors(), r.Requests))
	for _, f := range r.failures() {
		failed := r.Failures[f]
		fmt.Fprintf(t, "  %s\t%d, %s: %s\n", f.code(), failed.Count, f.Outcome, failed.Example)
	}
	if r.Unanswered > 0 {
		fmt.Fprintf(t, "unanswered\t%d, given up when the run was interrupted\n", r.Unanswered)
	}
	if r.Unsent > 0 {
		fmt.Fprintf(t, "unsent\t%d that were due: %d in flight are too few for this rate, or it is too high\n", r.Unsent, c.Concurrency*c.Batch)
	}
	fmt.Fprintf(t, "latency\tp50 %s, p90 %s, p99 %s, p99.9 %s, max %s\n", brief(r.Quantile(50)), brief(r.Quantile(90)),
		brief(r.Quantile(99)), brief(r.Quantile(99.9)), brief(r.Quantile(100)))
	if err := t.Flush(); err != nil || r.Requests == 0 {
		return err
	}
	_, err := io.WriteString(w, "\n"+picture(r.Latency.Distribution(), width))
	return err
}

func load(c Config, about About) string {
	what := "requests"
	if about.Call {
		what = "calls"
	}
	what += " of kind " + about.Kind
	if c.Rate > 0 {
		s := fmt.Sprintf("%g %s due per second, %d in flight at most", c.Rate, what, c.Concurrency*c.Batch)
		if c.Batch > 1 {
			s += fmt.Sprintf(", %d at once", c.Batch)
		}
		return s
	}
	s := fmt.Sprintf("%s by %d callers", what, c.Concurrency)
	if c.Batch > 1 {
		s += fmt.Sprintf(", %d at once each", c.Batch)
	}
	return s
}

func ids(c Config) string {
	how := "uniformly"
	if c.Zipf > 0 {
		how = fmt.Sprintf("zipf %g", c.Zipf)
	}
	return fmt.Sprintf("0 to %d, %s, seed %d", c.IDs-1, how, c.Seed)
}

func share(part, whole int64) string {
	if part == 0 {
		return "0"
	}
	return fmt.Sprintf("%d, %.1f %%", part, 100*float64(part)/float64(whole))
}

// decimals is how many of a throughput say something.
func decimals(perSecond float64) int {
	if perSecond < 100 {
		return 1
	}
	return 0
}

// brief rounds a duration to three digits.
func brief(d time.Duration) string {
	unit := time.Duration(1)
	for d/unit >= 1000 {
		unit *= 10
	}
	return d.Round(unit).String()
}

// Quantile returns the latency that so many percent of all requests do not exceed.
func (r *Result) Quantile(percent float64) time.Duration {
	return time.Duration(r.Latency.ValueAtPercentile(percent))
}

// failures returns the ways to fail, the most frequent first.
func (r *Result) failures() []Failure {
	return slices.SortedFunc(maps.Keys(r.Failures), func(a, b Failure) int {
		if na, nb := r.Failures[a].Count, r.Failures[b].Count; na != nb {
			return int(nb - na)
		}
		return strings.Compare(a.code()+a.Outcome.String(), b.code()+b.Outcome.String())
	})
}

// code is the failure's code as HTTP says it.
func (f Failure) code() string { return strings.ReplaceAll(f.Code.Error(), " ", "-") }

// WriteJSON writes the report that programs read, as one line.
func (r *Result) WriteJSON(w io.Writer, c Config, about About) error {
	report := struct {
		Requests        int64            `json:"requests"`
		Seconds         float64          `json:"seconds"`
		PerSecond       float64          `json:"per_second"`
		MeanUS          float64          `json:"mean_us"`
		P50US           float64          `json:"p50_us"`
		P90US           float64          `json:"p90_us"`
		P99US           float64          `json:"p99_us"`
		P999US          float64          `json:"p999_us"`
		MaxUS           float64          `json:"max_us"`
		Cached          int64            `json:"cached"`
		Degraded        int64            `json:"degraded"`
		Errors          int64            `json:"errors"`
		ErrorsByCode    map[string]int64 `json:"errors_by_code"`
		ErrorsByOutcome map[string]int64 `json:"errors_by_outcome"`
		Unanswered      int64            `json:"unanswered"`
		Unsent          int64            `json:"unsent"`
		Interrupted     bool             `json:"interrupted"`
		Nodes           []string         `json:"nodes"`
		Kind            string           `json:"kind"`
		Call            bool             `json:"call"`
		Concurrency     int              `json:"concurrency"`
		Batch           int              `json:"batch"`
		Rate            float64          `json:"rate"`
		IDs             int64            `json:"ids"`
		Zipf            float64          `json:"zipf"`
		Seed            uint64           `json:"seed"`
		TimeoutSeconds  float64          `json:"timeout_seconds"`
	}{
		Requests: r.Requests, Seconds: r.Elapsed.Seconds(), PerSecond: tenths(r.PerSecond()), MeanUS: micros(r.Latency.Mean()),
		P50US: micros(r.Quantile(50)), P90US: micros(r.Quantile(90)), P99US: micros(r.Quantile(99)), P999US: micros(r.Quantile(99.9)), MaxUS: micros(r.Quantile(100)),
		Cached: r.Cached, Degraded: r.Degraded, Errors: r.Errors(), ErrorsByCode: map[string]int64{},
		ErrorsByOutcome: map[string]int64{worker.OutcomeNotRun.String(): 0, worker.OutcomeRan.String(): 0, worker.OutcomeUnknown.String(): 0},
		Unanswered:      r.Unanswered, Unsent: r.Unsent, Interrupted: r.Interrupted, Nodes: about.Nodes, Kind: about.Kind, Call: about.Call,
		Concurrency: c.Concurrency, Batch: c.Batch, Rate: c.Rate, IDs: c.IDs, Zipf: c.Zipf, Seed: c.Seed, TimeoutSeconds: c.Timeout.Seconds(),
	}
	for f, failed := range r.Failures {
		report.ErrorsByCode[f.code()] += failed.Count
		report.ErrorsByOutcome[f.Outcome.String()] += failed.Count
	}
	return json.NewEncoder(w).Encode(report)
}

func micros[N time.Duration | float64](nanoseconds N) float64 {
	return tenths(float64(nanoseconds) / 1000)
}

func tenths(x float64) float64 { return math.Round(10*x) / 10 }
