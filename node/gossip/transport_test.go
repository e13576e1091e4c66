package gossip

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/distproc/distproc/wire"
)

// newTestTransport returns the transport of "a", to which every name is known.
func newTestTransport(t *testing.T, p pace, dial func(context.Context, wire.Member) (Link, error)) (*network, *transport) {
	n := newNetwork(t, Local)
	find := func(name string) (wire.Member, bool) {
		return wire.Member{Name: name, Addr: name + ":1"}, name != "unknown" && name != ""
	}
	a := newTransport("a", p, find, dial, n.log)
	t.Cleanup(func() { a.Shutdown() })
	return n, a
}

// shutsDown checks that Shutdown does not take long.
func shutsDown(t *testing.T, tr *transport) {
	t.Helper()
	done := make(chan struct{})
	go func() { tr.Shutdown(); close(done) }()
	select {
	case <-done:
	case <-time.After(500 * time.Millisecond):
		t.Fatal("Shutdown takes too long")
	}
}

var ping = []byte{pingMsg, 0x80}

func to(name string) memberlist.Address { return memberlist.Address{Addr: constantAddr, Name: name} }

func TestTransport(t *testing.T) { bubble(t, checkTransport) }

func checkTransport(t *testing.T) {
	p := Local.pace()
	var n *network
	var a, b *transport
	n, a = newTestTransport(t, p, func(context.Context, wire.Member) (Link, error) {
		ours, theirs := newLinks(n, "a", "b")
		b.add("a", "", theirs)
		return ours, nil
	})
	_, b = newTestTransport(t, p, func(context.Context, wire.Member) (Link, error) { return nil, errRefused })
	b.self = "b"
	for i := range 100 { // they wait for the dial
		a.WriteToAddress([]byte{pingMsg, byte(i)}, to("b"))
	}
	for i := range 100 {
		if got := <-b.PacketCh(); got.Buf[1] != byte(i) || got.From.String() != "a" || time.Since(got.Timestamp) > time.Minute {
			t.Fatalf("packet %d arrived as %v", i, got)
		}
	}
	b.WriteToAddress(ping, to("a")) // on the link that a has dialled
	if got := <-a.PacketCh(); string(got.Buf) != string(ping) {
		t.Errorf("the other way: %v", got.Buf)
	}
	conn, err := b.DialAddressTimeout(to("a"), time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	other := <-a.StreamCh()
	go conn.Write([]byte{errMsg, 'h', 'i'})
	got := make([]byte, 3)
	if _, err := io.ReadFull(other, got); err != nil || string(got[1:]) != "hi" {
		t.Errorf("stream carries %q, %v", got, err)
	}
	if err := a.echo(t.Context(), a.peers["b"].links[0]); err != nil {
		t.Error(err)
	}
	if x := a.traffic(); x.PacketsSent != 100 || x.PacketsReceived != 1 || x.Links != 1 || x.Dials != 1 || x.PacketsLost != 0 {
		t.Errorf("traffic %+v", x)
	}
}

func TestNoWay(t *testing.T) { bubble(t, checkNoWay) }

func checkNoWay(t *testing.T) {
	var dials atomic.Int64
	_, a := newTestTransport(t, Local.pace(), func(context.Context, wire.Member) (Link, error) {
		dials.Add(1)
		return nil, errRefused
	})
	for range 20 {
		for _, name := range []string{"b", "", "a", "unknown"} {
			if _, err := a.WriteToAddress(ping, to(name)); err != nil {
				t.Fatalf("to %q: %v", name, err)
			}
		}
		time.Sleep(time.Millisecond)
	}
	if _, err := a.WriteTo(ping, constantAddr); err != nil {
		t.Error(err)
	}
	a.WriteToAddress(make([]byte, maxPacket+1), to("b"))
	for name, want := range map[string]error{"b": errRefused, "unknown": nil, "": nil} {
		if _, err := a.DialAddressTimeout(to(name), time.Second); err == nil || want != nil && !errors.Is(err, want) {
			t.Errorf("dial %q: %v", name, err)
		}
	}
	if got := dials.Load(); got > 2 {
		t.Errorf("%d dials of a dead peer within %v", got, a.pace.redial)
	}
	end := time.Now().Add(within)
	for a.traffic().PacketsLost < 82 && time.Now().Before(end) {
		time.Sleep(time.Millisecond)
	}
	if got := a.traffic().PacketsLost; got != 82 {
		t.Errorf("%d packets lost, want all 82", got)
	}
}

func TestSlowDial(t *testing.T) { bubble(t, checkSlowDial) }

func checkSlowDial(t *testing.T) {
	p := Local.pace()
	p.stream = time.Minute
	dialing := make(chan struct{}, 10)
	_, a := newTestTransport(t, p, func(ctx context.Context, _ wire.Member) (Link, error) {
		dialing <- struct{}{}
		<-ctx.Done()
		return nil, ctx.Err()
	})
	start := time.Now()
	for range 2000 {
		a.WriteToAddress(ping, to("b"))
	}
	<-dialing
	if _, err := a.DialAddressTimeout(to("b"), 50*time.Millisecond); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("dial: %v", err)
	}
	if took := time.Since(start); took > time.Second {
		t.Errorf("it took %v", took)
	}
	if lost := a.traffic().PacketsLost; lost < 2000-maxQueue-2 {
		t.Errorf("%d packets lost, where only %d fit", lost, maxQueue)
	}
	if len(dialing) > 0 {
		t.Error("two dials at a time")
	}
	shutsDown(t, a)
}

