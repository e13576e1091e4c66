package bench

import (
	"math/rand/v2"

	"github.com/distproc/distproc/node/worker"
)

// newIDs returns a function that chooses ids as c says, each caller in a sequence of its
// own.
func newIDs(c Config, caller int) func() worker.ID {
	rng := rand.New(rand.NewPCG(c.Seed, uint64(caller)))
	if c.Zipf == 0 {
		return func() worker.ID { return worker.IntID(rng.Int64N(c.IDs)) }
	}
	zipf := rand.NewZipf(rng, c.Zipf, 1, uint64(c.IDs-1))
	return func() worker.ID { return worker.IntID(int64(zipf.Uint64())) }
}
