package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// ledgerKinds has accounts whose programs keep balances in files, and record when they
// begin and end. Two programs of one account at once may lose what one of them adds.
// While there is a file hold, programs wait after they have begun.
const ledgerKinds = `
[kind.account]
source = "exec:sh -c 'read m; read t rest </proc/uptime; echo begin $m $1 $DISTPROC_NODE $t >>record; while [ -e hold ]; do sleep 0.02; done; b=0; [ -e balance.$1 ] && read b <balance.$1; echo $((b + 1)) >balance.$1; echo end $m $1 $DISTPROC_NODE $t >>record; echo $((b + 1))' sh {id}"
serial = true
ttl = "300ms"
queue = 64
concurrency = 16
`

// A ledger holds what the programs of the accounts record, and what their callers are
// told.
type ledger struct {
	t       *testing.T
	dir     string
	client  *http.Client
	numbers atomic.Int64

	mu    sync.Mutex
	calls []*ledgerCall // guarded by mu
}

// A ledgerCall is one increment of an account.
type ledgerCall struct {
	number, id int64
	outcome    string        // as the answer says; "" if it succeeded
	text       string        // of the answer
	told       time.Duration // when the caller had the answer, on the clock of /proc/uptime
}

// A ledgerRun is one program.
type ledgerRun struct {
	id    int64
	node  string
	begin time.Duration // as told
	ended bool
}

func newLedger(t *testing.T, client *http.Client) *ledger {
	l := &ledger{t: t, dir: t.TempDir(), client: client}
	if err := os.WriteFile(l.path("kinds.toml"), []byte(ledgerKinds), 0o600); err != nil {
		t.Fatal(err)
	}
	return l
}

func (l *ledger) path(name string) string { return filepath.Join(l.dir, name) }

// hold has programs wait from now on, and the function that it returns has them go on.
func (l *ledger) hold() (release func()) {
	if err := os.WriteFile(l.path("hold"), nil, 0o600); err != nil {
		l.t.Fatal(err)
	}
	return func() {
		if err := os.Remove(l.path("hold")); err != nil {
			l.t.Error(err)
		}
	}
}

func uptime() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		panic(err)
	}
	return time.Duration(t.Nano())
}

// add adds 1 to an account at the gateway at url, and notes the answer. The caller waits
// no longer than the call has.
func (l *ledger) add(url string, id int64, timeout time.Duration) *ledgerCall {
	c := &ledgerCall{number: l.numbers.Add(1), id: id}
	ctx, cancel := context.WithTimeout(context.Background(), timeout+200*time.Millisecond)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost,
		fmt.Sprintf("%s/v1/call/account/%d?timeout=%s", url, id, timeout), strings.NewReader(fmt.Sprint(c.number)))
	if err != nil {
		l.t.Error(err)
		return c
	}
	code, body, err := askFor(l.client, req)
	c.told, c.text = uptime(), body
	var problem struct{ Outcome string }
	switch {
	case err != nil:
		c.outcome, c.text = "unknown", err.Error()
	case code != http.StatusOK:
		if err := json.Unmarshal([]byte(body), &problem); err != nil {
			l.t.Errorf("%d %s: %v", code, body, err)
		}
		c.outcome = problem.Outcome
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls = append(l.calls, c)
	return c
}

// runs returns what the programs have recorded, by the number of the call, and which of
// them began while another one of their account ran.
func (l *ledger) runs() (runs map[int64][]ledgerRun, overlaps []string) {
	data, err := os.ReadFile(l.path("record"))
	if err != nil {
		l.t.Fatal(err)
	}
	runs = map[int64][]ledgerRun{}
	open := map[int64]string{} // by account, the program that has begun last
	for line := range bytes.Lines(data) {
		var what, node string
		var number, id int64
		var seconds float64
		text := string(line)
		if _, err := fmt.Sscan(text, &what, &number, &id, &node, &seconds); err != nil {
			l.t.Fatalf("%q: %v", text, err)
		}
		if what == "begin" {
			if open[id] != "" {
				overlaps = append(overlaps, open[id]+text)
			}
			open[id] = text
			runs[number] = append(runs[number], ledgerRun{id: id, node: node, begin: time.Duration(seconds * float64(time.Second))})
			continue
		}
		delete(open, id)
		for i := range runs[number] {
			runs[number][i].ended = runs[number][i].ended || runs[number][i].node == node
		}
	}
	return runs, overlaps
}

// begun returns how many programs have begun on a node, and not ended.
func (l *ledger) begun(node string) (n int) {
	runs, _ := l.runs()
	for _, list := range runs {
		for _, r := range list {
			if r.node == node && !r.ended {
				n++
			}
		}
	}
	return n
}

// tellTime is how long it may take from when a call begins until its program has recorded
// so.
const tellTime = 2 * time.Second

// check compares what the programs have recorded with what their callers were told.
func (l *ledger) check() {
	l.t.Helper()
	runs, overlaps := l.runs()
	for _, o := range overlaps {
		l.t.Errorf("two programs of an account at once: %s", o)
	}
	counts, balances := map[string]int{}, map[int64]int{}
	for _, c := range l.calls {
		counts[c.outcome]++
		list := runs[c.number]
		balances[c.id] += len(list)
		switch {
		case len(list) > 1:
			l.t.Errorf("call %+v ran more than once: %+v", *c, list)
		case c.outcome == "ran" && len(list) == 0, c.outcome == "" && (len(list) == 0 || !list[0].ended):
			l.t.Errorf("the answer to %+v says that it ran, but its runs are %+v", *c, list)
		case c.outcome == "not run" && len(list) > 0:
			l.t.Errorf("call %+v did not run, but its runs are %+v", *c, list)
		case len(list) > 0 && list[0].begin > c.told+tellTime:
			l.t.Errorf("call %+v began %v after its caller was told: %+v", *c, list[0].begin-c.told, list)
		}
	}
	for id, want := range balances {
		data, err := os.ReadFile(l.path(fmt.Sprintf("balance.%d", id)))
		if got := strings.TrimSpace(string(data)); err != nil && want > 0 || err == nil && got != fmt.Sprint(want) {
			l.t.Errorf("account %d has %q, and %d increments ran: %v", id, got, want, err)
		}
	}
	l.t.Logf("%d calls by outcome: %v", len(l.calls), counts)
}

// TestLedgerOverlaps has a ledger look at programs of which two ran at once.
func TestLedgerOverlaps(t *testing.T) {
	t.Parallel()
	l := newLedger(t, http.DefaultClient)
	record := "begin 1 7 1@a 1.0\nbegin 2 8 1@a 1.0\nend 1 7 1@a 1.1\nbegin 3 7 2@a 1.1\nbegin 4 7 1@a 1.2\nend 3 7 2@a 1.2\n"
	if err := os.WriteFile(l.path("record"), []byte(record), 0o600); err != nil {
		t.Fatal(err)
	}
	want := "begin 3 7 2@a 1.1\nbegin 4 7 1@a 1.2\n"
	if runs, overlaps := l.runs(); len(runs) != 4 || len(overlaps) != 1 || overlaps[0] != want {
		t.Errorf("%d programs, overlaps %q; want 4, and %q", len(runs), overlaps, want)
	}
}