// A peer that reads nothing costs nobody else anything.
func TestStuckPeer(t *testing.T) { bubble(t, checkStuckPeer) }

func checkStuckPeer(t *testing.T) {
	p := Local.pace()
	p.stream = 200 * time.Millisecond
	var n *network
	n, a := newTestTransport(t, p, func(context.Context, wire.Member) (Link, error) {
		ours, theirs := newLinks(n, "a", "b")
		go func() {
			if conn, err := theirs.Accept(); err == nil {
				io.ReadFull(conn, make([]byte, 1))
			}
		}()
		return ours, nil
	})
	l, err := a.connect(t.Context(), "b", "")
	if err != nil {
		t.Fatal(err)
	}
	for range 1000 {
		a.WriteToAddress(ping, to("b"))
	}
	start := time.Now()
	select {
	case <-l.Done():
	case <-time.After(within):
		t.Error("the link to a stuck peer stays")
	}
	if took := time.Since(start); took > 4*p.stream {
		t.Errorf("it took %v", took)
	}
	if l, err = a.connect(t.Context(), "c", ""); err != nil {
		t.Fatal(err)
	}
	if err := a.echo(t.Context(), l); err == nil {
		t.Error("a stuck peer answers")
	}
}

// stuckLink is a link whose Open waits for Close.
type stuckLink struct{ *memLink }

func (l stuckLink) Open() (net.Conn, error) { <-l.Done(); return nil, net.ErrClosed }

func TestStuckOpen(t *testing.T) { bubble(t, checkStuckOpen) }

func checkStuckOpen(t *testing.T) {
	var n *network
	n, a := newTestTransport(t, Local.pace(), func(context.Context, wire.Member) (Link, error) {
		ours, _ := newLinks(n, "a", "b")
		return stuckLink{ours}, nil
	})
	start := time.Now()
	if _, err := a.DialAddressTimeout(to("b"), 50*time.Millisecond); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	if took := time.Since(start); took > 500*time.Millisecond {
		t.Errorf("it took %v", took)
	}
	a.WriteToAddress(ping, to("b"))
	shutsDown(t, a)
}

// memberlist stops to take packets before the transport is shut down.
func TestFullReader(t *testing.T) { bubble(t, checkFullReader) }

func checkFullReader(t *testing.T) {
	n, a := newTestTransport(t, Local.pace(), nil)
	ours, theirs := newLinks(n, "b", "a")
	a.add("b", "", theirs)
	conn, err := ours.Open()
	if err != nil {
		t.Fatal(err)
	}
	conn.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
	_, err = conn.Write([]byte{kindPackets})
	for err == nil {
		_, err = conn.Write(appendFrame(nil, ping))
	}
	if got := a.traffic().PacketsReceived; got < maxQueue {
		t.Errorf("%d packets read", got)
	}
	for range 2 * streamBacklog {
		if conn, err := ours.Open(); err == nil {
			go conn.Write([]byte{kindState})
		}
	}
	shutsDown(t, a)
	if _, err := a.DialAddressTimeout(to("b"), time.Second); !errors.Is(err, errClosed) {
		t.Error(err)
	}
	ours, theirs = newLinks(n, "b", "a")
	a.add("b", "", theirs)
	select {
	case <-ours.Done():
	default:
		t.Error("a closed transport keeps a link")
	}
}

func TestIdleLinks(t *testing.T) { bubble(t, checkIdleLinks) }

func checkIdleLinks(t *testing.T) {
	p := Local.pace()
	p.idle = 100 * time.Millisecond
	n, a := newTestTransport(t, p, nil)
	var ends []*memLink
	for _, name := range []string{"b", "c", "d"} { // a sends to b, d sends to a, and c is idle
		ours, theirs := newLinks(n, name, "a")
		a.add(name, "", theirs)
		ends = append(ends, ours)
	}
	go func() {
		for {
			if c, err := ends[0].Accept(); err != nil {
				return
			} else {
				go io.Copy(io.Discard, c)
			}
		}
	}()
	conn, err := ends[2].Open()
	if err != nil {
		t.Fatal(err)
	}
	conn.Write([]byte{kindPackets})
	for end := time.Now().Add(5 * p.idle); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		a.WriteToAddress(ping, to("b"))
		conn.Write(appendFrame(nil, ping))
	}
	for i, want := range []bool{false, true, false} {
		select {
		case <-ends[i].Done():
			if !want {
				t.Errorf("link %d was closed in use", i)
			}
		default:
			if want {
				t.Errorf("link %d stays though it is idle", i)
			}
		}
	}
	n.until(within, "all links are closed and forgotten", func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		return len(a.peers) == 0
	})
}

