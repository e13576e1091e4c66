package quorum

import (
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"github.com/distproc/distproc/node/internal/testlog"
)

// takePart makes a disk that of a voter with a log: it has these voters, and the views of a
// cluster up to epoch 7.
func takePart(t *testing.T, d *disk, cluster string, voters ...raft.ServerID) {
	t.Helper()
	var c raft.Configuration
	for _, id := range voters {
		c.Servers = append(c.Servers, raft.Server{ID: id, Address: raft.ServerAddress(id)})
	}
	_, trans := raft.NewInmemTransport("")
	if err := raft.BootstrapCluster(d.offline(), d.logs, d.stable, d.snaps, trans, c); err != nil {
		t.Fatal(err)
	}
	v := &View{Epoch: 7, Seats: []Seat{{Member: node(1)}}}
	for i, e := range []*entry{{Cluster: cluster}, {View: v}} {
		if err := d.logs.StoreLog(&raft.Log{Index: uint64(2 + i), Term: 1, Type: raft.LogCommand, Data: e.encode()}); err != nil {
			t.Fatal(err)
		}
	}
}

// TestRecovery makes the voter of a directory the only one.
func TestRecovery(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	refuse := func(name, why string) {
		t.Helper()
		r, err := OpenRecovery(dir, name)
		if err == nil {
			r.Close()
		}
		if err == nil || !strings.Contains(err.Error(), why) || !strings.Contains(err.Error(), dir) {
			t.Errorf("%v; want %q", err, why)
		}
	}
	refuse("1@h", "no voter has used it")
	mustOpen(t, dir).close()
	refuse("1@h", "it is empty")
	refuse("2@h", "it belongs to 1@h")
	d := mustOpen(t, dir)
	own := d.server()
	refuse("1@h", "a process uses it; stop the node first")
	takePart(t, d, "old", own, "2@h/b", "3@h/c")
	d.close()

	r, err := OpenRecovery(dir, "1@h")
	if err != nil {
		t.Fatal(err)
	}
	if r.Name != "1@h" || !slices.Equal(r.Voters, []string{"1@h", "2@h", "3@h"}) || r.Last != 3 || r.Epoch != 7 {
		t.Errorf("%+v", r)
	}
	err = r.Do()
	r.Close()
	if err != nil {
		t.Fatal(err)
	}
	refuse("1@h", "this is the only voter already")
	d = mustOpen(t, dir)
	defer d.close()
	s, last, err := d.replay()
	if err != nil || last != 3 || d.server() != own {
		t.Errorf("%v, last entry %d, voter %s", err, last, d.server())
	}
	if s.cluster == "" || s.cluster == "old" || !slices.Equal(s.former, []string{"old"}) || s.floor != 7+recoveryStep || len(s.views) > 0 {
		t.Errorf("%+v", s)
	}
}

// TestRecoveryRemoved refuses to recover from the directory of a voter that was removed.
func TestRecoveryRemoved(t *testing.T) {
	t.Parallel()
	d := newSimDisk("1@h", 1)
	d.empty = false
	takePart(t, d, "old", d.server(), "2@h/b")
	others := raft.Configuration{Servers: []raft.Server{{ID: "2@h/b", Address: "2@h/b"}}}
	l := &raft.Log{Index: 4, Term: 1, Type: raft.LogConfiguration, Data: raft.EncodeConfiguration(others)}
	if err := d.logs.StoreLog(l); err != nil {
		t.Fatal(err)
	}
	if _, err := newRecovery(d); err == nil || !strings.Contains(err.Error(), "no voter any more; recover one of 2@h") {
		t.Errorf("%v", err)
	}
}

// TestFormer has a cluster recovered many times.
func TestFormer(t *testing.T) {
	t.Parallel()
	s := &state{cluster: "first", views: []*View{{Epoch: 3}}}
	for range 3 * maxFormer {
		next := s.recovered()
		if !next.origin().follows(s.origin()) || s.origin().follows(next.origin()) || next.floor < s.floor+recoveryStep {
			t.Errorf("%+v after %+v", next, s)
		}
		s = next
	}
	if len(s.former) != maxFormer || s.floor >= endOfEpochs {
		t.Errorf("%+v", s)
	}
}

