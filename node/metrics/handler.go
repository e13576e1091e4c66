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
	maxScrapes    = 4                // at once; a node has one or two servers that scrape it
	scrapeTimeout = 10 * time.Second // Prometheus gives up then, unless it is told otherwise
)

// Handler returns what answers the scrapes of one node, with a registry of its own: the metrics of [NewCollector], those of the Go
// runtime and of the process, and distproc_build_info with the version of the program. A fifth scrape at a time, and one
// that takes more than 10 s, is answered with 503. It asks for no password: who reaches it reads the names of the kinds,
// and how much is asked of them.
func Handler(n Node, version string) http.Handler {
	r := newRegistry(n, version)
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{
		Registry:            r,                        // counts what could not be told …
		ErrorHandling:       promhttp.ContinueOnError, // … and tells the rest
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
