//go:build unix

package source

import (
	"fmt"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/distproc/distproc/node/worker"
)

// BenchmarkExec measures calls of a kind whose source is a program that does nothing. In
// turns with it a bare loop starts the same program and waits for its end, without pipes.
// "of-spawn" is the ratio of the rates.
func BenchmarkExec(b *testing.B) {
	path, err := exec.LookPath("true")
	if err != nil {
		b.Fatal(err)
	}
	open, err := ParseSerial("exec:"+path, Env{})
	if err != nil {
		b.Fatal(err)
	}
	for _, callers := range []int{1, 4} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			server, err := open(b.Context(), worker.IntID(7))
			if err != nil {
				b.Fatal(err)
			}
			n := max(1, b.N/10)
			var took time.Duration
			b.ResetTimer()
			for done := 0; done < b.N; done += n {
				b.StopTimer()
				began := time.Now()
				inParallel(callers, n, func() {
					p, err := os.StartProcess(path, []string{"true"}, &os.ProcAttr{})
					if err != nil {
						b.Error(err)
						return
					}
					_, _ = p.Wait()
				})
				took += time.Since(began)
				b.StartTimer()
				inParallel(callers, n, func() {
					if _, err := server.Call(b.Context(), worker.BytesValue("x")); err != nil {
						b.Error(err)
					}
				})
			}
			b.StopTimer()
			b.ReportMetric(took.Seconds()/b.Elapsed().Seconds(), "of-spawn")
		})
	}
}

// inParallel has callers call f so many times in all.
func inParallel(callers, n int, f func()) {
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			for range (n + i) / callers {
				f()
			}
		})
	}
	wg.Wait()
}
