package quorum

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// A round asks all voters once for their terms. Those who wait for it have come before it
// began.
type round struct {
	done chan struct{}
	err  error // set before done is closed
}

// verify returns nil if this voter has led in the term at some moment after the call: a
// majority of the voters, asked after that, knows of no later term (rule 17).
func (v *voter) verify(ctx context.Context, term uint64) error {
	v.mu.Lock()
	r := v.next
	if r == nil {
		r = &round{done: make(chan struct{})}
		v.next = r
	}
	v.mu.Unlock()
	poke(v.asked)
	select {
	case <-r.done:
	case <-ctx.Done():
		return ctx.Err()
	}
	if r.err != nil {
		return r.err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.term != term {
		return errDeposed
	}
	return nil
}

var errDeposed = errors.New("the node leads the voters no more")

// rounds asks the voters whenever somebody waits for that.
func (v *voter) rounds() {
	for {
		select {
		case <-v.asked:
		case <-v.q.ctx.Done():
			return
		}
		v.mu.Lock()
		r, term := v.next, v.term
		v.next = nil
		v.mu.Unlock()
		if r != nil {
			r.err = v.askTerms(term)
			close(r.done)
		}
	}
}

// askTerms returns nil if a majority of the voters is in the term.
func (v *voter) askTerms(term uint64) error {
	servers := v.electors()
	ctx, cancel := context.WithTimeout(v.q.ctx, v.q.Timing.Silence)
	answers := make(chan bool, len(servers))
	var asks sync.WaitGroup
	defer asks.Wait()
	defer cancel() // before that
	for _, s := range servers {
		if s.ID == v.disk.server() {
			answers <- v.raft.CurrentTerm() == term
			continue
		}
		asks.Go(func() {
			t, err := v.q.Host.Term(ctx, nameOf(s.ID), string(s.ID))
			answers <- err == nil && t == term
		})
	}
	agree, left := 0, len(servers)
	for ; left > 0 && agree <= len(servers)/2; left-- {
		if <-answers {
			agree++
		}
	}
	if agree <= len(servers)/2 {
		return fmt.Errorf("%w, or %d of %d voters do not answer", errDeposed, len(servers)-agree, len(servers))
	}
	return nil
}
