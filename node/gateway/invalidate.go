package gateway

import (
	"cmp"
	"context"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/distproc/distproc/node/gateway/internal/report"
	"github.com/distproc/distproc/node/worker"
)

const invalidatedAtOnce = 16 // ids of one request that are sent concurrently

// invalidate makes the cluster forget the value of an id.
func (g *Gateway) invalidate(ctx context.Context, x *exchange) error {
	had, err := g.config.Cluster.Family(x.kind).Invalidate(ctx, x.id)
	if err != nil {
		return err
	}
	return x.json(struct {
		report.ID
		Kind        string `json:"kind"`
		Invalidated bool   `json:"invalidated"`
	}{report.IDOf(x.id), cmp.Or(x.kind, worker.DefaultKind), had})
}

// invalidateMany makes the cluster forget the values of the ids in the query. If it fails
// for one id, others may have been invalidated. The size of a request's header bounds the
// number of ids.
func (g *Gateway) invalidateMany(ctx context.Context, x *exchange) error {
	var ids []worker.ID
	for _, text := range x.query["id"] {
		id, err := worker.ParseID(text)
		if err != nil {
			return err
		}
		if text == "" {
			return badID("a parameter id is empty; the empty id cannot be asked for over HTTP")
		}
		ids = append(ids, id)
	}
	if len(ids) == 0 {
		return badRequest("say which ids: /v1/value/ID, or /v1/value?id=7&id=8")
	}
	family := g.config.Cluster.Family(x.kind)
	var had atomic.Int64
	var panicked atomic.Pointer[any]
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(invalidatedAtOnce)
	for _, id := range ids {
		group.Go(func() error {
			defer func() {
				if v := recover(); v != nil {
					panicked.Store(&v) // the panic ends this request, not the process
				}
			}()
			lived, err := family.Invalidate(ctx, id)
			if lived {
				had.Add(1)
			}
			return err
		})
	}
	err := group.Wait()
	if v := panicked.Load(); v != nil {
		panic(*v)
	}
	if err != nil {
		return err
	}
	return x.json(struct {
		Kind        string `json:"kind"`
		IDs         int    `json:"ids"`
		Invalidated int64  `json:"invalidated"`
	}{cmp.Or(x.kind, worker.DefaultKind), len(ids), had.Load()})
}
