//go:build unix

package faults

import (
	"context"
	"errors"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/distproc/distproc/node"
	"github.com/distproc/distproc/node/worker"
)

// The serial kind of a node: its servers record their lives and runs. Each message is a
// number that no other message has.

const (
	serialKind       = "serial"
	serialTTL        = time.Second
	serialIDs        = 12
	serialNodeRate   = 10 // pairs of messages a second by each node
	serialClientRate = 2  // by each client
)

// A serverEntry is the life of a server: written when it begins, without End, and again
// when Terminate returns.
type serverEntry struct {
	Number, ID int64
	span
}

// A servedEntry is a server's run of a message: written when it begins, without End, and
// again when it ends. Its number is the answer.
type servedEntry struct {
	Number, Message, ID, Server int64
	span
	Failed bool `json:",omitempty"`
}

// serial returns the kind.
func (r *recorder) serial() worker.Kind {
	return worker.Serial{TTL: serialTTL, Open: worker.Serve(r.startServer)}
}

type actor struct {
	recorder *recorder
	life     serverEntry
}

func (r *recorder) startServer(_ context.Context, id worker.ID) (*actor, error) {
	number, err := strconv.ParseInt(id.String(), 10, 64)
	if err != nil {
		return nil, err
	}
	s := &actor{r, serverEntry{Number: r.number.Add(1), ID: number, span: span{Begin: r.now()}}}
	r.write(entry{Server: &s.life})
	return s, nil
}

var errFault = errors.New("an error of the server's own")

// Call works for 1 to 20 ms, and now and then for long. Now and then it fails or panics.
// All callers together send about 34 messages a second to a hot id. Its server is busy
// for two thirds of the time, so that what a fault leaves in the queue is done within
// recoverTime.
func (s *actor) Call(ctx context.Context, message int64) (int64, error) {
	r := s.recorder
	run := servedEntry{Number: r.number.Add(1), Message: message, ID: s.life.ID, Server: s.life.Number, span: span{Begin: r.now()}, Failed: true}
	r.write(entry{Served: &run})
	defer func() {
		run.End = r.now()
		r.write(entry{Served: &run})
	}()
	takes := time.Millisecond + rand.N(19*time.Millisecond)
	if rand.IntN(32) == 0 {
		takes = 300 * time.Millisecond
	}
	select {
	case <-time.After(takes):
	case <-ctx.Done():
		time.Sleep(rand.N(5 * time.Millisecond))
		return 0, ctx.Err()
	}
	switch rand.IntN(64) {
	case 0:
		return 0, errFault
	case 1:
		panic(errFault)
	}
	run.Failed = false
	return run.Number, nil
}

func (s *actor) Terminate(context.Context, worker.EndReason) {
	time.Sleep(rand.N(10 * time.Millisecond))
	s.life.End = s.recorder.now()
	s.recorder.write(entry{Server: &s.life})
}

// send returns a function that sends a new message to the server of an id.
func (r *recorder) send(c callEntry, f node.Family) func(id int64) {
	return r.sendBy(c, func(ctx context.Context, id worker.ID, message int64) (worker.Reply, error) {
		return f.Call(ctx, id, worker.IntValue(message))
	})
}

type sender func(ctx context.Context, id worker.ID, message int64) (worker.Reply, error)

func (r *recorder) sendBy(c callEntry, send sender) func(id int64) {
	return func(id int64) {
		call := c
		call.ID, call.Message = id, r.number.Add(1)
		r.call(call, func(ctx context.Context, id worker.ID) (worker.Reply, error) { return send(ctx, id, call.Message) })
	}
}
