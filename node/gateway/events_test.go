package gateway

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/distproc/distproc/node/observe"
)

// A log is the events of a node in a test, which keeps the newest ones.
type log struct {
	mu   sync.Mutex
	run  uint64          // guarded by mu
	list []observe.Event // guarded by mu
	last uint64          // guarded by mu
}

const logKeeps = 5

func (l *log) add(what string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last++
	l.list = append(l.list, observe.Event{Seq: l.last, Time: time.Now(), Level: "warn", What: what, Node: "2@127.0.0.1", Why: "a\u202eb\nc"})
	l.list = l.list[max(0, len(l.list)-logKeeps):]
}

// restart has the node start anew.
func (l *log) restart() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.run, l.list, l.last = l.run+1, nil, 0
}

func (l *log) since(q observe.EventQuery) observe.Events {
	l.mu.Lock()
	defer l.mu.Unlock()
	page := observe.Events{Node: "1@127.0.0.1", Run: l.run, Last: l.last}
	after := q.After.Seq
	switch {
	case q.After == observe.Mark{}:
		after = l.last - min(l.last, uint64(q.Max), logKeeps)
	case q.After.Run != l.run:
		after = 0
	}
	if first := l.last - uint64(len(l.list)); after < first {
		page.Missed, after = first-after, first
	}
	for _, e := range l.list {
		if e.Seq > after && len(page.List) < max(1, q.Max) {
			page.List = append(page.List, e)
		}
	}
	return page
}

// withEvents returns a gateway whose node has events.
func withEvents() (*fake, *log) {
	f, l := newFake(), &log{run: 0xab}
	f.events = l.since
	return f, l
}

func TestEventsPage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, l := withEvents()
		g := newGateway(f)
		for i := range 7 {
			l.add(fmt.Sprint("event ", i+1))
			time.Sleep(time.Minute)
		}
		for _, c := range [][2]string{
			{"", "3 4 5 6 7 missed 0 next ab-7"},
			{"?limit=2", "6 7 missed 0 next ab-7"},
			{"?after=ab-0&limit=2", "3 4 missed 2 next ab-4"},
			{"?after=ab-4&limit=2", "5 6 missed 0 next ab-6"},
			{"?after=ab-7", "missed 0 next ab-7"},
			{"?after=cd-7&limit=1", "3 missed 2 next ab-3"},
			{"?since=150s", "6 7 missed 0 next ab-7"},
			{"?since=1h&limit=3", "5 6 7 missed 0 next ab-7"},
			{"?since=1s", "missed 0 next ab-7"},
			{"?since=1s&after=ab-6", "7 missed 0 next ab-7"}, // or a stream that is resumed would lose it
			{"?node=1@127.0.0.1&limit=1", "7 missed 0 next ab-7"},
		} {
			if got := outline(t, get(t, g, "/v1/events"+c[0])); got != c[1] {
				t.Errorf("%s: %s, want %s", c[0], got, c[1])
			}
		}
		r := get(t, g, "/v1/events?limit=1")
		if want := `"level":"warn","event":"event 7","node":"2@127.0.0.1","why":"a b c"}`; !strings.Contains(r.body, want) {
			t.Errorf("%s has no %s", r.body, want)
		}
		for _, query := range []string{"after=7", "after=ab-", "after=0-0", "after=zz-1", "after=ab-1x", "since=7", "since=-1s", "limit=0", "limit=1001", "node=7", "node=1@h:5", "after=ab-1&after=ab-2"} {
			wantProblem(t, get(t, g, "/v1/events?"+query), http.StatusBadRequest, "bad-request")
		}
		f.err = context.DeadlineExceeded
		wantProblem(t, get(t, g, "/v1/events"), http.StatusGatewayTimeout, "deadline-exceeded")
		stream := newRequest("/v1/events")
		wantProblem(t, ask(t, g, stream), http.StatusGatewayTimeout, "deadline-exceeded")
	})
}

// outline returns the numbers of the events of a page, and its other members.
func outline(t *testing.T, a answer) string {
	t.Helper()
	var texts []string
	for part := range strings.SplitSeq(a.body, `"event":"event `) {
		n, _, ok := strings.Cut(part, `"`)
		if ok && len(n) == 1 && n != "{" {
			texts = append(texts, n)
		}
	}
	_, missed, _ := strings.Cut(a.body, `"missed":`)
	missed, next, _ := strings.Cut(missed, `,"next":"`)
	return strings.TrimSpace(strings.Join(texts, " ") + " missed " + missed + " next " + strings.TrimSuffix(next, "\"}\n"))
}

// newRequest asks for a stream.
func newRequest(target string) *http.Request {
	r, _ := http.NewRequest(http.MethodGet, target, nil)
	r.Host = "localhost"
	r.Header.Set("Accept", "text/html, text/event-stream;q=0.9")
	return r
}

// A streamReader reads a stream.
type streamReader struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
	body *bufio.Reader
}

// follow opens a stream.
func follow(t *testing.T, l *pipeListener, r *http.Request) *streamReader {
	t.Helper()
	s := &streamReader{t: t, conn: l.dial()}
	s.in = bufio.NewReader(s.conn)
	if err := r.Write(s.conn); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(s.in, r)
	if err != nil || res.StatusCode != 200 || res.Header.Get("Content-Type") != streamType {
		t.Fatal(res, err)
	}
	t.Cleanup(func() { res.Body.Close() })
	s.body = bufio.NewReader(res.Body)
	s.want("retry: 1000")
	return s
}

