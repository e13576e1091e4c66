package node

import (
	"cmp"
	"context"
	"log/slog"
	"time"

	"github.com/distproc/distproc/node/worker"
)

// noteRequest counts and logs a request that was made at this node.
func (n *Node) noteRequest(ctx context.Context, kind string, id worker.ID, took time.Duration, reply *worker.Reply, err error) {
	if r := n.registryOf(kind); r != nil {
		r.NoteRequest(took, reply, err)
	}
	if n.log.Enabled(ctx, slog.LevelDebug) {
		n.logRequest(ctx, kind, id, took, reply, err)
	}
}

func (n *Node) logRequest(ctx context.Context, kind string, id worker.ID, took time.Duration, reply *worker.Reply, err error) {
	fields := []any{"kind", cmp.Or(kind, worker.DefaultKind), "id", id.String(), "took", took}
	if err != nil {
		fields = append(fields, "err", err.Error(), "outcome", OutcomeOf(err).String())
	} else {
		fields = append(fields, "by", reply.Node, "cached", reply.Cached, "degraded", reply.Degraded)
	}
	if trace := worker.TraceOf(ctx); trace != "" {
		fields = append(fields, "trace", trace)
	}
	n.log.DebugContext(ctx, "request", fields...)
}
