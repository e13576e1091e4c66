package wire

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/yamux"
)

// TestSigns counts the pings that a peer gets, and takes the time until it is given up
// once it answers no more.
func TestSigns(t *testing.T) {
	for _, c := range []struct {
		name        string
		busy        bool
		sent, heard bool // in each second
		pings       int  // in a minute
		lost        time.Duration
	}{
		{"idle", false, false, false, 4, 18 * time.Second},
		{"with a call in flight", true, true, true, 60, 3 * time.Second},
		{"that answers what it is sent", false, true, true, 0, 4 * time.Second},
		{"that is sent something", false, true, false, 30, 4 * time.Second}, // a ping's answer does for the next second, too
		{"that sends something", false, false, true, 0, 18 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				ours, theirs := net.Pipe()
				config := yamux.DefaultConfig()
				config.EnableKeepAlive, config.ConnectionWriteTimeout, config.LogOutput = false, giveUp, io.Discard
				mux, err := yamux.Client(ours, config)
				if err != nil {
					t.Fatal(err)
				}
				defer mux.Close()
				var s signs
				var pings atomic.Int64
				var paused atomic.Bool
				go func() {
					frame := make([]byte, yamuxHeader)
					for {
						if _, err := io.ReadFull(theirs, frame); err != nil {
							return
						}
						pings.Add(1)
						if !paused.Load() {
							s.heard.Store(true)
							binary.BigEndian.PutUint16(frame[2:], 2) // its answer
							theirs.Write(frame)
						}
					}
				}()
				done := make(chan error, 1)
				go func() { done <- s.watch(mux, func() bool { return c.busy }) }()
				for second := range 61 { // the first is a part of one
					if second == 1 {
						pings.Store(0)
					}
					s.sent.Store(c.sent)
					s.heard.Store(c.heard || s.heard.Load())
					time.Sleep(time.Second)
				}
				if n := int(pings.Load()); n < c.pings*9/10 || n > c.pings {
					t.Errorf("%d pings in a minute, want %d", n, c.pings)
				}
				paused.Store(true)
				begin := time.Now()
				s.heard.Store(c.heard)
				for len(done) == 0 && time.Since(begin) < time.Minute {
					s.sent.Store(c.sent)
					time.Sleep(100 * time.Millisecond)
				}
				if took, err := time.Since(begin), <-done; !errors.Is(err, yamux.ErrKeepAliveTimeout) || took > c.lost+200*time.Millisecond {
					t.Errorf("given up after %v: %v; want %v", took, err, c.lost)
				}
			})
		})
	}
}

// TestIdle looks at what idle sessions and links send, which is nothing for a while, and
// freezes them: a call is given up within 3 s, and a link that is written to within 4 s.
func TestIdle(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var w freezer
		near, far := w.pipe()
		s, _ := connect(t, near, far, maxVersion, echo{}, echo{})
		near, far = w.pipe()
		conn, peer := handshake(t, near, far, Hello{Name: "dialer", Role: RoleLink}, func(in *Incoming) error {
			link, err := in.AcceptLink(Hello{Name: "acceptor"})
			if err == nil {
				t.Cleanup(func() { link.Close() })
				go link.Accept()
			}
			return err
		})
		link, err := newLink(conn, peer, true)
		if err != nil {
			t.Fatal(err)
		}
		defer link.Close()
		stream, err := link.Open()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.ask(t.Context(), &Request{}, long); err != nil {
			t.Fatal(err)
		}

		time.Sleep(2500 * time.Millisecond) // those that have just been used may be asked once
		before := w.bytes.Load()
		time.Sleep(2500 * time.Millisecond)
		if n := w.bytes.Load() - before; n > 0 {
			t.Errorf("%d bytes while idle", n)
		}

		w.frozen.Store(true)
		start := time.Now()
		if _, err := stream.Write([]byte("lost")); err != nil {
			t.Fatal(err)
		}
		_, err = s.ask(t.Context(), &Request{}, long)
		if took := time.Since(start); !errors.Is(err, Unreachable) || took > 3*time.Second {
			t.Errorf("call to a stuck peer = %v after %v", err, took)
		}
		select {
		case <-link.Done():
		case <-time.After(4*time.Second - time.Since(start)):
			t.Error("the link goes on")
		}
	})
}

// TestPingGivenUp ends a ping that nobody waits for.
func TestPingGivenUp(t *testing.T) {
	t.Parallel()
	a, _ := pair(t, echo{}, echo{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := a.Ping(ctx); !errors.Is(err, Canceled) {
		t.Errorf("ping = %v, want %v", err, Canceled)
	}
}
