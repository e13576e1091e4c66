package quorum

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// wipe ends a node, and starts it again without what was on its disk.
func (d *director) wipe(name string) *simNode {
	if n := d.node(name); n != nil {
		n.kill()
	}
	d.mu.Lock()
	delete(d.disks, name)
	d.mu.Unlock()
	d.rest(0, 0.5)
	return d.boot(name)
}

// change has a node change the voters, and tries again for two minutes.
func (d *director) change(at string, add bool, name string) {
	d.t.Helper()
	var r *Changed
	for end := d.now() + 2*time.Minute; d.now() < end; {
		if n := d.node(at); n != nil {
			r = n.q.Change(n.ctx, &Change{Add: add, Name: name, Timeout: 20 * time.Second})
			if r.Done || add && strings.HasSuffix(r.Why, "is a voter already") || !add && strings.Contains(r.Why, "is no voter") {
				return
			}
		}
		time.Sleep(time.Second)
	}
	d.t.Errorf("add %t of %s: %+v", add, name, r)
}

// recover makes a voter the only one. Its node must have been killed.
func (d *director) recover(name string) {
	d.t.Helper()
	d.mu.Lock()
	disk := d.disks[name]
	d.mu.Unlock()
	r, err := newRecovery(disk)
	if err == nil {
		err = r.Do()
	}
	if err != nil {
		d.t.Error(err)
	}
}

