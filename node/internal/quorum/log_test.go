package quorum

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/distproc/distproc/node/placement"
	"github.com/distproc/distproc/node/worker"
)

// A logTest is a machine, and what it has said of its states.
type logTest struct {
	*machine
	said []*state
	n    uint64
}

func newLogTest() *logTest {
	l := &logTest{}
	l.machine = newMachine(func(s *state) { l.said = append(l.said, s) })
	return l
}

func (l *logTest) add(data string) error {
	l.n++
	err, _ := l.Apply(&raft.Log{Index: l.n, Data: []byte(data)}).(error)
	return err
}

func (l *logTest) addEntry(t *testing.T, e *entry) {
	t.Helper()
	if err := l.add(string(e.encode())); err != nil {
		t.Fatal(err)
	}
}

// A sink is a snapshot in memory.
type sink struct {
	bytes.Buffer
	err      error
	canceled bool
	closed   bool
}

func (s *sink) Write(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	return s.Buffer.Write(p)
}
func (s *sink) Close() error  { s.closed = true; return nil }
func (s *sink) ID() string    { return "" }
func (s *sink) Cancel() error { s.canceled = true; return nil }

// TestLog applies entries, and retires views.
func TestLog(t *testing.T) {
	t.Parallel()
	l := newLogTest()
	if l.now().newest() != nil {
		t.Error("an empty log has a view")
	}
	l.addEntry(t, &entry{Cluster: "c"})
	l.addEntry(t, &entry{Cluster: "another"})
	l.addEntry(t, &entry{View: &View{Epoch: 3, Seats: seats(2, 1)}})
	l.addEntry(t, &entry{View: &View{Epoch: 3, Seats: seats(9)}}) // of a leader of before
	l.addEntry(t, &entry{View: &View{Epoch: 2, Seats: seats(9)}})
	l.addEntry(t, &entry{View: &View{Epoch: 7, Seats: seats(1, -2), Leavers: []Member{node(3)}}})
	old := l.now()
	if old.cluster != "c" || len(old.views) != 2 || old.views[0].Epoch != 3 || old.newest().Epoch != 7 {
		t.Fatalf("%+v", old)
	}
	if m, ok := old.views[0].Acting(worker.IntID(1)); !ok || m != node(2) {
		t.Errorf("%v acts for 1: the seats are not in order", m)
	}
	l.addEntry(t, &entry{Retire: 7})
	l.addEntry(t, &entry{Retire: 4}) // late
	if s := l.now(); len(s.views) != 1 || s.retired != 7 {
		t.Errorf("%+v", s)
	}
	l.addEntry(t, &entry{Retire: 99})
	if s := l.now(); s.newest() == nil || s.newest().Epoch != 7 {
		t.Errorf("the newest view is retired: %+v", s)
	}
	if len(old.views) != 2 || old.retired != 0 {
		t.Error("a state has changed that others have")
	}
	if uint64(len(l.said)) != l.n || l.said[l.n-1] != l.now() {
		t.Errorf("%d entries made %d states", l.n, len(l.said))
	}
}

// TestLogNonsense applies entries that make no sense. Nothing changes, and raft goes on.
func TestLogNonsense(t *testing.T) {
	t.Parallel()
	l := newLogTest()
	l.addEntry(t, &entry{View: &View{Epoch: 3, Seats: seats(1)}})
	before := l.now()
	for _, data := range []string{
		"", "{", "[]", "7", `"x"`, "\x00\x01", `{"retire":-1}`, `{"retire":"x"}`, `{"view":{}}`, `{"view":7}`,
		`{"view":{"Epoch":4,"Seats":[{"Name":"x"}]}}`, `{"view":{"Epoch":4,"Seats":[{"Name":"1@h"},{"Name":"1@h","Incarnation":2}]}}`,
		`{"view":{"Epoch":4,"Routing":"no such rule"}}`, `{"view":{"Epoch":99999999999999999999}}`,
	} {
		if err := l.add(data); err == nil || !strings.Contains(err.Error(), "entry ") {
			t.Errorf("%q: %v", data, err)
		}
		if l.now() != before {
			t.Errorf("%q has changed the state", data)
		}
	}
	for _, data := range []string{`{}`, `null`, `{"of a later version":7}`} {
		if err := l.add(data); err != nil || l.now().newest() != before.newest() {
			t.Errorf("%q: %v", data, err)
		}
	}
}

