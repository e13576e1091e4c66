package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// A balancer sends requests to gateways in turn, without those that /readyz says are not ready. It goes on to the next one if a
// gateway cannot be reached: the request did not run there.
type balancer struct {
	addrs  []string
	client http.Client
	next   atomic.Int64
	ready  [3]atomic.Bool
}

// probe asks all gateways again and again whether they are ready.
func (b *balancer) probe(stop chan struct{}) {
	client := http.Client{Timeout: time.Second}
	for {
		for i, addr := range b.addrs {
			resp, err := client.Get("http://" + addr + "/readyz")
			b.ready[i].Store(err == nil && resp.StatusCode == http.StatusOK)
			if err == nil {
				resp.Body.Close()
			}
		}
		select {
		case <-stop:
			return
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (b *balancer) get(path string) error {
	err := errors.New("no gateway can be reached")
	for range 3 * len(b.addrs) {
		i := int(b.next.Add(1)) % len(b.addrs)
		addr := b.addrs[i]
		if !b.ready[i].Load() {
			continue
		}
		resp, e := b.client.Get("http://" + addr + path)
		if op, ok := errors.AsType[*net.OpError](e); ok && op.Op == "dial" {
			continue
		}
		if e != nil {
			return e
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("%s: %s", resp.Status, body)
		}
		return nil
	}
	return err
}

// TestRollingRestart restarts three nodes by SIGTERM, one after the other, while HTTP clients make requests on connections that
// they keep: no request fails.
func TestRollingRestart(t *testing.T) {
	host := testHost()
	names, nodes := make([]string, 3), make([]*process, 3)
	b := balancer{client: http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 8}}}
	run := func(i int) {
		nodes[i] = startNode(t, names[i], "--join", names[(i+1)%3], "--http", b.addrs[i], "--drain-delay", "2s")
		for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			resp, err := http.Get("http://" + b.addrs[i] + "/readyz")
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
		b.addrs = append(b.addrs, fmt.Sprintf("%s:%d", host, 8081+i))
	}
	var starting sync.WaitGroup
	for i := range names {
		starting.Go(func() { run(i) })
	}
	starting.Wait()
	var calls, failed atomic.Int64
	stop := make(chan struct{})
	for i := range b.ready {
		b.ready[i].Store(true)
	}
	var wg sync.WaitGroup
	wg.Go(func() { b.probe(stop) })
	for k := range 4 {
		wg.Go(func() {
			for i := k; ; i += 4 {
				select {
				case <-stop:
					return
				default:
				}
				calls.Add(1)
				if err := b.get(fmt.Sprintf("/v1/value/%d", i%100)); err != nil && failed.Add(1) < 10 {
					t.Error(err)
				}
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
	}
	close(stop)
	wg.Wait()
	t.Logf("%d of %d requests failed", failed.Load(), calls.Load())
}
