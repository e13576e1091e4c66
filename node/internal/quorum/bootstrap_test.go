package quorum

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
)

// TestBootstrap has the first of three voters begin, by what the others say (rule 23).
func TestBootstrap(t *testing.T) {
	t.Parallel()
	list := []string{"3@h", "1@h", "2@h"}
	empty := func(voter string) (*Introduction, error) {
		return &Introduction{Server: voter + "/d", Voters: list, Empty: true}, nil
	}
	for _, test := range []struct {
		name  string
		third func() (*Introduction, error)
		want  bool
	}{
		{"all are empty", func() (*Introduction, error) { return empty("3@h") }, true},
		{"one does not answer", func() (*Introduction, error) { return nil, errLost }, false},
		{"one has a log", func() (*Introduction, error) {
			return &Introduction{Server: "3@h/d", Voters: list, Log: []string{"1@h/old", "2@h/d", "3@h/d"}}, nil
		}, false},
		{"one has voted", func() (*Introduction, error) { return &Introduction{Server: "3@h/d", Voters: list}, nil }, false},
		{"one has another list", func() (*Introduction, error) {
			return &Introduction{Server: "3@h/d", Voters: list[:2], Empty: true}, nil
		}, false},
		{"one is another", func() (*Introduction, error) { return empty("4@h") }, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 1, "1@h", "2@h", "3@h")
				w.intro = func(voter string) (*Introduction, error) {
					if voter == "3@h" {
						return test.third()
					}
					return empty(voter)
				}
				n := w.boot("1@h")
				time.Sleep(20 * time.Second)
				want := 0
				if test.want {
					want = 3
				}
				if got := n.q.voter.servers(); len(got) != want {
					t.Errorf("its log has the voters %v", got)
				}
				w.killAll()
			})
		})
	}
}

// TestKnows checks that a voter is its disk (rule 22).
func TestKnows(t *testing.T) {
	calmly(t, nil, func(d *director) {
		v := d.node("1@h").q.voter
		for _, name := range d.voters {
			disk := d.disks[name].server()
			if other := raft.ServerID(fmt.Sprint(name, "/other")); !v.knows(disk) || v.knows(other) || v.knows(raft.ServerID(name)) {
				d.t.Errorf("of %s, it knows %s: %t, %s: %t", name, disk, v.knows(disk), other, v.knows(other))
			}
			q := d.node(name).q
			if _, err := q.ServeTerm(string(disk)); err != nil {
				d.t.Error(err)
			}
			if _, err := q.ServeTerm(name + "/other"); !errors.Is(err, errOtherDisk) {
				d.t.Errorf("%s answers for a disk that it has lost: %v", name, err)
			}
		}
	})
}

// TestClusterFirst checks that the first entry of a log is the identity of the cluster.
func TestClusterFirst(t *testing.T) {
	calmly(t, nil, func(d *director) {
		logs := d.disks["1@h"].logs
		var first entry
		for i := uint64(1); first.Cluster == "" && first.View == nil; i++ {
			var l raft.Log
			if err := logs.GetLog(i, &l); err != nil {
				d.t.Fatal(err)
			}
			if l.Type == raft.LogCommand {
				if err := json.Unmarshal(l.Data, &first); err != nil {
					d.t.Fatal(err)
				}
			}
		}
		if first.Cluster == "" || first.Cluster != d.node("2@h").q.voter.machine.now().cluster {
			d.t.Errorf("the first entry is %+v", first)
		}
	})
}

// TestReadyHint checks that all members ask a new leader as soon as it is ready.
func TestReadyHint(t *testing.T) {
	calmly(t, []string{"4@h"}, func(d *director) {
		time.Sleep(300 * time.Millisecond) // between the renewals of members
		old := d.node("1@h")
		go old.q.voter.stepDown(context.Background())
		for l := d.leader(); l == nil || l == old; l = d.leader() {
			time.Sleep(time.Millisecond)
		}
		time.Sleep(10 * time.Millisecond)
		for _, n := range d.living() {
			n.q.mu.Lock()
			if n.q.leader != d.leader().name {
				d.t.Errorf("%s asks %s", n.name, n.q.leader)
			}
			n.q.mu.Unlock()
		}
	})
}
