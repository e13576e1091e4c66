package page

import (
	"math"
	"time"

	"github.com/distproc/distproc/node/observe"
)

const (
	// drift is how far a sample may be from the middle of its slot, in slots, before its
	// member's samples are placed anew.
	drift = 0.75

	// lateness is how long after its end a slot waits for members that are late. It is more
	// than a sample that has drifted can be late, and the second until it is asked for.
	lateness = 2500 * time.Millisecond
)

// A placing puts the samples of a member into slots. A member's samples end at its own
// times: each belongs to the slot in which it ended. That is decided for the first sample of
// a run, and again only if the clocks have drifted apart, so that a sample which ends near
// the end of a slot has one place.
type placing struct {
	run     uint64 // of the member; 0 if nothing was placed yet
	offset  int64  // slot of a sample, less its number
	seq     uint64 // the last sample that was placed
	covered int64  // the last slot that has a sample of the member
}

// A span is consecutive samples and their slots: sample first is in slot slot, and so on to
// last.
type span struct {
	first, last uint64 // none if first > last
	slot        int64
}

// slotOf returns the slot of a sample of the span.
func (s span) slotOf(seq uint64) int64 { return s.slot + int64(seq-s.first) }

// place returns the new samples of an answer to q, and takes them for placed. At is how many
// slots after the beginning of all slots the newest sample ended.
func (p *placing) place(f observe.Figures, q observe.Mark, at float64) span {
	if f.Last == 0 || f.Last > maxSeq {
		return span{first: 1}
	}
	restarted := f.Run != p.run
	if slot := int64(f.Last) + p.offset; restarted || math.Abs(float64(slot)-(at+0.5)) > drift {
		p.offset = int64(math.Round(at+0.5)) - int64(f.Last)
	}
	newest := int64(f.Last) + p.offset
	s := span{first: p.seq + 1, last: f.Last}
	if restarted {
		s.first = 1
	}
	s.first = max(s.first, known(f, q))
	if s.first > s.last {
		return s
	}
	s.slot = newest - int64(s.last-s.first)
	if n := p.covered + 1 - s.slot; restarted && n > 0 { // a member has one sample of a slot, whatever it says
		s.first, s.slot = s.first+min(uint64(n), s.last-s.first+1), s.slot+n
	}
	p.run, p.seq = f.Run, f.Last
	if s.first <= s.last {
		p.covered = max(p.covered, newest)
	}
	return s
}

// all returns all samples of an answer to q, with their slots, once it was placed.
func (p *placing) all(f observe.Figures, q observe.Mark) span {
	if f.Last == 0 || f.Last > maxSeq {
		return span{first: 1}
	}
	s := span{first: known(f, q), last: f.Last}
	s.slot = int64(s.first) + p.offset
	return s
}

// maxSeq is more samples than a node ever takes.
const maxSeq = math.MaxInt64 / 2

// known returns the first sample that an answer to q tells of.
func known(f observe.Figures, q observe.Mark) uint64 {
	first := uint64(1)
	if f.Last > observe.Samples {
		first = f.Last - observe.Samples + 1
	}
	if q.Run == f.Run && q.Seq < f.Last {
		first = max(first, q.Seq+1)
	}
	if q.Run == f.Run && q.Seq >= f.Last {
		first = f.Last + 1
	}
	return first
}
