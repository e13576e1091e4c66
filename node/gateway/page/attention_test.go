package page

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/distproc/distproc/node"
	"github.com/distproc/distproc/node/observe"
	"github.com/distproc/distproc/node/worker"
)

// A scene is a collection in a test of what needs attention.
type scene struct {
	*collection
	now   time.Time
	infos []node.NodeInfo
}

// newScene has three members, all well, that have voters.
func newScene() *scene {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	s := &scene{collection: newCollection("1@a", now.Add(-time.Hour), now), now: now}
	s.bounds = []time.Duration{time.Millisecond, slowRun, runTime}
	s.total.bounds = s.bounds
	for _, name := range three {
		s.infos = append(s.infos, node.NodeInfo{
			Member: node.Member{Name: name, Since: time.Hour}, Version: "v1 go1.26", Routing: "modulo", Kinds: map[string]string{"price": "1", "default": "2"},
			Quorum: &worker.Quorum{Voters: three, Voter: true, Leads: name == "2@b", Quorum: true, Lease: 2 * time.Second, Views: 1, Epoch: 7},
		})
	}
	return s
}

// look lets some time pass, takes the members and what each tells of its kinds, and returns
// what needs attention.
func (s *scene) look(d time.Duration, kinds map[string]observe.KindFigures) []Notice {
	s.now = s.now.Add(d)
	s.takeInfos(s.now, s.infos, nil)
	for _, name := range s.order {
		k, ok := kinds[name]
		if k.Kind == "" {
			k.Kind = "price"
		}
		if ok || kinds == nil {
			s.takeFigures(s.now, name, observe.Mark{}, observe.Figures{Run: 1, Clock: s.now, Bounds: s.bounds, Kinds: []observe.KindFigures{k}}, 0, nil)
		}
	}
	return s.notices(s.now)
}

// lines writes notices as text.
func lines(notices []Notice) string {
	var b strings.Builder
	for _, n := range notices {
		fmt.Fprintf(&b, "%s %s [%s %s]\n", n.Level, n.Text, n.Node, n.Kind)
	}
	return b.String()
}

