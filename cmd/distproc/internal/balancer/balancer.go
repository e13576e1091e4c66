// Package balancer makes requests to HTTP gateways in turn, as a load balancer does.
// Tests and fault runs use it.
package balancer

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// Timeout is the limit of a request, longer than any call of a cluster takes.
	Timeout = 8 * time.Second

	probeInterval = 50 * time.Millisecond
	probeTimeout  = time.Second
)

// ErrNoGateway is the error of a request that no gateway can be reached for.
var ErrNoGateway = errors.New("no gateway can be reached; start one that says at /readyz that it is ready")

// A Balancer sends each request to the next gateway that is ready. A gateway that cannot
// be reached is passed over: the request did not run there. If none is ready, the balancer
// asks those that did not answer the last probe in time, because a busy machine is no reason
// to refuse all requests. The methods may be called concurrently.
type Balancer struct {
	Refusals atomic.Int64 // connections that a gateway refused which had said that it is ready

	addrs  []string
	client *http.Client
	next   atomic.Int64
	states []atomic.Int32 // by gateway, as /readyz says
}

// The states of a gateway.
const (
	ready  = iota
	silent // it did not answer in time
	away   // it says that it is not ready, or cannot be reached
)

// New returns a balancer of the gateways at addrs.
func New(addrs []string) *Balancer {
	return &Balancer{addrs: addrs, states: make([]atomic.Int32, len(addrs)), client: Client()}
}

// Ready reports whether the gateway with an index said so when it was asked last.
func (b *Balancer) Ready(i int) bool { return b.states[i].Load() == ready }

// Client returns a client that keeps its connections.
func Client() *http.Client {
	return &http.Client{Timeout: Timeout, Transport: &http.Transport{MaxIdleConnsPerHost: 8}}
}

// Probe asks all gateways for /readyz again and again, until ctx ends. One that is slow does
// not delay the others.
func (b *Balancer) Probe(ctx context.Context) {
	client := http.Client{Timeout: probeTimeout}
	var wg sync.WaitGroup
	for i, addr := range b.addrs {
		wg.Go(func() {
			tick := time.NewTicker(probeInterval)
			defer tick.Stop()
			for ctx.Err() == nil {
				b.states[i].Store(probe(&client, addr))
				select {
				case <-tick.C:
				case <-ctx.Done():
				}
			}
		})
	}
	wg.Wait()
}

// probe returns the state of a gateway.
func probe(client *http.Client, addr string) int32 {
	resp, err := client.Get("http://" + addr + "/readyz")
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
		return silent
	}
	if err != nil {
		return away
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return away
	}
	return ready
}

// Do makes a request as [Do] does.
func (b *Balancer) Do(ctx context.Context, path, body string) (Answer, error) {
	for _, state := range []int32{ready, silent} {
		for range 3 * len(b.addrs) {
			i := int(b.next.Add(1)) % len(b.addrs)
			if b.states[i].Load() != state {
				continue
			}
			answer, err := Do(ctx, b.client, "http://"+b.addrs[i]+path, body)
			if Refused(err) && ctx.Err() == nil {
				b.Refusals.Add(1)
				continue
			}
			return answer, err
		}
	}
	return Answer{}, ErrNoGateway
}

// Refused reports whether a request failed because no connection could be made.
func Refused(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "dial"
}

// An Answer is what a gateway answered.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Do makes a request: a GET if body is empty, else a POST.
func Do(ctx context.Context, client *http.Client, url, body string) (Answer, error) {
	method := http.MethodGet
	if body != "" {
		method = http.MethodPost
	}
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return Answer{}, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return Answer{}, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	return Answer{resp.StatusCode, resp.Header, data}, err
}
