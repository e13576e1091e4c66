package gateway

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/distproc/distproc/wire"
)

// TestSlowest has bodies of 1 MiB come at rates, from a modest address and from a greedy
// one.
func TestSlowest(t *testing.T) {
	t.Parallel()
	modest, greedy := netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("192.0.2.2/32")
	now := time.Now()
	const pace = 1 << 20 / 5 // bytes a second
	body := func(from netip.Prefix, waited time.Duration, rate float64) *place {
		return &place{
			from: from, size: 1 << 20, bytes: 1 << 20, read: int64(pace * rate * waited.Seconds()),
			waited: waited / 2, since: now.Add(waited/2 - waited),
		}
	}
	const s = time.Second
	busy, arrived, evicted := body(modest, placeGrace-1, 0), body(greedy, s, 0), body(greedy, s, 0)
	busy.waited, busy.since = placeGrace-1, time.Time{}
	arrived.arrived, evicted.evicted = true, true
	slow := make([]*place, 20)
	for i := range slow {
		slow[i] = body(greedy, s, 0.9)
	}
	slow[7] = body(greedy, s, 0.8)
	for _, c := range []struct {
		name   string
		bodies []*place
		want   int // index of the victim, or -1
	}{
		{"none", nil, -1},
		{"in time", []*place{body(greedy, s, 1.1), body(modest, 4*s, 1.1)}, -1},
		{"just begun", []*place{body(greedy, placeGrace-1, 0)}, -1},
		{"waits for this side", []*place{busy}, -1},
		{"arrived or evicted", []*place{arrived, evicted}, -1},
		{"too slow", []*place{body(modest, s, 1.1), body(modest, s, 0.9)}, 1},
		{"slowest", []*place{body(modest, s, 0.5), body(greedy, s, 0.4)}, 1},
		{"longest", []*place{body(modest, s, 0.5), body(modest, 2*s, 0.5)}, 1},
		{"of a greedy address", append([]*place{body(modest, s, 0)}, slow...), 8},
	} {
		all, want := map[*place]bool{}, (*place)(nil)
		for i, p := range c.bodies {
			all[p] = true
			if i == c.want {
				want = p
			}
		}
		if got := slowest(now, all); got != want {
			t.Errorf("%s: got %+v, want %+v", c.name, got, want)
		}
	}
}

// TestPlacesByAddress has an address wait that has more than half of all bytes: another
// one goes first.
func TestPlacesByAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newPlaces()
		greedy, modest := netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("192.0.2.2/32")
		grow := func(from netip.Prefix) *place { // or wait
			p := &place{from: from, size: 1 << 20, arrived: true}
			go func() { _, _ = l.grow(t.Context(), p, p.size) }()
			synctest.Wait()
			return p
		}
		var all []*place
		for range maxBodies >> 20 {
			all = append(all, grow(greedy))
		}
		second, first := grow(greedy), grow(modest)
		l.release(all[0])
		if first.bytes == 0 || second.bytes > 0 {
			t.Error("the address with all places gets the next one")
		}
		for _, p := range append(all, first, second, first) {
			l.release(p)
		}
		checkFree(t, l)
	})
}

// TestPlacesOfMany has many bodies grow together until no half of all bytes is left: all
// of them arrive, some before others.
func TestPlacesOfMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newPlaces()
		var wg sync.WaitGroup
		for range 500 {
			wg.Go(func() {
				p := &place{size: 1 << 20}
				defer l.release(p)
				for room := int64(smallBody); room < p.size; {
					var err error
					if room, err = l.grow(t.Context(), p, 2*room); err != nil {
						t.Error(err)
						return
					}
					time.Sleep(time.Duration(room) * time.Second >> 24) // 16 MiB a second
				}
			})
		}
		wg.Wait()
		checkFree(t, l)
	})
}

// TestTricklers has clients send bodies slowly that would need all places, over and over.
// Some of many honest bodies that come at once get through: how many do depends on
// how soon this process may send them. The others hear why they do not. In
// TestTricklersFillAll all honest ones do.
func TestTricklers(t *testing.T) {
	for _, c := range []struct{ clients, first, addresses int }{
		{70, 1, 1}, // the address of the honest ones
		{70, 2, 70},
		{300, 1, 1},
		{300, 2, 100},
	} {
		t.Run(fmt.Sprintf("%d from %d addresses from %d on", c.clients, c.addresses, c.first), func(t *testing.T) {
			if probe, err := net.Listen("tcp", fmt.Sprintf("127.0.0.%d:0", c.first)); err != nil {
				t.Skip("not all of 127.0.0.0/8 is this machine: ", err)
			} else {
				probe.Close()
			}
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			g, served := newGateway(newFake()), make(chan error, 1)
			go func() { served <- g.Serve(ctx, l) }()
			message := strings.Repeat("x", wire.MaxValue)
			before := heap()
			trickling, end := context.WithCancel(ctx)
			var tricklers, honest sync.WaitGroup
			var answers sync.Map // of string
			for i := range c.clients {
				from := &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(c.first+i%c.addresses))}
				tricklers.Go(func() {
					for trickling.Err() == nil {
						answers.Store(trickle(trickling, t, from, l.Addr()), nil)
					}
				})
			}
			awaitSlow(t, g.bodies, c.clients)
			if held := heap() - before; held > maxBodies+48<<20 {
				t.Errorf("%d MiB are held", held>>20)
			}
			const honestBodies = 30
			var through atomic.Int64
			for range honestBodies {
				honest.Go(func() {
					res, err := http.Post("http://"+l.Addr().String()+"/v1/call/price/7", "text/plain", strings.NewReader(message))
					if err != nil {
						t.Error(err)
						return
					}
					defer res.Body.Close()
					switch body, _ := io.ReadAll(res.Body); res.StatusCode {
					case http.StatusOK:
						through.Add(1)
					case http.StatusRequestTimeout, http.StatusServiceUnavailable:
						t.Logf("honest body: %s", body)
					default:
						t.Errorf("honest body: %d %s", res.StatusCode, body)
					}
				})
			}
			honest.Wait()
			if n := through.Load(); n == 0 {
				t.Errorf("%d of %d honest bodies got through", n, honestBodies)
			}
			http.DefaultClient.CloseIdleConnections()
			end()
			tricklers.Wait()
			checkAnswers(t, &answers)
			stop()
			if err := <-served; err != nil {
				t.Error(err)
			}
			checkFree(t, g.bodies)
		})
	}
}

