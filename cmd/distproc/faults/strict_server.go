//go:build unix

package faults

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/distproc/distproc/node"
	"github.com/distproc/distproc/node/source"
	"github.com/distproc/distproc/node/worker"
)

// The strict kinds of a node. A server of a counter knows the number since it has read it
// once, as nobody else can change it. So a wrong answer shows if a node keeps its server
// although another one had the id meanwhile.

const strictTTL = 3 * time.Second

// strictKinds returns the kinds for the node of a name, which find the resource at an
// address.
func (r *recorder) strictKinds(name, addr string) (map[string]worker.Kind, error) {
	register, err := source.ParseSerial("http://"+addr+"/"+registerKind+"/{id}", source.Env{Kind: registerKind, Node: name})
	counter := func(kind string) worker.Factory {
		return worker.Serve(func(_ context.Context, id worker.ID) (*counter, error) {
			number, err := strconv.ParseInt(id.String(), 10, 64)
			key := strictKey{kind, number}
			return &counter{recorder: r, key: key, node: nodeNumber(name), url: fmt.Sprintf("http://%s/%s/%d", addr, kind, number)}, err
		})
	}
	return map[string]worker.Kind{
		counterKind:  worker.Serial{TTL: strictTTL, Open: counter(counterKind), Strict: true},
		looseKind:    worker.Serial{TTL: strictTTL, Open: counter(looseKind)},
		registerKind: worker.Serial{TTL: strictTTL, Open: register, Strict: true},
	}, err
}

// A counter is the server of an id. It keeps the number in memory.
type counter struct {
	recorder *recorder
	key      strictKey
	node     int
	url      string
	known    bool
	value    int64
}

// Call works for 1 to 20 ms, and now and then for long. An error of a write leaves open
// whether the resource has accepted it.
func (s *counter) Call(ctx context.Context, message string) (string, error) {
	r, err := parseStrict(message)
	if err != nil {
		return "", err
	}
	token := worker.TokenOf(ctx)
	run := s.recorder.beginRun(s.key, r, s.node, token)
	defer s.recorder.endRun(&run)
	if !s.known {
		text, err := s.ask(ctx, http.MethodGet, "", token)
		if err != nil {
			return "", err
		}
		if s.value, err = strconv.ParseInt(text, 10, 64); err != nil {
			return "", err
		}
		s.known = true
	}
	takes := time.Millisecond + rand.N(19*time.Millisecond)
	if rand.IntN(6) == 0 {
		takes = 300 * time.Millisecond
	}
	time.Sleep(takes) // whatever becomes of ctx, as of a program that does not heed it
	before := s.value
	after := r.apply(before)
	if after != before {
		_, err := s.ask(ctx, http.MethodPut, fmt.Sprint(r.Message, after), token)
		if s.known, s.value = err == nil, after; err != nil {
			run.Refused = errors.Is(err, errRefused)
			return "", err
		}
	}
	return fmt.Sprint(before, after), nil
}

// ask asks the resource.
func (s *counter) ask(ctx context.Context, method, body string, token worker.Token) (text string, err error) {
	req, err := http.NewRequestWithContext(ctx, method, s.url, strings.NewReader(body))
	if err != nil {
		return "", err
	}
	if token != (worker.Token{}) {
		req.Header.Set("X-Distproc-Token", token.String())
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	switch {
	case err != nil:
		return "", err
	case resp.StatusCode == http.StatusConflict:
		return "", errRefused
	case resp.StatusCode != http.StatusOK:
		return "", fmt.Errorf("%s: %s", resp.Status, data)
	}
	return string(data), nil
}

// Callers of strict kinds. Each has one id at a time, and makes its next call when the
// last one has ended.

const (
	strictSlots  = 10               // ids of a kind at a time; those of a node are every fifth one
	strictPeriod = 60 * time.Second // after which there are others, so that no history is long
	strictPause  = 200 * time.Millisecond
)

// slotOf returns the slot of an id. It has the same owner.
func slotOf(id int64) int64 { return id % strictSlots }

// strictKindsOfRun returns the kinds that the run has calls of; none if it is about
// others.
func strictKindsOfRun() []string { return strings.Fields(os.Getenv("FAULT_STRICT")) }

// A strictSender makes one call, and returns its answer and the node that gave it.
type strictSender func(ctx context.Context, kind string, id worker.ID, message string) (text, node string, err error)

func sendTo(family func(kind string) node.Family) strictSender {
	return func(ctx context.Context, kind string, id worker.ID, message string) (text, at string, err error) {
		reply, err := family(kind).Call(ctx, id, worker.BytesValue(message))
		return reply.Value.String(), reply.Node, err
	}
}

// callStrict has callers make calls until ctx ends. Each way of calling goes to other ids
// by a node: the first to those of the node itself.
func (r *recorder) callStrict(ctx context.Context, way int, c strictCall, send strictSender) {
	for _, kind := range strictKindsOfRun() {
		for slot := range int64(strictSlots) {
			if (int(slot)+way)%faultNodes == max(c.Via, c.Node)-1 {
				c := c
				c.Kind, c.Node = kind, 0
				r.wg.Go(func() { r.callSlot(ctx, c, slot, send) })
			}
		}
	}
}

// callSlot is one caller.
func (r *recorder) callSlot(ctx context.Context, c strictCall, slot int64, send strictSender) {
	last := int64(0) // number that it knows of
	for ctx.Err() == nil {
		c.ID = slot + strictSlots*int64(r.now()/strictPeriod)
		c.strictRequest = strictRequest{Message: r.number.Add(1), Op: []operation{opAdd, opAdd, opAdd, opGet}[rand.IntN(4)]}
		if c.Kind == registerKind {
			c.Op = []operation{opWrite, opCompare, opCompare, opGet}[rand.IntN(4)]
			c.Want, c.New = last, c.Message
		}
		call := r.makeStrict(c, send)
		if call.acknowledged() {
			last = call.After
		}
		select {
		case <-time.After(strictPause + rand.N(2*strictPause)):
		case <-ctx.Done():
		}
	}
}

// makeStrict makes a call. The record has it before it begins.
func (r *recorder) makeStrict(c strictCall, send strictSender) strictCall {
	c.Begin, c.End, c.Err, c.Outcome = r.now(), 0, "no answer yet", worker.OutcomeUnknown
	r.write(entry{StrictCall: &c})
	text, at, err := send(context.Background(), c.Kind, worker.IntID(c.ID), c.text())
	c.End, c.Err, c.Outcome, c.Node = r.now(), "", 0, nodeNumber(at)
	if err == nil {
		_, err = fmt.Sscan(text, &c.Before, &c.After)
	}
	if err != nil {
		c.Err, c.Outcome = fmt.Sprintf("%v (%s)", err, outcomeOf(err)), outcomeOf(err)
	}
	r.write(entry{StrictCall: &c})
	return c
}
