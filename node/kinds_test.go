package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/distproc/distproc/node/internal/testlog"
	"github.com/distproc/distproc/node/worker"
)

// TestKinds has workers of two kinds for one id, in a cluster and through a client.
func TestKinds(t *testing.T) {
	bubble(t, func(t *testing.T) {
		say := func(what string) worker.Source {
			return func(_ context.Context, id worker.ID) (worker.Value, error) {
				return worker.BytesValue(what + " " + id.String()), nil
			}
		}
		nodes := startCluster(t, 3, worker.Cache{Load: say("default")})
		for _, n := range nodes {
			if err := n.SetKinds(map[string]worker.Kind{"price": worker.Cache{Load: say("price"), TTL: time.Hour}}); err != nil {
				t.Fatal(err)
			}
		}
		client, err := Attach(t.Context(), ClientConfig{Node: nodes[0].Self(), Cookie: testCookie, network: memory})
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		for i, prices := range []Family{nodes[0].Family("price"), client.Family("price")} {
			for id := range int64(6) {
				reply, err := prices.Request(t.Context(), worker.IntID(id))
				if err != nil || reply.Value.String() != fmt.Sprint("price ", id) || reply.Cached != (i == 1) || reply.Node != nodes[id%3].Self() {
					t.Errorf("price of %d: %+v, %v", id, reply, err)
				}
			}
			if reply, err := prices.RequestVia(t.Context(), nodes[2].Self(), worker.IntID(1)); err != nil || !reply.Cached || reply.Value.String() != "price 1" {
				t.Errorf("by way of another node: %+v, %v", reply, err)
			}
			if e, err := prices.Why(t.Context(), worker.IntID(1)); err != nil || e.Kind != "price" || !e.Live || e.TTL != time.Hour || e.Worker.Kind != "price" {
				t.Errorf("why: %+v, %v", e, err)
			}
			if reply, err := prices.Refresh(t.Context(), worker.IntID(1)); err != nil || reply.Cached {
				t.Errorf("refresh: %+v, %v", reply, err)
			}
		}
		if reply, err := nodes[0].Request(t.Context(), worker.IntID(1)); err != nil || reply.Value.String() != "default 1" {
			t.Errorf("the default kind: %+v, %v", reply, err)
		}
		list, _ := nodes[0].Workers(t.Context())
		var kinds []string
		for _, w := range list {
			if w.ID == worker.IntID(1) {
				kinds = append(kinds, w.Kind)
			}
		}
		if !slices.Equal(kinds, []string{"default", "price"}) {
			t.Errorf("workers of 1: %v", kinds)
		}
		if stopped, err := nodes[2].Family("price").Stop(t.Context(), worker.IntID(1)); err != nil || !stopped {
			t.Errorf("stop: %v, %v", stopped, err)
		}
		if e, err := nodes[2].Why(t.Context(), worker.IntID(1)); err != nil || !e.Live {
			t.Errorf("the worker of the default kind went with it: %+v, %v", e, err)
		}
		for _, ask := range []Family{nodes[1].Family("none"), nodes[2].Family("none"), client.Family("none")} {
			if _, err := ask.Request(t.Context(), worker.IntID(1)); !errors.Is(err, ErrUnknownKind) || OutcomeOf(err) != worker.OutcomeNotRun {
				t.Errorf("a kind that nobody has: %v", err)
			}
		}
	})
}

// TestSetKinds changes a kind while its workers live: they live on as they were started,
// and the next ones by the new rules. One that is left out is gone.
func TestSetKinds(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := startNode(t, "1@"+testHost(), worker.Cache{})
		set := func(k map[string]worker.Kind) {
			t.Helper()
			if err := n.SetKinds(k); err != nil {
				t.Fatal(err)
			}
		}
		family := n.Family("x")
		ttl := func(id int64) time.Duration {
			t.Helper()
			reply, err := family.Request(t.Context(), worker.IntID(id))
			if err != nil {
				t.Fatal(err)
			}
			return reply.TTL
		}
		set(map[string]worker.Kind{"x": worker.Cache{Load: worker.RandomSource, TTL: time.Hour}})
		if got := ttl(1); got < 59*time.Minute {
			t.Errorf("TTL %v, want an hour", got)
		}
		set(map[string]worker.Kind{"x": worker.Cache{Load: worker.RandomSource, TTL: time.Minute}, worker.DefaultKind: worker.Cache{Load: worker.RandomSource, TTL: time.Minute}})
		if before, after := ttl(1), ttl(2); before < 59*time.Minute || after > time.Minute {
			t.Errorf("TTL %v of the old worker and %v of the new one, want an hour and a minute", before, after)
		}
		if reply, _ := n.Request(t.Context(), worker.IntID(1)); reply.TTL < 50*time.Second {
			t.Errorf("TTL %v of the default kind, want a minute", reply.TTL)
		}
		set(nil)
		if _, err := family.Request(t.Context(), worker.IntID(1)); !errors.Is(err, ErrUnknownKind) {
			t.Errorf("a kind that is gone: %v", err)
		}
		if err := n.SetKinds(map[string]worker.Kind{"a b": worker.Cache{Load: worker.RandomSource}}); err == nil {
			t.Error("a kind can be called \"a b\"")
		}
		n.Close(t.Context())
		if err := n.SetKinds(map[string]worker.Kind{"x": worker.Cache{Load: worker.RandomSource}}); !errors.Is(err, ErrClosed) {
			t.Errorf("SetKinds of a closed node: %v", err)
		}
	})
}

