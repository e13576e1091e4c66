package node

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// follow calls the first worker of a path, ID or "value ID", which calls the others in
// turn.
func follow(ctx context.Context, via Family, values Family, path string) (worker.Value, error) {
	next, rest, _ := strings.Cut(path, ",")
	if next == "" {
		return worker.BytesValue("done"), nil
	}
	if id, ok := strings.CutPrefix(next, "value "); ok {
		v, err := worker.ParseID(id)
		if err != nil {
			return worker.Value{}, err
		}
		reply, err := values.Request(ctx, v)
		return reply.Value, err
	}
	id, err := worker.ParseID(next)
	if err != nil {
		return worker.Value{}, err
	}
	reply, err := via.Call(ctx, id, worker.BytesValue(rest))
	return reply.Value, err
}

// TestCallCycle has servers and sources call each other in a circle, on one node and
// across nodes: the call that closes the circle fails at once.
func TestCallCycle(t *testing.T) {
	bubble(t, func(t *testing.T) {
		host := testHost()
		var nodes []*Node
		for i := range 3 {
			var n *Node
			kinds := map[string]worker.Kind{
				"account": worker.Serial{Timeout: time.Minute, Open: func(context.Context, worker.ID) (worker.Server, error) {
					return serverFunc(func(ctx context.Context, m worker.Value) (worker.Value, error) {
						return follow(ctx, n.Family("account"), n.Family("value"), m.String())
					}), nil
				}},
				"value": worker.Cache{Timeout: time.Minute, Load: func(ctx context.Context, id worker.ID) (worker.Value, error) {
					return follow(ctx, n.Family("account"), n.Family("value"), map[string]string{"2": "value 2", "3": "9,value 3"}[id.String()])
				}},
			}
			var err error
			if n, err = Start(Config{Name: fmt.Sprintf("%d@%s", i+1, host), Cookie: testCookie, network: memory, Kinds: kinds}); err != nil {
				t.Fatal(err)
			}
			defer n.Close(context.Background())
			if i > 0 {
				if err := n.Join(t.Context(), nodes[0].Self()); err != nil {
					t.Fatal(err)
				}
			}
			nodes = append(nodes, n)
		}
		awaitView(t, nodes...)
		client, err := Attach(t.Context(), ClientConfig{Node: nodes[0].Self(), Cookie: testCookie, network: memory})
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		for _, from := range []interface{ Family(string) Family }{nodes[0], nodes[1], client} {
			for id, path := range map[string]string{"7": "7", "4": "4", "8": "9,10,8", "6": "9,6"} {
				v, _ := worker.ParseID(id)
				_, err := from.Family("account").Call(ctx, v, worker.BytesValue(path))
				if err == nil || !strings.Contains(err.Error(), "call cycle: account/"+id+" → ") || !strings.Contains(err.Error(), " → account/"+id+";") || ctx.Err() != nil {
					t.Errorf("%s → %s: %v", id, path, err)
				}
			}
			for id, path := range map[string]string{"7": "8,9", "5": "6,value 1"} { // no circles
				v, _ := worker.ParseID(id)
				if reply, err := from.Family("account").Call(ctx, v, worker.BytesValue(path)); err != nil || reply.Value.String() != "done" {
					t.Errorf("%s → %s: %+v, %v", id, path, reply, err)
				}
			}
			for _, id := range []int64{2, 3} {
				if _, err := from.Family("value").Request(ctx, worker.IntID(id)); err == nil || !strings.Contains(err.Error(), "call cycle: value/") {
					t.Errorf("value %d: %v", id, err)
				}
			}
		}
	})
}