// TestIdleLinkEndsInTime has a link that is not used at all: it ends at its time, and no
// later than a quarter after that.
func TestIdleLinkEndsInTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := LAN.pace()
		n := newNetwork(t, LAN)
		a := newTransport("a", p, nil, nil, n.log)
		time.Sleep(time.Millisecond) // after a look at the links
		ours, theirs := newLinks(n, "b", "a")
		a.add("b", "", theirs)
		ended := func() bool {
			synctest.Wait()
			select {
			case <-ours.Done():
				return true
			default:
				return false
			}
		}
		if time.Sleep(p.idle - time.Millisecond); ended() {
			t.Error("it ends before its time")
		}
		if time.Sleep(p.idle/4 + time.Millisecond); !ended() {
			t.Error("it stays though it is idle")
		}
		a.Shutdown()
	})
}

func TestMaxLinks(t *testing.T) { bubble(t, checkMaxLinks) }

func checkMaxLinks(t *testing.T) {
	n, a := newTestTransport(t, Local.pace(), nil)
	var one, first []*memLink
	for range maxPeerLinks + 1 {
		ours, theirs := newLinks(n, "b", "a")
		a.add("b", "", theirs)
		one = append(one, ours)
	}
	n.until(within, "the oldest link of the same peer is closed", func() bool { return a.traffic().Links == maxPeerLinks })
	select {
	case <-one[0].Done():
	default:
		t.Error("a newer link was closed instead")
	}
	for i := range maxLinks {
		time.Sleep(time.Millisecond) // the earlier ones are idle for longer
		ours, theirs := newLinks(n, fmt.Sprint("x", i), "a")
		a.add(ours.from, "", theirs)
		first = append(first, ours)
	}
	n.until(within, "no more links than that", func() bool { return a.traffic().Links == maxLinks })
	for _, l := range one {
		select {
		case <-l.Done():
		default:
			t.Error("a link that is idle for longer was kept")
		}
	}
	select {
	case <-first[len(first)-1].Done():
		t.Error("the newest link was closed")
	default:
	}
}

// The newest link is the one to send on, as the older may lead to a former life of the
// peer.
func TestNewestLink(t *testing.T) { bubble(t, checkNewestLink) }

func checkNewestLink(t *testing.T) {
	n, a := newTestTransport(t, Local.pace(), nil)
	_, old := newLinks(n, "b", "a")
	a.add("b", "", old)
	ours, theirs := newLinks(n, "b", "a")
	a.add("b", "", theirs)
	a.WriteToAddress(ping, to("b"))
	conn, err := ours.Accept()
	if err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 1+2+len(ping))
	if _, err := io.ReadFull(conn, got); err != nil || got[0] != kindPackets {
		t.Errorf("%q, %v", got, err)
	}
	ours.Close()
	n.until(within, "it is gone", func() bool { return a.traffic().Links == 1 })
	a.WriteToAddress(ping, to("b"))
	if _, err := old.other.Accept(); err != nil {
		t.Error("the older one is not used again:", err)
	}
}

func TestSingleDial(t *testing.T) { bubble(t, checkSingleDial) }

func checkSingleDial(t *testing.T) {
	var dials atomic.Int64
	var n *network
	n, a := newTestTransport(t, Local.pace(), func(context.Context, wire.Member) (Link, error) {
		dials.Add(1)
		ours, _ := newLinks(n, "a", "b")
		return ours, nil
	})
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if _, err := a.connect(t.Context(), "b", ""); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got := dials.Load(); got != 1 {
		t.Errorf("%d dials", got)
	}
}

func TestHostileStreams(t *testing.T) { bubble(t, checkHostileStreams) }

func checkHostileStreams(t *testing.T) {
	for name, bytes := range map[string]string{
		"an unknown kind":        "?",
		"an empty packet":        "p\x00\x01\x00\x00\x00",
		"a second packet stream": "",
	} {
		n, a := newTestTransport(t, Local.pace(), nil)
		ours, theirs := newLinks(n, "b", "a")
		a.add("b", "", theirs)
		if bytes == "" {
			bytes = "p"
			conn, _ := ours.Open()
			conn.Write([]byte(bytes))
		}
		conn, err := ours.Open()
		if err != nil {
			t.Fatal(err)
		}
		conn.Write([]byte(bytes))
		select {
		case <-ours.Done():
		case <-time.After(within):
			t.Errorf("%s: the link stays", name)
		}
		shutsDown(t, a)
	}
	// A stream that says nothing ends, and the link stays.
	p := Local.pace()
	p.stream = 50 * time.Millisecond
	n, a := newTestTransport(t, p, nil)
	ours, theirs := newLinks(n, "b", "a")
	a.add("b", "", theirs)
	conn, _ := ours.Open()
	if _, err := conn.Read(make([]byte, 1)); err != io.EOF {
		t.Error(err)
	}
	if a.traffic().Links != 1 {
		t.Error("the link has ended")
	}
}