// TestKindsMove hands answers of two kinds over to a node that joins.
func TestKindsMove(t *testing.T) {
	bubble(t, func(t *testing.T) {
		kinds := map[string]worker.Kind{"x": worker.Cache{TTL: time.Hour, Load: counter()}}
		nodes := startCluster(t, 1, worker.Cache{TTL: time.Hour, Load: counter()})
		second := startNode(t, "2@"+nodes[0].addr.Host, worker.Cache{TTL: time.Hour, Load: counter()})
		for _, n := range []*Node{nodes[0], second} {
			if err := n.SetKinds(kinds); err != nil {
				t.Fatal(err)
			}
		}
		for id := range int64(20) {
			for _, kind := range []string{"", "x"} {
				if _, err := nodes[0].Family(kind).Request(t.Context(), worker.IntID(id)); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := second.Join(t.Context(), nodes[0].Self()); err != nil {
			t.Fatal(err)
		}
		await(t, func() error {
			for _, r := range second.kinds.All() {
				if live := live(r); live != 10 {
					return fmt.Errorf("%d workers of %s", live, r.Name())
				}
			}
			return nil
		})
	})
}

// TestKindsDiffer has two nodes with other definitions: the log of each says so once, and
// the table of nodes; and once they agree that is said, too.
func TestKindsDiffer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		host := testHost()
		var log testlog.Buffer
		start := func(name string, kinds map[string]worker.Kind) *Node {
			n, err := Start(Config{Name: name, Cookie: testCookie, network: memory, Default: orRandom(worker.Cache{}), Kinds: kinds, Logger: slog.New(slog.NewTextHandler(&log, nil)).With("at", name)})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { crash(n) })
			return n
		}
		a := start("1@"+host, map[string]worker.Kind{"x": worker.Cache{Load: worker.RandomSource, Definition: "one"}, "y": worker.Cache{Load: worker.RandomSource, Definition: "same"}, "z": worker.Cache{Load: worker.RandomSource}})
		b := start("2@"+host, map[string]worker.Kind{"x": worker.Cache{Load: worker.RandomSource, Definition: "two"}, "y": worker.Cache{Load: worker.RandomSource, Definition: "same"}})
		if err := b.Join(t.Context(), a.Self()); err != nil {
			t.Fatal(err)
		}
		awaitView(t, a, b)
		said := func(what string, times int) {
			t.Helper()
			await(t, func() error {
				if n := strings.Count(log.String(), what); n != times {
					return fmt.Errorf("%q is said %d times, want %d:\n%s", what, n, times, log.String())
				}
				return nil
			})
		}
		if _, err := a.Request(t.Context(), worker.IntID(1)); err != nil {
			t.Fatal(err)
		}
		said(`kinds="x, z"`, 2)
		infos, err := a.Nodes(t.Context())
		if err != nil || len(infos) != 2 || infos[0].Differs != nil || !slices.Equal(infos[1].Differs, []string{"x", "z"}) {
			t.Errorf("nodes: %+v, %v", infos, err)
		}
		if err := a.SetKinds(map[string]worker.Kind{"x": worker.Cache{Load: worker.RandomSource, Definition: "two"}, "y": worker.Cache{Load: worker.RandomSource, Definition: "same"}}); err != nil {
			t.Fatal(err)
		}
		said("kinds agree again", 2) // both
	})
}

// TestKindWithoutSource forgets what answers.
func TestKindWithoutSource(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for want, c := range map[string]Config{
			`kind "price": Load must not be nil`:                   {Kinds: map[string]worker.Kind{"price": worker.Cache{TTL: time.Minute}}},
			`kind "pay": Open must not be nil`:                     {Kinds: map[string]worker.Kind{"pay": worker.Serial{TTL: time.Minute}}},
			`kind "none": it is nil: set a worker.Cache`:           {Kinds: map[string]worker.Kind{"none": nil}},
			`kind "at": it is a *worker.Cache: set the v`:          {Kinds: map[string]worker.Kind{"at": &worker.Cache{Load: worker.RandomSource}}},
			`kind "no": it is a *worker.Serial: set the`:           {Kinds: map[string]worker.Kind{"no": (*worker.Serial)(nil)}},
			`kind "default": Load must not be nil: set the source`: {Default: worker.Cache{TTL: time.Minute}},
			`kind "default": Open must not be nil: set what makes`: {Default: worker.Serial{}},
			`kind "default": Load must not be nil`:                 {Kinds: map[string]worker.Kind{worker.DefaultKind: worker.Cache{}}},
		} {
			c.Name, c.Cookie = "1@"+testHost(), testCookie
			n, err := Start(c)
			if err == nil {
				n.Close(t.Context())
			}
			if err == nil || !strings.HasPrefix(err.Error(), want) {
				t.Errorf("error %v, want %s", err, want)
			}
		}
		n, err := Start(Config{Name: "1@" + testHost(), Cookie: testCookie, network: memory})
		if err != nil {
			t.Fatal(err)
		}
		defer n.Close(t.Context())
		if _, err := n.Request(t.Context(), worker.IntID(7)); !errors.Is(err, ErrUnknownKind) || !strings.Contains(err.Error(), "Config.Default") {
			t.Errorf("no default kind: %v", err)
		}
		if err := n.SetKinds(map[string]worker.Kind{"price": worker.Cache{}}); err == nil {
			t.Error("SetKinds takes a kind without a source")
		}
		if err := n.SetKinds(map[string]worker.Kind{worker.DefaultKind: worker.Cache{Load: worker.RandomSource}}); err != nil {
			t.Error(err)
		}
		if _, err := n.Request(t.Context(), worker.IntID(7)); err != nil {
			t.Errorf("with a default kind: %v", err)
		}
	})
}
