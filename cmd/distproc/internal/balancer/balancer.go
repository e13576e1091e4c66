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
// be reached is passed over: the request did not run there.
type Balancer struct {
	Refusals atomic.Int64 // connections that a gateway refused which had said that it is ready

	addrs  []string
	client *http.Client
	next   atomic.Int64
	ready  []atomic.Bool // by gateway, as /readyz says
}

// New returns a balancer of the gateways at addrs.
func New(addrs []string) *Balancer {
	b := &Balancer{addrs: addrs, ready: make([]atomic.Bool, len(addrs)), client: Client()}
	for i := range b.ready {
		b.ready[i].Store(true)
	}
	return b
}

// Client returns a client that keeps its connections.
func Client() *http.Client {
	return &http.Client{Timeout: Timeout, Transport: &http.Transport{MaxIdleConnsPerHost: 8}}
}

// Probe asks all gateways for /readyz again and again, until ctx ends.
func (b *Balancer) Probe(ctx context.Context) {
	client := http.Client{Timeout: probeTimeout}
	tick := time.NewTicker(probeInterval)
	defer tick.Stop()
	for ctx.Err() == nil {
		for i, addr := range b.addrs {
			resp, err := client.Get("http://" + addr + "/readyz")
			b.ready[i].Store(err == nil && resp.StatusCode == http.StatusOK)
			if err == nil {
				resp.Body.Close()
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

// Do makes a request as [Do] does.
func (b *Balancer) Do(ctx context.Context, path, body string) (Answer, error) {
	for range 3 * len(b.addrs) {
		i := int(b.next.Add(1)) % len(b.addrs)
		if !b.ready[i].Load() {
			continue
		}
		answer, err := Do(ctx, b.client, "http://"+b.addrs[i]+path, body)
		if Refused(err) && ctx.Err() == nil {
			b.Refusals.Add(1)
			continue
		}
		return answer, err
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
