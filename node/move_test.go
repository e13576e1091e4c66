package node

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/distproc/distproc/node/placement"
	"github.com/distproc/distproc/node/worker"
)

// moving is how many workers BenchmarkMove has: a million in .ci/bench/scale.
var moving = flag.Int("moving", 50_000, "workers of BenchmarkMove")

const (
	moveRate   = 2000            // requests per second of BenchmarkMove
	moveQuiet  = 4 * time.Second // that nothing moves before
	moveSettle = time.Second     // without a change after which a move is over
	moveSample = 20_000          // ids that are asked for
)

// BenchmarkMove measures requests of a client while ids move: a third node joins two that
// have a million workers, and then leaves. All are processes of their own. Requests are
// made at a fixed rate, whatever becomes of the earlier ones. For each move it tells p50 and
// p99 of the quiet time before, of ids that stay and of ids that move, and how long the
// move took.
func BenchmarkMove(b *testing.B) {
	for _, kind := range []string{"cached", "serial"} {
		for _, routing := range []placement.Routing{placement.Rendezvous, placement.Modulo} {
			b.Run(fmt.Sprintf("%s/%s", kind, routing), func(b *testing.B) {
				for b.Loop() {
					measureMove(b, kind, routing)
				}
			})
		}
	}
}

func measureMove(b *testing.B, kind string, routing placement.Routing) {
	var nodes []*movingNode
	start := func() *movingNode {
		n := startMoving(b, routing)
		nodes = append(nodes, n)
		return n
	}
	first := start()
	start().ask(b, "join "+first.name)
	c, err := Attach(b.Context(), ClientConfig{Node: first.name, Cookie: testCookie, Direct: true})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.Close() })
	ask := func(id worker.ID) (worker.Reply, error) { return c.Request(context.Background(), id) }
	if kind == "serial" {
		f := c.Family("serial")
		ask = func(id worker.ID) (worker.Reply, error) {
			return f.Call(context.Background(), id, worker.IntValue(1))
		}
	}
	load := newMoveLoad(b, ask)
	move := func(what string, change func()) {
		var next atomic.Int64
		together(b, 128, *moving, func() {
			if _, err := ask(worker.IntID(next.Add(1) - 1)); err != nil {
				b.Error(err)
			}
		})
		for _, n := range nodes {
			n.ask(b, "collect")
		}
		before := load.owners()
		load.run(moveQuiet)
		quiet := load.take()
		began := time.Now()
		stop := load.start()
		change()
		took := awaitSettled(b, nodes, began)
		stop()
		during := load.take()
		after := load.owners()
		report(b, what, quiet, during, before, after)
		b.ReportMetric(took.Seconds()*1000, what+"-ms")
		total := movingStats{}
		for _, n := range nodes {
			total.add(n.stats(b))
		}
		b.ReportMetric(float64(total.Live)/float64(*moving), what+"-live")
		b.ReportMetric(float64(total.Lost), what+"-lost")
		b.ReportMetric(float64(total.Sent), what+"-sent")
	}
	third := start()
	third.stats(b)
	move("join", func() { third.ask(b, "join "+first.name) })
	move("leave", func() {
		nodes = nodes[:2]
		third.end()
	})
}

// A moveLoad makes requests and keeps how long they took.
type moveLoad struct {
	b   *testing.B
	ids []worker.ID
	ask func(worker.ID) (worker.Reply, error)

	mu   sync.Mutex
	took []asked // guarded by mu
}

// An asked request is one that has been answered.
type asked struct {
	id     int
	took   time.Duration
	cached bool
	failed bool
}

func newMoveLoad(b *testing.B, ask func(worker.ID) (worker.Reply, error)) *moveLoad {
	l := &moveLoad{b: b, ask: ask}
	for _, i := range rand.Perm(*moving)[:min(*moving, moveSample)] {
		l.ids = append(l.ids, worker.IntID(int64(i)))
	}
	return l
}

// run makes requests for some time.
func (l *moveLoad) run(d time.Duration) {
	stop := l.start()
	time.Sleep(d)
	stop()
}

// start makes requests, each due at its time, until stop is called. Stop waits for their
// answers. A request that is late because this process was is not late by that: its time
// counts from when it is made.
func (l *moveLoad) start() (stop func()) {
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		began, made := time.Now(), 0
		for {
			select {
			case <-tick.C:
			case <-done:
				return
			}
			for due := int(time.Since(began).Seconds() * moveRate); made < due; made++ {
				wg.Go(l.one)
			}
		}
	})
	return func() { close(done); wg.Wait() }
}

