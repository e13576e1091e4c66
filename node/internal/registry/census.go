package registry

import (
	"time"

	"github.com/distproc/distproc/node/worker"
)

// sourceGrace is how long a source may go on after the end of its context before it
// counts as stuck.
const sourceGrace = time.Second

// Workers describes up to limit live workers.
func (r *Registry) Workers(limit int) []worker.Info {
	now := r.Now()
	var infos []worker.Info
	for i := range r.shards {
		s := &r.shards[i]
		s.mu.Lock()
		for w := range s.workers.all() {
			if len(infos) == limit {
				break
			}
			if info, live := r.infoLocked(w, now); live {
				infos = append(infos, info)
			}
		}
		s.mu.Unlock()
	}
	return infos
}

func (r *Registry) infoLocked(w *entry, now time.Duration) (info worker.Info, live bool) {
	info = worker.Info{Kind: r.name, ID: w.id, Node: r.node, Age: now - w.started, Hits: uint64(w.hits)}
	if m := w.mail; m != nil && m.busy {
		info.Queue = m.waiting
		return info, true
	}
	if w.load != nil {
		info.Queue = w.load.waiting()
		return info, true
	}
	info.TTL = max(0, w.expires-now)
	return info, w.dies() > now
}

// A Status is what a node knows of the worker of an id.
type Status struct {
	Live, Loading bool
	NoKind        bool // the node has no such kind
	Worker        worker.Info
}

// Inspect describes the worker of id, if one lives.
func (r *Registry) Inspect(id worker.ID) (st Status) {
	now := r.Now()
	s := r.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if w := s.workers.get(id); w != nil {
		st.Worker, st.Live = r.infoLocked(w, now)
		st.Loading = w.load != nil || w.mail != nil && w.mail.busy
	}
	return st
}

// Count returns how many workers live, how many answers they have given since the start,
// and how many workers were evicted.
func (r *Registry) Count() (live int, answers, evicted uint64) {
	for i := range r.shards {
		s := &r.shards[i]
		s.mu.Lock()
		live += s.workers.count
		answers += s.answers
		evicted += s.evicted
		s.mu.Unlock()
	}
	return live, answers, evicted
}

// Stuck returns how many sources have not returned although their time was up a second
// ago.
func (r *Registry) Stuck() (n int) {
	now := r.Now()
	for i := range r.shards {
		s := &r.shards[i]
		s.mu.Lock()
		for _, w := range s.loading {
			began := w.started
			if w.mail != nil {
				began = w.mail.began
			}
			if r.gate.holds(w.turn()) {
				continue // it has not begun
			}
			if now-began > w.kind.timeout+sourceGrace {
				n++
			}
		}
		s.mu.Unlock()
	}
	return n
}

// NotKept returns at most limit ids of workers that keep refuses, and reports whether
// there are more.
func (r *Registry) NotKept(keep func(worker.ID) bool, limit int) (ids []worker.ID, more bool) {
	for i := range r.shards {
		s := &r.shards[i]
		s.mu.Lock()
		for w := range s.workers.all() {
			if keep(w.id) {
				continue
			}
			if more = len(ids) == limit; more {
				break
			}
			ids = append(ids, w.id)
		}
		s.mu.Unlock()
		if more {
			break
		}
	}
	return ids, more
}
