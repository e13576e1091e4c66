package gossip

import (
	"flag"
	"fmt"
	"math"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"time"
)

var (
	big     = flag.Bool("gossip.big", false, "form a cluster of 100 nodes, too; not with -race")
	figures = flag.Bool("gossip.figures", false, "print what a cluster of 10, 30 and 100 nodes costs, and how fast it is")
)

// TestClusters forms clusters of several sizes, and crashes a tenth of each.
func TestClusters(t *testing.T) { bubble(t, checkClusters) }

func checkClusters(t *testing.T) {
	for _, size := range []int{10, 30, 100} {
		if size == 100 && (!*big || racing) {
			continue
		}
		const limit = 2 * time.Second
		n := newNetwork(t, Local)
		n.pace = Local.pace() // not the hectic one of the other tests
		f := n.measure(size, 0)
		if f.crash > limit {
			t.Errorf("%d nodes see a crash after %v, want %v", size, f.crash, limit)
		}
		t.Logf("%d nodes: one view after %v; a tenth crashed and seen after %v", size, f.form, f.crash)
		n.closeAll()
	}
}

// TestFigures measures.
func TestFigures(t *testing.T) {
	t.Parallel()
	if !*figures {
		t.Skip("pass -gossip.figures")
	}
	var b strings.Builder
	fmt.Fprintln(&b, "timing nodes  formed  crash seen by all | forming, per node: packets   kB  streams | idle, per node and second: packets  bytes  streams  links")
	for _, timing := range []Timing{Local, LAN, WAN} {
		for _, size := range []int{10, 30, 100} {
			n := newNetwork(t, timing)
			p := timing.pace()
			n.pace = p
			f := n.measure(size, 10*time.Second)
			fmt.Fprintf(&b, "%-6v %5d  %6.2f  %6.2f (sum: %5.2f)   | %27.0f %4.0f %8.1f | %34.1f %6.0f %8.2f %6.1f\n",
				timing, size, f.form.Seconds(), f.crash.Seconds(), p.detection(size).Seconds(),
				f.forming.packets, f.forming.bytes/1000, f.forming.streams, f.idle.packets, f.idle.bytes, f.idle.streams, f.links)
			n.closeAll()
		}
	}
	t.Log("\n" + b.String())
}

// detection is the time within which all n members see a crash, by the sum in the comment
// of [Timing].
func (p pace) detection(n int) time.Duration {
	scale := max(1, math.Log10(float64(n)))
	rounds := math.Ceil(math.Log(float64(n))/math.Log(4)) + 2
	return 6*p.probe + time.Duration(suspicionMult*scale*float64(p.probe)) + time.Duration(rounds)*p.gossip
}

func TestTiming(t *testing.T) {
	t.Parallel()
	for timing, limit := range map[Timing]time.Duration{Local: 2 * time.Second, LAN: 6 * time.Second, WAN: 20 * time.Second} {
		if sum := timing.pace().detection(100); sum > limit {
			t.Errorf("%v: %v, want %v", timing, sum, limit)
		}
		if got, err := ParseTiming(timing.String()); got != timing || err != nil {
			t.Errorf("%v is read as %v, %v", timing, got, err)
		}
		if c := timing.pace().memberlist(); 2*c.ProbeTimeout >= c.ProbeInterval {
			t.Errorf("%v: others say too late that they have no answer", timing)
		}
		if c := timing.pace().serf(); c.ReconnectTimeout < 24*time.Hour {
			t.Errorf("%v: halves that were apart for long do not find each other", timing)
		}
	}
	if _, err := ParseTiming("fast"); err == nil || Timing(9).String() != "Timing(9)" {
		t.Error("a timing that is none")
	}
}

// measured is what was measured of one cluster.
type measured struct {
	form, crash   time.Duration
	forming, idle rate
	links         float64
}

// A rate is what one node sends, in all or per second.
type rate struct{ packets, bytes, streams float64 }

func (n *network) sent() (r rate) {
	list := n.all()
	for _, v := range list {
		x := v.g.Traffic()
		r.packets += float64(x.PacketsSent) / float64(len(list))
		r.bytes += float64(x.BytesSent) / float64(len(list))
		r.streams += float64(x.StreamsSent) / float64(len(list))
	}
	return r
}

// measure has all nodes join the first at once, then looks at the idle cluster, then
// crashes a tenth of it.
func (n *network) measure(size int, idle time.Duration) (f measured) {
	n.t.Helper()
	if size >= 100 { // which would each have a heap of its own
		defer debug.SetGCPercent(debug.SetGCPercent(400))
	}
	start := time.Now()
	nodes := n.many(size)
	n.see(20*time.Second, nodes, nodes, nil)
	f.form = time.Since(start)
	f.forming = n.sent()
	n.until(20*time.Second, "serf knows all", func() bool {
		for _, v := range nodes {
			if v.g.serf.Memberlist().NumMembers() != size {
				return false
			}
		}
		return true
	})
	if idle > 0 {
		time.Sleep(idle)
		before := n.sent()
		time.Sleep(idle)
		after := n.sent()
		s := idle.Seconds()
		f.idle = rate{(after.packets - before.packets) / s, (after.bytes - before.bytes) / s, (after.streams - before.streams) / s}
		for _, v := range nodes {
			f.links += float64(v.g.Traffic().Links) / float64(size)
		}
	}
	n.see(within, nodes, nodes, nil)
	dead, rest := nodes[:size/10], nodes[size/10:]
	start = time.Now()
	var wg sync.WaitGroup
	for _, v := range dead {
		wg.Go(v.kill)
	}
	wg.Wait()
	n.see(time.Minute, rest, rest, dead)
	f.crash = time.Since(start)
	return f
}

// closeAll ends all nodes, before the next cluster starts.
func (n *network) closeAll() {
	var wg sync.WaitGroup
	for _, v := range n.all() {
		wg.Go(v.kill)
	}
	wg.Wait()
}
