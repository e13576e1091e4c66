package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/distproc/distproc/wire"
)

// refusalLog runs do with refusals whose clock is its own, and returns what they log.
func refusalLog(t *testing.T, do func(r *Refusals)) string {
	t.Helper()
	var log bytes.Buffer
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		do(NewRefusals(ctx, slog.New(slog.NewTextHandler(&log, nil))))
		synctest.Wait()
		cancel()
	})
	return log.String()
}

func tcpAddr(ip string) net.Addr {
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(ip), 1))
}

// TestRefusalsOfHost has one host be refused again and again, for errors whose texts
// differ.
func TestRefusalsOfHost(t *testing.T) {
	const refused = `msg="connection refused"`
	log := refusalLog(t, func(r *Refusals) {
		for i := range 1000 {
			r.Refused(tcpAddr("192.0.2.1"), fmt.Errorf("TLS: protocols %d: %s", i, strings.Repeat("\nx", 30_000)))
			r.Refused(tcpAddr(fmt.Sprintf("2001:db8::%x", i+1)), errors.New("x"))
		}
		r.Refused(tcpAddr("192.0.2.1"), io.EOF)
		r.Refused(tcpAddr("192.0.2.1"), &wire.Error{Code: wire.WrongCookie})
	})
	if n := strings.Count(log, refused); n != 3 || len(log) > 1000 || strings.Contains(log, "not logged") {
		t.Errorf("%d lines of %d bytes, want 3: one each for the host, the network and the cookie:\n%.2000s", n, len(log), log)
	}
	log = refusalLog(t, func(r *Refusals) {
		for range 3 {
			r.Refused(tcpAddr("192.0.2.1"), errors.New("x"))
			time.Sleep(refusalSilence)
		}
	})
	if n := strings.Count(log, refused); n != 3 {
		t.Errorf("%d lines in three minutes, want 3:\n%s", n, log)
	}
}

// TestRefusalsOfAll has many hosts be refused: few are logged, the others counted, and
// little is kept.
func TestRefusalsOfAll(t *testing.T) {
	const seconds, rate = 90, 1000
	log := refusalLog(t, func(r *Refusals) {
		for i := range seconds * rate {
			r.Refused(tcpAddr(fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255)), errors.New("x"))
			time.Sleep(time.Second / rate)
		}
		if n, limit := len(r.last), int(refusalRate*refusalSilence/time.Second+refusalBurst); n > limit+1 {
			t.Errorf("%d refusals are kept, limit %d", n, limit)
		}
		time.Sleep(refusalCount)
	})
	lines, missed := strings.Count(log, `msg="connection refused"`), 0
	for line := range strings.Lines(log) {
		if _, rest, ok := strings.Cut(line, `msg="refused connections not logged" n=`); ok {
			var n int
			fmt.Sscan(rest, &n)
			missed += n
		}
	}
	if limit := seconds*refusalRate + refusalBurst; lines > limit || lines < limit/2 {
		t.Errorf("%d lines in %d s, want %d", lines, seconds, limit)
	}
	if lines+missed != seconds*rate {
		t.Errorf("%d refusals logged and %d counted, want %d together", lines, missed, seconds*rate)
	}
}
