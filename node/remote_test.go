package node

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/distproc/distproc/node/worker"
)

// The benchmarks of this file measure requests from one process to others on this
// machine. Such times tell of the machine and of its neighbours as much as of distproc,
// so each is taken in turns with a baseline, and the ratio is what to compare.

// BenchmarkRequestRemote measures a request for a cached value of a node in another
// process. In turns with it two echoes in other processes are measured: one over plain
// TCP, and one over what carries calls here, a yamux stream over TLS. "of-echo" and
// "of-yamux" are the ratios of the rates. With -cpu 1 each process has one processor of
// Go.
func BenchmarkRequestRemote(b *testing.B) {
	for _, callers := range []int{1, 128, 1024} {
		b.Run(fmt.Sprintf("inflight=%d", callers), func(b *testing.B) {
			raw := newEcho(b, dialEcho(b, startPeer(b, "echo")), callers)
			yamux := newEcho(b, dialYamuxEcho(b, startPeer(b, "yamux")), callers)
			nodes := startQuiet(b, 1)
			attach(b, nodes[0], startPeer(b, "node"))
			request := requestCached(b, nodes[0])
			b.ReportAllocs()
			b.ResetTimer()
			var rawTook, yamuxTook time.Duration
			for _, n := range rounds(b.N, callers) {
				b.StopTimer()
				rawTook += together(b, callers, n, raw.call)
				yamuxTook += together(b, callers, n, yamux.call)
				b.StartTimer()
				together(b, callers, n, request)
			}
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
			b.ReportMetric(float64(b.N)/rawTook.Seconds(), "echoes/s")
			b.ReportMetric(rawTook.Seconds()/b.Elapsed().Seconds(), "of-echo")
			b.ReportMetric(yamuxTook.Seconds()/b.Elapsed().Seconds(), "of-yamux")
		})
	}
}

// BenchmarkClient measures 128 callers of one process that owns nothing, with requests
// for cached values of a cluster of other processes, which all share the cores of this
// machine. Routed, the callers are spread over clients of all nodes, and a node that does
// not own an id asks the one that does. Direct, they have one client, of the first node,
// which asks owners itself.
func BenchmarkClient(b *testing.B) { benchmarkClients(b, "") }

// BenchmarkClientSerial is BenchmarkClient with calls of servers that do nothing.
func BenchmarkClientSerial(b *testing.B) { benchmarkClients(b, "serial") }

func benchmarkClients(b *testing.B, kind string) {
	for _, size := range []int{1, 2, 4} {
		b.Run(fmt.Sprintf("routed/nodes=%d", size), func(b *testing.B) { benchmarkClient(b, kind, size, false) })
		b.Run(fmt.Sprintf("direct/nodes=%d", size), func(b *testing.B) { benchmarkClient(b, kind, size, true) })
	}
}

func benchmarkClient(b *testing.B, kind string, size int, direct bool) {
	ask := func(c *Client, id int64) error {
		if kind == "" {
			_, err := c.Request(context.Background(), worker.IntID(id))
			return err
		}
		_, err := c.Family(kind).Call(context.Background(), worker.IntID(id), worker.IntValue(1))
		return err
	}
	var names []string
	for range size {
		names = append(names, startPeer(b, "node", names...))
	}
	homes := names
	if direct {
		homes = names[:1]
	}
	var clients []*Client
	for _, home := range homes {
		c, err := Attach(b.Context(), ClientConfig{Node: home, Cookie: testCookie, Direct: direct})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { c.Close() })
		clients = append(clients, c)
		for i := range int64(1000) {
			if err := ask(c, i); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportAllocs()
	b.ResetTimer()
	var next atomic.Int64
	n := int64(len(clients))
	together(b, 128, b.N, func() {
		i := next.Add(1)
		if err := ask(clients[i%n], i/n%1000); err != nil {
			b.Error(err)
		}
	})
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
}

// rounds divides n calls into ten rounds, or into fewer if a round would have few calls
// for each caller.
func rounds(n, callers int) (sizes []int) {
	size := max(n/10, 100*callers)
	for ; n > size; n -= size {
		sizes = append(sizes, size)
	}
	return append(sizes, n)
}

// together runs f n times on some callers, and returns how long that took.
func together(b *testing.B, callers, n int, f func()) time.Duration {
	b.Helper()
	return each(b, callers, n, func() func() { return f })
}

// each is together for callers that have a function of their own each.
func each(b *testing.B, callers, n int, caller func() func()) time.Duration {
	b.Helper()
	var functions []func()
	for range callers {
		functions = append(functions, caller())
	}
	began := time.Now()
	var left atomic.Int64
	left.Store(int64(n))
	var wg sync.WaitGroup
	for _, f := range functions {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				f()
			}
		})
	}
	wg.Wait()
	return time.Since(began)
}

// requestCached returns a function that requests one of 1,000 ids whose workers other
// nodes have.
func requestCached(b *testing.B, n *Node) func() {
	var ids []worker.ID
	for i := int64(0); len(ids) < 1000; i++ {
		if !n.members.View().Acting(worker.IntID(i)).Self {
			ids = append(ids, worker.IntID(i))
			if _, err := n.Request(b.Context(), worker.IntID(i)); err != nil {
				b.Fatal(err)
			}
		}
	}
	var next atomic.Int64
	return func() {
		if _, err := n.Request(context.Background(), ids[next.Add(1)%1000]); err != nil {
			b.Error(err)
		}
	}
}

func attach(b *testing.B, n *Node, peer string) {
	b.Helper()
	if c := n.Connect(b.Context(), peer); len(c) == 0 || c[0].Err != nil {
		b.Fatal(c)
	}
}

// startPeer starts a process of this program that serves, and returns its name or
// address. A node joins the others.
func startPeer(b *testing.B, what string, join ...string) string {
	b.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), fmt.Sprint("GOMAXPROCS=", runtime.GOMAXPROCS(0)), "DISTPROC_BENCH_PEER="+what, "DISTPROC_BENCH_HOST="+testHost(), "DISTPROC_BENCH_JOIN="+strings.Join(join, " "))
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { stdin.Close(); cmd.Wait() })
	name, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	return strings.TrimSpace(name)
}

// servePeer is the program of a process that startPeer starts: it serves until its
// standard input ends.
func servePeer(what string) error {
	var name string
	var err error
	switch what {
	case "echo":
		name, err = listenEcho()
	case "yamux":
		name, err = listenYamuxEcho()
	case "moving":
		return serveMoving()
	case "node", "large":
		kind := worker.Cache{TTL: time.Hour}
		if what == "large" {
			kind.Load = largeSource
		}
		n, err := Start(Config{
			Name: "2@" + os.Getenv("DISTPROC_BENCH_HOST"), Cookie: testCookie, Default: orRandom(kind),
			Kinds: map[string]worker.Kind{"serial": serial, "inline": inline},
		})
		if err != nil {
			return err
		}
		defer n.Close(context.Background())
		if join := strings.Fields(os.Getenv("DISTPROC_BENCH_JOIN")); len(join) > 0 {
			if err := n.Join(context.Background(), join...); err != nil {
				return err
			}
		}
		name = n.Self()
	}
	if err != nil {
		return err
	}
	fmt.Println(name)
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}
