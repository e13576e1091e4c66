package bench

import (
	"math/rand/v2"

	"github.com/distproc/distproc/node/worker"
)

// A choice chooses the ids of a caller, as a Config says, in a sequence of its own.
type choice struct {
	n    int64
	pcg  rand.PCG
	rand rand.Rand  // of pcg
	zipf *rand.Zipf // nil to choose uniformly
}

func (s *choice) begin(c Config, caller int) {
	s.n = c.IDs
	s.pcg.Seed(c.Seed, uint64(caller))
	s.rand = *rand.New(&s.pcg)
	if c.Zipf != 0 {
		s.zipf = rand.NewZipf(&s.rand, c.Zipf, 1, uint64(c.IDs-1))
	}
}

func (s *choice) next() worker.ID {
	if s.zipf != nil {
		return worker.IntID(int64(s.zipf.Uint64()))
	}
	return worker.IntID(s.rand.Int64N(s.n))
}
