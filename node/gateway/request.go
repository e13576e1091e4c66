package gateway

import (
	"context"
	"mime"
	"strconv"
	"strings"

	"github.com/distproc/distproc/node/gateway/internal/report"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
	"github.com/distproc/distproc/wire/text"
)

const maxMediaType = 256 // bytes; longer ones do not cross the cluster

// request answers with the reply as JSON.
func (g *Gateway) request(ctx context.Context, x *exchange) error {
	refresh, err := x.flag("refresh")
	if err != nil {
		return err
	}
	ask := g.config.Cluster.Family(x.kind).Request
	if refresh {
		ask = g.config.Cluster.Family(x.kind).Refresh
	}
	reply, err := ask(ctx, x.id)
	if err != nil {
		return err
	}
	kind := x.kind
	if kind == "" {
		kind = worker.DefaultKind
	}
	return x.json(struct {
		report.ID
		Kind string `json:"kind"`
		jsonValue
		Node     string `json:"node"`
		Via      string `json:"via,omitempty"`
		Cached   bool   `json:"cached"`
		Stale    bool   `json:"stale"`
		Degraded bool   `json:"degraded"`
		Age      int64  `json:"age_ms"`
		TTL      int64  `json:"ttl_ms"`
		Token    string `json:"token,omitempty"`
	}{
		report.IDOf(x.id), kind, valueOf(reply.Value), reply.Node, reply.Via, reply.Cached, reply.Stale, reply.Degraded,
		report.Millis(reply.Age), report.Millis(reply.TTL), tokenOf(reply),
	})
}

// value answers with the bare value. HTTP caches may keep it for as long as its worker
// lives, but for that of a strict kind, of which they do not hear when it is no longer right.
func (g *Gateway) value(ctx context.Context, x *exchange) error {
	reply, err := g.config.Cluster.Family(x.kind).Request(ctx, x.id)
	if err != nil {
		return err
	}
	age, maxAge := freshness(reply)
	x.set("Age", strconv.FormatInt(age, 10))
	if reply.Token.IsZero() { // else the header says no-store, as for all else
		x.set("Cache-Control", "max-age="+strconv.FormatInt(maxAge, 10))
	}
	return x.bare(reply)
}

// call sends the body as a message to the server of an id and answers with the reply. The
// timeout starts when the body has arrived.
func (g *Gateway) call(ctx context.Context, x *exchange) error {
	message, err := x.message()
	if err != nil {
		return err
	}
	if x.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, x.timeout)
		defer cancel()
	}
	reply, err := g.config.Cluster.Family(x.kind).Call(ctx, x.id, message)
	if err != nil {
		return err
	}
	return x.bare(reply)
}

// message returns the body as a message.
func (x *exchange) message() (worker.Value, error) {
	mediaType := x.r.Header.Get("Content-Type")
	if mediaType != "" {
		t, _, err := mime.ParseMediaType(mediaType)
		if err != nil || !strings.Contains(t, "/") || len(mediaType) > maxMediaType {
			return worker.Value{}, badRequest("content type %s: say a media type of at most %d bytes, or none",
				text.Quote(mediaType), maxMediaType)
		}
	}
	if coding := x.r.Header.Get("Content-Encoding"); coding != "" && coding != "identity" {
		return worker.Value{}, badRequest("content encoding %s: send the message as it is", text.Quote(coding))
	}
	body, err := x.body(wire.MaxValue)
	if err != nil {
		return worker.Value{}, err
	}
	return worker.MediaValue(mediaType, body), nil
}
