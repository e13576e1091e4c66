//go:build unix

package faults

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/distproc/distproc/cmd/distproc/internal/balancer"
	"github.com/distproc/distproc/node"
	"github.com/distproc/distproc/node/worker"
)

// A callerKind is what a client of the harness is. A node's own calls have none.
type callerKind string

const (
	plainClient  callerKind = "plain"
	directClient callerKind = "direct"
	balancerKind callerKind = "balancer" // asks gateways in turn over HTTP, and heeds /readyz
	webClient    callerKind = "web"      // asks one gateway over HTTP, whatever /readyz says

	clientRate   = 4  // pairs of calls a second by each client
	balancerRate = 10 // pairs of calls a second by the balancer
)

// attach calls through clients of the named nodes, which are 1, 2 and so on.
func (r *recorder) attach(ctx context.Context, names []string) error {
	cookie, err := cookieOfRun()
	if err != nil {
		return err
	}
	strict := len(strictKindsOfRun()) > 0
	if strict {
		if err := r.serveResource(ctx, os.Getenv("FAULT_RESOURCE"), os.Getenv("FAULT_MEET") != ""); err != nil {
			return err
		}
	}
	for i, name := range names {
		for way, by := range []callerKind{plainClient, directClient} {
			c, err := node.Attach(ctx, node.ClientConfig{Node: name, Cookie: cookie, Direct: by == directClient})
			if err != nil {
				return err
			}
			defer c.Close()
			if strict {
				r.callStrict(ctx, 1+way, strictCall{Via: i + 1, By: by}, sendTo(c.Family))
				continue
			}
			call := callEntry{Via: i + 1, By: by}
			r.wg.Go(func() { r.load(ctx, clientRate, faultIDs, r.ask(call, c.Request)) })
			r.wg.Go(func() { r.load(ctx, serialClientRate, serialIDs, r.send(call, c.Family(serialKind))) })
		}
	}
	if strict {
		r.browseStrict(ctx, names)
	} else {
		r.browse(ctx, names)
	}
	fmt.Println("ready")
	<-ctx.Done()
	r.wg.Wait() // before the clients close
	return nil
}

// cookieOfRun returns the cookie that the environment has.
func cookieOfRun() ([]byte, error) {
	name, value, _ := strings.Cut(faultCookie, "=")
	if got := os.Getenv(name); got != value {
		return nil, fmt.Errorf("%s is not that of a run; this process is for package faults to start", name)
	}
	return node.ParseCookie([]byte(value))
}

// browse makes requests and calls over HTTP: through a balancer, and by one client of
// each node that does not balance.
func (r *recorder) browse(ctx context.Context, names []string) {
	var addrs []string
	for i, name := range names {
		_, host, _ := strings.Cut(name, "@")
		addrs = append(addrs, webAddr(host, i+1))
	}
	b := balancer.New(addrs)
	r.wg.Go(func() { b.Probe(ctx) })
	r.web(ctx, callEntry{By: balancerKind}, balancerRate, b.Do)
	for i, addr := range addrs {
		client := balancer.Client()
		r.web(ctx, callEntry{Via: i + 1, By: webClient}, clientRate, func(ctx context.Context, path, body string) (balancer.Answer, error) {
			return balancer.Do(ctx, client, "http://"+addr+path, body)
		})
	}
}

// browseStrict makes calls of strict kinds over HTTP, by one client of each node.
func (r *recorder) browseStrict(ctx context.Context, names []string) {
	for i, name := range names {
		_, host, _ := strings.Cut(name, "@")
		client, addr := balancer.Client(), webAddr(host, i+1)
		send := func(ctx context.Context, kind string, id worker.ID, message string) (text, node string, err error) {
			answer, err := accepted(balancer.Do(ctx, client, "http://"+addr+"/v1/call/"+kind+"/"+id.String(), message))
			return string(answer.Body), answer.Header.Get("X-Distproc-Node"), err
		}
		r.callStrict(ctx, 3, strictCall{Via: i + 1, By: webClient}, send)
	}
}

// web makes requests and calls by do.
func (r *recorder) web(ctx context.Context, c callEntry, rate int, do func(ctx context.Context, path, body string) (balancer.Answer, error)) {
	request := func(ctx context.Context, id worker.ID) (worker.Reply, error) {
		answer, err := accepted(do(ctx, "/v1/request/"+id.String(), ""))
		if err != nil {
			return worker.Reply{}, err
		}
		return replyOf(answer.Body)
	}
	send := func(ctx context.Context, id worker.ID, message int64) (worker.Reply, error) {
		answer, err := accepted(do(ctx, "/v1/call/"+serialKind+"/"+id.String(), strconv.FormatInt(message, 10)))
		if err != nil {
			return worker.Reply{}, err
		}
		value, err := strconv.ParseInt(string(answer.Body), 10, 64)
		return worker.Reply{Value: worker.IntValue(value), Node: answer.Header.Get("X-Distproc-Node")}, err
	}
	r.wg.Go(func() { r.load(ctx, rate, faultIDs, r.ask(c, request)) })
	r.wg.Go(func() { r.load(ctx, serialClientRate, serialIDs, r.sendBy(c, send)) })
}

// A webError is the error of a request over HTTP.
type webError struct {
	error
	outcome worker.Outcome
}

func (e webError) Unwrap() error { return e.error }

// accepted returns an answer with status 200, or the error that it is. Its outcome is
// what the gateway says, or not run if no connection could be made.
func accepted(answer balancer.Answer, err error) (balancer.Answer, error) {
	switch {
	case balancer.Refused(err), errors.Is(err, balancer.ErrNoGateway):
		return answer, webError{err, worker.OutcomeNotRun}
	case err != nil, answer.Status == http.StatusOK:
		return answer, err
	}
	var problem struct{ Detail, Outcome string }
	_ = json.Unmarshal(answer.Body, &problem) // an answer that is no problem has no outcome
	failed := webError{fmt.Errorf("%d %s: %s", answer.Status, http.StatusText(answer.Status), answer.Body), worker.OutcomeUnknown}
	for _, o := range []worker.Outcome{worker.OutcomeNotRun, worker.OutcomeRan} {
		if problem.Outcome == o.String() {
			failed.outcome = o
		}
	}
	return answer, failed
}

// outcomeOf is [node.OutcomeOf] that knows a webError, too.
func outcomeOf(err error) worker.Outcome {
	if e, ok := errors.AsType[webError](err); ok {
		return e.outcome
	}
	return node.OutcomeOf(err)
}

// replyOf reads the answer to a request.
func replyOf(body []byte) (reply worker.Reply, _ error) {
	var a struct {
		Value    json.Number
		Node     string
		Cached   bool
		Degraded bool
		Age      int64 `json:"age_ms"`
	}
	if err := json.Unmarshal(body, &a); err != nil {
		return reply, fmt.Errorf("%s: %w", body, err)
	}
	value, err := a.Value.Int64()
	return worker.Reply{
		Value: worker.IntValue(value), Node: a.Node, Cached: a.Cached, Degraded: a.Degraded,
		Age: time.Duration(a.Age) * time.Millisecond,
	}, err
}
