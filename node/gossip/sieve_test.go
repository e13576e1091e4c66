package gossip

import (
	"testing"
	"time"
)

func TestSieve(t *testing.T) {
	t.Parallel()
	const (
		ping    = "\x00\x80"
		alive   = "\x04\x80"
		suspect = "\x03\x80"
		crc     = "\x0c0000"
	)
	s := newSieve()
	for i, step := range []struct {
		packet, want string
		after        time.Duration
	}{
		{packet: crc + alive, want: crc + alive},
		{packet: alive, want: ""},
		{packet: ping, want: ping},
		{packet: ping, want: ping},
		{packet: compound(ping, alive), want: ping},
		{packet: compound(ping, alive, suspect, alive), want: compound(ping, suspect)},
		{packet: compound(alive, suspect), want: ""},
		{packet: suspect, want: "", after: sieveTime - 1},
		{packet: alive, want: "", after: sieveTime + 1},
		{packet: alive, want: alive, after: 10 * sieveTime},
	} {
		if got := string(s.sift([]byte(step.packet), epoch.Add(step.after))); got != step.want {
			t.Errorf("step %d: %q is sifted to %q, want %q", i, step.packet, got, step.want)
		}
	}
	for i := range 3 * sieveMost {
		s.sift([]byte{aliveMsg, byte(i), byte(i >> 8), byte(i >> 16)}, epoch)
	}
	if len(s.young)+len(s.old) > 2*sieveMost+2 {
		t.Errorf("it remembers %d messages", len(s.young)+len(s.old))
	}
}
