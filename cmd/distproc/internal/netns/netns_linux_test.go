package netns

import (
	"errors"
	"net"
	"testing"
)

// TestCut cuts links one way and both, twice, and mends them.
func TestCut(t *testing.T) {
	t.Parallel()
	n, err := New(2)
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	// refused asks the system of host 1 for the way to host 2.
	refused := func() bool { return n.IP(1, "route", "get", n.Host(2)) != nil }
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(n.Cut(true, Both(1, 2)...))
	must(n.Cut(false, Link{1, 2}))
	must(n.Mend(Both(1, 2)...))
	if !refused() {
		t.Error("a link that was cut twice and mended once leads on")
	}
	must(n.Mend(Link{1, 2}))
	if refused() {
		t.Error("a link that is mended leads nowhere")
	}
	must(errors.Join(n.Unplug(1), n.Unplug(1), n.Plug(1), n.Plug(1)))

	l, err := n.Dial(t.Context(), "tcp", net.JoinHostPort(n.Host(1), "9"))
	if err == nil {
		l.Close()
		t.Error("a port without a listener answers")
	}
	if op, ok := errors.AsType[*net.OpError](err); !ok || op.Timeout() {
		t.Errorf("host 1 cannot be reached: %v", err)
	}
}