// TestAttention has a table of what can be wrong, one at a time, and the sentences about it.
func TestAttention(t *testing.T) {
	t.Parallel()
	of := func(name string, k observe.KindFigures) map[string]observe.KindFigures {
		all := map[string]observe.KindFigures{"1@a": {}, "2@b": {}, "3@c": {}}
		all[name] = k
		return all
	}
	did := func(s *scene, samples int, sample observe.Sample) {
		buckets := bucketsOf(s.bounds, s.bounds)
		for i := range samples {
			s.total.add("price", s.last-int64(i), &sample, buckets, s.own)
		}
	}
	for name, c := range map[string]struct {
		set   func(s *scene)
		kinds map[string]observe.KindFigures
		after time.Duration // for which it must last
		want  string
	}{
		"all is well": {},
		"failed": {
			set: func(s *scene) {
				s.infos[2].State, s.infos[2].Since, s.infos[2].Kept, s.infos[2].Problem, s.infos[2].Quorum = node.StateFailed, 40*time.Second, 9*time.Minute, "out of reach", nil
			},
			want: "error 3@c failed 40 s ago; its ids wait another 9 min for its return: start it again, or disconnect it for good [3@c ]\n" +
				"warn voter 3@c is silent: 2 of 3 voters answer, and 2 are needed: start it again [3@c ]\n",
		},
		"failed, and kept for ever": {
			set: func(s *scene) {
				s.infos[2].State, s.infos[2].Since, s.infos[2].Kept = node.StateFailed, 30*time.Hour, worker.Forever
				for i := range s.infos {
					s.infos[i].Quorum = nil
				}
			},
			want: "error 3@c failed 30 h ago; its ids wait for its return: start it again, or disconnect it for good [3@c ]\n",
		},
		"out of reach": {
			set: func(s *scene) {
				s.infos[0].Quorum, s.infos[1].Quorum, s.infos[2].Quorum, s.infos[2].Problem = nil, nil, nil, "out of reach"
			},
			want: "error 3@c does not answer 1@a: out of reach [3@c ]\n",
		},
		"stuck": {
			set: func(s *scene) {
				s.infos[1].State, s.infos[1].Since = node.StateStuck, 3*time.Minute
				s.infos[0].Quorum, s.infos[1].Quorum, s.infos[2].Quorum = nil, nil, nil
			},
			want: "error 2@b is stuck for 3 min: it answers pings but no calls; is it stopped, or short of memory or CPU? [2@b ]\n",
		},
		"apart": {
			set:  func(s *scene) { s.infos[2].Apart, s.infos[2].Unready = true, "apart" },
			want: "error 3@c is apart: it was disconnected, and starts no server of a serial kind; connect it again, or let it go alone [3@c ]\n",
		},
		"unready": {
			set:  func(s *scene) { s.infos[2].Unready = "it joins\nnobody" },
			want: "error 3@c is not ready: it joins nobody [3@c ]\n",
		},
		"kinds differ": {
			set: func(s *scene) {
				s.infos[1].Kinds, s.infos[1].Differs = map[string]string{"price": "9", "default": "2", "new": "1"}, []string{"new", "price"}
				s.infos[2].Kinds, s.infos[2].Differs = map[string]string{"default": "2"}, []string{"price"}
			},
			want: "warn kind new: 1@a lacks it, and 2@b has it: let all nodes read the same file of kinds [2@b new]\n" +
				"warn kind price: 2@b defines it otherwise than 1@a; 3@c lacks it: let all nodes read the same file of kinds [ price]\n",
		},
		"no quorum": {
			set: func(s *scene) {
				for i := range s.infos {
					*s.infos[i].Quorum = worker.Quorum{Voters: three, Silent: []string{"2@b", "3@c"}, Why: "2@b and 3@c do not answer"}
					s.infos[i].Unready = "no quorum: 2@b and 3@c do not answer" // which need not be told of each
				}
			},
			after: leaderless,
			want: "error no quorum of strict kinds on 1@a, 2@b, 3@c: 2@b and 3@c do not answer [ ]\n" +
				"error no leader of the voters 1@a, 2@b, 3@c has been seen for 3 s: calls of strict kinds wait [ ]\n" +
				"error voter 2@b is silent: 1 of 3 voters answer, and 2 are needed: start it again [2@b ]\n" +
				"error voter 3@c is silent: 1 of 3 voters answer, and 2 are needed: start it again [3@c ]\n",
		},
		"an election": {
			set:   func(s *scene) { s.infos[1].Quorum.Leads = false },
			after: leaderless - time.Second,
		},
		"no leader": {
			set:   func(s *scene) { s.infos[1].Quorum.Leads = false },
			after: leaderless,
			want:  "error no leader of the voters 1@a, 2@b, 3@c has been seen for 3 s: calls of strict kinds wait [ ]\n",
		},
		"no lease": {
			set:   func(s *scene) { s.infos[2].Quorum.Lease = 0 },
			after: leaseless,
			want:  "error 3@c has had no lease for 2 s, and starts no call of a strict kind [3@c ]\n",
		},
		"several views": {
			set:   func(s *scene) { s.infos[2].Quorum.Views = 3 },
			after: viewsFor,
			want:  "warn 3@c has had 3 views of the members for 60 s: a member that was lost may still hold ids of strict kinds, which wait [3@c ]\n",
		},
		"a short view": {
			set:   func(s *scene) { s.infos[2].Quorum.Views = 2 },
			after: viewsFor - time.Second,
		},
		"memory": {
			set:  func(s *scene) { s.infos[2].Values, s.infos[2].MaxValues = 950<<20, 1000<<20 },
			want: "warn 3@c: values take 95 % of the memory that they may take, 1000.0 MiB: raise --max-memory, or keep fewer values [3@c ]\n",
		},
		"versions": {
			set:  func(s *scene) { s.infos[2].Version = "v2 go1.27" },
			want: "info the nodes have 2 versions: v1 go1.26 (1@a, 2@b); v2 go1.27 (3@c): an upgrade has not ended [ ]\n",
		},
		"stuck runs": {
			kinds: of("3@c", observe.KindFigures{Stuck: 1, StuckFor: 40 * time.Second}),
			want:  "error 3@c: stuck for kind price for 40 s: 1 run goes on although its time is up, and calls for its id wait [3@c price]\n",
		},
		"more stuck runs": {
			kinds: of("3@c", observe.KindFigures{Stuck: 2, StuckFor: 50 * time.Hour}),
			want:  "error 3@c: stuck for kind price for 2 days: 2 runs go on although their time is up, and calls for their ids wait [3@c price]\n",
		},
		"a long queue": {
			kinds: of("2@b", observe.KindFigures{Longest: queueWarn}),
			want:  "warn 2@b: 1000 calls wait for one id of kind price [2@b price]\n",
		},
		"a full queue": {
			kinds: of("2@b", observe.KindFigures{Longest: queueError}),
			want:  "error 2@b: 3276 calls wait for one id of kind price; beyond 4096 they are refused, unless its queue is set otherwise [2@b price]\n",
		},
		"a queue": {kinds: of("2@b", observe.KindFigures{Longest: queueWarn - 1})},
		"concurrency": {
			kinds: of("2@b", observe.KindFigures{Concurrency: 4, Running: 4, Queued: 7}),
			after: busyFor,
			want:  "warn 2@b: all 4 runs that kind price may have are in use for 5 s, and 7 wait: raise its concurrency, or make its source faster [2@b price]\n",
		},
		"concurrency for a moment": {kinds: of("2@b", observe.KindFigures{Concurrency: 4, Running: 4, Queued: 7}), after: busyFor - time.Second},
		"concurrency in use":       {kinds: of("2@b", observe.KindFigures{Concurrency: 4, Running: 4}), after: busyFor},
		"the memory of a kind": {
			kinds: of("2@b", observe.KindFigures{Bytes: 1000, MaxBytes: 1001}),
			want:  "info 2@b: values of kind price take 99 % of the memory that they may take, 1001 bytes: raise its max_bytes, or keep fewer values [2@b price]\n",
		},
		"some requests fail": {
			set:  func(s *scene) { did(s, 12, observe.Sample{Latency: []uint32{100, 0, 0, 0}, Failed: 1}) },
			want: "warn kind price: 1.0 % of the requests of the last minute (12 of 1200) failed; the log of the nodes says why [ price]\n",
		},
		"many requests fail": {
			set:  func(s *scene) { did(s, 12, observe.Sample{Latency: []uint32{10, 0, 0, 0}, Failed: 1}) },
			want: "error kind price: 10 % of the requests of the last minute (12 of 120) failed; the log of the nodes says why [ price]\n",
		},
		"few requests":   {set: func(s *scene) { did(s, 1, observe.Sample{Latency: []uint32{fewest - 1, 0, 0, 0}, Failed: fewest - 1}) }},
		"fewer fail":     {set: func(s *scene) { did(s, 12, observe.Sample{Latency: []uint32{101, 0, 0, 0}, Failed: 1}) }},
		"some are stale": {set: func(s *scene) { did(s, 12, observe.Sample{Latency: []uint32{101, 0, 0, 0}, Stale: 10}) }},
		"degraded": {
			set:  func(s *scene) { did(s, 12, observe.Sample{Latency: []uint32{100, 0, 0, 0}, Degraded: 1}) },
			want: "warn kind price: 1.0 % of the requests of the last minute (12 of 1200) were answered in place of an owner that cannot be reached [ price]\n",
		},
		"stale": {
			set:  func(s *scene) { did(s, 12, observe.Sample{Latency: []uint32{100, 0, 0, 0}, Stale: 10}) },
			want: "info kind price: 10 % of the requests of the last minute (120 of 1200) were answered with old values, as the source fails or is slow [ price]\n",
		},
		"mostly stale": {
			set:  func(s *scene) { did(s, 12, observe.Sample{Latency: []uint32{100, 0, 0, 0}, Stale: 50}) },
			want: "warn kind price: 50 % of the requests of the last minute (600 of 1200) were answered with old values, as the source fails or is slow [ price]\n",
		},
		"runs fail": {
			set:  func(s *scene) { did(s, 12, observe.Sample{Runs: []uint32{10, 0, 0, 0}, RunsFailed: 1}) },
			want: "warn kind price: 10 % of the runs of the last minute (12 of 120) failed: look at its source [ price]\n",
		},
		"most runs fail": {
			set:  func(s *scene) { did(s, 12, observe.Sample{Runs: []uint32{10, 0, 0, 0}, RunsFailed: 10}) },
			want: "error kind price: 100 % of the runs of the last minute (120 of 120) failed: look at its source [ price]\n",
		},
		"slow runs": {
			set:  func(s *scene) { did(s, 12, observe.Sample{Runs: []uint32{0, 198, 1, 1}}) },
			want: "warn kind price: 1.0 % of the runs of the last minute (24 of 2400) took longer than 2.5s; a run has 5s, unless the kind says otherwise: look at its source [ price]\n",
		},
		"quick runs": {set: func(s *scene) { did(s, 12, observe.Sample{Runs: []uint32{0, 1000, 1, 1}}) }},
		"evictions": {
			set:  func(s *scene) { did(s, 1, observe.Sample{Runs: []uint32{10, 0, 0, 0}, Evicted: 1}) },
			want: "info kind price: 1 worker went before its time in the last minute, to free memory: raise its max_bytes or --max-memory [ price]\n",
		},
		"thrashing": {
			set:  func(s *scene) { did(s, 1, observe.Sample{Runs: []uint32{10, 0, 0, 0}, Evicted: 5}) },
			want: "warn kind price: 5 workers went before their time in the last minute, to free memory: raise its max_bytes or --max-memory [ price]\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene()
			s.look(0, c.kinds)
			if c.set != nil {
				s.watch = newAttention()
				c.set(s)
			}
			got := s.look(0, c.kinds)
			for passed := time.Duration(0); passed < c.after; passed += time.Second {
				if got := lines(got); got == c.want && c.want != "" {
					t.Errorf("after %v already: %s", passed, got)
				}
				got = s.look(time.Second, c.kinds)
			}
			if lines(got) != c.want {
				t.Errorf("got\n%swant\n%s", lines(got), c.want)
			}
		})
	}
}

