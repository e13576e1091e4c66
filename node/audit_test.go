package node

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/distproc/distproc/node/internal/protocol"
	"github.com/distproc/distproc/node/internal/testlog"
	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// TestAudit has a client, and a node's own program, do what the log shall tell of.
func TestAudit(t *testing.T) {
	bubble(t, func(t *testing.T) {
		host := testHost()
		logs := make([]testlog.Buffer, 2)
		var nodes []*Node
		for i := range 2 {
			n, err := Start(Config{Name: fmt.Sprintf("%d@%s", i+1, host), Cookie: testCookie, network: memory, Default: orRandom(worker.Cache{}), Logger: slog.New(slog.NewTextHandler(&logs[i], nil))})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { crash(n) })
			nodes = append(nodes, n)
		}
		a, b := nodes[0], nodes[1]
		if err := b.Join(t.Context(), a.Self()); err != nil {
			t.Fatal(err)
		}
		awaitView(t, a, b)
		client, err := Attach(t.Context(), ClientConfig{Node: a.Self(), Cookie: testCookie, network: memory})
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		for id := range int64(3) {
			if _, err := client.Request(t.Context(), worker.IntID(id)); err != nil {
				t.Fatal(err)
			}
		}
		stop := func(via interface {
			stop(ctx context.Context, k worker.Key) (bool, error)
		}, id int64, want bool) {
			t.Helper()
			if stopped, err := via.stop(t.Context(), worker.Key{ID: worker.IntID(id)}); err != nil || stopped != want {
				t.Errorf("stop %d: %v, %v", id, stopped, err)
			}
		}
		stop(client, 1, true)
		stop(client, 2, true)
		stop(client, 2, false)
		stop(a, 0, true)
		if err := client.Disconnect(t.Context(), b.Self()); err != nil {
			t.Fatal(err)
		}
		for range 3 { // they only have a question
			c, err := Attach(t.Context(), ClientConfig{Node: a.Self(), Cookie: testCookie, network: memory})
			if err != nil {
				t.Fatal(err)
			}
			c.Close()
		}
		time.Sleep(2 * time.Second)
		client.Close()
		other, err := Attach(t.Context(), ClientConfig{Node: a.Self(), Cookie: testCookie, network: memory})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		other.Close()
		creds := credentials(t, testCookie)
		if _, err := wire.Dial(t.Context(), a.Addr(), creds, wire.Hello{Name: "x", Role: 99}, protocol.Refuser{}); err == nil {
			t.Error("role 99 is let in")
		}
		from := ` from=127\.\d+\.\d+\.\d+:\d+$`
		said(t, &logs[0],
			`msg="client attached" by=client-\d+`+from,
			`msg="client attached" brief_clients=3 by=client-\d+`+from,
			`msg="client detached" after=\S+ calls=8 by=client-\d+`+from,
			`msg="worker stopped" kind=default id=1 node=2@\S+ by=client-\d+`+from,
			`msg="worker stopped" kind=default id=2 node=1@\S+ by=client-\d+`+from,
			`msg="worker stopped" kind=default id=0 node=1@\S+ by=1@\S+$`,
			`msg="member removed" node=2@\S+ by=client-\d+`+from,
			`msg="connection refused" from=\S+ why="bad request: role 99"$`)
		said(t, &logs[1],
			`msg="worker stopped" kind=default id=1 node=2@\S+ by=1@\S+`+from,
			`msg="removed from the cluster" by=1@\S+`+from)
		if got := logs[0].String() + logs[1].String(); strings.Count(got, "worker stopped") != 4 || strings.Count(got, "client attached") != 2 {
			t.Errorf("log:\n%s", got)
		}
	})
}
