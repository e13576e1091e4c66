package audit

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/distproc/distproc/wire"
)

const (
	refusalSilence = time.Minute // before a host is logged again for the same reason
	refusalRate    = 10          // lines in a second about all hosts
	refusalBurst   = 20          // lines at once
	refusalCount   = 10 * time.Second
)

// Refusals logs connections that are turned away, once a minute for each host and class
// of error, because a peer with a wrong cookie or a scanner of ports tries again and
// again. At most refusalRate lines are written in a second, and as many kept for a
// minute; the others are counted.
type Refusals struct {
	ctx   context.Context // ends with the node
	log   *slog.Logger
	limit *rate.Limiter

	mu     sync.Mutex
	last   map[refusal]time.Time // of lines, for refusalSilence; guarded by mu
	missed int                   // that the limit kept from the log, and are to be told; guarded by mu
}

// A refusal is what two lines must differ in.
type refusal struct {
	host  netip.Prefix
	class string
}

// NewRefusals returns Refusals that write to log until ctx ends.
func NewRefusals(ctx context.Context, log *slog.Logger) *Refusals {
	return &Refusals{
		ctx: ctx, log: log,
		limit: rate.NewLimiter(refusalRate, refusalBurst),
		last:  map[refusal]time.Time{},
	}
}

// Refused logs that a connection is refused.
func (r *Refusals) Refused(from net.Addr, why error) {
	if errors.Is(why, io.EOF) {
		return // it said nothing: somebody checks whether the port is open
	}
	class, text := wire.DescribeRefusal(why)
	if r.logs(refusal{wire.HostOf(from), class}) {
		r.log.Warn("connection refused", "from", from.String(), "why", text)
	}
}

// logs decides whether a refusal is logged.
func (r *Refusals) logs(what refusal) bool {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if t, ok := r.last[what]; ok && now.Sub(t) < refusalSilence {
		return false
	}
	if !r.limit.Allow() {
		if r.missed++; r.missed == 1 {
			time.AfterFunc(refusalCount, r.tell)
		}
		return false
	}
	maps.DeleteFunc(r.last, func(_ refusal, t time.Time) bool { return now.Sub(t) >= refusalSilence })
	r.last[what] = now
	return true
}

// tell logs how many refusals the limit kept from the log.
func (r *Refusals) tell() {
	r.mu.Lock()
	n := r.missed
	r.missed = 0
	r.mu.Unlock()
	if r.ctx.Err() == nil {
		r.log.Warn("refused connections not logged", "n", n)
	}
}

// Trouble logs that no connection can be accepted.
func (r *Refusals) Trouble(err error) {
	r.log.Error("cannot accept connections", "err", err)
}