// TestTricklersFillAll is TestTricklers when slow bodies have filled all places, in
// virtual time. The honest bodies come at 1 MiB a second.
func TestTricklersFillAll(t *testing.T) {
	for _, addresses := range []int{1, 100} {
		t.Run(fmt.Sprintf("from %d addresses", addresses), func(t *testing.T) {
			runtime.GC()
			runtime.GC()
			synctest.Test(t, func(t *testing.T) { fillAll(t, addresses) })
		})
	}
}

// fillAll has slow bodies from so many addresses, the first of which is that of the honest
// ones.
func fillAll(t *testing.T, addresses int) {
	ctx, stop := context.WithCancel(t.Context())
	g, l, served := newGateway(newFake()), newPipeListener(), make(chan error, 1)
	go func() { served <- g.Serve(ctx, l) }()
	call := func(host, first, rate int) string {
		c := l.dialFrom(host)
		defer c.Close()
		fmt.Fprintf(c, "POST /v1/call/price/7 HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n", wire.MaxValue)
		go func() {
			c.Write(make([]byte, first))
			for sent := first; sent < wire.MaxValue; sent += rate / 4 {
				time.Sleep(250 * time.Millisecond)
				if _, err := c.Write(make([]byte, min(rate/4, wire.MaxValue-sent))); err != nil {
					return
				}
			}
		}()
		answer, _ := answerOf(t, c)
		return answer
	}
	var tricklers, honest sync.WaitGroup
	over := make(chan struct{})
	for i := range 150 {
		tricklers.Go(func() {
			for !isClosed(over) {
				if answer := call(1+i%addresses, 64<<10, 17<<10); !strings.HasPrefix(answer, "408 ") {
					t.Errorf("a trickler hears %s", answer)
				}
			}
		})
	}
	time.Sleep(30 * time.Second)
	synctest.Wait()
	if g.bodies.relief == nil {
		t.Error("no body waits for room")
	}
	for range 50 {
		honest.Go(func() {
			if answer := call(1, smallBody, wire.MaxValue); !strings.HasPrefix(answer, "200 ") {
				t.Errorf("an honest client hears %s", answer)
			}
		})
	}
	honest.Wait()
	close(over)
	tricklers.Wait()
	checkFree(t, g.bodies)
	stop()
	if err := <-served; err != nil {
		t.Error(err)
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// awaitSlow waits until so many bodies have a place, or wait for one.
func awaitSlow(t *testing.T, l *places, bodies int) {
	t.Helper()
	for began := time.Now(); ; time.Sleep(time.Millisecond) {
		l.mu.Lock()
		n := len(l.all)
		l.mu.Unlock()
		if n >= bodies {
			return
		}
		if time.Since(began) > 20*time.Second {
			t.Fatalf("%d of %d bodies have begun", n, bodies)
		}
	}
}

// checkAnswers wants those who lost their places to have heard so. Others wait for a
// place in vain, or have no answer yet.
func checkAnswers(t *testing.T, answers *sync.Map) {
	t.Helper()
	for a := range answers.Range {
		switch s := a.(string); {
		case strings.HasPrefix(s, `408 {"type":"/problems/slow-body"`):
		case s != "closed" && !strings.HasPrefix(s, `503 {"type":"/problems/overloaded"`):
			t.Errorf("a trickler hears %s", s)
		}
	}
}

// trickle sends a body of 1 MiB, after its first bytes at 17 KB/s, and returns the
// answer.
func trickle(ctx context.Context, t *testing.T, from, to net.Addr) string {
	c, err := (&net.Dialer{LocalAddr: from}).DialContext(ctx, "tcp", to.String())
	if err != nil {
		if ctx.Err() != nil {
			return "closed"
		}
		return err.Error()
	}
	defer context.AfterFunc(ctx, func() { c.Close() })()
	defer c.Close()
	fmt.Fprintf(c, "POST /v1/call/price/7 HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n", wire.MaxValue)
	c.Write(make([]byte, smallBody))
	go func() {
		for range time.Tick(100 * time.Millisecond) {
			if _, err := c.Write(make([]byte, 1700)); err != nil {
				return
			}
		}
	}()
	answer, _ := answerOf(t, c)
	if ctx.Err() != nil { // it may be cut
		return "closed"
	}
	return answer
}
