//go:build unix

package main

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/distproc/distproc/cmd/distproc/internal/balancer"
)

// TestRollingRestart restarts three nodes by SIGTERM, one after the other, while HTTP
// clients make requests on connections that they keep: no request fails, and no node
// refuses a connection before the balancer has heard that it leaves.
func TestRollingRestart(t *testing.T) {
	t.Parallel()
	host := testHost()
	names, nodes := make([]string, 3), make([]*process, 3)
	var addrs []string
	run := func(i int) {
		nodes[i] = startNode(t, names[i], "--join", names[(i+1)%3], "--http", addrs[i], "--drain-delay", fmt.Sprintf("%dms", amount(400, 1000)))
		for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
			resp, err := http.Get("http://" + addrs[i] + "/readyz")
			if err == nil {
				resp.Body.Close()
				if resp.StatusCode == http.StatusOK {
					return
				}
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s is not ready: %v", names[i], err)
			}
		}
	}
	for i := range names {
		names[i] = fmt.Sprintf("%d@%s", i+1, host)
		addrs = append(addrs, fmt.Sprintf("%s:%d", host, 8081+i))
	}
	var starting sync.WaitGroup
	for i := range names {
		starting.Go(func() { run(i) })
	}
	starting.Wait()
	var calls, failed atomic.Int64
	b := balancer.New(addrs)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var wg sync.WaitGroup
	wg.Go(func() { b.Probe(ctx) })
	for k := range 4 {
		wg.Go(func() {
			for i := k; ctx.Err() == nil; i += 4 {
				calls.Add(1)
				answer, err := b.Do(context.Background(), fmt.Sprintf("/v1/value/%d", i%100), "")
				if (err != nil || answer.Status != http.StatusOK) && failed.Add(1) < 10 {
					t.Errorf("%d %s, %v", answer.Status, answer.Body, err)
				}
				time.Sleep(time.Duration(amount(50, 2)) * time.Millisecond) // leaves something of the processor to the nodes
			}
		})
	}
	for i := range nodes {
		time.Sleep(200 * time.Millisecond) // of load
		if err := nodes[i].cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if err := nodes[i].cmd.Wait(); err != nil {
			t.Errorf("%s: %v", names[i], err)
		}
		run(i)
		for deadline := time.Now().Add(patience); !b.Ready(i); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%s is ready, and the balancer does not know", names[i])
			}
		}
	}
	stop()
	wg.Wait()
	if n := b.Refusals.Load(); n > 0 {
		t.Errorf("%d connections were refused", n)
	}
	t.Logf("%d of %d requests failed", failed.Load(), calls.Load())
}