// nobodyLeads checks for some time that no voter leads but one.
func (d *director) nobodyLeads(but string, from, to float64) {
	d.t.Helper()
	for end := d.now() + d.seconds(from, to); d.now() < end; {
		if l := d.leader(); l != nil && l.name != but {
			d.t.Errorf("%s leads at %v", l.name, d.now())
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// wiped has a voter come back without its disk while the leader is cut off: those two have no
// majority with what the third one knows.
func (d *director) wiped() {
	d.longCalls(3 * time.Second)
	d.rest(0, 1)
	d.wipe("2@h")
	d.rest(0, 0.5)
	d.split("1@h")
	d.nobodyLeads("1@h", 8, 10)
	d.heal()
	d.rest(0, 3)
	d.change("4@h", false, "2@h")
	d.rest(0, 1)
	d.change("4@h", true, "2@h")
	d.node("1@h").kill()
	d.rest(8, 10) // with 2@h as it is now there is a majority
	if l := d.leader(); l == nil {
		d.t.Error("none leads with the new voter")
	}
	d.boot("1@h")
}

// replaced has another node take the place of a voter that comes back later, among faults.
func (d *director) replaced() {
	d.longCalls(3 * time.Second)
	d.rest(0, 1)
	d.node("3@h").kill()
	faults, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for faults.Err() == nil {
			d.rest(0, 4)
			switch l := d.leader(); {
			case l == nil:
			case d.float() < 0.4:
				l.q.voter.stepDown(faults)
			case d.float() < 0.5:
				l.pause(d.seconds(0, 4))
			default:
				d.delay("1@h", "4@h", d.seconds(0, 1))
			}
		}
	}()
	d.change("1@h", false, "3@h")
	d.change("4@h", true, "4@h")
	stop()
	<-done
	d.heal()
	d.boot("3@h") // with what it had
	d.rest(5, 6)
	d.node("1@h").kill()
	d.rest(8, 10)
	if l := d.leader(); l == nil || l.name == "3@h" {
		d.t.Errorf("%v leads", l)
	}
	d.boot("1@h")
}

// twoWiped has two voters of three come back without their disks. They found no second cluster.
// The third one goes on alone, and they are added.
func (d *director) twoWiped() {
	d.longCalls(3 * time.Second)
	d.rest(0, 1)
	d.wipe("2@h")
	d.wipe("3@h")
	d.rest(2, 3)
	d.nobodyLeads("", 8, 10)
	d.node("1@h").kill()
	d.recover("1@h")
	d.boot("1@h")
	d.rest(0, 8)
	d.change("4@h", true, "2@h")
	d.change("1@h", true, "3@h")
}

// behind has the log of 3@h lack the last views, under which others have leases, and ends the
// other voters.
func (d *director) behind() {
	d.longCalls(3 * time.Second)
	d.rest(0, 1)
	d.split("3@h")
	d.rest(5, 6)
	d.node("3@h").kill()
	d.heal()
	d.rest(3, 4) // the others have views without it
	d.node("1@h").kill()
	d.node("2@h").kill()
	d.split("4@h") // which goes on until the end of its lease, and tells nobody of its view
	d.recover("3@h")
	d.boot("3@h")
}

// recovered has the voter that is left go on alone, and the others come back as new ones.
func (d *director) recovered() {
	d.behind()
	d.rest(10, 12)
	d.heal()
	d.rest(0, 3)
	d.wipe("1@h")
	d.wipe("2@h")
	d.change("4@h", true, "1@h")
	d.change("2@h", true, "2@h")
}

// returned has those voters come back that must not: with the directories of before.
func (d *director) returned() {
	d.behind()
	d.rest(0, 12)
	d.heal()
	d.boot("1@h")
	d.boot("2@h")
	d.rest(10, 12)
	for _, name := range []string{"1@h", "2@h"} {
		if v := d.node(name).q.voter; v.introduction().Problem == "" || v.leaderName() != "" {
			d.t.Errorf("%s takes part: %+v", name, v.introduction())
		}
	}
	d.rest(0, 3)
	d.wipe("1@h")
	d.change("3@h", true, "1@h")
	d.wipe("2@h")
	d.change("3@h", true, "2@h")
}

// TestChangeRefused has a cluster refuse changes that make no sense.
func TestChangeRefused(t *testing.T) {
	calmly(t, []string{"4@h"}, func(d *director) {
		d.mu.Lock()
		for _, name := range []string{"5@h", "6@h", "7@h", "8@h"} {
			d.given[name] = []string{"1@h", "2@h", name}
		}
		d.given["9@h"] = []string{"9@h"} // a cluster of its own
		used := newSimDisk("8@h", 99)
		used.empty = false
		d.disks["8@h"] = used
		d.mu.Unlock()
		d.bootAll("5@h", "6@h", "7@h", "8@h", "9@h")
		time.Sleep(10 * time.Second)
		refuse := func(add bool, name, why string) {
			d.t.Helper()
			for _, at := range []string{"1@h", "2@h", "4@h"} {
				n := d.node(at)
				r := n.q.Change(n.ctx, &Change{Add: add, Name: name, Timeout: 5 * time.Second})
				if r.Done || !strings.Contains(r.Why, why) {
					d.t.Errorf("add %t of %s at %s: %+v; want %q", add, name, at, r, why)
				}
			}
		}
		refuse(true, "x", "no @")
		refuse(true, "1@H", "write 1@h")
		refuse(true, "10@h", "10@h does not answer")
		refuse(true, "3@h", "3@h is a voter already")
		refuse(true, "4@h", "4@h was not started as a voter")
		refuse(true, "8@h", "the data directory of 8@h is not empty")
		refuse(true, "9@h", "the data directory of 9@h belongs to another cluster")
		refuse(false, "4@h", "4@h is no voter; the voters are 1@h, 2@h, 3@h")
		d.node("3@h").kill()
		time.Sleep(time.Second)
		refuse(true, "3@h", "3@h is a voter already, and does not answer")
		refuse(false, "2@h", "without 2@h 1 of 2 answers, and 2 are needed: bring")
		d.wipe("3@h")
		refuse(true, "3@h", "3@h is a voter with another data directory")
		d.node("1@h").q.voter.changing.Store(true)
		refuse(false, "3@h", "another change of the voters is going on")
		d.node("1@h").q.voter.changing.Store(false)
		for _, name := range []string{"5@h", "6@h"} {
			d.change("4@h", true, name)
		}
		refuse(true, "7@h", "there are 5 voters already")
		for _, name := range []string{"3@h", "1@h", "5@h", "6@h"} {
			d.change("4@h", false, name)
		}
		refuse(false, "2@h", "2@h is the only voter")
		d.node("2@h").kill()
		n := d.node("4@h")
		if r := n.q.Change(n.ctx, &Change{Name: "2@h", Timeout: 5 * time.Second}); r.Done || !strings.HasPrefix(r.Why, "no voter leads: 0 of 1 answer, and 1 is needed") && !strings.HasPrefix(r.Why, "no voter leads: the voters have not begun") {
			d.t.Errorf("%+v", r)
		}
	})
}

// TestReport looks at the voters from all nodes.
func TestReport(t *testing.T) {
	calmly(t, []string{"4@h"}, func(d *director) {
		d.mu.Lock()
		d.given["4@h"] = []string{"1@h", "2@h", "4@h"}
		d.mu.Unlock()
		d.node("4@h").kill()
		d.boot("4@h")
		time.Sleep(10 * time.Second)
		check := func(leader string, answer, count int, problems map[string]string) {
			d.t.Helper()
			for _, n := range d.living() {
				r := n.q.Report(n.ctx)
				if r.Leader != leader || r.Answer != answer || r.Count != count || r.Needed != count/2+1 || r.Quorum() != (answer > count/2) {
					d.t.Errorf("%s says %+v", n.name, r)
				}
				for _, s := range r.Voters {
					if !strings.Contains(s.Problem, problems[s.Name]) || (s.Problem == "") != (problems[s.Name] == "") {
						d.t.Errorf("%s says of %s: %q", n.name, s.Name, s.Problem)
					}
					if given := d.given[s.Name]; s.Problem == "" && !slices.Equal(s.Given, given) {
						d.t.Errorf("%s says that %s was given %v", n.name, s.Name, s.Given)
					}
				}
			}
		}
		check("1@h", 3, 3, map[string]string{"4@h": "is no voter; add it"})
		d.wipe("3@h")
		d.mu.Lock()
		d.cut[[2]string{"1@h", "2@h"}], d.cut[[2]string{"4@h", "2@h"}] = false, false
		d.mu.Unlock()
		time.Sleep(3 * time.Second)
		check("1@h", 2, 3, map[string]string{"3@h": "its data directory is new; remove it and add it again", "4@h": "is no voter; add it"})
		d.node("2@h").kill()
		time.Sleep(10 * time.Second)
		check("", 1, 3, map[string]string{
			"2@h": "does not answer: lost", "3@h": "its data directory is new", "4@h": "is no voter; add it",
		})
		n := d.node("1@h")
		for _, v := range n.q.Report(n.ctx).Voters {
			if strings.Contains(v.Problem, "remove it") {
				d.t.Errorf("%s: %s, which cannot be done", v.Name, v.Problem)
			}
		}
		want := "no voter leads: 1 of 3 answers, and 2 are needed; bring the others back; if their disks are lost: distproc voters recover --help"
		if r := n.q.Change(n.ctx, &Change{Name: "3@h", Timeout: time.Second}); r.Done || r.Why != want {
			d.t.Errorf("%+v; want %q", r, want)
		}
		if got, want := adding("3@h", &Introduction{Log: []string{"3@h/d1"}}), "distproc voters remove 3@h, and then distproc voters add 3@h"; got != want {
			d.t.Errorf("%q; want %q", got, want)
		}
	})
}

// TestJoining has a node that gets the log and does not catch up. It counts in no majority.
func TestJoining(t *testing.T) {
	calmly(t, nil, func(d *director) {
		n := d.node("1@h")
		if err := n.q.voter.raft.AddNonvoter("4@h/x", "4@h/x", 0, time.Second).Error(); err != nil {
			d.t.Fatal(err)
		}
		if a, err := n.asks(d.node("2@h").q.Self); err != nil || len(a.Voters) != 3 {
			d.t.Errorf("%+v, %v", a, err)
		}
		r := n.q.Report(n.ctx)
		if i := slices.IndexFunc(r.Voters, func(s Standing) bool { return s.Name == "4@h" }); r.Count != 3 || i < 0 || r.Voters[i].Role != RoleJoins {
			d.t.Errorf("%+v", r)
		}
		d.change("2@h", false, "4@h")
		if r := n.q.Report(n.ctx); len(r.Voters) != 3 {
			d.t.Errorf("%+v", r)
		}
	})
}

// TestInvited has a new voter talk to voters that its --voters lacks, once they want it to join.
func TestInvited(t *testing.T) {
	calmly(t, nil, func(d *director) {
		d.mu.Lock()
		d.given["5@h"] = []string{"5@h", "6@h", "7@h"}
		d.mu.Unlock()
		v := d.boot("5@h").q.voter
		for _, joining := range []string{"5@h/other", string(v.disk.server())} {
			if v.knows("1@h/x") {
				d.t.Error("it knows a voter that has not invited it")
			}
			if _, err := v.q.ServeIntroduction(&Introduction{Log: []string{"1@h/x"}, Joining: []string{joining}}); err != nil {
				d.t.Error(err)
			}
		}
		if !v.knows("1@h/x") || v.knows("1@h/y") {
			d.t.Error("it does not know the voter that has invited it, or another one")
		}
	})
}

// TestInvitedElsewhere has voters of another cluster invite a voter. It stays with its own.
func TestInvitedElsewhere(t *testing.T) {
	calmly(t, nil, func(d *director) {
		v := d.node("1@h").q.voter
		for _, cluster := range []string{"other", "", v.origin().Cluster} {
			by := &Introduction{Log: []string{"8@h/x"}, Joining: []string{string(v.disk.server())}, Origin: Origin{Cluster: cluster}}
			if _, err := v.q.ServeIntroduction(by); err != nil {
				d.t.Error(err)
			}
			if own := cluster == v.origin().Cluster; v.knows("8@h/x") != own {
				d.t.Errorf("it knows a voter of cluster %q: %t", cluster, !own)
			}
		}
	})
}

// TestIntroductionLarge has a peer list thousands of voters. Nobody asks these.
func TestIntroductionLarge(t *testing.T) {
	calmly(t, nil, func(d *director) {
		n := d.node("1@h")
		d.intro = func(voter string) (*Introduction, error) {
			in := d.node(voter).q.voter.introduction()
			in.Leads, in.Term = true, 1<<40
			for i := range 5000 {
				in.Log = append(in.Log, fmt.Sprint(i+10, "@h/x"))
			}
			return in, nil
		}
		if r := n.q.Report(n.ctx); len(r.Voters) != 3 || r.Leader != "1@h" {
			d.t.Errorf("%d voters, %s leads", len(r.Voters), r.Leader)
		}
		d.intro = nil
	})
}

// TestAsleep has all voters replaced while a member is away, which knows none of the new ones when
// it is back.
func TestAsleep(t *testing.T) {
	calmly(t, []string{"4@h"}, func(d *director) {
		d.mu.Lock()
		for _, name := range []string{"5@h", "6@h", "7@h"} {
			d.given[name] = []string{"1@h", "2@h", name}
		}
		d.mu.Unlock()
		d.bootAll("5@h", "6@h", "7@h")
		d.names = append(d.names, "5@h", "6@h", "7@h")
		time.Sleep(3 * time.Second)
		d.split("4@h")
		for i, name := range []string{"5@h", "6@h", "7@h"} {
			d.change("5@h", true, name)
			d.change("5@h", false, d.voters[i])
			d.node(d.voters[i]).kill()
		}
		time.Sleep(time.Minute)
		d.heal()
		time.Sleep(10 * time.Second)
		if r := d.node("4@h").q.Rights(); r.Left(d.node("4@h").q.Clock()) == 0 {
			d.t.Errorf("4@h has no lease, by %v", r.Newest())
		}
	})
}
