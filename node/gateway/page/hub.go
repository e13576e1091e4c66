// Package page is the page that a gateway serves for people: its files, and the figures that
// it shows.
package page

import (
	"context"
	"errors"
	"log/slog"

	"github.com/distproc/distproc/node"
	"github.com/distproc/distproc/node/gateway/internal/report"
	"github.com/distproc/distproc/node/observe"
	"github.com/distproc/distproc/node/worker"
)

// A Cluster is what a hub asks: a [node.Node] or a [node.Client]. Its methods are called
// from many goroutines. They must return soon after ctx ends.
type Cluster interface {
	Nodes(ctx context.Context) ([]node.NodeInfo, error)
	Figures(ctx context.Context, q observe.FiguresQuery) (observe.Figures, error)
	Hottest(ctx context.Context, q observe.HotQuery) (observe.Hot, error)
	Trace(ctx context.Context, q observe.TraceQuery) (observe.Steps, error)
	Family(kind string) node.Family
}

// A Hub asks the cluster for what pages show. Its methods may be called from any number of
// goroutines.
type Hub struct {
	cluster Cluster
	self    string
	log     *slog.Logger
}

// NewHub returns a hub of a cluster. Self is the name of the node that serves the page. It
// starts nothing until somebody watches. A nil log is silent.
func NewHub(c Cluster, self string, log *slog.Logger) *Hub {
	return &Hub{cluster: c, self: self, log: log}
}

// A Choice is what a page shows.
type Choice struct {
	Node string // NAME@HOST; empty is all nodes together
	Hot  bool   // ids that have the most to do
}

// Send sends one event of Server-Sent Events to a page. Data is one line of JSON, which many
// pages share: Send must not change it. After an error nothing more is sent.
type Send func(event string, data []byte) error

// A Member is a member of the cluster as the page shows it.
type Member struct {
	report.Node
	Values    int64  `json:"value_bytes"`
	MaxValues int64  `json:"max_value_bytes"`
	Evicted   uint64 `json:"evicted"`
	Clock     *int64 `json:"clock_ms"`        // how far its clock is ahead of the serving node's; nil if that is not known
	Figures   string `json:"figures_problem"` // why it has no figures; usually empty
}

// A Plan says how ids are spread over the members, and what a change would move.
type Plan struct{}

var errNotYet = errors.New("not yet")

// Watch sends the states of the cluster until ctx ends or send fails, and returns that
// error. The first state comes at once.
func (h *Hub) Watch(ctx context.Context, c Choice, send Send) error { return errNotYet }

// WatchID sends what is known of one id until ctx ends or send fails, and returns that error.
func (h *Hub) WatchID(ctx context.Context, k worker.Key, send Send) error { return errNotYet }

// Plan says what it would move if members joined and left.
func (h *Hub) Plan(ctx context.Context, add, remove []string) (*Plan, error) { return nil, errNotYet }

// Members lists the members as they were at most a few seconds ago.
func (h *Hub) Members(ctx context.Context) ([]Member, error) { return nil, errNotYet }
