package model

import (
	"slices"
)

// A small raft. It is true to what matters here: terms, votes, the comparison of logs,
// majorities, and commits by entries of the own term only. An append carries the whole
// log.

// voters is how many slots, the first ones, are voters.
const voters = 3

// An entry is an entry of the log; one without a view and a retirement is a no-op.
type entry struct {
	term   int
	view   *view
	retire int // all views before this epoch are retired
}

// A disk outlives its process.
type disk struct {
	term     int
	voted    int // slot + 1; 0: nobody in this term
	log      []entry
	stranger bool // it was wiped, and came back as a server without a vote
}

// A voter is the volatile state of a process in raft.
type voter struct {
	heard      float64 // from a leader or a candidate that it voted for
	timeout    float64
	campaignAt float64
	votes      map[int]bool // as a candidate, by slot
	appended   struct{ term, length int }
	committed  int // entries
	follows    int // slot of the leader; -1: it knows of none
}

// A replication is what a leader knows of the logs of the others.
type replication struct {
	matched    []int // entries, by slot
	questions  []*question
	verifiedAt float64
}

func (n *node) startVoter() {
	n.heard = n.clock()
	n.timeout = 1 + n.r.Float64()
	if n.me == (member{0, 1}) {
		n.timeout = 0.05 // it leads first
	}
	n.every(0.1, func() {
		if n.lead == nil && n.clock() > n.heard+n.timeout {
			n.campaign()
		}
	})
	n.every(0.25, func() {
		if n.lead != nil {
			n.replicate()
		}
	})
}

func majority(k int) bool { return k > voters/2 }

// ask sends a request to each other voter.
func (n *node) ask(request func(*node)) {
	for v := range voters {
		if v != n.me.slot {
			n.send(n.me.slot, v, func(p *node) {
				if !p.disk.stranger {
					request(p)
				}
			})
		}
	}
}

func (n *node) enter(term int) {
	if term > n.disk.term {
		n.disk.term, n.disk.voted = term, 0
		n.lead, n.votes = nil, nil
	}
}

func (n *node) campaign() {
	if n.disk.stranger {
		return
	}
	n.enter(n.disk.term + 1)
	n.heard, n.campaignAt, n.timeout = n.clock(), n.clock(), 1+n.r.Float64()
	n.disk.voted = n.me.slot + 1
	n.votes = map[int]bool{n.me.slot: true}
	term, log := n.disk.term, n.disk.log
	n.ask(func(p *node) {
		if p.vote(n, term, log) {
			p.send(p.me.slot, n.me.slot, func(c *node) {
				if c.me == n.me && c.disk.term == term && c.lead == nil && c.votes != nil {
					c.votes[p.me.slot] = true
					if majority(len(c.votes)) {
						c.win()
					}
				}
			})
		}
	})
}

// vote reports whether n votes for c in the term.
func (n *node) vote(c *node, term int, log []entry) bool {
	n.enter(term)
	theirs, ours := lastTerm(log), lastTerm(n.disk.log)
	behind := theirs < ours || theirs == ours && len(log) < len(n.disk.log)
	if term != n.disk.term || n.disk.voted != 0 && n.disk.voted != c.me.slot+1 || behind {
		return false
	}
	n.disk.voted, n.heard = c.me.slot+1, n.clock()
	return true
}

func lastTerm(log []entry) int {
	if len(log) == 0 {
		return 0
	}
	return log[len(log)-1].term
}

func (n *node) win() {
	n.votes = nil
	if n.onWin != nil {
		n.onWin()
	}
	n.lead = newLeader(n)
	n.follows = n.me.slot
	n.elections++
	n.propose(entry{})
}

// propose appends an entry and replicates it. The leader learns of its commit by commit.
func (n *node) propose(e entry) {
	e.term = n.disk.term
	n.disk.log = append(slices.Clip(n.disk.log), e)
	n.lead.matched[n.me.slot] = len(n.disk.log)
	n.replicate()
}

func (n *node) replicate() {
	l, term, log, committed := n.lead, n.disk.term, n.disk.log, n.committed
	n.ask(func(p *node) {
		if term < p.disk.term {
			return
		}
		p.enter(term)
		p.heard, p.votes, p.follows = p.clock(), nil, n.me.slot
		if p.appended.term != term || len(log) >= p.appended.length {
			p.appended.term, p.appended.length, p.disk.log = term, len(log), log
			p.committed = max(p.committed, committed)
		}
		p.send(p.me.slot, n.me.slot, func(c *node) {
			if c.lead == l && c.disk.term == term {
				l.replicated(p.me.slot, len(log))
			}
		})
	})
}

// replicated takes the reply of a voter whose log has the first entries.
func (l *leader) replicated(slot, entries int) {
	if l.mutant == countsOldReplies {
		for _, q := range l.questions {
			q.answered(l, slot)
		}
		l.questions = nil
	}
	if entries <= l.matched[slot] {
		return
	}
	l.matched[slot] = entries
	for i := len(l.disk.log); i > l.committed && l.disk.log[i-1].term == l.disk.term; i-- {
		have := 0
		for _, m := range l.matched {
			if m >= i {
				have++
			}
		}
		if majority(have) {
			l.committed = i
			l.commit()
			return
		}
	}
}

// A question asks the voters whether the leader still leads.
type question struct {
	yes  map[int]bool // by slot
	done func()       // nil when a majority has answered
}

// verify calls done after a majority of the voters, the leader included, has answered
// that it knows of no later term. It asks them after the call.
func (l *leader) verify(done func()) {
	if l.mutant == neverVerifies || l.mutant == verifiesForHalfSecond && l.clock() < l.verifiedAt+0.5 {
		done()
		return
	}
	term := l.disk.term
	q := &question{yes: map[int]bool{l.me.slot: true}, done: done}
	if l.mutant == countsOldReplies {
		l.questions = append(l.questions, q)
	}
	l.ask(func(p *node) {
		if term < p.disk.term {
			return
		}
		p.enter(term)
		p.heard = p.clock()
		p.send(p.me.slot, l.me.slot, func(c *node) {
			if c.lead == l && c.disk.term == term {
				q.answered(l, p.me.slot)
			}
		})
	})
}

func (q *question) answered(l *leader, slot int) {
	q.yes[slot] = true
	if q.done != nil && majority(len(q.yes)) {
		done := q.done
		q.done, l.verifiedAt = nil, l.clock()
		done()
	}
}
