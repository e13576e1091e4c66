// Package metrics shows the counts of a node to Prometheus.
//
// The path of one scrape: [Handler] has its registry gather, the registry asks the [NewCollector] in it, and that takes one
// snapshot, [node.Stats], and tells it as constant metrics. So a scrape sees one moment of each count, nothing is counted
// twice, and nothing is kept from one scrape to the next.
//
// How many series there are is bounded by what the node is set up with. The kinds are those of its configuration, and the
// codes of errors are those of package wire, about 20, and "other"; ids, names of nodes and addresses are in no label. So a
// kind has at most 30 series and two histograms, and all kinds share 10 more, besides those of the Go and process collectors.
package metrics

import (
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/distproc/distproc/node"
	"github.com/distproc/distproc/node/worker"
)

// A Node is what is shown: a [node.Node]. Stats is called once for each scrape, from any goroutine.
type Node interface {
	Stats() node.Stats
}

// NewCollector returns a collector of the node's metrics, for a registry of the program's own. It holds no state. Two nodes in one
// registry need labels that tell them apart ([prometheus.WrapRegistererWith]).
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

// A family is the metrics of one name.
type family struct {
	desc *prometheus.Desc
	tell func(*node.Stats, sink)
}

// of returns a family that tells of the node as a whole.
func of(name, help string, tell func(*node.Stats, sink), labels ...string) family {
	return family{prometheus.NewDesc("distproc_"+name, help, labels, nil), tell}
}

// ofKinds returns a family that tells of each kind, which is its first label.
func ofKinds(name, help string, tell func(*worker.Stats, sink), labels ...string) family {
	each := func(s *node.Stats, to sink) {
		for i := range s.Kinds {
			tell(&s.Kinds[i], to)
		}
	}
	return of(name, help, each, slices.Insert(labels, 0, "kind")...)
}

// A sink takes the metrics of one family. What cannot be told, such as a label that is no UTF-8, is an error of the scrape.
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

// histogram tells of durations in seconds. In Prometheus a bucket counts what is in those below it, too.
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
