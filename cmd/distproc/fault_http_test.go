package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/distproc/distproc/node"
	"github.com/distproc/distproc/node/worker"
)

// A callerKind is what a client of the harness is; a node's own calls have none.
type callerKind string

const (
	plainClient  callerKind = "plain"
	directClient callerKind = "direct"
	balancerKind callerKind = "balancer" // it asks gateways in turn over HTTP, and heeds /readyz
	webClient    callerKind = "web"      // it asks one gateway over HTTP, whatever /readyz says

	balancerRate = 10
	webTimeout   = 8 * time.Second // for a request: longer than any call of the cluster takes
)

// A balancer sends requests to gateways in turn, without those that /readyz says are not ready. It goes on to the next one if a
// gateway cannot be reached: the request did not run there.
type balancer struct {
	addrs  []string
	client http.Client
	next   atomic.Int64
	ready  []atomic.Bool
}

func newBalancer(addrs []string) *balancer {
	b := &balancer{addrs: addrs, ready: make([]atomic.Bool, len(addrs))}
	b.client = http.Client{Timeout: webTimeout, Transport: &http.Transport{MaxIdleConnsPerHost: 8}}
	for i := range b.ready {
		b.ready[i].Store(true)
	}
	return b
}

// probe asks all gateways again and again whether they are ready, until ctx ends.
func (b *balancer) probe(ctx context.Context) {
	client := http.Client{Timeout: time.Second}
	every(ctx, 50*time.Millisecond, func() {
		for i, addr := range b.addrs {
			resp, err := client.Get("http://" + addr + "/readyz")
			b.ready[i].Store(err == nil && resp.StatusCode == http.StatusOK)
			if err == nil {
				resp.Body.Close()
			}
		}
	})
}

// do makes a request, a GET without a body, and returns the body of the answer.
func (b *balancer) do(ctx context.Context, path, body string) (webAnswer, error) {
	err := errors.New("no gateway can be reached")
	for range 3 * len(b.addrs) {
		i := int(b.next.Add(1)) % len(b.addrs)
		if !b.ready[i].Load() {
			continue
		}
		answer, e := doHTTP(ctx, &b.client, "http://"+b.addrs[i]+path, body)
		if op, ok := errors.AsType[*net.OpError](e); ok && op.Op == "dial" && ctx.Err() == nil {
			continue
		}
		return answer, e
	}
	return webAnswer{}, webError{err, worker.OutcomeNotRun}
}

// doHTTP makes a request. Its error has the outcome that the gateway tells; not run if no connection could be made.
func doHTTP(ctx context.Context, client *http.Client, url, body string) (webAnswer, error) {
	method := http.MethodGet
	if body != "" {
		method = http.MethodPost
	}
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return webAnswer{}, err
	}
	resp, err := client.Do(req)
	if err != nil {
		if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
			return webAnswer{}, webError{err, worker.OutcomeNotRun}
		}
		return webAnswer{}, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode == http.StatusOK {
		return webAnswer{answer, resp.Header.Get("X-Distproc-Node")}, err
	}
	var problem struct{ Detail, Outcome string }
	_ = json.Unmarshal(answer, &problem) // what is no problem has no outcome
	failed := webError{fmt.Errorf("%s: %s", resp.Status, answer), worker.OutcomeUnknown}
	for _, o := range []worker.Outcome{worker.OutcomeNotRun, worker.OutcomeRan} {
		if problem.Outcome == o.String() {
			failed.outcome = o
		}
	}
	return webAnswer{}, failed
}

// A webAnswer is the body of an answer, and the node that gave a bare value.
type webAnswer struct {
	body []byte
	node string
}

// A webError is the error of a request over HTTP.
type webError struct {
	error
	outcome worker.Outcome
}

func (e webError) Unwrap() error { return e.error }

// outcomeOf is node.OutcomeOf that knows a webError, too.
func outcomeOf(err error) worker.Outcome {
	if e, ok := errors.AsType[webError](err); ok {
		return e.outcome
	}
	return node.OutcomeOf(err)
}

// browse has HTTP clients make requests and calls: a balancer, and one of each node that does not balance.
func (r *recorder) browse(ctx context.Context, names []string) {
	var addrs []string
	for i, name := range names {
		_, host, _ := strings.Cut(name, "@")
		addrs = append(addrs, webAddr(host, i+1))
	}
	b := newBalancer(addrs)
	r.wg.Go(func() { b.probe(ctx) })
	r.web(ctx, callEntry{By: balancerKind}, balancerRate, b.do)
	for i, addr := range addrs {
		client := &http.Client{Timeout: webTimeout, Transport: &http.Transport{MaxIdleConnsPerHost: 8}}
		r.web(ctx, callEntry{Via: i + 1, By: webClient}, clientRate, func(ctx context.Context, path, body string) (webAnswer, error) {
			return doHTTP(ctx, client, "http://"+addr+path, body)
		})
	}
}

// web makes requests and calls by do.
func (r *recorder) web(ctx context.Context, c callEntry, rate int, do func(ctx context.Context, path, body string) (webAnswer, error)) {
	request := func(ctx context.Context, id worker.ID) (worker.Reply, error) {
		return replyOf(do(ctx, "/v1/request/"+id.String(), ""))
	}
	send := func(ctx context.Context, id worker.ID, message int64) (worker.Reply, error) {
		answer, err := do(ctx, "/v1/call/"+serialKind+"/"+id.String(), strconv.FormatInt(message, 10))
		if err != nil {
			return worker.Reply{}, err
		}
		value, err := strconv.ParseInt(string(answer.body), 10, 64)
		return worker.Reply{Value: worker.IntValue(value), Node: answer.node}, err
	}
	r.wg.Go(func() { r.load(ctx, rate, faultIDs, r.ask(c, request)) })
	r.wg.Go(func() { r.load(ctx, serialClientRate, serialIDs, r.sendBy(c, send)) })
}

// replyOf reads the answer to a request.
func replyOf(answer webAnswer, err error) (reply worker.Reply, _ error) {
	if err != nil {
		return reply, err
	}
	var a struct {
		Value    json.Number
		Node     string
		Cached   bool
		Degraded bool
		Age      int64 `json:"age_ms"`
	}
	if err := json.Unmarshal(answer.body, &a); err != nil {
		return reply, fmt.Errorf("%s: %w", answer.body, err)
	}
	value, err := a.Value.Int64()
	return worker.Reply{
		Value: worker.IntValue(value), Node: a.Node, Cached: a.Cached, Degraded: a.Degraded,
		Age: time.Duration(a.Age) * time.Millisecond,
	}, err
}
