package wire

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"
)

// TestVictim has lists of newcomers, the longest without progress first, and who makes
// room.
func TestVictim(t *testing.T) {
	t.Parallel()
	many := func(n int, who ...string) []string {
		var list []string
		for range n {
			list = append(list, who...)
		}
		return list
	}
	join := func(lists ...[]string) (all []string) {
		for _, l := range lists {
			all = append(all, l...)
		}
		return all
	}
	// A newcomer is its host and its stage.
	tests := map[string]struct {
		list []string
		want int // index
	}{
		"the first of the silent ones":   {[]string{"a greeted", "b silent", "c silent"}, 1},
		"the first of those who greeted": {[]string{"a greeted", "b silent", "c greeted"}, 0},
		"as many of both":                {[]string{"a greeted", "b silent"}, 1},
		"proved goes last":               {[]string{"a proved", "a proved", "b greeted"}, 2},
		"all have proved":                {[]string{"a proved", "b proved"}, 0},
		"a crowd puts out its own":       {join([]string{"a silent", "b greeted"}, many(hostShare+1, "c greeted")), 2},
		"a share is no crowd":            {join([]string{"a silent"}, many(hostShare, "b greeted"), many(hostShare, "c silent")), 0},
		"the larger crowd":               {join(many(hostShare+1, "a silent"), many(hostShare+2, "b silent")), hostShare + 1},
		"a crowd that has proved":        {join(many(hostShare+1, "a proved"), []string{"b silent"}), hostShare + 1},
		"a crowd behind one address":     {join([]string{"a greeted"}, many(hostShare+1, "a silent")), 1},
		"squatters that have greeted":    {join([]string{"a silent"}, many(hostShare+1, "a greeted")), 1},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			hosts := map[string]*host{}
			var list []*newcomer
			for _, s := range test.list {
				from, stageName, _ := strings.Cut(s, " ")
				if hosts[from] == nil {
					hosts[from] = &host{}
				}
				n := &newcomer{host: hosts[from], stage: map[string]stage{"silent": silent, "greeted": greeted, "proved": proved}[stageName]}
				if n.stage != proved {
					n.host.unproved++
				}
				list = append(list, n)
			}
			if i := slices.Index(list, victim(list)); i != test.want {
				t.Errorf("%d is put out, want %d, of %q", i, test.want, test.list)
			}
		})
	}
	if victim(nil) != nil {
		t.Error("an empty list has a victim")
	}
}

// TestHostOf has addresses that are one host, and others.
func TestHostOf(t *testing.T) {
	t.Parallel()
	for addr, want := range map[string]string{
		"192.0.2.1:1":                "192.0.2.1/32",
		"[::ffff:192.0.2.1]:1":       "192.0.2.1/32",
		"[2001:db8:1:2:3:4:5:6]:1":   "2001:db8:1:2::/64",
		"[fe80::1:2%eth0]:1":         "fe80::/64",
		"[2001:db8:1:2:ffff::9%2]:1": "2001:db8:1:2::/64",
	} {
		if got := HostOf(net.TCPAddrFromAddrPort(netip.MustParseAddrPort(addr))); got.String() != want {
			t.Errorf("%s is %s, want %s", addr, got, want)
		}
	}
	if got := HostOf(&net.UnixAddr{Name: "x"}); got.IsValid() {
		t.Errorf("a socket's file is %s", got)
	}
}

// TestSilentFlood has a peer that is slow come in, while hundreds of silent connections
// are opened between any two of its steps.
func TestSilentFlood(t *testing.T) {
	const crowd = maxPending + 50
	addr := func(last byte) net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, last), Port: 1} }
	tests := map[string]struct {
		from      []net.Addr
		fromStart bool // also before the peer has said anything
	}{
		"its own address":    {[]net.Addr{addr(1)}, false},
		"another address":    {[]net.Addr{addr(2)}, true},
		"eight addresses":    {[]net.Addr{addr(2), addr(3), addr(4), addr(5), addr(6), addr(7), addr(8), addr(9)}, true},
		"some and the peers": {[]net.Addr{addr(1), addr(2), addr(3)}, false},
	}
	c := credentials(t, testCookie)
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &fakeListener{accept: make(chan any)}
				l := serve(f, c, nil)
				defer l.Close()
				go func() {
					if in, err := l.Accept(); err == nil {
						in.welcome(Hello{})
						in.conn.NetConn().Close()
					}
				}()
				dial := func(from net.Addr) net.Conn {
					near, far := net.Pipe()
					f.accept <- fromConn{far, from}
					return near
				}
				var conns []net.Conn
				defer func() {
					for _, conn := range conns {
						conn.Close()
					}
				}()
				flood := func() {
					for i := range crowd {
						conns = append(conns, dial(test.from[i%len(test.from)]))
					}
					synctest.Wait()
				}
				near, far := net.Pipe()
				up := dial(addr(1))
				var wg sync.WaitGroup
				defer wg.Wait()
				defer far.Close()
				defer up.Close()
				wg.Go(func() { io.Copy(far, up); far.Close() })
				steps := make(chan int)
				wg.Go(func() {
					defer close(steps)
					b := make([]byte, 64<<10)
					for i := 0; ; i++ {
						n, err := far.Read(b)
						if err != nil {
							return
						}
						if i < 2 { // after that it has proved the cookie
							steps <- i
							<-steps
						}
						if _, err := up.Write(b[:n]); err != nil {
							far.Close()
							return
						}
					}
				})
				wg.Go(func() { // what may end the test runs where it does
					defer near.Close()
					if _, _, _, err := c.greet(t.Context(), near, Hello{}); err != nil {
						t.Errorf("a peer does not come in: %v", err)
					}
				})
				for i := range steps {
					synctest.Wait() // until what was passed on is seen
					if i > 0 || test.fromStart {
						flood()
					}
					steps <- i
				}
			})
		})
	}
}

