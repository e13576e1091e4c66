package gateway

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/distproc/distproc/node"
	"github.com/distproc/distproc/node/observe"
	"github.com/distproc/distproc/node/worker"
)

// TestMain lets more tests run at once: most of the parallel ones wait.
func TestMain(m *testing.M) {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		_ = flag.Set("test.parallel", "8")
	}
	os.Exit(m.Run())
}

var (
	_ Cluster = (*node.Node)(nil)
	_ Cluster = (*node.Client)(nil)
)

// A fake is a cluster that does as the test says, and notes what it was asked for.
type fake struct {
	reply   worker.Reply
	err     error
	wait    bool // until the context ends
	panics  any  // instead of an answer
	nodes   []node.NodeInfo
	workers []worker.Info
	why     node.Explanation
	events  func(q observe.EventQuery) observe.Events // guarded by mu; nil: there are none

	mu      sync.Mutex
	asked   []string // METHOD kind id; guarded by mu, as some are asked at the same time
	message worker.Value
	ctx     context.Context
	entered chan struct{} // closed when the first question is there, if not nil
}

func (f *fake) answer(ctx context.Context, what string) (worker.Reply, error) {
	f.mu.Lock()
	f.asked, f.ctx = append(f.asked, what), ctx
	f.mu.Unlock()
	if f.entered != nil {
		close(f.entered)
	}
	if f.panics != nil {
		panic(f.panics)
	}
	if f.wait {
		<-ctx.Done()
		return worker.Reply{}, ctx.Err()
	}
	return f.reply, f.err
}

// count returns how often it was asked.
func (f *fake) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.asked)
}

func (f *fake) Self() string { return "1@127.0.0.1" }

func (f *fake) Family(kind string) node.Family { return fakeFamily{f, cmp.Or(kind, "-")} }

func (f *fake) Owner(ctx context.Context, id worker.ID) (string, error) {
	r, err := f.answer(ctx, "owner "+id.String())
	return r.Node, err
}

func (f *fake) Nodes(ctx context.Context) ([]node.NodeInfo, error) {
	_, err := f.answer(ctx, "nodes")
	return f.nodes, err
}

func (f *fake) Events(ctx context.Context, q observe.EventQuery) (observe.Events, error) {
	_, err := f.answer(ctx, "events "+q.Node)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.events == nil {
		return observe.Events{Node: "1@127.0.0.1", Run: 7}, err
	}
	return f.events(q), err
}

func (f *fake) Figures(ctx context.Context, q observe.FiguresQuery) (observe.Figures, error) {
	return observe.Figures{Node: cmp.Or(q.Node, f.Self()), Run: 7}, ctx.Err()
}

func (f *fake) Hottest(ctx context.Context, q observe.HotQuery) (observe.Hot, error) {
	return observe.Hot{Node: cmp.Or(q.Node, f.Self())}, ctx.Err()
}

func (f *fake) Trace(ctx context.Context, q observe.TraceQuery) (observe.Steps, error) {
	return observe.Steps{}, ctx.Err()
}

func (f *fake) Workers(ctx context.Context) ([]worker.Info, error) {
	_, err := f.answer(ctx, "workers")
	return f.workers, err
}

type fakeFamily struct {
	*fake
	kind string
}

func (f fakeFamily) Request(ctx context.Context, id worker.ID) (worker.Reply, error) {
	return f.answer(ctx, "request "+f.kind+" "+id.String())
}

func (f fakeFamily) Refresh(ctx context.Context, id worker.ID) (worker.Reply, error) {
	return f.answer(ctx, "refresh "+f.kind+" "+id.String())
}

func (f fakeFamily) Call(ctx context.Context, id worker.ID, message worker.Value) (worker.Reply, error) {
	f.mu.Lock()
	f.message = message
	f.mu.Unlock()
	return f.answer(ctx, "call "+f.kind+" "+id.String())
}

func (f fakeFamily) Why(ctx context.Context, id worker.ID) (node.Explanation, error) {
	_, err := f.answer(ctx, "why "+f.kind+" "+id.String())
	return f.why, err
}

