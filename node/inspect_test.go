package node

import (
	"context"
	"errors"
	"testing"

	"github.com/distproc/distproc/node/worker"
	"github.com/distproc/distproc/wire"
)

// TestWhyIsGivenUp asks about an id of a member that does not answer: if nobody waits for
// that any more, Why says so rather than what it knows already.
func TestWhyIsGivenUp(t *testing.T) {
	bubble(t, func(t *testing.T) {
		host := testHost()
		silent, err := memory.Listen(host + ":4372")
		if err != nil {
			t.Fatal(err)
		}
		defer silent.Close()
		n := startNode(t, "1@"+host, worker.Cache{})
		giveSlot(n, wire.Hello{Name: "2@" + host, Addr: host + ":4372", Incarnation: 1})
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := n.Why(ctx, worker.IntID(1)); !errors.Is(err, context.Canceled) {
			t.Errorf("why = %v, want %v", err, context.Canceled)
		}
	})
}
