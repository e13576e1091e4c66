// Package metrics exports the counts of a node to Prometheus.
//
// The path of one scrape: the registry of [Handler] calls the collector of
// [NewCollector], which takes one snapshot, [node.Stats], and exports it as constant
// metrics. Nothing is counted twice, and nothing is kept between scrapes.
//
// The node's configuration bounds the number of series. Labels are kinds of its
// configuration and error codes: those of package wire, about 20, and "other". Ids, names
// of nodes and addresses are not labels. A kind has at most 31 series and two histograms.
// The node has 10 more, and 9 if it has voters, besides those of the Go and process collectors.
//
// Beside this file are grafana.json, a board to import into Grafana, and alerts.yml, rules
// for Prometheus. Both need one job for each cluster.
package metrics

import (
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/distproc/distproc/node"
	"github.com/distproc/distproc/node/worker"
)

// A Node is the source of the counts: a [node.Node]. Stats is called once for each
// scrape, from any goroutine.
type Node interface {
	Stats() node.Stats
}

// NewCollector returns a collector of the node's metrics, for a registry of the caller.
// It holds no state. Two nodes in one registry need a label that distinguishes them; see
// [prometheus.WrapRegistererWith].
func NewCollector(n Node) prometheus.Collector { return collector{n, families()} }

type collector struct {
	node     Node
	families []family
}

// Describe is part of [prometheus.Collector].
func (c collector) Describe(ch chan<- *prometheus.Desc) {
	for _, f := range c.families {
		ch <- f.desc
	}
}

// Collect is part of [prometheus.Collector].
func (c collector) Collect(ch chan<- prometheus.Metric) {
	s := c.node.Stats()
	for _, f := range c.families {
		f.tell(&s, sink{f.desc, ch})
	}
}

// A family is all metrics with one name.
type family struct {
	desc *prometheus.Desc
	tell func(*node.Stats, sink)
}

// of returns a family about the node as a whole.
func of(name, help string, tell func(*node.Stats, sink), labels ...string) family {
	return family{prometheus.NewDesc("distproc_"+name, help, labels, nil), tell}
}

// ofKinds returns a family about each kind. Its first label is the kind.
func ofKinds(name, help string, tell func(*worker.Stats, sink), labels ...string) family {
	each := func(s *node.Stats, to sink) {
		for i := range s.Kinds {
			tell(&s.Kinds[i], to)
		}
	}
	return of(name, help, each, slices.Insert(labels, 0, "kind")...)
}

// ofQuorum returns a family about the voters. Only a node that was started with voters has it.
func ofQuorum(name, help string, tell func(*worker.Quorum, sink)) family {
	return of(name, help, func(s *node.Stats, to sink) {
		if s.Quorum != nil {
			tell(s.Quorum, to)
		}
	})
}

// A sink receives the metrics of one family. A metric that Prometheus cannot represent,
// such as one with a label that is not UTF-8, becomes an error of the scrape.
type sink struct {
	desc *prometheus.Desc
	ch   chan<- prometheus.Metric
}

func (s sink) counter(n uint64, labels ...string) {
	s.send(prometheus.NewConstMetric(s.desc, prometheus.CounterValue, float64(n), labels...))
}

func (s sink) gauge(n int, labels ...string) {
	s.send(prometheus.NewConstMetric(s.desc, prometheus.GaugeValue, float64(n), labels...))
}

func (s sink) seconds(d time.Duration) {
	s.send(prometheus.NewConstMetric(s.desc, prometheus.GaugeValue, d.Seconds()))
}

// histogram exports durations in seconds. A bucket of Prometheus includes the counts of
// all lower ones.
func (s sink) histogram(h *worker.Histogram, labels ...string) {
	buckets := make(map[float64]uint64, len(h.Bounds))
	var count uint64
	for i, n := range h.Counts {
		count += n
		if i < len(h.Bounds) {
			buckets[h.Bounds[i].Seconds()] = count
		}
	}
	s.send(prometheus.NewConstHistogram(s.desc, count, h.Sum.Seconds(), buckets, labels...))
}

func (s sink) send(m prometheus.Metric, err error) {
	if err != nil {
		m = prometheus.NewInvalidMetric(s.desc, err)
	}
	s.ch <- m
}