func (f fakeFamily) Invalidate(ctx context.Context, id worker.ID) (bool, error) {
	_, err := f.answer(ctx, "invalidate "+f.kind+" "+id.String())
	return err == nil && id != worker.IntID(8), err
}

func (f fakeFamily) RequestVia(context.Context, string, worker.ID) (worker.Reply, error) {
	panic("not of HTTP")
}

func (f fakeFamily) Stop(ctx context.Context, id worker.ID) (bool, error) {
	_, err := f.answer(ctx, "stop "+f.kind+" "+id.String())
	return err == nil && id != worker.IntID(8), err
}

func (f fakeFamily) ForceStop(context.Context, worker.ID) ([]worker.Stopped, error) {
	panic("not of HTTP")
}

// newFake returns one that has something to tell for every endpoint.
func newFake() *fake {
	live := worker.Info{Kind: "price", ID: worker.IntID(7), Node: "2@127.0.0.1", Age: time.Second, TTL: 4 * time.Second, Hits: 3, Queue: 1}
	other := live
	other.Kind, other.ID, other.LeftOut = "default", worker.IntID(8), 5000
	return &fake{
		reply: worker.Reply{Value: worker.IntValue(42), Node: "2@127.0.0.1", Age: 1500 * time.Millisecond, TTL: 3500 * time.Millisecond},
		nodes: []node.NodeInfo{
			{Member: node.Member{Name: "1@127.0.0.1", Addr: "127.0.0.1:4371", Incarnation: 1<<64 - 1}, Uptime: time.Minute, Version: "v1", Memory: 1 << 20, Goroutines: 9},
			{Member: node.Member{Name: "2@127.0.0.1", Addr: "127.0.0.1:4372"}, RTT: 48 * time.Microsecond, Kinds: map[string]string{"price": "ab"}, Differs: []string{"price"}, Unready: "it has\nnot joined", Workers: 1, Requests: 5, Rate: 12.34, Stuck: 1},
			{Member: node.Member{Name: "3@127.0.0.1", Addr: "127.0.0.1:4373", State: node.StateFailed, Since: 2500 * time.Millisecond, Kept: time.Minute}, Problem: "out of\nreach"},
		},
		workers: []worker.Info{live, other},
		why: node.Explanation{ID: worker.IntID(7), Kind: "price", Owner: "2@127.0.0.1", Rule: "7 mod 3 = 1", Index: 1, Members: 3, Epoch: 1<<64 - 1,
			State: node.StateStuck, Fallback: "3@127.0.0.1", Asked: "2@127.0.0.1", Live: true, Worker: live, TTL: 5 * time.Second},
	}
}

// stable are the routes of the stable API: those that are not of the page.
var stable = slices.DeleteFunc(slices.Clone(routes), func(rt route) bool { return rt.page })

// An answer is one of a gateway.
type answer struct {
	status int
	header http.Header
	body   string
}

// ask gives a request to the gateway and checks the answer against the document.
func ask(t testing.TB, g http.Handler, r *http.Request) answer {
	t.Helper()
	if r.Host == "example.com" { // httptest's own
		r.Host = "localhost:8080"
	}
	w := httptest.NewRecorder()
	g.ServeHTTP(w, r)
	a := answer{w.Code, w.Header(), w.Body.String()}
	document(t).check(t, r, a)
	return a
}

func get(t testing.TB, g http.Handler, target string) answer {
	t.Helper()
	return ask(t, g, httptest.NewRequest(http.MethodGet, target, nil))
}

func post(t testing.TB, g http.Handler, target, body string) answer {
	t.Helper()
	return ask(t, g, httptest.NewRequest(http.MethodPost, target, strings.NewReader(body)))
}