// TestOtherCluster starts a voter with the directory of another cluster. It says so once, and
// disturbs nobody.
func TestOtherCluster(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newCalm(t, 1)
		var log testlog.Buffer
		d.log = slog.New(slog.NewTextHandler(&log, nil))
		d.settle()
		term := d.node("1@h").q.voter.raft.CurrentTerm()
		d.node("3@h").kill()
		other := newSimDisk("3@h", 99)
		other.empty = false
		takePart(t, other, "other", other.server(), "7@h/x")
		d.mu.Lock()
		d.disks["3@h"] = other
		d.mu.Unlock()
		d.boot("3@h")
		time.Sleep(time.Minute)
		if l := d.leader(); l == nil || l.name != "1@h" || l.q.voter.raft.CurrentTerm() != term {
			t.Errorf("%v leads", l)
		}
		if n := log.Lines("level=ERROR", "node=3@h", "the data directory belongs to another cluster than that of 1@h and 2@h"); n != 1 {
			t.Errorf("it says so %d times", n)
		}
		if n := log.Lines("level=ERROR"); n != 1 {
			t.Errorf("%d errors: %s", n, &log)
		}
		for _, n := range d.living() {
			r := n.q.Report(n.ctx)
			i := slices.IndexFunc(r.Voters, func(s Standing) bool { return s.Name == "3@h" })
			if r.Answer != 2 || r.Voters[i].Problem != "its data directory belongs to another cluster" {
				t.Errorf("%s says %+v", n.name, r)
			}
		}
		d.killAll()
	})
}

// TestLists checks what nodes say when the voters change.
func TestLists(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newCalm(t, 1, "4@h", "5@h")
		var log testlog.Buffer
		d.log = slog.New(slog.NewTextHandler(&log, nil))
		d.given["5@h"] = []string{"1@h", "2@h", "5@h"}
		d.bootAll(d.names...)
		time.Sleep(20 * time.Second)
		count := func(want int, words ...string) {
			t.Helper()
			if n := log.Lines(words...); n != want {
				t.Errorf("%d lines with %q, want %d", n, words, want)
			}
		}
		const others = "the voters are others than --voters names"
		count(1, others)
		count(1, others, "node=5@h", "given=1@h,2@h,5@h", "voters=1@h,2@h,3@h")
		d.change("4@h", false, "3@h")
		time.Sleep(20 * time.Second)
		count(6, others)
		count(1, "this node is no voter any more")
		count(1, "this node is no voter any more", "node=3@h")
		d.change("4@h", true, "3@h") // with what it has on its disk
		time.Sleep(20 * time.Second)
		count(7, others)
		count(4, "the voters have changed")
		d.change("4@h", false, "3@h")
		time.Sleep(5 * time.Second)
		d.node("3@h").kill()
		d.boot("3@h")
		time.Sleep(20 * time.Second)
		count(3, "this node is no voter any more", "node=3@h")
		d.killAll()
	})
}

// TestRenewalAfterRecovery has a member that has an answer of the recovered cluster renew at the
// leader of before. That gives no lease, and makes no view later than that member's.
func TestRenewalAfterRecovery(t *testing.T) {
	calmly(t, nil, func(d *director) {
		n := d.node("1@h")
		before, epoch := n.q.voter.origin(), d.epoch()
		r := &Renewal{Member: d.node("2@h").q.Self, Lease: d.timing.Lease, Ack: epoch + recoveryStep, Origin: Origin{"after", []string{before.Cluster}}}
		if a, err := n.q.ServeRenewal(n.ctx, r); !errors.Is(err, errObsolete) {
			d.t.Errorf("%+v, %v", a, err)
		}
		time.Sleep(5 * time.Second)
		if d.epoch() != epoch {
			d.t.Errorf("epoch %d after %d", d.epoch(), epoch)
		}
	})
}