func (l *moveLoad) one() {
	i := rand.IntN(len(l.ids))
	at := time.Now()
	reply, err := l.ask(l.ids[i])
	took := time.Since(at)
	if err != nil {
		l.b.Log(err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.took = append(l.took, asked{i, took, reply.Cached, err != nil})
}

// take returns what has been asked since it was last called.
func (l *moveLoad) take() []asked {
	l.mu.Lock()
	defer l.mu.Unlock()
	took := l.took
	l.took = nil
	return took
}

// owners returns who answers for each id.
func (l *moveLoad) owners() []string {
	owners := make([]string, len(l.ids))
	var next atomic.Int64
	together(l.b, 32, len(l.ids), func() {
		i := next.Add(1) - 1
		reply, err := l.ask(l.ids[i])
		if err != nil {
			l.b.Error(err)
		}
		owners[i] = reply.Node
	})
	return owners
}

// report tells what a move did to requests.
func report(b *testing.B, what string, quiet, during []asked, before, after []string) {
	stays := func(a asked) bool { return before[a.id] == after[a.id] }
	moves := func(a asked) bool { return !stays(a) }
	p99 := func(list []asked, name string, of func(asked) bool) float64 {
		var took []time.Duration
		for _, a := range list {
			if of(a) {
				took = append(took, a.took)
			}
		}
		if len(took) == 0 {
			b.Fatalf("no request: %s", name)
		}
		slices.Sort(took)
		at := func(share float64) float64 {
			return float64(took[int(share*float64(len(took)-1))].Microseconds())
		}
		b.ReportMetric(at(0.5), what+"-p50-"+name+"-µs")
		b.ReportMetric(at(0.99), what+"-p99-"+name+"-µs")
		b.ReportMetric(at(1), what+"-max-"+name+"-µs")
		return at(0.99)
	}
	before99 := p99(quiet, "quiet", func(asked) bool { return true })
	b.ReportMetric(p99(during, "stays", stays)/before99, what+"-stays/quiet")
	b.ReportMetric(p99(during, "moves", moves)/before99, what+"-moves/quiet")
	failed, cached, moved := 0, 0, 0
	for _, a := range during {
		if a.failed {
			failed++
		}
		if moves(a) {
			moved++
			if a.cached {
				cached++
			}
		}
	}
	b.ReportMetric(float64(failed), what+"-failed")
	b.ReportMetric(float64(cached)/float64(moved), what+"-cached")
}

// awaitSettled waits until the nodes hand nothing over any more, and returns how long
// after began they last did.
func awaitSettled(b *testing.B, nodes []*movingNode, began time.Time) time.Duration {
	last := movingStats{Live: *moving}
	changed := time.Now()
	for time.Since(changed) < moveSettle {
		var now movingStats
		for _, n := range nodes[:2] {
			now.add(n.stats(b))
		}
		if now.Sent != last.Sent || now.Lost != last.Lost || now.Live < last.Live { // requests make it grow
			changed = time.Now()
			last = movingStats{min(now.Live, last.Live), now.Sent, now.Lost}
		}
		time.Sleep(50 * time.Millisecond)
	}
	return changed.Sub(began)
}

// A movingNode is a process with a node of BenchmarkMove, which does what it is told a
// line at a time.
type movingNode struct {
	name  string
	in    io.WriteCloser
	out   *bufio.Reader
	ended chan struct{}
}

// movingStats are what such a node tells of itself.
type movingStats struct {
	Live       int
	Sent, Lost uint64
}

func (s *movingStats) add(o movingStats) {
	s.Live, s.Sent, s.Lost = s.Live+o.Live, s.Sent+o.Sent, s.Lost+o.Lost
}

func startMoving(b *testing.B, routing placement.Routing) *movingNode {
	b.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), fmt.Sprint("GOMAXPROCS=", runtime.GOMAXPROCS(0)), "DISTPROC_BENCH_PEER=moving", "DISTPROC_BENCH_HOST="+testHost(), "DISTPROC_BENCH_ROUTING="+routing.String())
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	n := &movingNode{in: in, out: bufio.NewReader(out), ended: make(chan struct{})}
	go func() { cmd.Wait(); close(n.ended) }()
	b.Cleanup(n.end)
	n.name = n.line(b)
	return n
}

// end has the node leave and waits until its process has ended.
func (n *movingNode) end() {
	n.in.Close()
	<-n.ended
}

func (n *movingNode) line(b *testing.B) string {
	line, err := n.out.ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	return strings.TrimSpace(line)
}

func (n *movingNode) ask(b *testing.B, what string) string {
	if _, err := fmt.Fprintln(n.in, what); err != nil {
		b.Fatal(err)
	}
	return n.line(b)
}

func (n *movingNode) stats(b *testing.B) (s movingStats) {
	if err := json.Unmarshal([]byte(n.ask(b, "stats")), &s); err != nil {
		b.Fatal(err)
	}
	return s
}

// serveMoving is the program of a movingNode. It ends with its standard input.
func serveMoving() error {
	routing, err := placement.ParseRouting(os.Getenv("DISTPROC_BENCH_ROUTING"))
	if err != nil {
		return err
	}
	n, err := Start(Config{
		Name: "2@" + os.Getenv("DISTPROC_BENCH_HOST"), Cookie: testCookie, Routing: routing, Timing: Local,
		Default: orRandom(worker.Cache{TTL: worker.Forever}), Kinds: map[string]worker.Kind{"serial": serial},
	})
	if err != nil {
		return err
	}
	defer n.Close(context.Background())
	fmt.Println(n.Self())
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		what, name, _ := strings.Cut(in.Text(), " ")
		switch what {
		case "join":
			if err := n.Join(context.Background(), name); err != nil {
				return err
			}
			fmt.Println("ok")
		case "collect":
			runtime.GC()
			fmt.Println("ok")
		case "stats":
			var s movingStats
			st := n.Stats()
			for _, k := range st.Kinds {
				s.Live += k.Workers
			}
			s.Sent, s.Lost = st.HandedOff, st.HandOffLost
			if err := json.NewEncoder(os.Stdout).Encode(s); err != nil {
				return err
			}
		}
	}
	return nil
}
