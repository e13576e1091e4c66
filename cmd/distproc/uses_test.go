//go:build unix

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
)

// A shop is something slow behind three nodes: real processes, asked over HTTP.
type shop struct {
	t      *testing.T
	urls   []string // of the nodes
	source *httptest.Server
	dir    string

	mu      sync.Mutex
	runs    map[string]int // of the source, by id; guarded by mu
	active  map[string]int // now; guarded by mu
	overlap int            // times there were two for one id; guarded by mu
	fails   map[string]bool
	traces  map[string]string // by id; guarded by mu
}

const shopKinds = `
[kind.price]
source = "SOURCE/price/{id}"
ttl = "200ms"

[kind.slow]
source = "SOURCE/slow/{id}"
ttl = "1m"

[kind.echo]
source = "exec:echo {id}"

[kind.locked]
source = "exec:sh -c 'mkdir lock.$1 || exit 1; sleep 0.02; echo $1; rmdir lock.$1' sh {id}"
ttl = "100ms"

[kind.account]
source = "exec:sh -c 'read n; b=$(cat balance.$1 2>/dev/null); echo $((b + n)) | tee new.$1; mv new.$1 balance.$1' sh {id}"
serial = true
ttl = "300ms"
`

func openShop(t *testing.T) *shop {
	t.Helper()
	s := &shop{
		t: t, dir: t.TempDir(),
		runs: map[string]int{}, active: map[string]int{}, fails: map[string]bool{}, traces: map[string]string{},
	}
	s.source = httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(s.source.Close)
	kinds := filepath.Join(s.dir, "kinds.toml")
	if err := os.WriteFile(kinds, []byte(strings.ReplaceAll(shopKinds, "SOURCE", s.source.URL)), 0o600); err != nil {
		t.Fatal(err)
	}
	host := testHost()
	for i := range 3 {
		addr := fmt.Sprintf("%s:%d", host, 8081+i)
		startNodeIn(t, s.dir, fmt.Sprintf("%d@%s", i+1, host), "--join", "1@"+host, "--config", kinds, "--http", addr)
		s.urls = append(s.urls, "http://"+addr)
	}
	for _, url := range s.urls {
		await(t, func() error {
			_, body, err := get(url + "/v1/nodes")
			if n := strings.Count(body, `"alive"`); err != nil || n != 3 {
				return fmt.Errorf("%s: %d nodes, %v", url, n, err)
			}
			return nil
		})
		await(t, func() error {
			if code, body, err := get(url + "/readyz"); code != http.StatusOK {
				return fmt.Errorf("not ready: %d %s %v", code, body, err)
			}
			return nil
		})
	}
	return s
}

