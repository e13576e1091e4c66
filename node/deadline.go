package node

import (
	"context"
	"time"

	"github.com/distproc/distproc/node/internal/chain"
)

// DeadlineOf returns when the caller of a [worker.Server] gives up, for the context of
// its Call. That context itself ends at the kind's Timeout, so a server that has begun is
// not interrupted when its caller goes. It reports false if the context is not that of a
// Call.
func DeadlineOf(ctx context.Context) (deadline time.Time, ok bool) {
	deadline = chain.CauseOf(ctx).Deadline
	return deadline, !deadline.IsZero()
}