// TestAttentionFigures is about members that tell no figures, or have another clock.
func TestAttentionFigures(t *testing.T) {
	t.Parallel()
	s := newScene()
	for i := range s.infos {
		s.infos[i].Quorum = nil
	}
	s.look(0, nil)
	answer := func(name string, clock time.Duration, err error) {
		s.takeFigures(s.now, name, observe.Mark{}, observe.Figures{Run: 1, Clock: s.now.Add(clock), Bounds: s.bounds}, 0, err)
	}
	answer("2@b", -clockOff, nil)
	answer("3@c", clockOff+2*time.Hour, nil)
	const ahead = "warn the clock of 3@c is 2 h ahead of that of 1@a: the times of its events are wrong; is its clock set by NTP? [3@c ]\n"
	if got := lines(s.notices(s.now)); got != ahead {
		t.Errorf("got\n%s", got)
	}
	s.infos[1].Stuck = 2
	for range 10 {
		s.look(time.Second, map[string]observe.KindFigures{"1@a": {}})
		answer("2@b", 0, errors.New("broken\n"))
		answer("3@c", 0, node.ErrUnsupported)
	}
	const none = "error 2@b has 2 runs of sources that do not end [2@b ]\n" +
		"warn 2@b is missing in the figures: broken  [2@b ]\n" +
		"info 3@c is missing in the figures: its version does not know the question: update it [3@c ]\n"
	if got := lines(s.notices(s.now)); got != none {
		t.Errorf("got\n%s", got)
	}
}

