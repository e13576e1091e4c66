package registry

import (
	"hash/maphash"
	"iter"
	"maps"
	"math"

	"github.com/distproc/distproc/node/worker"
)

// An index finds workers by id. It is a map from a number to a chain of workers, because
// a number takes a third of the memory of an ID as a key, and half of the time. The zero
// index is empty and ready for use.
type index struct {
	chains map[uint64]*entry
	count  int
	peak   int // the highest count since chains was made
	shrunk int // how often chains was replaced
}

// seed keeps a stranger from choosing strings that meet in one chain.
var seed = maphash.MakeSeed()

// number returns the number of an id in an index. Every integer has its own.
func number(id worker.ID) uint64 {
	if n, ok := id.Int64(); ok {
		return uint64(n)
	}
	return maphash.String(seed, id.String())
}

// get returns the worker of id, or nil.
func (x *index) get(id worker.ID) *entry {
	w := x.chains[number(id)]
	for w != nil && w.id != id {
		w = w.next
	}
	return w
}

// put adds w, in place of another worker of its id if there is one.
func (x *index) put(w *entry) {
	if x.chains == nil {
		x.chains = map[uint64]*entry{}
	}
	n := number(w.id)
	first := x.chains[n]
	for old := first; old != nil; old = old.next {
		if old.id == w.id {
			x.remove(old)
			first = x.chains[n]
			break
		}
	}
	w.next = first
	x.chains[n] = w
	x.count++
	x.peak = max(x.peak, x.count)
}

// remove takes w out, if it is in, but no other worker of its id.
func (x *index) remove(w *entry) {
	if w == nil {
		return
	}
	n := number(w.id)
	first := x.chains[n]
	switch {
	case first == w && w.next == nil:
		delete(x.chains, n)
	case first == w:
		x.chains[n] = w.next
	default:
		for first != nil && first.next != w {
			first = first.next
		}
		if first == nil {
			return
		}
		first.next = w.next
	}
	w.next = nil
	x.count--
}

// clear takes out all workers.
func (x *index) clear() { *x = index{shrunk: x.shrunk + 1} }

// shrink gives back the memory of an index that was much larger, as maps do not.
func (x *index) shrink() {
	if x.peak <= tidyFrom || x.count > x.peak/8 {
		return
	}
	chains := make(map[uint64]*entry, len(x.chains)) // maps.Clone would keep the size
	maps.Copy(chains, x.chains)
	x.chains, x.peak = chains, x.count
	x.shrunk++
}

// all visits the workers. The body of the loop may remove the worker that it visits.
func (x *index) all() iter.Seq[*entry] { return x.inSteps(math.MaxInt, nil) }

// inSteps is all in steps of about size workers. The index may change in any way in
// pause, which runs between two steps. Workers that are there from start to end are
// visited at least once.
func (x *index) inSteps(size int, pause func()) iter.Seq[*entry] {
	return func(yield func(*entry) bool) {
	anew:
		shrunk, visited := x.shrunk, 0
		for _, w := range x.chains {
			for w != nil {
				next := w.next
				if !yield(w) {
					return
				}
				w = next
				visited++
			}
			if visited < size {
				continue
			}
			visited = 0
			if pause(); x.shrunk != shrunk {
				goto anew // chains is another map now
			}
		}
	}
}