// serve is the slow source: a price takes 5 ms, what is slow 300 ms.
func (s *shop) serve(w http.ResponseWriter, r *http.Request) {
	kind, id, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	key := kind + "/" + id
	s.mu.Lock()
	s.runs[key]++
	s.active[key]++
	if s.active[key] > 1 {
		s.overlap++
	}
	fail := s.fails[key]
	s.traces[key] = r.Header.Get("traceparent")
	run := s.runs[key]
	s.mu.Unlock()
	if kind == "slow" {
		time.Sleep(300 * time.Millisecond)
	} else {
		time.Sleep(5 * time.Millisecond)
	}
	s.mu.Lock()
	s.active[key]--
	s.mu.Unlock()
	if fail {
		http.Error(w, "the price list is being printed", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"run": %d}`, run)
}

func (s *shop) ran(key string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.runs[key]
}

func (s *shop) setFailing(key string, fails bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fails[key] = fails
}

func get(url string) (code int, body string, err error) { return ask(http.MethodGet, url, "", nil) }

func ask(method, url, body string, header http.Header) (code int, answer string, err error) {
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	maps.Copy(req.Header, header)
	return askFor(http.DefaultClient, req)
}

func askFor(client *http.Client, req *http.Request) (code int, answer string, err error) {
	resp, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}

// await waits until check returns nil, for at most a minute.
func await(t *testing.T, check func() error) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// TestUses is what distproc is for, with real parts: three processes, a server, programs,
// and HTTP.
func TestUses(t *testing.T) {
	t.Parallel()
	s := openShop(t)
	t.Run("one run for many", s.oneRun)
	t.Run("errors are not cached", s.errors)
	t.Run("hostile ids", s.hostile)
	t.Run("trace", s.trace)
	t.Run("one account of why", s.why)
	t.Run("serial", s.serial)
	t.Run("runs never overlap", s.load)
	t.Run("metrics", s.metrics)
}

// oneRun has 90 callers, at all three nodes, ask for one id.
func (s *shop) oneRun(t *testing.T) {
	var wg sync.WaitGroup
	for i := range 90 {
		wg.Go(func() {
			code, body, err := get(s.urls[i%3] + "/v1/value/7?kind=slow")
			if code != http.StatusOK || body != `{"run": 1}` {
				t.Errorf("%d %s, %v", code, body, err)
			}
		})
	}
	wg.Wait()
	if n := s.ran("slow/7"); n != 1 {
		t.Errorf("%d runs, want 1", n)
	}
}

// errors has the source fail, and then not.
func (s *shop) errors(t *testing.T) {
	s.setFailing("slow/8", true)
	code, body, err := get(s.urls[0] + "/v1/request/8?kind=slow")
	var problem struct{ Detail, Outcome string }
	if e := json.Unmarshal([]byte(body), &problem); e != nil || code != http.StatusBadGateway || problem.Outcome != "ran" ||
		!strings.Contains(problem.Detail, "the price list is being printed") {
		t.Errorf("%d %s, %v; want 502 with the source's message", code, body, err)
	}
	s.setFailing("slow/8", false)
	code, body, err = get(s.urls[0] + "/v1/request/8?kind=slow")
	if code != http.StatusOK || !strings.Contains(body, `"value":{"run":2}`) && !strings.Contains(body, `"value":{"run": 2}`) {
		t.Errorf("%d %s, %v; want the second run", code, body, err)
	}
}

// hostile has ids reach a program that would do harm in a shell.
func (s *shop) hostile(t *testing.T) {
	for _, id := range []string{"$(touch x);a|b&", "`touch x`", "'; touch x; '", "a/../b", "..", "-n", "%41", "a b\tc", "é", "*"} {
		for _, base := range s.urls[:amount(1, 3)] {
			code, body, err := get(base + "/v1/value/" + url.PathEscape(id) + "?kind=echo")
			want := id
			if id == "-n" {
				want = "" // that is an option of echo
			}
			if code != http.StatusOK || body != want {
				t.Errorf("id %q: %d %q, %v", id, code, body, err)
			}
		}
	}
	if _, err := os.Stat(filepath.Join(s.dir, "x")); err == nil {
		t.Error("an id has reached a shell")
	}
}

// trace has a traceparent go from HTTP by way of each node to the source.
func (s *shop) trace(t *testing.T) {
	for i, url := range s.urls {
		id := fmt.Sprint(100 + i)
		trace := fmt.Sprintf("00-4bf92f3577b34da6a3ce929d0e0e473%d-00f067aa0ba902b7-01", i)
		for _, node := range s.urls { // the owner is one of them
			if _, _, err := ask(http.MethodGet, node+"/v1/owner/"+id, "", nil); err != nil {
				t.Error(err)
			}
		}
		if code, body, err := ask(http.MethodGet, url+"/v1/value/"+id+"?kind=slow", "", http.Header{"Traceparent": {trace}}); code != http.StatusOK {
			t.Errorf("%d %s, %v", code, body, err)
		}
		s.mu.Lock()
		if got := s.traces["slow/"+id]; got != trace {
			t.Errorf("the source got trace %q, want %q", got, trace)
		}
		s.mu.Unlock()
	}
}

// why compares what /v1/why and the shell tell of one id.
func (s *shop) why(t *testing.T) {
	_, body, err := get(s.urls[0] + "/v1/why/7?kind=slow")
	if err != nil {
		t.Fatal(err)
	}
	var web map[string]any
	if err := json.Unmarshal([]byte(body), &web); err != nil {
		t.Fatal(err)
	}
	name := "1@" + strings.TrimPrefix(strings.TrimSuffix(s.urls[0], ":8081"), "http://")
	fields := []string{"id", "kind", "owner", "rule", "index", "members", "epoch", "state", "fallback", "asked", "live", "loading", "serial", "apart"}
	p := start(t, "repl", "--attach", name, "-e",
		`w = why(7, kind="slow"); print(json.encode({k: getattr(w, k) for k in ["`+strings.Join(fields, `", "`)+`"]}))`)
	p.out.Scan()
	var shell map[string]any
	if err := json.Unmarshal(p.out.Bytes(), &shell); err != nil {
		t.Fatalf("%q: %v", p.out.Text(), err)
	}
	shell["id"] = fmt.Sprint(shell["id"])
	shell["epoch"] = web["epoch"] // a number there, and hexadecimal here
	for _, f := range fields {
		if fmt.Sprint(web[f]) != fmt.Sprint(shell[f]) {
			t.Errorf("%s: %v over HTTP, %v in the shell", f, web[f], shell[f])
		}
	}
}

// serial has callers at all nodes add to two accounts, which programs keep in files
// without any lock.
func (s *shop) serial(t *testing.T) {
	calls := amount(12, 60)
	var wg sync.WaitGroup
	for i := range calls {
		wg.Go(func() {
			code, body, err := ask(http.MethodPost, fmt.Sprintf("%s/v1/call/account/%d?timeout=1m", s.urls[i%3], i%2), "5", nil)
			if code != http.StatusOK {
				t.Errorf("%d %s, %v", code, body, err)
			}
		})
	}
	wg.Wait()
	for id := range 2 {
		_, body, err := ask(http.MethodPost, fmt.Sprintf("%s/v1/call/account/%d", s.urls[0], id), "0", nil)
		if want := fmt.Sprint(calls / 2 * 5); body != want {
			t.Errorf("balance %q, %v; want %s", body, err, want)
		}
	}
}

// load asks for a few ids over many expiries: the source never runs twice at once for
// one.
func (s *shop) load(t *testing.T) {
	const ids = 4
	expiries := amount(3, 15)
	var stop atomic.Bool
	var wg sync.WaitGroup
	var asked atomic.Int64
	for i := range 12 {
		wg.Go(func() {
			for n := i; !stop.Load(); n++ {
				path := fmt.Sprintf("%s/v1/value/%d?kind=%s", s.urls[i%3], n%ids, []string{"price", "locked"}[n/ids%2])
				if code, body, err := get(path); code != http.StatusOK {
					t.Errorf("%s: %d %s, %v", path, code, body, err) // of a lock that is taken, too
					return
				}
				asked.Add(1)
				time.Sleep(time.Duration(amount(5, 0)) * time.Millisecond) // leaves something of the processor to the nodes
			}
		})
	}
	runs := 0
	await(t, func() error {
		runs = 0
		for id := range ids {
			runs += s.ran(fmt.Sprintf("price/%d", id))
		}
		if runs < ids*expiries && !t.Failed() {
			return fmt.Errorf("%d runs, want %d", runs, ids*expiries)
		}
		return nil
	})
	stop.Store(true)
	wg.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.overlap > 0 || int64(runs) > asked.Load() {
		t.Errorf("%d requests, %d runs, %d times two at once", asked.Load(), runs, s.overlap)
	}
}

// metrics checks what a node that has worked publishes.
func (s *shop) metrics(t *testing.T) {
	for _, url := range s.urls {
		_, body, err := get(url + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		problems, err := promlint.New(bytes.NewReader([]byte(body))).Lint()
		if err != nil || len(problems) > 0 {
			t.Errorf("promlint: %v, %v", problems, err)
		}
		for _, want := range []string{
			`distproc_requests_total{code="",kind="price",result="remote"} `, `distproc_members{state="alive"} 3`,
			`distproc_load_duration_seconds_count{kind="price"} `,
		} {
			i := strings.Index(body, "\n"+want)
			if i < 0 || strings.HasPrefix(body[i+1+len(want):], "0\n") {
				t.Errorf("%s: no count of %s", url, want)
			}
		}
	}
}