// wantProblem checks that an answer is that problem, and returns it.
func wantProblem(t testing.TB, a answer, status int, kind string) problem {
	t.Helper()
	var p problem
	if err := json.Unmarshal([]byte(a.body), &p); err != nil {
		t.Fatalf("status %d, body %q: %v", a.status, a.body, err)
	}
	if a.status != status || p.Status != status || p.Type != "/problems/"+kind || a.header.Get("Content-Type") != problemType {
		t.Fatalf("status %d, %s: %s; want %d, %s", a.status, a.header.Get("Content-Type"), a.body, status, kind)
	}
	if strings.ContainsAny(p.Detail, "\r\n") || p.Detail == "" {
		t.Fatalf("detail %q", p.Detail)
	}
	return p
}

func newGateway(f Cluster) *Gateway { return New(Config{Cluster: f}) }

// A pipeListener is one whose connections are in memory, so that time is that of
// synctest.
type pipeListener struct {
	conns chan net.Conn
	done  chan struct{}
}

func newPipeListener() *pipeListener {
	return &pipeListener{make(chan net.Conn), make(chan struct{})}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	close(l.done)
	return nil
}

func (*pipeListener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8080} }

func (l *pipeListener) dial() net.Conn {
	mine, its := net.Pipe()
	l.conns <- its
	return mine
}

// dialFrom dials from 127.0.0.host.
func (l *pipeListener) dialFrom(host int) net.Conn {
	mine, its := net.Pipe()
	l.conns <- addressed{its, &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(host))}}
	return mine
}

type addressed struct {
	net.Conn
	from net.Addr
}

func (c addressed) RemoteAddr() net.Addr { return c.from }

// serving runs a test in a bubble, with a gateway that serves there.
func serving(t *testing.T, f *fake, test func(t *testing.T, l *pipeListener, stop context.CancelFunc, served <-chan error)) {
	t.Helper()
	servingGateway(t, func() *Gateway { return newGateway(f) }, test)
}

// servingGateway is serving with a gateway that is made in the bubble.
func servingGateway(t *testing.T, create func() *Gateway, test func(t *testing.T, l *pipeListener, stop context.CancelFunc, served <-chan error)) {
	t.Helper()
	runtime.GC() // timers of other bubbles must not be in pools
	runtime.GC()
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		l, served := newPipeListener(), make(chan error, 1)
		go func() { served <- create().Serve(ctx, l) }()
		test(t, l, stop, served)
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
}

// answerOf reads one answer from a connection and tells its status, "closed" if there is
// none, and how long it took.
func answerOf(t *testing.T, c net.Conn) (string, time.Duration) {
	t.Helper()
	began := time.Now()
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return "closed", time.Since(began)
	}
	defer res.Body.Close()
	var body strings.Builder
	io.Copy(&body, res.Body)
	return fmt.Sprint(res.StatusCode, " ", body.String()), time.Since(began)
}

func heap() int {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// checkFree wants that no body holds anything.
func checkFree(t *testing.T, l *places) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.free != maxBodies || len(l.all)+len(l.from)+len(l.waiting) > 0 {
		t.Errorf("%d bytes are free, %d bodies from %d addresses are left, %d wait", l.free, len(l.all), len(l.from), len(l.waiting))
	}
}

func closeAll(conns []net.Conn) {
	for _, c := range conns {
		c.Close()
	}
	synctest.Wait()
}

// wantAnswer asks on a new connection and wants an answer at once.
func wantAnswer(t *testing.T, l *pipeListener, request, want string) {
	t.Helper()
	c := l.dial()
	defer c.Close()
	io.WriteString(c, request)
	if got, took := answerOf(t, c); !strings.HasPrefix(got, want) || took != 0 {
		t.Errorf("%.40s: %s after %v, want %s at once", request, got, took, want)
	}
}

func serveTCP(t *testing.T, g *Gateway) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- g.Serve(ctx, l) }()
	t.Cleanup(func() {
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
		http.DefaultClient.CloseIdleConnections()
		err := goleak.Find()
		for began := time.Now(); err != nil && time.Since(began) < 10*time.Second; err = goleak.Find() {
		}
		if err != nil {
			t.Error(err)
		}
	})
	return "http://" + l.Addr().String()
}
