package quorum

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"github.com/distproc/distproc/node/internal/testlog"
)

// A sickStore is a store that fails while it is sick.
type sickStore struct {
	raft.StableStore
	mu    sync.Mutex
	err   error
	tries int
}

func (s *sickStore) set(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

func (s *sickStore) tried() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tries
}

func (s *sickStore) check() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tries++
	return s.err
}

func (s *sickStore) Set(key, value []byte) error {
	if err := s.check(); err != nil {
		return err
	}
	return s.StableStore.Set(key, value)
}

func (s *sickStore) SetUint64(key []byte, value uint64) error {
	if err := s.check(); err != nil {
		return err
	}
	return s.StableStore.SetUint64(key, value)
}

// TestVotes saves a vote on a disk that is sick for some time.
func TestVotes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &sickStore{StableStore: raft.NewInmemStore(), err: syscall.ENOSPC}
		var said []error
		closed := make(chan struct{})
		v := votes{StableStore: s, closed: closed, failed: func(err error) { said = append(said, err) }}
		done := make(chan error, 1)
		go func() { done <- v.SetUint64([]byte("k"), 7) }()
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(done) > 0 || s.tried() < 50 || s.tried() > 80 {
			t.Errorf("it has tried %d times, and is done: %t", s.tried(), len(done) > 0)
		}
		s.set(nil)
		time.Sleep(time.Second)
		synctest.Wait()
		if len(done) == 0 {
			t.Fatal("it waits though the disk is well again")
		}
		if n, err := v.GetUint64([]byte("k")); <-done != nil || n != 7 || err != nil {
			t.Errorf("saved %d, %v", n, err)
		}
		if len(said) != s.tried() || said[0] == nil || said[len(said)-1] != nil {
			t.Errorf("of %d tries it has reported %d", s.tried(), len(said))
		}

		s.set(syscall.EIO)
		ended, went := make(chan struct{}), false
		go func() {
			defer close(ended)
			_ = v.Set([]byte("k"), nil)
			went = true
		}()
		time.Sleep(time.Second)
		close(closed)
		<-ended
		if went {
			t.Error("raft goes on after a vote that was not saved")
		}
	})
}

// sick makes the disk of a node's next life one whose votes can be made to fail.
func (w *world) sick(name string) *sickStore {
	d := newSimDisk(name, 0)
	s := &sickStore{StableStore: d.stable}
	d.stable = s
	w.disks[name] = d
	return s
}

// TestDiskFullInTime has the disk of a voter full while others elect. It does not vote, says
// nothing that is untrue, and goes on when there is room.
func TestDiskFullInTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, "1@h", "2@h", "3@h")
		w.calm.Store(true)
		stores := map[string]*sickStore{}
		for _, name := range w.voters {
			stores[name] = w.sick(name)
		}
		w.bootAll(w.voters...)
		time.Sleep(15 * time.Second)
		w.agree(w.voters)
		sick := w.nodes["2@h"]
		stores["2@h"].set(syscall.ENOSPC)
		w.leader().q.voter.stepDown(context.Background())
		time.Sleep(20 * time.Second)
		if l := w.leader(); l == nil || l == sick {
			t.Fatalf("%v leads", l)
		}
		stores["2@h"].set(nil)
		time.Sleep(20 * time.Second)
		w.agree(w.voters)
		// It can be closed while it waits.
		stores["2@h"].set(syscall.ENOSPC)
		w.leader().q.voter.stepDown(context.Background())
		time.Sleep(5 * time.Second)
		w.killAll()
	})
}

// TestStartFull starts a voter on a disk that is full. That is an error: nobody could close a
// voter that waits before it has begun.
func TestStartFull(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, "1@h")
		w.sick("1@h").set(syscall.ENOSPC)
		n := &simNode{w: w, name: "1@h"}
		q := New(Config{Timing: w.timing, Voters: w.voters, Log: w.log, Clock: func() time.Duration { return w.now() }})
		defer q.cancel()
		if err := q.open(node(1), n, w.disks["1@h"]); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("%v", err)
		}
	})
}

// A fullLog is a log that takes no more entries while it is full.
type fullLog struct {
	raft.LogStore
	full atomic.Bool
}

func (s *fullLog) StoreLogs(list []*raft.Log) error {
	if s.full.Load() {
		return syscall.ENOSPC
	}
	return s.LogStore.StoreLogs(list)
}

// TestLogFull has a disk that takes votes and no entries: that needs more room. The voter says
// so to those who look, and in its log.
func TestLogFull(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, "1@h", "2@h", "3@h")
		w.calm.Store(true)
		said := w.listen()
		d := newSimDisk("2@h", 0)
		s := &fullLog{LogStore: d.logs}
		d.logs, w.disks["2@h"] = s, d
		w.bootAll("1@h", "2@h", "3@h", "4@h")
		time.Sleep(15 * time.Second)
		s.full.Store(true)
		w.nodes["4@h"].kill() // that is an entry
		time.Sleep(15 * time.Second)
		check := func(answer int, problem, line string) {
			t.Helper()
			if r := w.nodes["1@h"].q.Report(t.Context()); r.Answer != answer || r.Voters[1].Problem != problem {
				t.Errorf("%+v; want that %d answer", r, answer)
			}
			if n := strings.Count(said(), line); n != 1 {
				t.Errorf("the log has %d lines %q; want one", n, line)
			}
		}
		check(2, "its data directory cannot be written: no space left on device", "the data directory cannot be written; this voter")
		s.full.Store(false)
		time.Sleep(15 * time.Second)
		check(3, "", "the data directory can be written again")
		w.killAll()
	})
}

// listen returns what returns the log of all nodes that start from now on.
func (w *world) listen() func() string {
	var b testlog.Buffer
	w.log = slog.New(slog.NewTextHandler(&b, nil))
	return b.String
}

// TestAlone has the log say what one voter does not protect from, and nothing of that while
// there are three.
func TestAlone(t *testing.T) {
	t.Parallel()
	for size, want := range map[int]int{1: 1, 3: 0} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, 1, []string{"1@h", "2@h", "3@h"}[:size]...)
			w.calm.Store(true)
			said := w.listen()
			w.bootAll(w.voters...)
			time.Sleep(15 * time.Second)
			w.killAll()
			if n := strings.Count(said(), "one voter alone: "); n != want {
				t.Errorf("%d voters: %d lines; want %d\n%s", size, n, want, said())
			}
		})
	}
}
