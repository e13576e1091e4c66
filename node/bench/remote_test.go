package bench

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/distproc/distproc/node"
	"github.com/distproc/distproc/node/worker"
)

const (
	peerVariable = "DISTPROC_BENCH_PEER" // set for a process that is the peer of a benchmark
	peerName     = "1@127.0.91.1"
)

var peerCookie = []byte("the cookie of the benchmarks")

// TestMain has benchmarks run this program as their peer.
func TestMain(m *testing.M) {
	if os.Getenv(peerVariable) == "" {
		os.Exit(m.Run())
	}
	if err := servePeer(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// servePeer runs a node until standard input ends.
func servePeer() error {
	n, err := node.Start(node.Config{Name: peerName, Cookie: peerCookie, Default: worker.Cache{Load: worker.RandomSource, Inline: true, TTL: time.Hour}})
	if err != nil {
		return err
	}
	defer n.Close(context.Background())
	fmt.Println(n.Self())
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// startPeer starts a node in another process, and returns a client of it that knows the
// owners.
func startPeer(b *testing.B) *node.Client {
	b.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), fmt.Sprint("GOMAXPROCS=", runtime.GOMAXPROCS(0)), peerVariable+"=1")
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { stdin.Close(); cmd.Wait() })
	name, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	c, err := node.Attach(b.Context(), node.ClientConfig{Node: strings.TrimSpace(name), Cookie: peerCookie, Direct: true})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.Close() })
	return c
}

// BenchmarkRemote measures a run of which the values are cached in another process, and in
// turns with it the same requests by callers that do nothing else. "of-plain" is the
// median ratio of the rates.
func BenchmarkRemote(b *testing.B) {
	const rounds = 15
	for _, callers := range []int{1, 64, 1024} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			c := startPeer(b)
			load := Config{Asks: []Ask{c.Request}, Concurrency: callers, Batch: 1, IDs: 1000, Timeout: 5 * time.Second}
			askPlainly(b, c, callers, 1000)
			b.ReportAllocs()
			b.ResetTimer()
			var ratios []float64
			for range rounds {
				n := max(b.N/rounds, callers)
				b.StopTimer()
				plain := askPlainly(b, c, callers, n)
				load.Requests = int64(n)
				b.StartTimer()
				began := time.Now()
				if r := Run(b.Context(), load); r.Requests != int64(n) || r.Errors() != 0 {
					b.Fatalf("%d of %d requests, %d failed", r.Requests, n, r.Errors())
				}
				ratios = append(ratios, plain.Seconds()/time.Since(began).Seconds())
			}
			b.StopTimer()
			slices.Sort(ratios)
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "requests/s")
			b.ReportMetric(ratios[rounds/2], "of-plain")
		})
	}
}

// askPlainly makes n requests for the ids from 0 to 999, and returns how long that took.
func askPlainly(b *testing.B, c *node.Client, callers, n int) time.Duration {
	began := time.Now()
	var next atomic.Int64
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for i := next.Add(1); i <= int64(n); i = next.Add(1) {
				if _, err := c.Request(context.Background(), worker.IntID(i%1000)); err != nil {
					b.Error(err)
				}
			}
		})
	}
	wg.Wait()
	return time.Since(began)
}
