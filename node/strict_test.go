package node

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/distproc/distproc/node/worker"
)

// A tally is a server that counts, and notes the token of each call.
type tally struct{ n int64 }

func (s *tally) Call(ctx context.Context, _ worker.Value) (worker.Value, error) {
	if worker.TokenOf(ctx) == (worker.Token{}) {
		return worker.Value{}, errors.New("no token")
	}
	s.n++
	return worker.IntValue(s.n), nil
}

func startStrict(t *testing.T, name string, dir string, voters ...string) *Node {
	t.Helper()
	time.Sleep(time.Microsecond)
	n, err := Start(Config{
		Name: name, Cookie: testCookie, network: network.Host(name), Voters: voters, DataDir: dir, Timing: Local,
		Default: worker.Serial{Strict: true, TTL: time.Minute, Open: func(context.Context, worker.ID) (worker.Server, error) { return &tally{}, nil }},
		Logger:  slog.New(slog.NewTextHandler(testLog{t}, &slog.HandlerOptions{Level: slog.LevelInfo})).With("at", name),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close(context.Background()) })
	return n
}

func TestStrict(t *testing.T) {
	bubble(t, func(t *testing.T) {
		host := testHost()
		names := []string{"1@" + host, "2@" + host, "3@" + host}
		var nodes []*Node
		for _, name := range names {
			nodes = append(nodes, startStrict(t, name, t.TempDir(), names...))
		}
		for _, n := range nodes[1:] {
			if err := n.Join(t.Context(), names[0]); err != nil {
				t.Fatal(err)
			}
		}
		for _, n := range nodes {
			for i := range 3 {
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				reply, err := n.Family("").Call(ctx, worker.IntID(int64(i)), worker.Value{})
				cancel()
				t.Logf("%s %d: %v by %s, %v", n.Self(), i, reply.Value, reply.Node, err)
			}
		}
		start := time.Now()
		crash(nodes[1])
		for i := range 3 {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			reply, err := nodes[0].Family("").Call(ctx, worker.IntID(int64(i)), worker.Value{})
			cancel()
			t.Logf("%d: %v by %s, %v after %v", i, reply.Value, reply.Node, err, time.Since(start))
		}
		start = time.Now()
		nodes[2].Close(context.Background())
		t.Log("closed", time.Since(start))
		reply, err := nodes[0].Family("").Call(t.Context(), worker.IntID(2), worker.Value{})
		t.Logf("%v by %s, %v after %v", reply.Value, reply.Node, err, time.Since(start))
	})
}
