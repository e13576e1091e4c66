package gateway

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/distproc/distproc/node"
	"github.com/distproc/distproc/node/worker"
)

var errPrice = errors.New("no price for that")

// A sum is a server that adds up what it is sent.
type sum struct{ total int }

func (s *sum) Call(_ context.Context, n int) (int, error) {
	s.total += n
	return s.total, nil
}

// startNodes starts a cluster of two.
func startNodes(t *testing.T) (first, second *node.Node) {
	t.Helper()
	kinds := map[string]worker.Kind{
		"price": worker.Cache{TTL: time.Minute, Load: func(_ context.Context, id worker.ID) (worker.Value, error) {
			switch id.String() {
			case "none":
				return worker.Value{}, errPrice
			case "panic":
				panic("boom")
			}
			return worker.MediaValue("application/json", `{"price":"`+id.String()+`"}`), nil
		}},
		"slow": worker.Cache{Load: func(ctx context.Context, _ worker.ID) (worker.Value, error) {
			<-ctx.Done()
			return worker.Value{}, ctx.Err()
		}},
		"one": worker.Cache{Concurrency: 1, Timeout: time.Minute, Load: func(ctx context.Context, _ worker.ID) (worker.Value, error) {
			<-ctx.Done()
			return worker.Value{}, ctx.Err()
		}},
		"sum": worker.Serial{Open: worker.Serve(func(context.Context, worker.ID) (*sum, error) { return &sum{}, nil })},
	}
	var nodes []*node.Node
	host := testHost()
	for _, name := range []string{"1@" + host, "2@" + host} {
		n, err := node.Start(node.Config{Default: worker.Cache{Load: worker.RandomSource}, Name: name, Cookie: []byte("a long secret that all nodes share"), Kinds: kinds, Version: "test"})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { n.Close(context.Background()) })
		nodes = append(nodes, n)
	}
	if err := nodes[1].Join(t.Context(), "1@"+nodes[0].Addr()); err != nil {
		t.Fatal(err)
	}
	for began := time.Now(); ; time.Sleep(time.Millisecond) {
		ofFirst, err := nodes[0].Owner(t.Context(), worker.IntID(1))
		ofSecond, err2 := nodes[1].Owner(t.Context(), worker.IntID(1))
		if ofFirst == nodes[1].Self() && ofSecond == ofFirst {
			return nodes[0], nodes[1]
		}
		if time.Since(began) > 10*time.Second {
			t.Fatalf("the owners of 1 are %q, %v and %q, %v", ofFirst, err, ofSecond, err2)
		}
	}
}

var hosts atomic.Int32

// testHost returns a loopback address of this test's own, so that nodes can have their
// usual ports.
func testHost() string {
	pid, n := os.Getpid(), int(hosts.Add(1))
	return fmt.Sprintf("127.%d.%d.%d", 1+pid%250, (pid/250+n/250)%250, n%250)
}

