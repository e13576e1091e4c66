package protocol

import (
	"context"
	"time"

	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// roundTripTimeout is how long RoundTrip waits, as long as a ping of package wire.
const roundTripTimeout = 2 * time.Second

// RoundTrip measures how long a member takes to answer an operation for which it has nothing
// to do: whether it has a server of a kind that there is not. All versions know that
// operation. A ping of package wire would measure less, because the multiplexer answers it.
// RoundTrip fails as unreachable after 2 s, or when ctx ends.
func RoundTrip(ctx context.Context, s *wire.Session) (time.Duration, error) {
	within, cancel := context.WithTimeout(ctx, roundTripTimeout)
	defer cancel()
	began := time.Now()
	err := s.Do(within, OpHolds, worker.Key{}, new(bool))
	took := time.Since(began)
	if err != nil && within.Err() != nil && ctx.Err() == nil {
		err = &wire.Error{Code: wire.Unreachable, Outcome: wire.NotRun, Node: s.Peer().Name, Text: "no answer in " + roundTripTimeout.String()}
	}
	if err != nil {
		return 0, err
	}
	return took, nil
}
