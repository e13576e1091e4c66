package metrics

import (
	"cmp"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

const (
	maxScrapes    = 4                // concurrent scrapes; one or two servers scrape a node
	scrapeTimeout = 10 * time.Second // the default of Prometheus
)

// Handler returns a handler for the scrapes of one node. It exports the metrics of
// [NewCollector], those of the Go runtime and of the process, and distproc_build_info
// with the version of the program. It answers with 503 if four other scrapes run, or if a
// scrape takes more than 10 s. It requires no password: its callers can read the names of
// the kinds and how often they are used.
func Handler(n Node, version string) http.Handler {
	r := newRegistry(n, version)
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{
		Registry:            r,                        // counts metrics that failed …
		ErrorHandling:       promhttp.ContinueOnError, // … and exports the others
		MaxRequestsInFlight: maxScrapes,
		Timeout:             scrapeTimeout,
	})
}

func newRegistry(n Node, version string) *prometheus.Registry {
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name:        "distproc_build_info",
		Help:        "Always 1; the label is the version of the program.",
		ConstLabels: prometheus.Labels{"version": cmp.Or(version, "unknown")},
	})
	build.Set(1)
	r := prometheus.NewRegistry()
	r.MustRegister(
		NewCollector(n), build,
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return r
}