func TestNode(t *testing.T) {
	t.Parallel()
	first, second := startNodes(t)
	g := newGateway(first)
	for id, owner := range map[string]*node.Node{"1": second, "2": first} {
		owned := `{"id":"` + id + `","owner":"` + owner.Self() + `"}`
		if got := get(t, g, "/v1/owner/"+id).body; got != owned+"\n" {
			t.Errorf("got %s, want %s", got, owned)
		}
		for _, cached := range []string{"false", "true"} {
			got := get(t, g, "/v1/request/"+id+"?kind=price").body
			for _, want := range []string{`"value":{"price":"` + id + `"},"media_type":"application/json"`, `"node":"` + owner.Self() + `"`, `"cached":` + cached, `"stale":false,"degraded":false`} {
				if !strings.Contains(got, want) {
					t.Errorf("got %s, want %s", got, want)
				}
			}
		}
		if got := get(t, g, "/v1/request/"+id+"?kind=price&refresh=true").body; !strings.Contains(got, `"cached":false`) {
			t.Errorf("refresh: %s", got)
		}
		res := get(t, g, "/v1/value/"+id+"?kind=price")
		age, ageErr := strconv.Atoi(res.header.Get("Age"))
		var maxAge int
		_, err := fmt.Sscanf(res.header.Get("Cache-Control"), "max-age=%d", &maxAge)
		if res.body != `{"price":"`+id+`"}` || ageErr != nil || age > 10 || err != nil || maxAge != 59 || res.header.Get("X-Distproc-Node") != owner.Self() {
			t.Errorf("%s %v", res.body, res.header)
		}
		var n int
		if err := json.Unmarshal([]byte(get(t, g, "/v1/value/"+id).body), &n); err != nil || n < 1 || n > 1000 {
			t.Errorf("%d, %v", n, err)
		}
	}
	var list struct {
		Nodes []struct{ Name, Version, Problem string }
	}
	if err := json.Unmarshal([]byte(get(t, g, "/v1/nodes").body), &list); err != nil || len(list.Nodes) != 2 || list.Nodes[1].Name != second.Self() || list.Nodes[1].Problem != "" || !strings.Contains(list.Nodes[0].Version, "test") {
		t.Errorf("%+v, %v", list, err)
	}
	if got := get(t, g, "/v1/workers?kind=price").body; strings.Count(got, `"kind":"price"`) != 2 || !strings.Contains(got, `"total":2,"left_out":0}`) {
		t.Error(got)
	}
	if got := get(t, g, "/v1/why/1?kind=price").body; !strings.Contains(got, `"rule":"1 mod 2 = 1"`) || !strings.Contains(got, `"live":true`) {
		t.Error(got)
	}
}

func TestErrorsOfNodes(t *testing.T) {
	t.Parallel()
	first, second := startNodes(t)
	g := newGateway(first)
	t.Run("running", func(t *testing.T) {
		for target, want := range map[string]struct {
			status        int
			kind, outcome string
		}{
			"/v1/request/1?kind=other":           {404, "unknown-kind", "not run"},
			"/v1/value/2?kind=other":             {404, "unknown-kind", "not run"},
			"/v1/request/none?kind=price":        {502, "source-failed", "ran"},
			"/v1/request/panic?kind=price":       {502, "worker-panicked", "ran"},
			"/v1/request/1?kind=slow&timeout=1s": {504, "deadline-exceeded", "unknown"},
			"/v1/request/2?kind=slow&timeout=1s": {504, "deadline-exceeded", "unknown"},
		} {
			t.Run(target, func(t *testing.T) {
				t.Parallel()
				p := wantProblem(t, get(t, g, target), want.status, want.kind)
				if p.Outcome != want.outcome || p.Code != want.kind {
					t.Errorf("%+v", p)
				}
				if want.kind == "source-failed" && !strings.Contains(p.Detail, errPrice.Error()) {
					t.Errorf("%+v", p)
				}
			})
		}
	})
	first.Close(t.Context())
	second.Close(t.Context())
	if p := wantProblem(t, get(t, g, "/v1/request/1"), 503, "closed"); p.Outcome != "not run" {
		t.Errorf("%+v", p)
	}
}

func TestCallsOfNodes(t *testing.T) {
	t.Parallel()
	first, _ := startNodes(t)
	g := newGateway(first)
	for _, id := range []string{"1", "2"} {
		for want := range 3 {
			r := httptest.NewRequest("POST", "/v1/call/sum/"+id, strings.NewReader("1"))
			if res := ask(t, g, r); res.status != 200 || res.body != string(rune('1'+want)) {
				t.Fatalf("status %d: %s", res.status, res.body)
			}
		}
		wantProblem(t, get(t, g, "/v1/request/"+id+"?kind=sum"), 400, "bad-request")
		wantProblem(t, post(t, g, "/v1/call/price/"+id, "1"), 400, "bad-request")
		wantProblem(t, post(t, g, "/v1/call/none/"+id, "1"), 404, "unknown-kind")
	}
}

