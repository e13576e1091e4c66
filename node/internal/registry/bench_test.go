package registry

import (
	"testing"
	"time"

	"github.com/distproc/distproc/node/worker"
)

// BenchmarkStartWorker measures a request that starts a worker, with up to 100,000 others
// alive: with the source that comes with distproc, which the caller runs, and with one
// that has a goroutine of its own.
func BenchmarkStartWorker(b *testing.B) {
	for name, kind := range map[string]worker.Cache{
		"inline":    {TTL: time.Hour, Load: worker.RandomSource, Inline: true},
		"goroutine": {TTL: time.Hour, Load: worker.RandomSource},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			const most = 100_000
			var r *Registry
			for i := range int64(b.N) {
				if i%most == 0 {
					b.StopTimer()
					if r != nil {
						r.Close(b.Context())
					}
					r = testRegistry(kind, "1@h", 100)
					b.StartTimer()
				}
				if _, err := r.request(b.Context(), worker.IntID(i)); err != nil {
					b.Fatal(err)
				}
			}
			b.StopTimer()
			r.Close(b.Context())
		})
	}
}