// TestAttentionGrows has a queue that grows, and one that is as long as before.
func TestAttentionGrows(t *testing.T) {
	t.Parallel()
	s := newScene()
	grows := 0
	for i := range 60 {
		kinds := map[string]observe.KindFigures{"1@a": {}, "2@b": {Longest: 100 + 10*i}, "3@c": {Longest: 500 + i%7}}
		for _, n := range s.look(time.Second, kinds) {
			if n.Node != "2@b" {
				t.Fatalf("after %d s: %+v", i, n)
			}
			if grows++; grows == 1 && n.Text != "2@b: a queue of kind price grows: 200 calls wait for one id, 100 did 10 s ago" {
				t.Errorf("after %d s: %s", i, n.Text)
			}
		}
	}
	if grows < 5 || grows > 40 { // from 300 to 400 it is less than half as much again
		t.Errorf("it grew in %d of 60 s", grows)
	}
}

// TestAttentionHolds has conditions that come and go. A notice stays for some seconds, and
// so does its level. What has lasted goes soon after its end.
func TestAttentionHolds(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		longest []int // of a queue, in each second
		want    string
	}{
		"once":           {[]int{queueWarn}, "wwwwww.."},
		"now and then":   {[]int{queueWarn, 0, queueWarn, 0, 0, queueWarn, 0, queueWarn, 0, 0, 0, 0}, "wwwwwwwwww...."},
		"worse for once": {[]int{queueWarn, 0, queueError, 0, queueWarn, queueWarn, queueWarn, queueWarn, queueWarn, 0, 0}, "wweeeeeewww...."},
		"for long":       {[]int{queueError, queueError, queueError, queueError, queueError, queueError, queueError, queueError, queueError}, "eeeeeeeeeee..."},
	} {
		s := newScene()
		s.look(0, nil)
		seen := ""
		for i := range c.want {
			k := observe.KindFigures{}
			if i < len(c.longest) {
				k.Longest = c.longest[i]
			}
			got := append(s.look(time.Second, map[string]observe.KindFigures{"1@a": {}, "2@b": k, "3@c": {}}), Notice{Level: "."})
			seen += got[0].Level[:1]
		}
		if seen != c.want {
			t.Errorf("%s: seen %s, want %s", name, seen, c.want)
		}
		if s.look(time.Second, nil); len(s.watch.held) != 0 {
			t.Errorf("%s: %d conditions are held for ever", name, len(s.watch.held))
		}
	}
}