// TestWaitedOfNodes asks for an id that waits at another node, behind one that runs: it
// did not run.
func TestWaitedOfNodes(t *testing.T) {
	t.Parallel()
	first, second := startNodes(t)
	g := newGateway(first)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = second.Family("one").Request(ctx, worker.IntID(1))
	}()
	defer func() { cancel(); <-ended }()
	for tries := 1; ; tries++ { // until the first one runs, and the owner is fast enough to say so
		p := wantProblem(t, get(t, g, "/v1/request/3?kind=one&timeout=50ms"), 504, "deadline-exceeded")
		if p.Outcome == "not run" {
			return
		}
		if tries == 50 {
			t.Fatalf("%+v", p)
		}
	}
}

// TestApartNode disconnects a node: it is not ready, and takes no calls, until it is
// connected again.
func TestApartNode(t *testing.T) {
	t.Parallel()
	first, second := startNodes(t)
	gateways := map[*node.Node]*Gateway{}
	for _, n := range []*node.Node{first, second} {
		gateways[n] = New(Config{Cluster: n, Ready: n.Ready})
		if res := get(t, gateways[n], "/readyz"); res.status != 200 {
			t.Errorf("%s: %d %s", n.Self(), res.status, res.body)
		}
	}
	if err := first.Disconnect(t.Context(), second.Self()); err != nil {
		t.Fatal(err)
	}
	g := gateways[second]
	p := wantProblem(t, get(t, g, "/readyz"), 503, "not-ready")
	if !strings.Contains(p.Detail, "apart from the cluster") || !strings.Contains(p.Detail, "connect it again") {
		t.Errorf("%+v", p)
	}
	if p := wantProblem(t, post(t, g, "/v1/call/sum/1", "1"), 503, "apart-from-the-cluster"); p.Outcome != "not run" {
		t.Errorf("%+v", p)
	}
	if res := get(t, g, "/v1/request/1?kind=price"); res.status != 200 {
		t.Errorf("a value: %d %s", res.status, res.body)
	}
	if res := post(t, gateways[first], "/v1/call/sum/1", "1"); res.status != 200 {
		t.Errorf("the other node: %d %s", res.status, res.body)
	}
	for try := 1; ; try++ { // on a busy machine one may take too long
		c := second.Connect(t.Context(), "1@"+first.Addr())
		if c[0].Err == nil {
			break
		}
		if try == 20 {
			t.Fatal(c[0].Err)
		}
	}
	if res := get(t, g, "/readyz"); res.status != 200 {
		t.Errorf("connected again: %d %s", res.status, res.body)
	}
	if res := post(t, g, "/v1/call/sum/1", "1"); res.status != 200 {
		t.Errorf("connected again: %d %s", res.status, res.body)
	}
}

// TestEventsOfNodes asks for the events of another node, and follows them until that has
// gone.
func TestEventsOfNodes(t *testing.T) {
	t.Parallel()
	first, second := startNodes(t)
	server := httptest.NewServer(New(Config{Cluster: first}))
	t.Cleanup(server.Close)
	url := server.URL + "/v1/events?node=" + second.Self()
	request := func(accept string) io.Reader {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Accept", accept)
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { res.Body.Close() })
		return res.Body
	}
	var page struct {
		Node   string
		Events []struct{ Event, Node string }
	}
	if err := json.NewDecoder(request("*/*")).Decode(&page); err != nil || page.Node != second.Self() {
		t.Fatalf("%+v, %v", page, err)
	}
	if !slices.ContainsFunc(page.Events, func(e struct{ Event, Node string }) bool { return e.Event == "node up" && e.Node == first.Self() }) {
		t.Errorf("nobody has come: %+v", page)
	}
	url += "&limit=1"
	lines := bufio.NewScanner(request("text/event-stream"))
	await := func(want string) {
		t.Helper()
		for lines.Scan() {
			if strings.HasPrefix(lines.Text(), want) {
				return
			}
		}
		t.Fatalf("it ends before %s: %v", want, lines.Err())
	}
	await(`data: {"mark":"`)
	if err := second.SetKinds(nil); err != nil {
		t.Fatal(err)
	}
	await(`data: {"mark":"`)
	second.Close(context.Background())
	await("event: trouble")
}