// want reads one message.
func (s *streamReader) want(want string) {
	s.t.Helper()
	var lines []string
	for {
		line, err := s.body.ReadString('\n')
		if err != nil {
			s.t.Errorf("%v after %q, want %q", err, lines, want)
			return
		}
		if line == "\n" {
			break
		}
		lines = append(lines, strings.TrimSuffix(line, "\n"))
	}
	if got := strings.Join(lines, "|"); !strings.HasPrefix(got, want) {
		s.t.Errorf("%q, want %q", got, want)
	}
}

// ends wants the end of the stream, with an error or without.
func (s *streamReader) ends(whole bool) {
	s.t.Helper()
	rest, err := io.ReadAll(s.body)
	if (err == nil) != whole {
		s.t.Errorf("it ends with %v after %q", err, rest)
	}
	s.conn.Close()
}

// TestEventStream follows events: it resumes, has signs of life, and says what it missed,
// that the node cannot be asked, and that it has started anew.
func TestEventStream(t *testing.T) {
	f, l := withEvents()
	serving(t, f, func(t *testing.T, pl *pipeListener, stop context.CancelFunc, served <-chan error) {
		l.add("event 1")
		s := follow(t, pl, newRequest("/v1/events"))
		for range 100 { // longer than any deadline of the server
			s.want(": alive")
		}
		l.add("event 2")
		s.want(`id: ab-2|data: {"mark":"ab-2","time":"`)
		for i := range 8 { // faster than it asks
			l.add(fmt.Sprint("event ", i+3))
		}
		s.want(`event: missed|data: {"missed":3,"restarted":false}`)
		for i := range logKeeps {
			s.want(fmt.Sprintf("id: ab-%d|", i+6))
		}
		f.mu.Lock()
		f.err = fmt.Errorf("unreachable:\n\ndata: no")
		f.mu.Unlock()
		s.want(`event: trouble|data: {"detail":"unreachable:  data: no"}`)
		s.want(": alive") // and does not repeat it
		l.restart()
		f.mu.Lock()
		f.err = nil
		f.mu.Unlock()
		l.add("event 1")
		s.want(`event: missed|data: {"missed":0,"restarted":true}`)
		s.want("id: ac-1|")
		s.conn.Close()

		for range 3 {
			l.add("event")
		}
		r := newRequest("/v1/events?after=ab-9") // which the browser began with
		r.Header.Set("Last-Event-ID", "ac-2")
		s = follow(t, pl, r)
		s.want("id: ac-3|")
		s.want("id: ac-4|")
		s.conn.Close()
		s = follow(t, pl, newRequest("/v1/events?after=ab-9"))
		s.want(`event: missed|data: {"missed":0,"restarted":true}`)
		s.want("id: ac-1|")
		s.conn.Close()
		s = follow(t, pl, newRequest("/v1/events?limit=1"))
		s.want("id: ac-4|")
		s.conn.Close()
		s = follow(t, pl, newRequest("/v1/events?since=1h&limit=2"))
		s.want("id: ac-3|")
		s.conn.Close()
		r = newRequest("/v1/events")
		r.Method = http.MethodHead
		c := pl.dial()
		_ = r.Write(c)
		res, err := http.ReadResponse(bufio.NewReader(c), r)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != 200 || res.ContentLength > 0 {
			t.Errorf("HEAD: %v", res)
		}
		wantAnswer(t, pl, "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", "200")
		c.Close()
	})
}

// TestStreamsEnd has a gateway drain: its streams end at once, whole.
func TestStreamsEnd(t *testing.T) {
	f, _ := withEvents()
	serving(t, f, func(t *testing.T, pl *pipeListener, stop context.CancelFunc, served <-chan error) {
		s := follow(t, pl, newRequest("/v1/events"))
		for range 10 {
			s.want(": alive")
		}
		began := time.Now()
		go stop()
		s.ends(true)
		if took := time.Since(began); took > firstTimeout {
			t.Errorf("it ends after %v", took)
		}
	})
}

// TestStreamThatNobodyReads has a client that does not read: its stream ends, and frees its
// place. Streams beyond their limit are refused.
func TestStreamThatNobodyReads(t *testing.T) {
	f, l := withEvents()
	serving(t, f, func(t *testing.T, pl *pipeListener, stop context.CancelFunc, served <-chan error) {
		var readers []*streamReader
		for range maxStreams {
			readers = append(readers, follow(t, pl, newRequest("/v1/events")))
		}
		wantStatus := func(want string) {
			t.Helper()
			c := pl.dial()
			defer c.Close()
			r := newRequest("/v1/events")
			r.Header.Set("Connection", "close")
			_ = r.Write(c)
			res, err := http.ReadResponse(bufio.NewReader(c), r)
			if err != nil {
				t.Fatal(err)
			}
			c.Close() // before the body, which goes on
			res.Body.Close()
			if !strings.HasPrefix(res.Status, want) {
				t.Errorf("%v, want %s", res, want)
			}
		}
		wantStatus("503")
		l.add("event")
		time.Sleep(writeTimeout + time.Second)
		wantStatus("200")
		for _, s := range readers {
			s.ends(false)
		}
	})
}