// TestAttentionOfMany looks at so many members that they are asked every 10 s. What lasts is
// still known to last.
func TestAttentionOfMany(t *testing.T) {
	t.Parallel()
	s := newScene()
	for i := range maxMembers - len(s.infos) {
		s.infos = append(s.infos, node.NodeInfo{Member: node.Member{Name: fmt.Sprintf("%d@h", i)}, Version: "v1 go1.26"})
	}
	s.infos[1].Quorum.Leads = false
	var got string
	for range 5 {
		got = lines(s.look(10*time.Second, map[string]observe.KindFigures{}))
	}
	if want := "error no leader of the voters 1@a, 2@b, 3@c has been seen for 40 s: calls of strict kinds wait [ ]\n"; got != want {
		t.Errorf("got %s", got)
	}
}

// TestAttentionBounded has a thousand members that all have failed, in many kinds and versions.
func TestAttentionBounded(t *testing.T) {
	t.Parallel()
	s := newScene()
	s.infos = nil
	for i := range 2 * maxMembers {
		n := node.NodeInfo{Member: node.Member{Name: fmt.Sprintf("%d@h", i), Since: math.MaxInt64, Kept: math.MaxInt64, State: node.StateFailed}, Version: fmt.Sprint(i)}
		for k := range 100 {
			n.Differs = append(n.Differs, fmt.Sprintf("k%d", 100*i+k))
		}
		s.infos = append(s.infos, n)
	}
	for range 3 {
		got := s.look(time.Second, nil)
		if len(got) != maxNotices+1 {
			t.Fatalf("%d notices", len(got))
		}
		for _, n := range got {
			if len(n.Text) > maxWhy {
				t.Errorf("a notice of %d bytes", len(n.Text))
			}
		}
		if last := got[maxNotices]; last.Level != "error" || !strings.HasPrefix(last.Text, "and ") {
			t.Errorf("the last line: %+v", last)
		}
		if n := len(s.order); n > maxMembers {
			t.Errorf("%d members", n)
		}
		if n := len(s.watch.held); n > maxHeld {
			t.Errorf("%d conditions are held", n)
		}
	}
}

func TestWords(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		0: "1 s", 1900 * time.Millisecond: "1 s", 119 * time.Second: "119 s", 2 * time.Minute: "2 min", 119 * time.Minute: "119 min",
		2 * time.Hour: "2 h", 48 * time.Hour: "2 days", worker.Forever: "100 years",
	} {
		if got := lasting(d); got != want {
			t.Errorf("%v is %q, want %q", d, got, want)
		}
	}
	for _, c := range []struct {
		part, whole uint64
		want        string
	}{{1, 3, "33 %"}, {999, 1000, "99 %"}, {1, 1, "100 %"}, {1, 1 << 60, "0.1 %"}, {1, 40, "2.5 %"}, {3, 0, "99 %"}} {
		if got := percent(c.part, c.whole); got != c.want {
			t.Errorf("%d of %d is %q, want %q", c.part, c.whole, got, c.want)
		}
	}
	for n, want := range map[int64]string{0: "0 bytes", 1023: "1023 bytes", 1 << 10: "1.0 KiB", 3 << 29: "1.5 GiB", math.MaxInt64: "8.0 EiB"} {
		if got := size(n); got != want {
			t.Errorf("%d is %q, want %q", n, got, want)
		}
	}
	for n, want := range map[int]string{1: "a", 2: "a, b", 6: "a, b, c, d, e, f", 7: "a, b, c, d, e and 2 others"} {
		if got := namesOf([]string{"a", "b", "c", "d", "e", "f", "g"}[:n]); got != want {
			t.Errorf("%d names are %q, want %q", n, got, want)
		}
	}
}
