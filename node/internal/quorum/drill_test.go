package quorum

import (
	"context"
	"flag"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/distproc/distproc/node/worker"
)

var simDrills = flag.Int("sim.drills", 2, "how many seeds each drill is run with")

// A drill is a script that leads to a rare interleaving, with random offsets. Random faults
// seldom get there.
type drill struct {
	name   string
	voters int
	others int // nodes that are no voters
	do     func(*director)
}

var drills = []drill{
	{"a deposed leader keeps a member", 3, 1, (*director).deposed},
	{"a leader is cut off with a voter", 5, 1, (*director).minority},
	{"votes are slow", 3, 1, (*director).slowVotes},
	{"a leader is cut off when a view is committed", 3, 1, (*director).barrier},
	{"a leader pauses before it verifies", 3, 1, func(d *director) { d.pauseAt("verify") }},
	{"a leader pauses before it answers", 3, 1, func(d *director) { d.pauseAt("answer") }},
	{"to verify takes long", 3, 1, (*director).slowVerify},
	{"a fast leader and a slow member", 3, 1, (*director).clocks},
	{"a new fast leader and a slow member", 3, 1, (*director).newClocks},
	{"a member misses a view", 3, 1, (*director).missed},
	{"calls run while views and leaders change", 3, 1, (*director).busy},
	{"restarts at once", 3, 1, (*director).restarts},
	{"a rolling restart", 3, 2, (*director).rolling},
	{"joins and leaves", 3, 3, (*director).joins},
	{"one voter", 1, 2, (*director).one},
	{"one node", 1, 0, (*director).one},
	{"a busy member is cut off", 3, 1, (*director).cutBusy},
	{"a voter loses its disk", 3, 1, (*director).wiped},
	{"a voter is replaced", 3, 1, (*director).replaced},
	{"two voters lose their disks", 3, 1, (*director).twoWiped},
	{"one voter is left", 3, 1, (*director).recovered},
	{"a node founds a second cluster", 3, 1, (*director).founded},
	{"voters of before a recovery come back", 3, 1, (*director).returned},
}

// TestDrills runs each drill, and looks at all that ran.
func TestDrills(t *testing.T) {
	for _, d := range drills {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(*simDrills) {
				t.Run(fmt.Sprint(seed), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { d.run(t, *simSeed+seed) })
				})
			}
		})
	}
}

// A director has the world of a drill. The first voter leads at first.
type director struct {
	*world
	names []string
	long  time.Duration   // of a part of the calls; guarded by mu
	left  []time.Duration // how long each leave took; guarded by mu
}

// newCalm returns a cluster without trouble of three voters and others. No node runs yet.
func newCalm(t *testing.T, seed uint64, others ...string) *director {
	w := newWorld(t, seed, "1@h", "2@h", "3@h")
	w.calm.Store(true)
	return &director{world: w, names: append(slices.Clone(w.voters), others...)}
}

// settle boots all nodes, and has the first one lead.
func (d *director) settle() {
	d.bootAll(d.names...)
	time.Sleep(12 * time.Second)
	d.lead("1@h")
	time.Sleep(3 * time.Second)
}

// calmly runs a test with a cluster of three voters, and others, that has settled.
func calmly(t *testing.T, others []string, test func(d *director)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newCalm(t, 1, others...)
		d.settle()
		test(d)
		d.killAll()
	})
}

