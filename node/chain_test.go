package node

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/distproc/distproc/wire"
)

// follow calls the first worker of a path, ID or "value ID", which calls the others in turn.
func follow(ctx context.Context, via Family, values Family, path string) (Value, error) {
	next, rest, _ := strings.Cut(path, ",")
	if next == "" {
		return BytesValue("done"), nil
	}
	if id, ok := strings.CutPrefix(next, "value "); ok {
		v, err := ParseID(id)
		if err != nil {
			return Value{}, err
		}
		reply, err := values.Request(ctx, v)
		return reply.Value, err
	}
	id, err := ParseID(next)
	if err != nil {
		return Value{}, err
	}
	reply, err := via.Call(ctx, id, BytesValue(rest))
	return reply.Value, err
}

// TestCallCycle has servers and sources call each other in a circle, on one node and across nodes: the call that closes the
// circle fails at once.
func TestCallCycle(t *testing.T) {
	host := testHost()
	var nodes []*Node
	for i := range 3 {
		var n *Node
		kinds := map[string]Kind{
			"account": {Timeout: time.Minute, Serial: func(context.Context, ID) (Server, error) {
				return serverFunc(func(ctx context.Context, m Value) (Value, error) {
					return follow(ctx, n.Family("account"), n.Family("value"), m.String())
				}), nil
			}},
			"value": {Timeout: time.Minute, Source: func(ctx context.Context, id ID) (Value, error) {
				return follow(ctx, n.Family("account"), n.Family("value"), map[string]string{"2": "value 2", "3": "9,value 3"}[id.String()])
			}},
		}
		var err error
		if n, err = Start(Config{Name: fmt.Sprintf("%d@%s", i+1, host), Cookie: testCookie, Kinds: kinds}); err != nil {
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
	client, err := Attach(t.Context(), ClientConfig{Node: nodes[0].Self(), Cookie: testCookie})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for _, from := range []interface{ Family(string) Family }{nodes[0], nodes[1], client} {
		for id, path := range map[string]string{"7": "7", "4": "4", "8": "9,10,8", "6": "9,6"} {
			v, _ := ParseID(id)
			_, err := from.Family("account").Call(ctx, v, BytesValue(path))
			if err == nil || !strings.Contains(err.Error(), "call cycle: account/"+id+" → ") || !strings.Contains(err.Error(), " → account/"+id+";") || ctx.Err() != nil {
				t.Errorf("%s → %s: %v", id, path, err)
			}
		}
		for id, path := range map[string]string{"7": "8,9", "5": "6,value 1"} { // no circles
			v, _ := ParseID(id)
			if reply, err := from.Family("account").Call(ctx, v, BytesValue(path)); err != nil || reply.Value.String() != "done" {
				t.Errorf("%s → %s: %+v, %v", id, path, reply, err)
			}
		}
		for _, id := range []int64{2, 3} {
			if _, err := from.Family("value").Request(ctx, IntID(id)); err == nil || !strings.Contains(err.Error(), "call cycle: value/") {
				t.Errorf("value %d: %v", id, err)
			}
		}
	}
}

// TestChain bounds chains, and finds circles among their last workers.
func TestChain(t *testing.T) {
	chain := ""
	for i := range 100 {
		chain = lengthened(chain, link("k", IntID(int64(i))))
	}
	if n := strings.Count(chain, "\n") + 1; n != maxChain {
		t.Errorf("%d workers, want %d", n, maxChain)
	}
	err := checkCycle(chain, "k", IntID(99))
	if !errors.Is(err, ErrCallCycle) || OutcomeOf(err) != NotRun {
		t.Error(err)
	}
	for _, id := range []int64{0, 100} {
		if err := checkCycle(chain, "k", IntID(id)); err != nil {
			t.Error(err)
		}
	}
	odd, _ := ParseID(strings.Repeat("\n", MaxIDLen))
	chain = lengthened(lengthened(chain, link("", odd)), link("", odd))
	if len(chain) > maxChainBytes || checkCycle(chain, DefaultKind, odd) == nil || checkCycle(chain, "other", odd) != nil {
		t.Errorf("a chain of %d bytes: %q", len(chain), chain)
	}
}

// TestDeadlineOf has a server learn when its callers, here and elsewhere, give up.
func TestDeadlineOf(t *testing.T) {
	kind := Kind{Timeout: time.Hour, Serial: func(context.Context, ID) (Server, error) {
		return serverFunc(func(ctx context.Context, _ Value) (Value, error) {
			d, ok := DeadlineOf(ctx)
			own, _ := ctx.Deadline()
			if !ok || time.Until(own) < 30*time.Minute {
				return Value{}, errors.New("no deadline, or the context ends with it")
			}
			return IntValue(int64(time.Until(d))), nil
		}), nil
	}}
	nodes := startCluster(t, 2, kind)
	for id := range int64(2) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		reply, err := nodes[0].Family("").Call(ctx, IntID(id), Value{})
		cancel()
		left, _ := reply.Value.Int()
		if err != nil || time.Duration(left) > time.Minute || time.Duration(left) < 30*time.Second {
			t.Errorf("call(%d): %v left, %v", id, time.Duration(left), err)
		}
	}
	if d, ok := DeadlineOf(t.Context()); ok {
		t.Error(d)
	}
}

// TestSentinels finds an exported error for each code.
func TestSentinels(t *testing.T) {
	sentinels := []error{
		ErrOverloaded, ErrSource, ErrPanic, ErrUnreachable, ErrClosed, ErrNameTaken, ErrCookie, ErrUnknownKind, ErrDisagreement,
		ErrCallCycle, ErrWrongType, ErrLeaving, ErrBadRequest, ErrNotOwner, ErrInternal, ErrWrongName, ErrVersion, ErrConnected, ErrUnsupported, ErrApart,
		context.DeadlineExceeded, context.Canceled,
	}
	for code := wire.Code(1); code.Known(); code++ {
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
}

// TestWrongType asks for values and answers as types that they are not.
func TestWrongType(t *testing.T) {
	echo := Kind{Serial: func(context.Context, ID) (Server, error) { return echoServer{}, nil }}
	n, err := Start(Config{Name: "1@" + testHost(), Cookie: testCookie, Kinds: map[string]Kind{
		"object": {Source: Load(func(context.Context, ID) (map[string]int, error) { return map[string]int{"a": 1}, nil })}, "echo": echo,
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close(context.Background())
	if _, reply, err := Get[int](t.Context(), n.Family("object"), IntID(7)); !errors.Is(err, ErrWrongType) || OutcomeOf(err) != Ran || reply.Value.String() != `{"a":1}` {
		t.Errorf("Get: %+v, %v", reply, err)
	}
	if _, err := Call[int](t.Context(), n.Family("echo"), IntID(7), "no number"); !errors.Is(err, ErrWrongType) || OutcomeOf(err) != Ran {
		t.Errorf("Call: %v", err)
	}
}
