package gateway

import (
	"context"

	"github.com/distproc/distproc/node/gateway/internal/report"
)

// owner answers with the owner of an id.
func (g *Gateway) owner(ctx context.Context, x *exchange) error {
	owner, err := g.config.Cluster.Owner(ctx, x.id)
	if err != nil {
		return err
	}
	return x.json(struct {
		report.ID
		Owner string `json:"owner"`
	}{report.IDOf(x.id), owner})
}

// nodes lists all members.
func (g *Gateway) nodes(ctx context.Context, x *exchange) error {
	infos, err := g.config.Cluster.Nodes(ctx)
	if err != nil {
		return err
	}
	list := make([]report.Node, 0, len(infos))
	for _, n := range infos {
		list = append(list, report.NodeOf(n))
	}
	return x.json(struct {
		Nodes []report.Node `json:"nodes"`
	}{list})
}

// workers lists live workers, of one kind if it is given. The total includes those beyond
// the limit. The workers that nodes left out of their lists may be of any kind.
func (g *Gateway) workers(ctx context.Context, x *exchange) error {
	limit, err := x.limit()
	if err != nil {
		return err
	}
	infos, err := g.config.Cluster.Workers(ctx)
	if err != nil {
		return err
	}
	list, total, leftOut := []report.Worker{}, 0, 0
	for _, w := range infos {
		leftOut += w.LeftOut
		if x.kind != "" && w.Kind != x.kind {
			continue
		}
		if total++; total <= limit {
			list = append(list, report.WorkerOf(w))
		}
	}
	return x.json(struct {
		Workers []report.Worker `json:"workers"`
		Total   int             `json:"total"`
		LeftOut int             `json:"left_out"`
	}{list, total, leftOut})
}

// why explains which node owns an id, and describes its worker.
func (g *Gateway) why(ctx context.Context, x *exchange) error {
	e, err := g.config.Cluster.Family(x.kind).Why(ctx, x.id)
	if err != nil {
		return err
	}
	return x.json(report.WhyOf(e))
}