func (d drill) run(t *testing.T, seed uint64) {
	var names []string
	for i := range d.voters + d.others {
		names = append(names, fmt.Sprint(i+1, "@h"))
	}
	w := newWorld(t, seed, names[:d.voters]...)
	if *simLog {
		w.showLog()
	}
	w.calm.Store(true)
	dir := &director{world: w, names: names}
	if d.name == "a voter is replaced" {
		w.given["4@h"] = []string{"1@h", "2@h", "4@h"}
	}
	if d.name == "a node founds a second cluster" {
		w.given["5@h"] = []string{"5@h"}
	}
	if d.name == "a fast leader and a slow member" || d.name == "a new fast leader and a slow member" {
		for i, name := range names {
			w.rate[name] = 1 + drift
			if i == len(names)-1 {
				w.rate[name] = 1 - drift
			}
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for _, name := range names {
		w.boot(name)
		wg.Go(func() { dir.eager(ctx, name) })
	}
	time.Sleep(12 * time.Second)
	dir.lead(names[0])
	d.do(dir)
	dir.heal()
	time.Sleep(25 * time.Second)
	w.agree(dir.names)
	stop()
	wg.Wait()
	w.killAll()
	found := w.history.check()
	t.Logf("%+v", found)
	if found.bad() || found.Answered < 100 {
		t.Errorf("%+v", found)
	}
}

// eager has a node run calls of all ids whenever it may.
func (d *director) eager(ctx context.Context, name string) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for ctx.Err() == nil {
		time.Sleep(7 * time.Millisecond)
		d.mu.Lock()
		n := d.nodes[name]
		id := worker.IntID(d.rand.Int64N(simIDs))
		length := time.Duration(d.rand.Float64() * float64(10*time.Millisecond))
		if d.long > 0 && d.rand.IntN(4) == 0 {
			length = d.long
		}
		late := time.Duration(0)
		if d.rand.IntN(10) == 0 {
			late = time.Duration(d.rand.Float64() * float64(8*time.Second))
		}
		d.mu.Unlock()
		if n != nil && n.awake(n.ctx) {
			wg.Go(func() { n.run(id, late, length) })
		}
	}
}

func (d *director) seconds(from, to float64) time.Duration {
	return time.Duration((from + d.float()*(to-from)) * float64(time.Second))
}

// rest waits for some random time.
func (d *director) rest(from, to float64) { time.Sleep(d.seconds(from, to)) }

func (d *director) node(name string) *simNode {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.nodes[name]
}

// lead has a voter lead, if it can.
func (d *director) lead(name string) {
	for range 20 {
		l := d.leader()
		if l != nil && l.name == name {
			return
		}
		if l != nil {
			l.q.voter.stepDown(context.Background())
		}
		time.Sleep(time.Second)
	}
}

// split cuts the links between those of a group and all others, both ways.
func (d *director) split(group ...string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, a := range d.names {
		for _, b := range d.names {
			if slices.Contains(group, a) != slices.Contains(group, b) {
				d.cut[[2]string{a, b}] = true
			}
		}
	}
}

func (d *director) heal() {
	d.mu.Lock()
	defer d.mu.Unlock()
	clear(d.cut)
	clear(d.slow)
	d.hook, d.long = nil, 0
}

func (d *director) delay(from, to string, by time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.slow[[2]string{from, to}] = by
}

func (d *director) longCalls(length time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.long = length
}

func (d *director) leave(name string) {
	n := d.node(name)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	began := d.now()
	_ = n.q.Leave(ctx)
	d.mu.Lock()
	d.left = append(d.left, d.now()-began)
	d.mu.Unlock()
	cancel()
	n.kill()
}

func (d *director) last() string { return d.names[len(d.names)-1] }

// deposed cuts off the leader with one member, which goes on asking it.
func (d *director) deposed() {
	if d.float() < 0.5 { // answers to old heartbeats are under way
		d.delay("2@h", "1@h", d.seconds(0.3, 1.5))
		d.delay("3@h", "1@h", d.seconds(0.3, 1.5))
		time.Sleep(300 * time.Millisecond)
	}
	d.split("1@h", d.last())
	d.rest(0, 0.5)
	d.node(d.last()).q.ServeHint("1@h")
	d.rest(10, 13)
}

// minority cuts off the leader with another voter and a member.
func (d *director) minority() {
	d.split("1@h", "2@h", d.last())
	d.rest(10, 13)
}

// slowVotes has a candidate win by a vote that travels for long, while the leader of before
// gives a lease.
func (d *director) slowVotes() {
	slow := d.seconds(0.2, 0.9)
	d.delay("3@h", "2@h", slow)
	d.delay("2@h", "3@h", slow)
	go d.node("1@h").q.voter.stepDown(context.Background())
	d.rest(0.01, 0.5)
	d.node(d.last()).q.ServeHint("1@h")
	d.rest(0, 0.3)
	d.split("1@h", d.last())
	d.rest(9, 11)
}

// barrier cuts off the leader at about the moment at which it commits a view. Its successor may
// not know yet that it is committed.
func (d *director) barrier() {
	before := d.epoch()
	d.split(d.last())
	for end := d.now() + 9*time.Second; d.epoch() == before && d.now() < end; {
		time.Sleep(time.Millisecond)
	}
	d.rest(0, 0.02)
	d.heal()
	d.split("1@h")
	d.rest(9, 11)
}

// epoch returns the newest epoch that the leader knows.
func (d *director) epoch() uint64 {
	if l := d.leader(); l != nil {
		if v := l.q.voter.machine.now().newest(); v != nil {
			return v.Epoch
		}
	}
	return 0
}

// pauseAt has the leader stop at a place in the middle of a renewal, for longer than others need
// to replace it, while calls are moving.
func (d *director) pauseAt(place string) {
	d.longCalls(6 * time.Second)
	time.Sleep(2 * time.Second)
	d.node(d.last()).kill()
	d.rest(0, 3)
	d.boot(d.last())
	d.rest(0, 1.2)
	var once sync.Once
	length := d.seconds(1, 9)
	d.mu.Lock()
	d.hook = func(n *simNode, at string) {
		if n.name == "1@h" && at == place {
			once.Do(func() { n.pause(length) })
		}
	}
	d.mu.Unlock()
	d.rest(10, 12)
}

// slowVerify has the answers of the voters late, and the member cut off that waits for them.
func (d *director) slowVerify() {
	slow := d.seconds(0.5, 1.9)
	d.delay("2@h", "1@h", slow)
	d.delay("3@h", "1@h", slow)
	d.rest(0, 2)
	d.split(d.last())
	d.delay("2@h", "1@h", 0)
	d.delay("3@h", "1@h", 0)
	d.rest(9, 11)
}

// clocks cuts off the member that has the slowest clock.
func (d *director) clocks() {
	d.rest(0, 1)
	d.split(d.last())
	d.rest(9, 11)
}

// newClocks cuts it off and has another leader, which knows nothing of its lease.
func (d *director) newClocks() {
	d.rest(0, 1)
	d.split(d.last())
	d.node("1@h").kill()
	d.rest(9, 11)
	d.boot("1@h")
}

// missed keeps a member away while another acts for it, and brings it back while calls run.
func (d *director) missed() {
	d.longCalls(14 * time.Second)
	time.Sleep(time.Second)
	d.node(d.last()).pause(7 * time.Second)
	d.split(d.last())
	d.rest(7.5, 9)
	d.heal()
	d.delay("1@h", "2@h", d.seconds(0.2, 1.5))
	d.node(d.last()).q.ServeHint("1@h")
	d.rest(3, 6)
}

// busy has long calls run while nodes leave and join, and others lead.
func (d *director) busy() {
	d.longCalls(12 * time.Second)
	d.rest(0.5, 1.5)
	go func() {
		d.leave(d.last())
		d.boot(d.last())
	}()
	for range 4 {
		d.rest(0.5, 3)
		if l := d.leader(); l != nil {
			l.q.voter.stepDown(context.Background())
		}
	}
	d.longCalls(0)
	d.rest(14, 15)
}

// cutBusy cuts off a member that runs long calls which have moved to others.
func (d *director) cutBusy() {
	d.node("2@h").kill()
	time.Sleep(8 * time.Second)
	d.longCalls(14 * time.Second)
	d.rest(1, 2)
	d.boot("2@h") // ids move back while calls of them run
	d.rest(1, 3)
	d.longCalls(0)
	d.split(d.last())
	d.rest(6, 12)
}

// restarts kills nodes and starts them again at once, the leader, too.
func (d *director) restarts() {
	d.longCalls(3 * time.Second)
	for _, name := range []string{d.last(), "2@h", d.last(), "1@h"} {
		d.node(name).kill()
		d.rest(0, 0.02)
		d.boot(name)
		d.rest(0, 6)
	}
}

// rolling restarts all nodes, one after the other.
func (d *director) rolling() {
	d.longCalls(time.Second)
	for _, name := range d.names {
		d.leave(name)
		d.rest(0, 0.5)
		d.boot(name)
		d.rest(0, 2)
	}
}

// joins has nodes that are no voters come and go at the same time.
func (d *director) joins() {
	d.longCalls(2 * time.Second)
	var wg sync.WaitGroup
	for _, name := range d.names[3:] {
		wg.Go(func() {
			for range 4 {
				d.rest(0, 4)
				if d.float() < 0.5 {
					d.leave(name)
				} else {
					d.node(name).kill()
				}
				d.rest(0, 4)
				d.boot(name)
			}
		})
	}
	wg.Wait()
}

// one restarts the only voter, in several ways.
func (d *director) one() {
	d.rest(0, 2)
	d.node("1@h").pause(d.seconds(1, 9))
	d.rest(9, 11)
	d.node("1@h").kill()
	d.rest(0, 8)
	d.boot("1@h")
	d.rest(9, 12)
	d.leave("1@h")
	d.boot("1@h")
	d.rest(6, 7)
}