// TestSnapshot saves a state and restores it.
func TestSnapshot(t *testing.T) {
	t.Parallel()
	l := newLogTest()
	l.addEntry(t, &entry{Cluster: "c"})
	l.addEntry(t, &entry{View: &View{Epoch: 3, Seats: seats(1)}})
	l.addEntry(t, &entry{View: &View{Epoch: 5, Routing: placement.Rendezvous, Seats: seats(1, -2), Leavers: []Member{{"3@h", 1 << 63}}}})
	l.addEntry(t, &entry{View: &View{Epoch: 6, Seats: seats(1, 2)}})
	l.addEntry(t, &entry{Retire: 5})
	s, err := l.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	want := string(l.now().encodeForTest(t))
	l.addEntry(t, &entry{Retire: 6}) // after the snapshot, which does not change
	var to sink
	if err := s.Persist(&to); err != nil || !to.closed {
		t.Fatal(err)
	}
	s.Release()
	other := newLogTest()
	if err := other.Restore(io.NopCloser(&to.Buffer)); err != nil {
		t.Fatal(err)
	}
	if got := string(other.now().encodeForTest(t)); got != want {
		t.Errorf("restored %s, want %s", got, want)
	}
	if len(other.said) != 1 || other.said[0] != other.now() {
		t.Error("nobody was told of the state restored")
	}
	for id := range int64(5) {
		a, _ := l.now().newest().Acting(worker.IntID(id))
		if b, ok := other.now().newest().Acting(worker.IntID(id)); !ok || a != b {
			t.Errorf("%v acts for %d, then %v", a, id, b)
		}
	}
	if err := s.Persist(&sink{err: io.ErrShortWrite}); err == nil {
		t.Error("a snapshot that could not be written is no error")
	}
}

func (s *state) encodeForTest(t *testing.T) []byte {
	t.Helper()
	var to sink
	if err := s.Persist(&to); err != nil {
		t.Fatal(err)
	}
	return to.Bytes()
}

// TestSnapshotNonsense restores snapshots that make no sense.
func TestSnapshotNonsense(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ data, err string }{
		{"", "EOF"},
		{`{"Format":1,"Views":[`, "unexpected EOF"},
		{`{"Format":2}`, "format 2; this version reads format 1"},
		{`{}`, "format 0"},
		{`{"Format":1,"Views":[null]}`, "missing"},
		{`{"Format":1,"Views":[{"Epoch":2},{"Epoch":1}]}`, "order"},
	} {
		l := newLogTest()
		before := l.now()
		err := l.Restore(io.NopCloser(strings.NewReader(test.data)))
		if err == nil || !strings.Contains(err.Error(), test.err) || !strings.Contains(err.Error(), "snapshot") {
			t.Errorf("%q: %v", test.data, err)
		}
		if l.now() != before || len(l.said) > 0 {
			t.Errorf("%q has changed the state", test.data)
		}
	}
}

// FuzzEntry applies any entry and then restores a snapshot of the result.
func FuzzEntry(f *testing.F) {
	f.Add([]byte(`{"cluster":"c"}`), []byte(`{"view":{"Epoch":4,"Seats":[{"Name":"1@h"},{"Name":"2@h","Failed":true}]}}`))
	f.Add([]byte(`{"view":{"Epoch":18446744073709551615,"Leavers":[{}]}}`), []byte(`{"retire":7}`))
	f.Fuzz(func(t *testing.T, first, second []byte) {
		l := newLogTest()
		_, _ = l.add(string(first)), l.add(string(second))
		saved := l.now().encodeForTest(t)
		other := newLogTest()
		if err := other.Restore(io.NopCloser(bytes.NewReader(saved))); err != nil {
			t.Fatalf("%s: %v", saved, err)
		}
		if again := other.now().encodeForTest(t); !bytes.Equal(saved, again) {
			t.Errorf("saved %s, restored %s", saved, again)
		}
	})
}