// protocols returns distproc's and so many others that their names take size bytes.
func protocols(size int) []string {
	list := []string{alpn}
	for i := 0; size > 0; i++ {
		name := fmt.Sprintf("\n%x", i)
		list = append(list, name)
		size -= 1 + len(name)
	}
	return list
}

// TestLargeHello has peers send large ClientHellos: what is told of them is short.
func TestLargeHello(t *testing.T) {
	t.Parallel()
	l, refused := listen(t, credentials(t, testCookie))
	for size, want := range map[int]string{58 << 10: "too much", 10 << 10: "handshake"} {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.Write(recordHello(t, protocols(size)[1:]))
		err = <-refused
		class, text := DescribeRefusal(err)
		if class != want || len(text) > maxLogText || strings.Contains(text, "\n") {
			t.Errorf("%d bytes of names: class %q, want %q, and text of %d bytes: %q", size, class, want, len(text), text)
		}
	}
}

// TestPendingMemory fills the lobby with peers that send the largest ClientHello there
// may be, and then wait.
func TestPendingMemory(t *testing.T) {
	hello := recordHello(t, protocols(13<<10))
	if len(hello) > maxClientHello {
		t.Fatalf("%d bytes, limit %d", len(hello), maxClientHello)
	}
	l, err := Listen("127.0.0.1:0", credentials(t, testCookie), nil) // without sessions
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	before := heap()
	for range maxPending {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.Write(hello)
		if _, err := io.ReadFull(conn, make([]byte, 100)); err != nil { // the ServerHello begins
			t.Fatal(err)
		}
	}
	grown := heap() - before
	t.Logf("%d peers hold %d KiB each", maxPending, grown/maxPending/1024)
	if grown > maxPending*256<<10 {
		t.Errorf("%d peers hold %d MiB", maxPending, grown>>20)
	}
}

// TestUnprovedBytes reads from a peer that goes on and on: it stops at the limit, which
// the proof lifts.
func TestUnprovedBytes(t *testing.T) {
	t.Parallel()
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	n := newLobby().admit(far, time.Now().Add(time.Minute))
	go io.Copy(near, zeroes{})
	slow := iotest.OneByteReader(n) // it meets each limit from one byte below
	if got, err := io.Copy(io.Discard, io.LimitReader(slow, 1<<20)); err != errTooMuch || got != maxClientHello {
		t.Errorf("%d bytes of a ClientHello, %v; want %d, %v", got, err, maxClientHello, errTooMuch)
	}
	if _, err := onHello(&tls.ClientHelloInfo{Conn: n}); err != nil {
		t.Fatal(err)
	}
	if got, err := io.Copy(io.Discard, io.LimitReader(slow, 1<<20)); err != errTooMuch || got != maxUnproved {
		t.Errorf("%d bytes before the proof, %v; want %d, %v", got, err, maxUnproved, errTooMuch)
	}
	n.trust()
	if _, err := io.CopyN(io.Discard, n, 2*maxUnproved); err != nil {
		t.Errorf("after the proof: %v", err)
	}
}

type zeroes struct{}

func (zeroes) Read(p []byte) (int, error) { return len(p), nil }

// TestLobbyCounts brings newcomers through all ways out: nothing is left of them.
func TestLobbyCounts(t *testing.T) {
	t.Parallel()
	l := newLobby()
	var list []*newcomer
	for i := range maxPending + 9 {
		_, far := net.Pipe()
		n := l.admit(far, time.Now().Add(time.Minute))
		if i%3 == 0 {
			n.trust()
		}
		list = append(list, n)
	}
	for i, n := range list {
		if i%3 == 0 {
			continue
		}
		l.advance(n, proved) // those that have been put out, too
		unproved := 0
		for _, n := range l.list {
			if n.stage != proved {
				unproved++
			}
		}
		counted := 0
		for _, h := range l.hosts {
			counted += h.unproved
		}
		if counted != unproved {
			t.Fatalf("%d newcomers that have not proved the cookie are counted as %d", unproved, counted)
		}
	}
	if len(l.list) != maxPending || len(l.hosts) != 0 {
		t.Errorf("%d newcomers, want %d; %d hosts, as all have proved the cookie", len(l.list), maxPending, len(l.hosts))
	}
	kept := 0
	for _, n := range list {
		if l.remove(n) {
			kept++
		}
		if l.remove(n) {
			t.Error("removed twice")
		}
	}
	_, far := net.Pipe()
	l.admit(far, time.Now().Add(time.Minute))
	if kept != maxPending || len(l.list) != 1 || len(l.hosts) != 1 {
		t.Errorf("%d removed, want %d; then %d newcomers of %d hosts, want one", kept, maxPending, len(l.list), len(l.hosts))
	}
	l.closeAll()
	if len(l.list)+len(l.hosts) != 0 {
		t.Error("something is left")
	}
}
