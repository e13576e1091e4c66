package members

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/distproc/distproc/wire"
)

// TestSyncOutlivesCaller has two callers compare members with a peer that does not
// answer: when the one that came first gives up, the other one still waits.
func TestSyncOutlivesCaller(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	n := start(t, "1@"+testHost())
	n.currentGossip().Learn([]wire.Member{{Name: "2@127.0.0.1", Addr: silent.Addr().String(), Incarnation: 1}})
	await(t, func() error {
		if len(n.View().Peers) < 2 {
			return errors.New("the member is not in the view")
		}
		return nil
	})
	v := n.View()
	p := v.Peers[0]
	if p.Self {
		p = v.Peers[1]
	}
	ctx, cancel := context.WithCancel(t.Context())
	began := time.Now()
	first := make(chan error)
	go func() { first <- n.Sync(ctx, v, p) }()
	await(t, func() error {
		n.mu.Lock()
		defer n.mu.Unlock()
		if n.syncs[p] == nil {
			return errors.New("the first caller has not begun")
		}
		return nil
	})
	time.AfterFunc(50*time.Millisecond, cancel)
	if err := n.Sync(t.Context(), v, p); err == nil {
		t.Error("the second caller has an answer of a peer that does not answer")
	}
	if waited := time.Since(began); waited < n.OpTimeout() {
		t.Errorf("the second caller has waited for %v, want %v", waited, n.OpTimeout())
	}
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Errorf("the first caller: %v, want %v", err, context.Canceled)
	}
}