// TestRefreshCycle has a source refresh its own value: that is refused, and changes nothing,
// so that the value is kept.
func TestRefreshCycle(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var n *Node
		n = startNode(t, "1@"+testHost(), worker.Cache{TTL: time.Hour, Load: func(ctx context.Context, id worker.ID) (worker.Value, error) {
			if _, err := n.Refresh(ctx, id); !errors.Is(err, ErrCallCycle) || OutcomeOf(err) != worker.OutcomeNotRun {
				t.Errorf("Refresh: %v", err)
			}
			return worker.IntValue(1), nil
		}})
		for _, cached := range []bool{false, true} {
			if reply, err := n.Request(t.Context(), worker.IntID(7)); err != nil || reply.Cached != cached {
				t.Errorf("%+v, %v; want cached: %v", reply, err, cached)
			}
		}
	})
}

// TestDeadlineOf has a server learn when its callers, here and elsewhere, give up.
func TestDeadlineOf(t *testing.T) {
	bubble(t, func(t *testing.T) {
		kind := worker.Serial{Timeout: time.Hour, Open: func(context.Context, worker.ID) (worker.Server, error) {
			return serverFunc(func(ctx context.Context, _ worker.Value) (worker.Value, error) {
				d, ok := DeadlineOf(ctx)
				own, _ := ctx.Deadline()
				if !ok || time.Until(own) < 30*time.Minute {
					return worker.Value{}, errors.New("no deadline, or the context ends with it")
				}
				return worker.IntValue(int64(time.Until(d))), nil
			}), nil
		}}
		nodes := startCluster(t, 2, kind)
		for id := range int64(2) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			reply, err := nodes[0].Family("").Call(ctx, worker.IntID(id), worker.Value{})
			cancel()
			left, _ := reply.Value.Int()
			if err != nil || time.Duration(left) > time.Minute || time.Duration(left) < 30*time.Second {
				t.Errorf("call(%d): %v left, %v", id, time.Duration(left), err)
			}
		}
		if d, ok := DeadlineOf(t.Context()); ok {
			t.Error(d)
		}
	})
}

// TestSentinels finds an exported error for each code.
func TestSentinels(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sentinels := []error{
			ErrOverloaded, ErrWorker, ErrPanic, ErrUnreachable, ErrClosed, ErrNameTaken, ErrCookie, ErrUnknownKind, ErrDisagreement,
			ErrCallCycle, ErrWrongType, ErrLeaving, ErrBadRequest, ErrNotOwner, ErrInternal, ErrWrongName, ErrVersion, ErrUnsupported, ErrApart,
			ErrNoQuorum, ErrFenced,
			context.DeadlineExceeded, context.Canceled,
		}
		for _, code := range wire.Codes() {
			n := 0
			for _, s := range sentinels {
				if errors.Is(&wire.Error{Code: code}, s) {
					n++
				}
			}
			if n != 1 {
				t.Errorf("%d sentinels for %q", n, code)
			}
		}
	})
}

// TestWrongType asks for values and answers as types that they are not.
func TestWrongType(t *testing.T) {
	bubble(t, func(t *testing.T) {
		echo := worker.Serial{Open: func(context.Context, worker.ID) (worker.Server, error) { return echoServer{}, nil }}
		n, err := Start(Config{Name: "1@" + testHost(), Cookie: testCookie, network: memory, Kinds: map[string]worker.Kind{
			"object": worker.Cache{Load: worker.Load(func(context.Context, worker.ID) (map[string]int, error) { return map[string]int{"a": 1}, nil })}, "echo": echo,
		}})
		if err != nil {
			t.Fatal(err)
		}
		defer n.Close(context.Background())
		if _, reply, err := Get[int](t.Context(), n.Family("object"), worker.IntID(7)); !errors.Is(err, ErrWrongType) || OutcomeOf(err) != worker.OutcomeRan || reply.Value.String() != `{"a":1}` {
			t.Errorf("Get: %+v, %v", reply, err)
		}
		if _, err := Call[int](t.Context(), n.Family("echo"), worker.IntID(7), "no number"); !errors.Is(err, ErrWrongType) || OutcomeOf(err) != worker.OutcomeRan {
			t.Errorf("Call: %v", err)
		}
	})
}
