package bench

import (
	"math/rand/v2"

	"github.com/distproc/distproc/node"
)

// newIDs returns a function that chooses ids as c says, each caller in a sequence of its own.
func newIDs(c Config, caller int) func() node.ID {
	rng := rand.New(rand.NewPCG(c.Seed, uint64(caller)))
	if c.Zipf == 0 {
		return func() node.ID { return node.IntID(rng.Int64N(c.IDs)) }
	}
	zipf := rand.NewZipf(rng, c.Zipf, 1, uint64(c.IDs-1))
	return func() node.ID { return node.IntID(int64(zipf.Uint64())) }
}
