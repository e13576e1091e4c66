package protocol

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/distproc/distproc/wire"
	"github.com/distproc/distproc/wire/memnet"
)

// A slow peer takes its time for an operation. Its multiplexer answers pings at once.
type slow struct {
	Refuser
	takes time.Duration
}

func (s slow) ServeOperation(ctx context.Context, _ *wire.Session, op wire.Op, _ func(any) error) (any, error) {
	if op != OpHolds {
		return nil, wire.UnknownOperation
	}
	select {
	case <-time.After(s.takes):
		return false, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// TestRoundTrip measures the way to the peer's handler and back, and gives up after a while.
func TestRoundTrip(t *testing.T) {
	for takes, want := range map[time.Duration]error{
		30 * time.Millisecond:              nil,
		roundTripTimeout - time.Nanosecond: nil,
		time.Hour:                          wire.Unreachable,
	} {
		memnet.Bubble(t, func(t *testing.T) {
			s := sessionTo(t, slow{takes: takes})
			began := time.Now()
			took, err := RoundTrip(t.Context(), s)
			if !errors.Is(err, want) || err == nil && took != takes {
				t.Errorf("a peer that takes %v: %v, %v", takes, took, err)
			}
			if all := time.Since(began); all > roundTripTimeout+time.Second {
				t.Errorf("a peer that takes %v is waited for for %v", takes, all)
			}
			ctx, cancel := context.WithTimeout(t.Context(), takes/2)
			defer cancel()
			if _, err := RoundTrip(ctx, s); want == nil && !errors.Is(err, wire.DeadlineExceeded) {
				t.Errorf("a caller who does not wait for %v: %v", takes, err)
			}
		})
	}
}

// sessionTo returns a session to a peer with that handler.
func sessionTo(t *testing.T, h wire.Handler) *wire.Session {
	t.Helper()
	creds, err := wire.NewCredentials([]byte("cookie of a test"), wire.TLSFiles{})
	if err != nil {
		t.Fatal(err)
	}
	creds.Network, creds.NoBusyPoll = memnet.New().Host(""), true
	l, err := wire.Listen("127.0.0.1:0", creds, nil)
	if err != nil {
		t.Fatal(err)
	}
	accepted := make(chan *wire.Session, 1)
	go func() {
		defer close(accepted)
		if in, err := l.Accept(); err == nil {
			if s, err := in.Accept(wire.Hello{Name: "2@127.0.0.1", Incarnation: 1}, h); err == nil {
				accepted <- s
			}
		}
	}()
	s, err := wire.Dial(t.Context(), l.Addr().String(), creds, wire.Hello{Name: "1@127.0.0.1", Incarnation: 1}, Refuser{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Close()
		if theirs := <-accepted; theirs != nil {
			theirs.Close()
		}
		l.Close()
		time.Sleep(time.Minute) // timers of the sessions end
	})
	return s
}
